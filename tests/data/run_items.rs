//! Run items of datasets: they move where v3 has a table for them, and each is one row, with the newest version of its
//! item.

use std::time::Duration;

use cutover::clients::work::Access;
use cutover::data::tables::spec;
use cutover::domain::backfill::Table;
use serde_json::Value;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{ask, ch, document, sql, waiting};
use crate::sides;

async fn joined(rehearsal: &Rehearsal, what: &str) -> String {
    ask(rehearsal, &format!("SELECT {what} FROM {}", spec(Table::DatasetRunItems).from)).await
}

#[tokio::test]
async fn versions_of_an_item_do_not_multiply_its_rows() {
    let rehearsal = waiting("60", &[]).await;
    let all = joined(&rehearsal, "count(*)::text").await;
    assert!(all.parse::<u32>().unwrap() > 1, "{all}");
    let item = joined(&rehearsal, "min(i.id)").await;
    let of_item = format!("count(*) FILTER (WHERE t.dataset_item_id = '{item}')::text");
    let its = joined(&rehearsal, &of_item).await;
    // As v3.140 and v3.141 change the table.
    sql(
        &rehearsal,
        &format!(
            "ALTER TABLE dataset_items ADD COLUMN valid_from timestamp(3) NOT NULL DEFAULT '2026-01-01', \
             ADD COLUMN valid_to timestamp(3), ADD COLUMN is_deleted boolean NOT NULL DEFAULT false; \
             ALTER TABLE dataset_items DROP CONSTRAINT dataset_items_pkey CASCADE; \
             ALTER TABLE dataset_items ADD PRIMARY KEY (id, project_id, valid_from); \
             CREATE TEMP TABLE newer AS SELECT * FROM dataset_items WHERE id = '{item}'; \
             UPDATE newer SET valid_from = '2026-02-01', input = '\"newer\"'; \
             INSERT INTO dataset_items SELECT * FROM newer"
        ),
    )
    .await;
    assert_eq!(joined(&rehearsal, "count(*)::text").await, all);
    let newest = format!("string_agg(DISTINCT i.input::text, ' ') FILTER (WHERE i.id = '{item}')");
    assert_eq!(joined(&rehearsal, &newest).await, "\"newer\"");
    sql(&rehearsal, "UPDATE dataset_items SET is_deleted = true WHERE valid_from = '2026-02-01'").await;
    assert_eq!(joined(&rehearsal, &of_item).await, "0", "of {its}");
}

/// As v3.98 makes it.
pub const TABLE: &str = "CREATE TABLE dataset_run_items_rmt (id String, project_id String, dataset_run_id String, \
     dataset_item_id String, dataset_id String, trace_id String, observation_id Nullable(String), error Nullable(String), \
     created_at DateTime64(3) DEFAULT now(), updated_at DateTime64(3) DEFAULT now(), dataset_run_name String, \
     dataset_run_description Nullable(String), dataset_run_metadata Map(LowCardinality(String), String), \
     dataset_run_created_at DateTime64(3), dataset_item_input Nullable(String), dataset_item_expected_output Nullable(String), \
     dataset_item_metadata Map(LowCardinality(String), String), event_ts DateTime64(3), is_deleted UInt8) \
     ENGINE = ReplacingMergeTree(event_ts, is_deleted) ORDER BY (project_id, dataset_id, dataset_run_id, id)";
/// And what copies them into it.
pub const MIGRATION: &str = "INSERT INTO background_migrations (id, name, script, args) VALUES \
     ('9f32e84c-7b1d-4f59-a803-d67ae5c9b2e8', '20250814_1001_migrate_dataset_run_items_rmt_pg_to_ch', \
      'migrateDatasetRunItemsFromPostgresToClickhouseRmt', '{}')";

/// Where v3 has a table for them, they are counted, copied, compared and shown like everything else that moves.
#[tokio::test]
async fn they_are_looked_after_where_they_move() {
    let rehearsal = waiting("60", &[]).await;
    let tables = |told: &Value| -> Vec<String> {
        let all = told["tables"].as_array().unwrap().iter();
        all.map(|table| table["table"].as_str().unwrap().to_owned()).collect()
    };
    let verified = |code| {
        let output = rehearsal.verb(&["verify", "--json", "--grace", "0"]);
        let told = document(&output);
        assert_eq!(output.status.code(), Some(code), "{told:#}");
        told
    };
    assert_eq!(tables(&verified(1)), ["traces", "observations", "scores"]);

    let (_, clickhouse) = sides::open(&rehearsal, Access::Write).await;
    ch(&clickhouse, TABLE).await;
    sql(&rehearsal, MIGRATION).await;
    let output = rehearsal.verb(&["backfill", "run"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let all: u64 = joined(&rehearsal, "count(*)::text").await.parse().unwrap();
    let told = verified(0);
    assert_eq!(tables(&told)[3], "dataset_run_items");
    assert_eq!(told["tables"][3]["rows"], all, "{told:#}");

    let id = joined(&rehearsal, "min(t.id)").await;
    let gone =
        format!("ALTER TABLE dataset_run_items_rmt DELETE WHERE id = '{id}' SETTINGS mutations_sync = 2");
    ch(&clickhouse, &gone).await;
    let told = verified(1);
    assert_eq!((&told["findings"][0]["id"], &told["wrong"]), (&Value::from(id), &Value::from(1)), "{told:#}");
    // The cockpit asks for them, too.
    let seen = rehearsal.until(&["status", "--json", "--wait", "3"], Duration::from_secs(60), |text| {
        let status: Value = serde_json::from_str(text).unwrap_or_default();
        status["tables"].as_array().is_some_and(|t| t.len() == 4 && t[3]["clickhouse"]["value"] == all - 1)
    });
    let status: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(status["tables"][3]["postgres"]["value"], all, "{status:#}");
    let said = String::from_utf8_lossy(&rehearsal.verb(&["status"]).stdout).into_owned();
    assert!(said.contains("run items") && said.contains("dataset_run_items verified"), "{said}");
}
