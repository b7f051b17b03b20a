//! A database goes away in the middle of the copy, and rows go away under it.

use std::time::Duration;

use crate::forward::{ask, compare, is_finished, spawn, sql, until, waiting};

/// Both databases, one after the other, killed while rows move.
#[tokio::test]
async fn a_database_that_comes_back_is_waited_for() {
    let rehearsal = waiting("6000", &[]).await;
    let mut child = spawn(&rehearsal, &["backfill", "run", "--block-rows", "100", "--rate", "2500"]);
    let begun =
        "SELECT count(*)::text FROM background_migrations WHERE locked_at IS NOT NULL AND state ? 'maxDate'";
    until("the copy", 20, async || ask(&rehearsal, begun).await == "1").await;
    for store in ["store=clickhouse", "store=postgres"] {
        tokio::time::sleep(Duration::from_millis(700)).await;
        rehearsal.fault(&["store-down", store]);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(child.try_wait().unwrap().is_none(), "{store}: it gave up");
        rehearsal.fault(&["store-down", store, "--lift"]);
    }
    // A row that v2 deletes meanwhile is nobody's trouble.
    sql(&rehearsal, "DELETE FROM scores WHERE id IN (SELECT id FROM scores ORDER BY created_at LIMIT 5)")
        .await;
    until("its end", 90, async || child.try_wait().unwrap().is_some()).await;
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(is_finished(&rehearsal).await);
    compare(&rehearsal, &[]).await;
}
