//! What `cutover backfill plan` says is what `run` does then.

use cutover::clients::work::Access;
use serde_json::Value;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{ask, ch, compare, document, sql, waiting};
use crate::run_items::{MIGRATION, TABLE};
use crate::sides;

#[tokio::test]
async fn a_plan_says_what_a_run_does() {
    let rehearsal = waiting("300", &[]).await;
    nothing_was_begun(&rehearsal);
    one_has_failed(&rehearsal).await;
    run_items_lose_some(&rehearsal).await;
    // And now it is done.
    let planned = plan(&rehearsal);
    let output = rehearsal.verb(&["backfill", "run", "--json"]);
    let told = document(&output);
    assert_eq!(output.status.code(), Some(0), "{told:#}");
    let rows = |told: &Value| -> Vec<(String, u64)> {
        let tables = told["tables"].as_array().unwrap().iter();
        tables.map(|t| (t["table"].as_str().unwrap().to_owned(), t["rows"].as_u64().unwrap())).collect()
    };
    assert_eq!(rows(&planned), rows(&told));
    assert_eq!(rows(&told).len(), 4, "{told:#}");
    compare(&rehearsal, &[]).await;
    let over = text(&rehearsal, &["backfill"], 0);
    assert!(over.contains("traces: 20241024_1730_migrate_traces_from_pg_to_ch has finished"), "{over}");
}

fn plan(rehearsal: &Rehearsal) -> Value {
    let output = rehearsal.verb(&["backfill", "plan", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    document(&output)
}

fn text(rehearsal: &Rehearsal, args: &[&str], code: i32) -> String {
    let output = rehearsal.verb(args);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The first word of a table's line, and the lines.
fn says(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|l| l == *line), "{line:?} is not in\n{text}");
    }
}

fn nothing_was_begun(rehearsal: &Rehearsal) {
    let told = text(rehearsal, &["backfill"], 0);
    says(
        &told,
        &[
            "traces: would be copied now",
            "observations: would be copied after traces",
            "scores: would be copied after observations",
        ],
    );
    assert!(told.contains("  300 rows created up to now") && !told.contains("queued"), "{told}");
    assert!(told.contains("dataset_run_items: 20250814_1001"), "{told}");
    let told = plan(rehearsal);
    let tables = told["tables"].as_array().unwrap();
    for table in &tables[..3] {
        assert_eq!(
            (&table["refused"], &table["resume_would_copy"]),
            (&Value::Null, &false.into()),
            "{told:#}"
        );
    }
    assert_eq!((&tables[0]["after"], &tables[1]["after"]), (&Value::Null, &"traces".into()), "{told:#}");
    assert_eq!((&tables[0]["rows"], &tables[1]["rows"]), (&300.into(), &600.into()), "{told:#}");
    assert!(tables[3]["refused"].as_str().unwrap().contains("is not in background_migrations"), "{told:#}");
    // By itself, an order is kept.
    let alone = text(rehearsal, &["backfill", "--table", "scores"], 4);
    assert!(alone.contains("comes after 20241024_1730"), "{alone}");
}

async fn one_has_failed(rehearsal: &Rehearsal) {
    sql(
        rehearsal,
        "UPDATE background_migrations SET failed_at = now(), failed_reason = 'a write conflict' WHERE name LIKE '%1730%'",
    )
    .await;
    let resume = "`cutover backfill resume` would copy it";
    let failed = format!("traces: failed: {resume}; it failed with: a write conflict");
    let not = format!("observations: not reached: the run would stop at traces; {resume}");
    says(&text(rehearsal, &["backfill"], 0), &[&failed, &not]);
    says(&text(rehearsal, &["backfill", "plan", "--table", "traces"], 0), &[&failed]);
    let told = plan(rehearsal);
    let traces = &told["tables"][0];
    assert!(traces["refused"].as_str().unwrap().contains("has failed: a write conflict"), "{told:#}");
    assert_eq!((&traces["resume_would_copy"], &traces["rows"]), (&true.into(), &300.into()), "{told:#}");
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(4));
    // The manager goes past it, and so does one that is asked for the next.
    says(
        &text(rehearsal, &["backfill", "--table", "observations"], 0),
        &["observations: would be copied now"],
    );
    sql(
        rehearsal,
        "UPDATE background_migrations SET failed_at = NULL, failed_reason = NULL WHERE name LIKE '%1730%'",
    )
    .await;
}

/// Those whose item was deleted are not copied, and not counted.
async fn run_items_lose_some(rehearsal: &Rehearsal) {
    let (_, clickhouse) = sides::open(rehearsal, Access::Write).await;
    ch(&clickhouse, TABLE).await;
    sql(rehearsal, MIGRATION).await;
    sql(
        rehearsal,
        "ALTER TABLE dataset_items ADD COLUMN is_deleted boolean NOT NULL DEFAULT false; \
         UPDATE dataset_items SET is_deleted = true WHERE id = (SELECT min(dataset_item_id) FROM dataset_run_items)",
    )
    .await;
    let count = async |more: &str| -> u64 {
        let sql = format!("SELECT count(*)::text FROM dataset_run_items {more}");
        ask(rehearsal, &sql).await.parse().unwrap()
    };
    let copied = "WHERE dataset_item_id <> (SELECT min(dataset_item_id) FROM dataset_run_items)";
    let (all, copied) = (count("").await, count(copied).await);
    assert!(0 < copied && copied < all, "{copied} of {all}");
    let told = plan(rehearsal);
    let items = &told["tables"][3];
    assert_eq!((&items["rows"], &items["after"]), (&copied.into(), &"scores".into()), "{told:#}");
    says(&text(rehearsal, &["backfill"], 0), &["dataset_run_items: would be copied after scores"]);
}
