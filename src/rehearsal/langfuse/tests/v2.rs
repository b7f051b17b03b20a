//! v2: what is answered with 201 is in PostgreSQL.

use serde_json::{Value, json};
use sqlx::Row as _;

use super::fixture::{Fixture, Running, batch};
use crate::rehearsal::langfuse::Kind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v2_writes_inside_the_request_and_reads_through_its_views() {
    let Some(fixture) = Fixture::start(20).await else {
        return;
    };
    let v2 = fixture.run(Kind::V2Web, &[]).await;
    let (status, health) = fixture.get(v2.url("/api/public/health?failIfDatabaseUnavailable=true")).await;
    assert_eq!((status, &health["version"]), (200, &json!("2.95.12")));

    let body = a_trace_and_what_belongs_to_it();
    let (status, answer) = fixture.post(v2.url("/api/public/ingestion"), &body).await;
    assert_eq!((status, answer["successes"].as_array().unwrap().len()), (207, 4), "{answer}");
    assert_eq!(answer["errors"][0]["status"], 400);
    let again =
        batch(&[("trace-create", 0, json!({"id": "t1", "tags": ["a"], "metadata": {"a": {"y": 2}}}))]);
    assert_eq!(fixture.post(v2.url("/api/public/ingestion"), &again).await.0, 207);

    let cost = what_was_accepted_is_stored(&fixture).await;
    what_is_stored_is_shown(&fixture, &v2, cost).await;
    let sent = json!({"id": "c2", "traceId": "t1", "name": "tone", "value": "kind"});
    let (status, score) = fixture.post(v2.url("/api/public/scores"), &sent).await;
    assert_eq!(
        (status, &score["stringValue"], &score["dataType"]),
        (200, &json!("kind"), &json!("CATEGORICAL"))
    );
    what_cannot_be_is_refused(&fixture, &v2).await;

    sqlx::query("DROP VIEW traces_view").execute(&fixture.pool).await.unwrap();
    assert_eq!(fixture.get(v2.url("/api/public/traces")).await.0, 500);
    assert_eq!(fixture.post(v2.url("/api/public/ingestion"), &again).await.0, 207, "writing still works");

    v2.faults.set_error_share(1.0);
    assert_eq!(fixture.get(v2.url("/api/public/projects")).await.0, 500);
    assert_eq!(fixture.get(v2.url("/api/public/ready")).await.0, 200, "probes are spared");
    assert_eq!(v2.stop().await.code, 0);
    fixture.end().await;
}

/// And an event of a kind that v2 does not know. The update comes before what it updates.
fn a_trace_and_what_belongs_to_it() -> Value {
    batch(&[
        (
            "trace-create",
            0,
            json!({"id": "t1", "name": "one", "tags": ["b"], "metadata": {"a": {"x": 1}}, "sessionId": "s1"}),
        ),
        ("generation-update", 2, json!({"id": "o1", "output": "done", "usage": {"input": 3, "output": 4}})),
        (
            "generation-create",
            1,
            json!({"id": "o1", "traceId": "t1", "model": "gpt-4o-2024-08-06", "input": [1.5], "startTime": "2025-01-01T00:00:00.123Z"}),
        ),
        (
            "score-create",
            0,
            json!({"id": "c1", "traceId": "t1", "name": "q", "value": 1, "dataType": "BOOLEAN"}),
        ),
        ("agent-create", 0, json!({"id": "a1"})),
    ])
}

/// Merged, with a model and what it cost: that is given.
async fn what_was_accepted_is_stored(fixture: &Fixture) -> f64 {
    let row = sqlx::query("SELECT name, tags, metadata, session_id FROM traces WHERE id = 't1'");
    let row = row.fetch_one(&fixture.pool).await.unwrap();
    assert_eq!(row.get::<String, _>("name"), "one");
    assert_eq!(row.get::<Vec<String>, _>("tags"), ["a", "b"]);
    assert_eq!(row.get::<Value, _>("metadata"), json!({"a": {"x": 1, "y": 2}}));
    let row = sqlx::query(
        "SELECT total_tokens, start_time::text AS start, output, internal_model_id, calculated_total_cost::float8 AS cost \
         FROM observations WHERE id = 'o1'",
    );
    let row = row.fetch_one(&fixture.pool).await.unwrap();
    assert_eq!(row.get::<i32, _>("total_tokens"), 7);
    assert_eq!(row.get::<String, _>("start"), "2025-01-01 00:00:00.123");
    assert_eq!(row.get::<Value, _>("output"), json!("done"));
    assert!(row.get::<Option<String>, _>("internal_model_id").is_some() && row.get::<f64, _>("cost") > 0.0);
    row.get("cost")
}

async fn what_is_stored_is_shown(fixture: &Fixture, v2: &Running, cost: f64) {
    let (status, trace) = fixture.get(v2.url("/api/public/traces/t1")).await;
    assert_eq!((status, &trace["sessionId"]), (200, &json!("s1")), "{trace}");
    assert_eq!(trace["observations"][0]["id"], "o1");
    assert_eq!(trace["scores"][0]["stringValue"], "True");
    let (status, page) = fixture.get(v2.url("/api/public/traces?limit=1&tags=a")).await;
    assert_eq!((status, &page["meta"]["totalItems"]), (200, &json!(1)), "{page}");
    for shown in [&trace, &page["data"][0]] {
        assert_eq!(shown["latency"], 0.0, "one observation without an end: {shown}");
        assert_eq!(shown["totalCost"].as_f64(), Some(cost), "{shown}");
    }
}

async fn what_cannot_be_is_refused(fixture: &Fixture, v2: &Running) {
    let stranger = fixture.http.get(v2.url("/api/public/projects")).basic_auth("pk-x", Some("sk-x"));
    assert_eq!(stranger.send().await.unwrap().status(), 401);
    assert_eq!(fixture.post(v2.url("/api/public/otel/v1/traces"), &json!({})).await.0, 404);
    assert_eq!(fixture.post(v2.url("/api/public/ingestion"), &json!({"events": []})).await.0, 400);
    let missing = batch(&[("observation-update", 0, json!({"id": "nobody", "type": "SPAN"}))]);
    let (_, answer) = fixture.post(v2.url("/api/public/ingestion"), &missing).await;
    assert_eq!(answer["errors"][0]["status"], 404);
}
