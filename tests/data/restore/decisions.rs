//! Rows that both sides wrote: the newer one wins, field by field, and v3's decisions are v2's afterwards.

use cutover::data::restore::Wish;
use serde_json::{Value, json};

use super::{Bench, counts};

/// v3 updated a copied row, and v2 updated another one since.
pub(super) async fn newer_rows_of_v2_stay(bench: &mut Bench) {
    bench.run("UPDATE traces SET input = '{\"old\": 1}', metadata = '{\"a\": 1, \"b\": 2}', tags = '{x}', user_id = 'kept', \
        updated_at = '2030-01-01 11:00:00' WHERE id = 'way-back'").await;
    let row = |name: &str, at: &str| {
        json!({"id": "way-back", "name": name, "metadata": {"b": "3", "c": "{\"d\":[]}"}, "tags": ["y"],
        "updated_at": at, "event_ts": at})
    };
    bench.v3_writes("traces", &[row("older", "2030-01-01 10:59:59.999")]).await;
    let report = bench.library(true, Wish::default()).await;
    assert_eq!(report.rows(), 0, "{:?}", counts(&report));
    bench.v3_writes("traces", &[row("newer", "2030-01-01 11:00:00.001")]).await;
    let dry = bench.library(false, Wish { tables: vec![], project: Some("another".into()) }).await;
    assert_eq!(dry.rows(), 0, "another project's rows were asked for");
    let report = bench.library(true, Wish { tables: vec![], project: Some(bench.project.clone()) }).await;
    assert_eq!((report.tables[0].updates.count, report.rows()), (1, 1));
    let row: Value = bench.one("SELECT to_jsonb(t) FROM traces t WHERE id = 'way-back'").await;
    assert_eq!(
        (&row["name"], &row["user_id"], &row["input"]),
        (&json!("newer"), &json!("kept"), &json!({"old": 1}))
    );
    assert_eq!(row["metadata"], json!({"a": 1, "b": 3, "c": {"d": []}}));
    assert_eq!((&row["tags"], &row["public"]), (&json!(["x", "y"]), &json!(true)));
    assert_eq!(bench.library(true, Wish::default()).await.rows(), 0);
}

/// `false` of v3: a decision where its row has all that v2's has, and nobody's where it has not.
pub(super) async fn decisions_of_v3_are_v2_s_afterwards(bench: &mut Bench) {
    flags(bench).await;
    let dry = bench.library(false, Wish::default()).await;
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM traces WHERE id LIKE 'flag-%' AND public").await,
        7,
        "a dry run wrote"
    );
    let wet = bench.library(true, Wish::default()).await;
    assert_eq!(counts(&dry), counts(&wet), "a dry run says what will be");
    // Event, screen, partial, renamed, made public.
    assert_eq!((wet.tables[0].updates.count, wet.rows()), (5, 5), "{:#?}", wet.tables[0]);
    for report in [&dry, &wet] {
        let kept = serde_json::to_value(report).unwrap()["tables"][0]["lost"]["undecided"].clone();
        assert_eq!(kept["count"], 2, "{kept}");
        assert!(kept["examples"].to_string().contains("/flag-partial-screen"), "{kept}");
    }
    flags_are_as_decided(bench).await;
    let again = bench.library(true, Wish::default()).await;
    assert_eq!(again.rows(), 0, "a second run writes nothing: {:#?}", again.tables[0]);
    // Public again in v2 after the way back: that is newer than v3's word.
    bench
        .run("UPDATE traces SET public = true, updated_at = '2026-11-22 12:00:00' WHERE id = 'flag-screen'")
        .await;
    assert_eq!(bench.library(true, Wish::default()).await.rows(), 0);
    bench.run("DELETE FROM traces WHERE id LIKE 'flag-%'").await;
    let forget = "DELETE FROM traces WHERE id LIKE 'flag-%'";
    bench.clickhouse.execute(bench.clickhouse.query(forget)).await.unwrap();
}

/// Traces that are public and bookmarked in v2, and what v3 says of them.
async fn flags(bench: &mut Bench) {
    let project = bench.project.clone();
    bench
        .run(&format!(
            "INSERT INTO traces (id, project_id, \"timestamp\", name, user_id, public, bookmarked, tags, created_at, updated_at) \
             SELECT id, '{project}', '2026-11-22 09:00:00', 'n', 'u', id <> 'flag-made-public', true, '{{a}}', \
             '2026-11-22 09:00:00', CASE id WHEN 'flag-v2-later' THEN '2026-11-22 11:00:00' ELSE '2026-11-22 09:30:00' END::timestamp \
             FROM unnest(ARRAY['flag-event', 'flag-screen', 'flag-partial', 'flag-partial-screen', 'flag-v2-later', 'flag-v2-renamed', \
             'flag-made-public', 'flag-copy']) AS ids(id)"
        ))
        .await;
    let whole = |id: &str, updated: &str, event: &str, more: Value| {
        let mut row = json!({"id": id, "name": "n", "user_id": "u", "public": false, "bookmarked": false, "tags": ["a"],
            "updated_at": updated, "event_ts": event});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let (before, after) = ("2026-11-22 09:30:00.000", "2026-11-22 10:00:00.000");
    bench
        .v3_writes(
            "traces",
            &[
                whole("flag-event", after, after, json!({})),
                // As v3's screens write: the whole row as it was, with another version.
                whole("flag-screen", before, after, json!({"tags": ["a", "b"]})),
                whole("flag-partial", after, after, json!({"user_id": null})),
                whole("flag-partial-screen", before, after, json!({"user_id": null})),
                whole("flag-v2-later", before, after, json!({})),
                whole("flag-v2-renamed", before, after, json!({})),
                whole("flag-made-public", before, after, json!({"public": true})),
                whole("flag-copy", before, "2026-11-22 09:00:00.000", json!({})),
            ],
        )
        .await;
    bench
        .run("UPDATE traces SET name = 'v2', updated_at = '2026-11-22 09:45:00' WHERE id = 'flag-v2-renamed'")
        .await;
}

async fn flags_are_as_decided(bench: &mut Bench) {
    let row = |id: &str| {
        format!(
            "SELECT name || ' ' || public || ' ' || bookmarked || ' ' || tags::text FROM traces WHERE id = '{id}'"
        )
    };
    for (id, wanted) in [
        ("flag-event", "n false false {a}"),
        ("flag-screen", "n false false {a,b}"),
        ("flag-partial", "n true true {a}"),
        ("flag-partial-screen", "n true true {a}"),
        ("flag-v2-later", "n true true {a}"),
        ("flag-v2-renamed", "v2 false false {a}"),
        ("flag-made-public", "n true false {a}"),
        ("flag-copy", "n true true {a}"),
    ] {
        assert_eq!(bench.one::<String>(&row(id)).await, wanted, "{id}");
    }
}
