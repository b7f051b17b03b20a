//! v3: accepted is S3 and a job; visible is later.

use std::io::Write as _;

use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};

use super::fixture::{Fixture, Running, batch, until};
use crate::rehearsal::langfuse::{Kind, queue_counts};

const QUIET: (&str, &str) = ("LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS", "false");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v3_stores_queues_and_merges() {
    let Some(fixture) = Fixture::start(20).await else {
        return;
    };
    let web = fixture.web().await;
    let mut redis = queues(&fixture).await;

    let body = a_trace_a_span_and_a_score();
    what_is_accepted_waits_for_a_worker(&fixture, &web, &mut redis, &body).await;
    let worker = fixture.run(Kind::V3Worker, &[QUIET]).await;
    a_worker_makes_it_visible(&fixture, &web).await;
    a_worker_leaves_its_notes(&fixture, &mut redis).await;
    an_update_is_merged(&fixture, &web).await;

    a_span_of_opentelemetry_is_taken(&fixture, &web).await;
    let (status, page) = fixture.get(web.url("/api/public/traces?limit=10")).await;
    assert_eq!((status, &page["meta"]["totalItems"]), (200, &json!(2)), "{page}");
    let admin = fixture.http.get(web.url("/api/admin/bullmq")).bearer_auth("admin").send().await.unwrap();
    assert!(admin.text().await.unwrap().contains("ingestion-queue"));
    a_deleted_trace_leaves_no_row(&fixture, &web).await;

    fixture.stores.s3.stop().await;
    let (status, _) = fixture.post(web.url("/api/public/ingestion"), &body).await;
    assert_eq!(status, 500, "without S3 nothing is accepted");
    assert_eq!(web.logged("Failed to upload event to S3"), 3);
    assert_eq!((worker.stop().await.code, web.stop().await.code), (0, 0));
    fixture.end().await;
}

async fn queues(fixture: &Fixture) -> MultiplexedConnection {
    let client = redis::Client::open(fixture.stores.endpoints().redis_url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

fn a_trace_a_span_and_a_score() -> Value {
    batch(&[
        (
            "trace-create",
            0,
            json!({"id": "t1", "name": "one", "metadata": {"k": {"x": 1}}, "sessionId": "s9", "input": {"q": 1}}),
        ),
        (
            "span-create",
            0,
            json!({"id": "o1", "traceId": "t1", "name": "span", "startTime": "2026-01-02T03:04:05.678Z"}),
        ),
        ("score-create", 0, json!({"id": "c1", "traceId": "t1", "name": "q", "value": 0.25})),
    ])
}

async fn what_is_accepted_waits_for_a_worker(
    fixture: &Fixture,
    web: &Running,
    redis: &mut MultiplexedConnection,
    body: &Value,
) {
    let (status, answer) = fixture.post(web.url("/api/public/ingestion"), body).await;
    assert_eq!((status, answer["successes"].as_array().unwrap().len()), (207, 3), "{answer}");
    let counts = queue_counts(redis, "ingestion-queue").await.unwrap();
    assert_eq!((counts.delayed, counts.waiting), (3, 0), "no worker yet");
    assert_eq!(fixture.get(web.url("/api/public/traces/t1")).await.0, 404, "not merged yet");
}

async fn a_worker_makes_it_visible(fixture: &Fixture, web: &Running) {
    until(20, "the trace is visible", async || {
        let (status, trace) = fixture.get(web.url("/api/public/traces/t1")).await;
        status == 200 && trace["observations"][0].is_object() && trace["scores"][0].is_object()
    })
    .await;
    let (_, trace) = fixture.get(web.url("/api/public/traces/t1")).await;
    assert_eq!((&trace["input"], &trace["metadata"]), (&json!({"q": 1}), &json!({"k": {"x": 1}})));
    assert_eq!(trace["observations"][0]["startTime"], "2026-01-02T03:04:05.678Z");
}

/// The session in PostgreSQL, a line for each event, and a job for what comes after a trace.
async fn a_worker_leaves_its_notes(fixture: &Fixture, redis: &mut MultiplexedConnection) {
    assert_eq!(fixture.postgres("SELECT count(*) FROM traces WHERE id = 't1'").await, 0, "v2 never sees it");
    assert_eq!(fixture.postgres("SELECT count(*) FROM trace_sessions WHERE id = 's9'").await, 1);
    until(5, "event_log is written", async || {
        fixture
            .count("SELECT toInt64(count()) AS n FROM event_log WHERE entity_id IN ('t1', 'o1', 'c1')")
            .await
            == 3
    })
    .await;
    assert_eq!(queue_counts(redis, "trace-upsert").await.unwrap().delayed, 1);
}

async fn an_update_is_merged(fixture: &Fixture, web: &Running) {
    let update = batch(&[(
        "span-update",
        1,
        json!({"id": "o1", "traceId": "t1", "output": "late", "endTime": "2026-01-02T03:04:06Z"}),
    )]);
    fixture.post(web.url("/api/public/ingestion"), &update).await;
    until(20, "the update is merged", async || {
        let (_, found) = fixture.get(web.url("/api/public/observations/o1")).await;
        found["output"] == "late" && found["name"] == "span"
    })
    .await;
}

async fn a_span_of_opentelemetry_is_taken(fixture: &Fixture, web: &Running) {
    let export = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331", "name": "otel", "startTimeUnixNano": "1767323045678000000",
        "endTimeUnixNano": "1767323046678000000"}]}]}]});
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(export.to_string().as_bytes()).unwrap();
    let project = fixture.project();
    let sent = fixture
        .http
        .post(web.url("/api/public/otel/v1/traces"))
        .basic_auth(&project.public_key, Some(&project.secret_key))
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(gzip.finish().unwrap());
    assert_eq!(sent.send().await.unwrap().status(), 200);
    until(20, "the span is visible", async || {
        fixture.get(web.url("/api/public/traces/0af7651916cd43dd8448eb211c80319c")).await.0 == 200
    })
    .await;
}

