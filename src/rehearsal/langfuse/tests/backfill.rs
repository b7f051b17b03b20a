//! The background migrations on a real history.

use serde_json::{Value, json};
use sqlx::Row as _;

use super::fixture::{Fixture, Running, batch, until};
use crate::rehearsal::langfuse::{Faults, Kind};

const TRACES: &str = "20241024_1730_migrate_traces_from_pg_to_ch";

async fn migration(fixture: &Fixture, name: &str) -> (bool, Option<String>, bool, Value) {
    let row = sqlx::query(
        "SELECT finished_at IS NOT NULL AS done, failed_reason, locked_at IS NOT NULL AS locked, state \
         FROM background_migrations WHERE name = $1",
    );
    let row = row.bind(name.to_owned()).fetch_one(&fixture.pool).await.unwrap();
    (row.get("done"), row.get("failed_reason"), row.get("locked"), row.get("state"))
}

async fn finished(fixture: &Fixture) -> i64 {
    fixture.postgres("SELECT count(*) FROM background_migrations WHERE finished_at IS NOT NULL").await
}

/// Rows of an observation in ClickHouse.
async fn rows_of(fixture: &Fixture, id: &str) -> i64 {
    fixture.count(&format!("SELECT toInt64(count()) AS n FROM observations WHERE id = '{id}'")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_traces_end_with_equal_counts_and_the_race_loses_fields() {
    let Some(fixture) = Fixture::start(2_000).await else {
        return;
    };
    let web = fixture.web().await;
    let id = an_update_is_written_before_the_copy(&fixture, &web).await;

    let batch_size = "UPDATE background_migrations SET args = '{\"batchSize\": 500}'";
    sqlx::query(batch_size).execute(&fixture.pool).await.unwrap();
    let worker = fixture.run(Kind::V3Worker, &[]).await;
    until(60, "all four are finished", async || finished(&fixture).await == 4).await;
    both_sides_have_the_same_ids(&fixture).await;
    let (_, _, locked, state) = migration(&fixture, TRACES).await;
    assert!(!locked && state["maxDate"].as_str().unwrap().ends_with('Z'), "{state}");
    the_worker_logged_its_way(&worker);
    // The partial row has the newer event_ts: it wins, and the name is gone.
    let (_, found) = fixture.get(web.url(&format!("/api/public/observations/{id}"))).await;
    assert_eq!((&found["output"], &found["name"]), (&json!("late"), &json!("")), "{found}");
    assert!(rows_of(&fixture, &id).await >= 2, "the full row is there and loses");
    assert_eq!(worker.stop().await.code, 0);
    fixture.end().await;
}

/// The race of 9.3: v3 handles an update of an observation that is not copied yet; gives the observation's id.
async fn an_update_is_written_before_the_copy(fixture: &Fixture, web: &Running) -> String {
    let row = sqlx::query(
        "SELECT id, trace_id, name FROM observations WHERE project_id = $1 AND name IS NOT NULL LIMIT 1",
    );
    let row = row.bind(&fixture.project().id).fetch_one(&fixture.pool).await.unwrap();
    let (id, trace_id): (String, String) = (row.get("id"), row.get("trace_id"));
    let worker = fixture.run(Kind::V3Worker, &[("LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS", "false")]).await;
    let kind: String = sqlx::query_scalar("SELECT type::text FROM observations WHERE id = $1")
        .bind(&id)
        .fetch_one(&fixture.pool)
        .await
        .unwrap();
    let start: String = sqlx::query_scalar(
        "SELECT to_char(start_time, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM observations WHERE id = $1",
    )
    .bind(&id)
    .fetch_one(&fixture.pool)
    .await
    .unwrap();
    let update = if kind == "GENERATION" { "generation-update" } else { "span-update" };
    let body =
        batch(&[(update, 0, json!({"id": id, "traceId": trace_id, "startTime": start, "output": "late"}))]);
    fixture.post(web.url("/api/public/ingestion"), &body).await;
    until(20, "the partial row is written", async || rows_of(fixture, &id).await == 1).await;
    worker.stop().await;
    id
}

async fn both_sides_have_the_same_ids(fixture: &Fixture) {
    for table in ["traces", "observations", "scores"] {
        let there = fixture.count(&format!("SELECT toInt64(uniqExact(id)) AS n FROM {table}")).await;
        let here: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(&fixture.pool)
            .await
            .unwrap();
        assert_eq!(there, here, "{table}");
    }
    // Ties are read again, so the raw count may be higher; it is never lower.
    let raw = fixture.count("SELECT toInt64(count()) AS n FROM traces").await;
    assert!(raw >= 2_000, "{raw}");
}

fn the_worker_logged_its_way(worker: &Running) {
    for words in [
        "[Background Migration] Found background migrations 20241024_1216_add_generations_cost_backfill to run",
        "[Background Migration] Finished background migration 20241024_1738_migrate_scores_from_pg_to_ch",
        "[Background Migration] No background migrations to run",
    ] {
        assert_eq!(worker.logged(words), 1, "{words}");
    }
    assert!(worker.logged("Oldest record in batch: ") >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_worker_leaves_its_lock_and_a_stopped_one_does_not() {
    let Some(fixture) = Fixture::start(500).await else {
        return;
    };
    let web = fixture.web().await;
    sqlx::query("UPDATE background_migrations SET finished_at = now() WHERE name LIKE '%cost%'")
        .execute(&fixture.pool)
        .await
        .unwrap();
    a_dead_worker_leaves_its_lock(&fixture).await;
    one_that_failed_does_not_stop_the_next(&fixture).await;
    a_stopped_worker_gives_its_lock_back(&fixture).await;
    web.stop().await;
    fixture.end().await;
}

async fn a_dead_worker_leaves_its_lock(fixture: &Fixture) {
    let faults = Faults::new();
    faults.die_in_next_batch(None);
    let dying = fixture.run_with(Kind::V3Worker, &[], faults).await;
    assert_eq!(dying.process.wait().await.code, 1);
    let (done, _, locked, _) = migration(fixture, TRACES).await;
    assert!(!done && locked, "the lock stays");
    let early = fixture.run(Kind::V3Worker, &[]).await;
    until(10, "the manager quits", async || early.logged("No background migrations to run") == 1).await;
    early.stop().await;
    assert_eq!(finished(fixture).await, 1, "nothing was copied");
}

/// A minute later, when the lock is stale.
async fn one_that_failed_does_not_stop_the_next(fixture: &Fixture) {
    sqlx::query("UPDATE background_migrations SET locked_at = locked_at - interval '61 seconds'")
        .execute(&fixture.pool)
        .await
        .unwrap();
    let faults = Faults::new();
    faults.fail_next_batch(None);
    let failing = fixture.run_with(Kind::V3Worker, &[], faults).await;
    until(30, "the others are finished", async || finished(fixture).await >= 3).await;
    let reasons: i64 = fixture
        .postgres("SELECT count(*) FROM background_migrations WHERE failed_reason LIKE '%write conflict%' AND locked_at IS NULL")
        .await;
    assert_eq!(reasons, 1, "one failed, the next went on");
    failing.stop().await;
}

/// A tie group as big as the batch: the cursor stands still until somebody stops the worker.
async fn a_stopped_worker_gives_its_lock_back(fixture: &Fixture) {
    sqlx::query(
        "UPDATE background_migrations SET finished_at = NULL, failed_at = NULL, failed_reason = NULL, state = '{}', \
         args = '{\"batchSize\": 20}' WHERE name = $1",
    )
    .bind(TRACES)
    .execute(&fixture.pool)
    .await
    .unwrap();
    let stuck = fixture.run(Kind::V3Worker, &[]).await;
    until(40, "the cursor stands still", async || {
        let line = "Oldest record in batch: ";
        stuck.logged(line) > 60
    })
    .await;
    let raw = fixture.count("SELECT toInt64(count() - uniqExact(id)) AS n FROM traces").await;
    assert!(raw > 0, "the same rows go in again and again");
    assert_eq!(stuck.stop().await.code, 0);
    let (done, reason, locked, _) = migration(fixture, TRACES).await;
    assert_eq!((done, reason, locked), (false, None, false), "SIGTERM gives the lock back");
    assert_eq!(stuck.logged("Aborted active migration"), 1);
}
