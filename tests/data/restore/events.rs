//! Events that v3 took are shown by v2, and what v2 has no word for is named.

use std::time::{Duration, Instant};

use cutover::data::restore::Wish;
use serde_json::{Value, json};

use super::{Bench, counts};

const NOW: &str = "2026-11-22T09:00:00.000Z";

/// Real traffic: through v3's own API, queue and worker.
pub(super) async fn events_sent_to_v3(bench: &mut Bench) {
    let (status, answer) = bench.api("v3_url", "/api/public/ingestion", Some(batch())).await;
    assert_eq!(status, 207, "{answer}");
    let begun = Instant::now();
    let dry = loop {
        let report = bench.library(false, Wish::default()).await;
        if report.rows() == 3 {
            break report;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", counts(&report));
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    assert!(!dry.written && dry.estimate_seconds.is_some());
    assert_eq!(bench.api("v2_url", "/api/public/traces/way-back", None).await.0, 404, "a dry run wrote");

    let (code, text, _) = bench.verb(&["--yes"]);
    assert_eq!(code, 0, "{text}");
    v2_shows_them(bench).await;
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM trace_sessions WHERE id = 's-9'").await, 1);

    let again = bench.library(true, Wish::default()).await;
    assert_eq!(counts(&again), [[0, 0, 1, 0]; 3], "a second run writes nothing");
    let journal = bench.rehearsal.verb(&["journal"]);
    let journal = String::from_utf8(journal.stdout).unwrap();
    assert!(journal.contains("restore done") && journal.contains("1 traces inserted"), "{journal}");
}

/// One event of each table.
fn batch() -> Value {
    let event =
        |id: &str, kind: &str, body: Value| json!({"id": id, "type": kind, "timestamp": NOW, "body": body});
    json!({"batch": [
        event("e1", "trace-create", json!({"id": "way-back", "name": "näme ?", "timestamp": NOW, "sessionId": "s-9", "userId": "u",
            "tags": ["b", "a\"\\"], "input": {"a": [1, 2.5]}, "output": "plain text", "public": true,
            "metadata": {"k": "v", "n": 5, "o": {"x": 1}, "pad": "007"}, "environment": "staging"})),
        event("e2", "generation-create", json!({"id": "way-back-g", "traceId": "way-back", "startTime": NOW, "model": "gpt-4",
            "usage": {"input": 10, "output": 5, "totalCost": 0.000_125}, "usageDetails": {"cached": 3}, "metadata": ["x"]})),
        event("e3", "score-create", json!({"id": "way-back-s", "traceId": "way-back", "name": "q", "value": 0.75})),
    ]})
}

/// By its own API, with every value that was sent.
async fn v2_shows_them(bench: &Bench) {
    let (status, trace) = bench.api("v2_url", "/api/public/traces/way-back", None).await;
    assert_eq!(status, 200);
    assert_eq!(trace["metadata"], json!({"k": "v", "n": 5, "o": {"x": 1}, "pad": "007"}));
    assert_eq!((&trace["input"], &trace["output"]), (&json!({"a": [1, 2.5]}), &json!("plain text")));
    assert_eq!(
        (&trace["name"], &trace["tags"], &trace["public"]),
        (&json!("näme ?"), &json!(["a\"\\", "b"]), &json!(true))
    );
    assert_eq!((&trace["sessionId"], &trace["timestamp"]), (&json!("s-9"), &json!(NOW)));
    let generation = &trace["observations"][0];
    assert_eq!(
        (&generation["type"], &generation["model"], &generation["metadata"]),
        (&json!("GENERATION"), &json!("gpt-4"), &json!(["x"]))
    );
    assert_eq!((&generation["promptTokens"], &generation["completionTokens"]), (&json!(10), &json!(5)));
    assert_eq!(generation["calculatedTotalCost"], json!(0.000_125));
    assert_eq!((&trace["scores"][0]["value"], &trace["scores"][0]["source"]), (&json!(0.75), &json!("API")));
}

/// Rows of v3 that PostgreSQL cannot hold, or nobody may write there.
async fn odd_rows(bench: &mut Bench) {
    let long = "x".repeat(10 << 20);
    bench
        .v3_writes(
            "traces",
            &[
                json!({"id": "nul", "name": "a\u{0}b"}),
                json!({"id": "nul-in-json", "input": "{\"a\":\"\\u0000\"}"}),
                json!({"id": "homeless", "project_id": "gone-project"}),
                json!({"id": "deleted", "is_deleted": 1}),
                json!({"id": "cutover-canary-1"}),
                json!({"id": "large", "output": long, "input": "1e400000"}),
                json!({"id": "it's ?/é😀", "input": "{\"n\": 12345678901234567890.123}"}),
            ],
        )
        .await;
    bench
        .v3_writes(
            "observations",
            &[
                json!({"id": "agent", "trace_id": "way-back", "type": "AGENT", "level": "DEFAULT"}),
                json!({"id": "tool", "trace_id": "way-back", "type": "TOOL", "provided_model_name": "m"}),
            ],
        )
        .await;
    bench.v3_writes("scores", &[
        json!({"id": "session-level", "name": "s", "source": "API", "data_type": "NUMERIC", "trace_id": ""}),
        json!({"id": "correction", "name": "s", "source": "API", "data_type": "CORRECTION", "trace_id": "way-back"}),
        json!({"id": "configless", "name": "s", "source": "EVAL", "data_type": "CATEGORICAL", "string_value": "good",
            "trace_id": "way-back", "config_id": "no-such"}),
    ]).await;
    // What JSON cannot say.
    for (id, name) in [("'not-utf8'", "unhex('ff')"), ("unhex('ff41')", "'n'")] {
        let row = format!(
            "INSERT INTO traces (id, project_id, name, timestamp, event_ts) \
             SELECT {id}, '{}', {name}, toDateTime64('2026-11-22 09:00:00', 3), toDateTime64('2026-11-22 10:00:00', 3)",
            bench.project
        );
        bench.clickhouse.execute(bench.clickhouse.query(&row)).await.unwrap();
    }
    let tagged = format!(
        "INSERT INTO traces (id, project_id, tags, timestamp, event_ts) SELECT 'tagged', '{}', ['good', unhex('ff')], \
         toDateTime64('2026-11-22 09:00:00', 3), toDateTime64('2026-11-22 10:00:00', 3)",
        bench.project
    );
    bench.clickhouse.execute(bench.clickhouse.query(&tagged)).await.unwrap();
}

pub(super) async fn what_cannot_go_back_is_named(bench: &mut Bench) {
    odd_rows(bench).await;
    // An id that v2 knows in another project.
    let theirs: String = bench.one("SELECT id FROM traces WHERE project_id != 'x' ORDER BY id LIMIT 1").await;
    let owner: String = bench.one(&format!("SELECT project_id FROM traces WHERE id = '{theirs}'")).await;
    assert_ne!(owner, bench.project);
    bench.v3_writes("traces", &[json!({"id": theirs, "name": "not yours"})]).await;

    let dry = bench.library(false, Wish::default()).await;
    let wet = bench.library(true, Wish::default()).await;
    assert_eq!(counts(&dry), counts(&wet), "a dry run says what will be");
    assert_eq!(counts(&wet), [[2, 0, 1, 7], [2, 0, 1, 0], [1, 0, 1, 2]], "{wet:#?}");
    assert_eq!(wet.tables[0].gone, 1);
    let report = serde_json::to_value(&wet).unwrap();
    let left = |table: usize, why: &str| report["tables"][table]["left"][why]["examples"].to_string();
    for id in [
        "/nul: name: the text holds NUL",
        "/nul-in-json: input:",
        "/large: ",
        "/not-utf8: name: the text is not UTF-8",
        "/FF41: ",
    ] {
        assert!(left(0, "refused").contains(id), "{id}: {}", left(0, "refused"));
    }
    assert!(left(0, "project_gone").contains("gone-project/homeless"));
    assert!(left(0, "other_project").contains(&theirs));
    assert!(left(2, "no_trace").contains("/session-level"));
    assert!(left(2, "refused").contains("CORRECTION"));
    assert!(report["tables"][1]["lost"]["observation_type"]["count"] == 2);
    assert!(report["tables"][2]["lost"]["score_config"]["count"] == 1);
    assert!(report["tables"][0]["lost"]["replaced"]["count"] == 1);
    let tags: Vec<String> = bench.one("SELECT tags FROM traces WHERE id = 'tagged'").await;
    assert_eq!(tags, ["good", "\u{fffd}"]);
    assert_eq!(bench.library(false, Wish::default()).await.rows(), 0, "written once");
    let kinds: Vec<String> = bench
        .one("SELECT array_agg(type::text ORDER BY id) FROM observations WHERE id IN ('agent', 'tool')")
        .await;
    assert_eq!(kinds, ["SPAN", "GENERATION"]);
    let number: String = bench.one("SELECT input ->> 'n' FROM traces WHERE id = 'it''s ?/é😀'").await;
    assert_eq!(number, "12345678901234567890.123", "numbers keep their precision");
    let name: Option<String> = bench.one(&format!("SELECT name FROM traces WHERE id = '{theirs}'")).await;
    assert_ne!(name.as_deref(), Some("not yours"));
    let (code, ..) = bench.verb(&["--table", "scores"]);
    assert_eq!(code, 1, "rows that stay behind are a finding");
}
