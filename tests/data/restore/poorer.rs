//! v3 keeps texts, and what comes back of them is poorer than what v2 has: of what v3 did not change, v2's stays.

use cutover::data::restore::Wish;
use serde_json::json;

use super::Bench;

/// v2's metadata, and what it is after v3 gave each trace another name, the first another entry and an empty one.
const METADATA: [(&str, &str, &str); 4] = [
    (
        "poor-object",
        r#"{"payload": "{\"b\": 1, \"a\": [2]}", "user": null, "build": "5", "n": 1.50, "big": 12345678901234567890,
            "o": {"b": 1.0, "a": [null]}, "level": "info"}"#,
        r#"{"payload": "{\"b\": 1, \"a\": [2]}", "user": null, "build": "5", "n": 1.50, "big": 12345678901234567890,
            "o": {"b": 1.0, "a": [null]}, "level": ["warn"], "new": ""}"#,
    ),
    ("poor-text", r#""[1, 2]""#, r#""[1, 2]""#),
    ("poor-alone", r#"{"metadata": "bare"}"#, r#"{"metadata": "bare"}"#),
    ("poor-list", r#"[1, "{}"]"#, r#"[1, "{}"]"#),
];

/// Copied, changed by v3 in its name, and brought back.
pub(super) async fn what_v3_did_not_change_stays_as_v2_has_it(bench: &mut Bench) {
    let project = bench.project.clone();
    for (id, metadata, _) in METADATA {
        bench
            .run(&format!(
                "INSERT INTO traces (id, project_id, \"timestamp\", name, metadata, created_at, updated_at) \
                 SELECT '{id}', '{project}', at, 'before', '{metadata}', at, at + interval '1 minute' \
                 FROM (SELECT '2026-11-22 09:00:00'::timestamp AS at) AS v"
            ))
            .await;
    }
    // What v2 has of an object, and v3 knows nothing of.
    bench
        .run(&format!(
            "INSERT INTO traces (id, project_id, \"timestamp\", metadata, created_at, updated_at) \
             SELECT 'poor-partial', '{project}', at, '{{\"a\": 1}}', at, at FROM (SELECT '2026-11-22 09:00:00'::timestamp AS at) AS v"
        ))
        .await;
    bench.rehearsal.verb(&["catch-up", "--table", "traces", "--yes"]);
    let renamed = "INSERT INTO traces SELECT * REPLACE ('after' AS name, now64(3) AS updated_at, now64(3) AS event_ts, \
        mapUpdate(CAST(metadata, 'Map(String, String)'), CAST(if(id = 'poor-object', \
        map('level', '[\"warn\"]', 'new', ''), map()), 'Map(String, String)')) AS metadata) \
        FROM traces WHERE id IN ('poor-object', 'poor-text', 'poor-alone', 'poor-list') LIMIT 1 BY id";
    bench.clickhouse.execute(bench.clickhouse.query(renamed)).await.unwrap();
    bench
        .v3_writes(
            "traces",
            &[
                json!({"id": "poor-partial", "metadata": {"metadata": "hi"}}),
                json!({"id": "poor-new", "metadata": {"payload": "{\"a\":1}", "user": "", "o": "[1]"}}),
            ],
        )
        .await;
    let report = bench.library(true, Wish { tables: vec![], project: Some(project) }).await;
    let traces = serde_json::to_value(&report).unwrap()["tables"][0].clone();
    assert_eq!(
        (&traces["updates"]["count"], &traces["inserts"]["count"]),
        (&json!(5), &json!(1)),
        "{traces:#}"
    );
    for (id, _, after) in METADATA {
        let same =
            format!("SELECT name = 'after' AND metadata = '{after}'::jsonb FROM traces WHERE id = '{id}'");
        let is = bench.one::<String>(&format!("SELECT metadata::text FROM traces WHERE id = '{id}'")).await;
        assert!(bench.one::<bool>(&same).await, "{id}: {is}");
    }
    let partial =
        "SELECT metadata = '{\"a\": 1, \"metadata\": \"hi\"}' FROM traces WHERE id = 'poor-partial'";
    assert!(bench.one::<bool>(partial).await);
    // One loss for a row, whatever is in it; and none for rows that v2 had.
    assert_eq!(traces["lost"]["metadata_text"]["count"], 1, "{traces:#}");
    assert!(traces["lost"]["metadata_text"]["examples"].to_string().contains("/poor-new"));
    assert_eq!(bench.library(true, Wish::default()).await.rows(), 0);
}

/// A value that PostgreSQL refuses stands in the same batch as a trace that stays public.
pub(super) async fn who_stays_public_is_named_beside_what_is_refused(bench: &mut Bench) {
    let project = bench.project.clone();
    bench
        .run(&format!(
            "INSERT INTO traces (id, project_id, \"timestamp\", user_id, public, created_at, updated_at) \
             SELECT id, '{project}', at, 'u', true, at, at FROM (SELECT '2026-11-22 09:00:00'::timestamp AS at) AS v, \
             unnest(ARRAY['doubt-1', 'doubt-2', 'doubt-3']) AS ids(id)"
        ))
        .await;
    bench
        .v3_writes(
            "traces",
            &[
                json!({"id": "doubt-1", "public": false}),
                json!({"id": "doubt-2", "public": false, "input": "1e400000"}),
                json!({"id": "doubt-3", "public": false}),
            ],
        )
        .await;
    for write in [false, true] {
        let report = bench.library(write, Wish { tables: vec![], project: Some(project.clone()) }).await;
        let traces = serde_json::to_value(&report).unwrap()["tables"][0].clone();
        let named = traces["lost"]["undecided"]["examples"].to_string();
        assert!(named.contains("/doubt-1") && named.contains("/doubt-3"), "{write}: {traces:#}");
        assert!(traces["left"]["refused"].to_string().contains("/doubt-2"), "{write}: {traces:#}");
    }
}