/// Nor a mark, as in versions that note it in PostgreSQL.
async fn a_deleted_trace_leaves_no_row(fixture: &Fixture, web: &Running) {
    let project = fixture.project();
    let deleted = fixture.http.delete(web.url("/api/public/traces/t1"));
    let deleted = deleted.basic_auth(&project.public_key, Some(&project.secret_key)).send().await.unwrap();
    assert_eq!(deleted.status(), 200);
    assert_eq!(fixture.get(web.url("/api/public/traces/t1")).await.0, 404);
    let (_, page) = fixture.get(web.url("/api/public/traces?limit=10")).await;
    assert_eq!(page["meta"]["totalItems"], 1, "{page}");
    for (table, column) in [("traces", "id"), ("observations", "trace_id"), ("scores", "trace_id")] {
        let sql = format!("SELECT toInt64(count()) AS n FROM {table} WHERE {column} = 't1'");
        assert_eq!(fixture.count(&sql).await, 0, "no tombstone: {table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_workers_job_is_worked_by_the_next_and_an_outage_drops_rows() {
    let Some(fixture) = Fixture::start(20).await else {
        return;
    };
    let web = fixture.web().await;
    let mut redis = queues(&fixture).await;
    let first = fixture.run(Kind::V3Worker, &[QUIET]).await;
    let body = batch(&[("trace-create", 0, json!({"id": "t1", "name": "one"}))]);
    fixture.post(web.url("/api/public/ingestion"), &body).await;
    fixture.stores.s3.pause();
    until(10, "the job is active", async || {
        queue_counts(&mut redis, "ingestion-queue").await.unwrap().active == 1
    })
    .await;
    first.process.kill();
    assert_eq!(first.process.wait().await.code, 137);
    fixture.stores.s3.resume();
    assert_eq!(queue_counts(&mut redis, "ingestion-queue").await.unwrap().active, 1, "nobody moves it");
    let second = fixture.run(Kind::V3Worker, &[QUIET]).await;
    until(75, "the stalled job is worked", async || {
        fixture.get(web.url("/api/public/traces/t1")).await.0 == 200
    })
    .await;

    // ClickHouse away: the job needs it to merge, so only rows that were merged before are dropped. The first flush
    // comes long after that.
    let slow = [QUIET, ("LANGFUSE_INGESTION_CLICKHOUSE_WRITE_INTERVAL_MS", "5000")];
    second.stop().await;
    let third = fixture.run(Kind::V3Worker, &slow).await;
    let body = batch(&[("trace-create", 0, json!({"id": "t2", "name": "two"}))]);
    fixture.post(web.url("/api/public/ingestion"), &body).await;
    until(10, "the job is done", async || {
        let upserts = queue_counts(&mut redis, "trace-upsert").await.unwrap();
        upserts.delayed == 2 && queue_counts(&mut redis, "ingestion-queue").await.unwrap().active == 0
    })
    .await;
    fixture.stores.clickhouse.stop().await;
    until(30, "the row is dropped", async || third.logged("Max attempts reached for traces record") == 1)
        .await;
    third.process.kill();
    web.process.kill();
    fixture.end().await;
}
