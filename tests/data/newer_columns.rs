//! Columns that a newer v3 writes and that the description does not know: whatever catch-up does to a row, they stay.

use cutover::clients::work::{Access, ClickhouseWork};
use serde_json::Value;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{ask, ch, document, sql, waiting};
use crate::sides;

/// Columns of v3.49 to v3.204, one of a type that nobody here can read, and one that cannot be read at all.
const NEWER: [&str; 3] = [
    "ALTER TABLE scores ADD COLUMN metadata Map(LowCardinality(String), String), ADD COLUMN session_id Nullable(String), \
     ADD COLUMN long_string_value String DEFAULT 'none', ADD COLUMN odd Tuple(at DateTime64(6), n Array(Decimal(38, 4))), \
     ADD COLUMN passing String EPHEMERAL",
    "ALTER TABLE observations ADD COLUMN tool_calls Array(String), ADD COLUMN tool_definitions Map(String, String)",
    "ALTER TABLE traces ADD COLUMN `odd``name` String",
];

/// What v3 said, as one text.
const SAID: &str =
    "concat(toString(metadata), '|', ifNull(session_id, 'NULL'), '|', long_string_value, '|', toString(odd))";

fn written(rehearsal: &Rehearsal) -> [u64; 4] {
    let told: Value = document(&rehearsal.verb(&["catch-up", "--yes", "--json"]));
    let of = |table: &Value, class: &str| table["found"][class]["count"].as_u64().unwrap();
    let tables = told["tables"].as_array().unwrap();
    ["missing", "stale", "overwritten", "twice"].map(|class| tables.iter().map(|t| of(t, class)).sum())
}

/// The live rows of an id, and what v3 said in them.
async fn said(clickhouse: &ClickhouseWork, table: &str, what: &str, id: &str) -> Vec<String> {
    let statement = format!("SELECT {what} FROM {table} FINAL WHERE id = ?");
    clickhouse.ask.all(clickhouse.query(&statement).bind(id)).await.unwrap()
}

#[tokio::test]
async fn what_is_not_known_of_a_row_stays_in_it() {
    let rehearsal = waiting("60", &[]).await;
    let (_, clickhouse) = sides::open(&rehearsal, Access::Write).await;
    for statement in NEWER {
        ch(&clickhouse, statement).await;
    }
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(0));
    let ids: Vec<String> = serde_json::from_str(
        &ask(
            &rehearsal,
            "SELECT json_agg(id ORDER BY id)::text FROM (SELECT id FROM scores ORDER BY id LIMIT 4) AS s",
        )
        .await,
    )
    .unwrap();
    let [merged, renamed, refreshed, plain] = ids.try_into().unwrap();

    let newer = "map('a', 'b') AS metadata, 's3' AS session_id, 'long' AS long_string_value, \
                 (toDateTime64('2026-11-01 00:00:00.123456', 6), [toDecimal128('7.5', 4)]) AS odd";
    // v3 writes over two of them, over one under another name, which is another sorting key.
    for (id, name) in [(&merged, "name"), (&renamed, "'other' AS name")] {
        let statement = format!(
            "INSERT INTO scores (id, project_id, timestamp, trace_id, name, value, source, data_type, created_at, updated_at, \
             event_ts, is_deleted, metadata, session_id, long_string_value, odd) \
             SELECT id, project_id, timestamp, trace_id, {name}, value, source, data_type, created_at, now64(3), now64(3), 0, \
             {newer} FROM scores WHERE id = '{id}' LIMIT 1"
        );
        ch(&clickhouse, &statement).await;
    }
    // What is still a copy has been given values since.
    let given = format!(
        "ALTER TABLE scores UPDATE metadata = map('a', 'b'), session_id = 's3', long_string_value = 'long', \
         odd = (toDateTime64('2026-11-01 00:00:00.123456', 6), [toDecimal128('7.5', 4)]) WHERE id = '{refreshed}' SETTINGS mutations_sync = 1"
    );
    ch(&clickhouse, &given).await;
    let update = format!(
        "UPDATE scores SET comment = 'of v2' WHERE id IN ('{merged}', '{renamed}'); \
         UPDATE scores SET comment = 'of v2', updated_at = now() AT TIME ZONE 'UTC' WHERE id IN ('{refreshed}', '{plain}')"
    );
    sql(&rehearsal, &update).await;
    let told = "SELECT id FROM observations WHERE status_message IS NOT NULL OR name IS NOT NULL ORDER BY id LIMIT 1";
    let observation = ask(&rehearsal, told).await;
    let statement = format!(
        "INSERT INTO observations (id, project_id, start_time, type, trace_id, level, created_at, updated_at, event_ts, is_deleted, \
         tool_calls, tool_definitions) SELECT id, project_id, start_time, type, trace_id, level, created_at, now64(3), now64(3), 0, \
         ['call'], map('t', 'd') FROM observations WHERE id = '{observation}' LIMIT 1"
    );
    ch(&clickhouse, &statement).await;

    assert_eq!(written(&rehearsal), [0, 2, 3, 0]);
    assert_eq!(written(&rehearsal), [0; 4]);
    let what = format!("concat(ifNull(comment, ''), ' ', {SAID})");
    let v3 = "of v2 {'a':'b'}|s3|long|('2026-11-01 00:00:00.123456',[7.5])";
    for (why, id) in [("merged", &merged), ("renamed", &renamed), ("refreshed", &refreshed)] {
        assert_eq!(said(&clickhouse, "scores", &what, id).await, [v3], "{why}");
    }
    let nothing = said(&clickhouse, "scores", &what, &plain).await;
    assert_eq!(nothing.len(), 1);
    assert!(nothing[0].starts_with("of v2 {}|NULL|none|"), "{nothing:?}");
    let what = "concat(toString(tool_calls), toString(tool_definitions), if(name = '' AND ifNull(status_message, '') = '', '', ' whole'))";
    assert_eq!(said(&clickhouse, "observations", what, &observation).await, ["['call']{'t':'d'} whole"]);
}
