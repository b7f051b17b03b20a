//! What v3's users delete while the copy runs stays deleted, also where a range is copied once more.

use std::process::Output;

use cutover::clients::work::{Access, ClickhouseWork};
use serde_json::Value;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{age_locks, ask, ch, document, forget, spawn, sql, until, waiting, without};
use crate::sides;

/// As Langfuse's migrations make it.
const NOTES: &str = "CREATE TABLE pending_deletions (id TEXT PRIMARY KEY, project_id TEXT NOT NULL, object TEXT NOT NULL, \
     object_id TEXT NOT NULL, is_deleted BOOLEAN NOT NULL DEFAULT false, \
     created_at TIMESTAMP(3) NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'), \
     updated_at TIMESTAMP(3) NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')); \
     CREATE INDEX ON pending_deletions (object_id, object)";

#[tokio::test]
async fn what_v3_deleted_meanwhile_is_not_brought_back() {
    let rehearsal = waiting("1500", &[]).await;
    sql(&rehearsal, NOTES).await;
    let (_, clickhouse) = sides::open(&rehearsal, Access::Write).await;
    killed_within_traces(&rehearsal, &clickhouse).await;
    // Those that would be copied next, and some of them were: the killed copy was ahead of its cursor.
    let next = ask(
        &rehearsal,
        &format!("SELECT string_agg(id, ' ') FROM ({BELOW} ORDER BY t.created_at DESC LIMIT 4) AS n"),
    )
    .await;
    let next: Vec<&str> = next.split(' ').collect();
    let [one, two, touched, foreign] = next[..] else { panic!("{next:?}") };
    for (table, column) in [("traces", "id"), ("observations", "trace_id"), ("scores", "trace_id")] {
        let gone = format!(
            "ALTER TABLE {table} DELETE WHERE {column} IN ('{one}', '{two}') SETTINGS mutations_sync = 2"
        );
        ch(&clickhouse, &gone).await;
    }
    sql(
        &rehearsal,
        &format!(
            "INSERT INTO pending_deletions SELECT id, project_id, 'trace', id, true FROM traces WHERE id IN ('{one}', '{two}', '{touched}'); \
             INSERT INTO pending_deletions SELECT id, 'another', 'trace', id, true FROM traces WHERE id = '{foreign}'; \
             UPDATE traces SET updated_at = (now() AT TIME ZONE 'UTC') + interval '1 s' WHERE id = '{touched}'"
        ),
    )
    .await;
    let left: u64 =
        ask(&rehearsal, &format!("SELECT count(*)::text FROM ({BELOW}) AS n")).await.parse().unwrap();
    let output = rehearsal.verb(&["backfill", "run", "--json"]);
    let there = async |ids: [&str; 2]| -> u64 {
        let live = format!("SELECT count() FROM traces FINAL WHERE id IN ('{}')", ids.join("', '"));
        clickhouse.ask.one(clickhouse.query(&live)).await.unwrap()
    };
    assert_eq!((there([one, two]).await, there([touched, foreign]).await), (0, 2), "brought back, and kept");
    it_is_told(&rehearsal, &output, &[one, two], left).await;
    let verified = document(&rehearsal.verb(&["verify", "--columns", "all", "--grace", "0", "--json"]));
    assert_eq!(verified["wrong"], 0, "{verified:#}");
    forget(&rehearsal).await;
    who_cannot_read_the_notes_goes_on(&rehearsal).await;
    assert_eq!(there([one, two]).await, 2, "as the worker does");
}

/// What the next run copies.
const BELOW: &str = "SELECT t.* FROM traces t, background_migrations m WHERE m.name LIKE '%1730%' \
     AND t.created_at <= ((m.state ->> 'maxDate')::timestamptz AT TIME ZONE 'UTC')";

async fn killed_within_traces(rehearsal: &Rehearsal, clickhouse: &ClickhouseWork) {
    let args = ["backfill", "run", "--block-rows", "50", "--rate", "500", "--jobs", "4"];
    let mut child = spawn(rehearsal, &args);
    let copied = clickhouse.query("SELECT count() FROM traces");
    until("some traces", 30, async || clickhouse.ask.one::<u64>(copied.clone()).await.unwrap() > 300).await;
    child.kill().unwrap();
    child.wait().unwrap();
    age_locks(rehearsal).await;
}

/// What was left out is counted: these traces and what belongs to them.
async fn it_is_told(rehearsal: &Rehearsal, output: &Output, gone: &[&str], left: u64) {
    let (told, words) = (document(output), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(0), "{told:#}{words}");
    let number = |table: usize, what: &str| told["tables"][table][what].as_u64().unwrap();
    assert_eq!(number(0, "deleted_in_v3"), 2, "{told:#}");
    assert_eq!(number(0, "rows") + 2, left, "{told:#}");
    assert!(words.contains(", 2 deleted in v3, left out"), "{words}");
    for (at, table) in [(1, "observations"), (2, "scores")] {
        let whose = format!("SELECT count(*)::text FROM {table} WHERE trace_id IN ('{}')", gone.join("', '"));
        let whose: u64 = ask(rehearsal, &whose).await.parse().unwrap();
        assert!(number(at, "deleted_in_v3") >= whose, "{table}: {whose} {told:#}");
    }
    assert!(number(1, "deleted_in_v3") > 0, "{told:#}");
}

async fn who_cannot_read_the_notes_goes_on(rehearsal: &Rehearsal) {
    let blind =
        without(rehearsal, "pending_deletions", "GRANT UPDATE ON background_migrations TO blind").await;
    let output = rehearsal.verb_with(&["backfill", "run", "--json"], &[("CUTOVER_POSTGRES_URL", &blind)]);
    let (told, words): (Value, _) = (document(&output), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(0), "{told:#}{words}");
    assert_eq!(words.matches("pending_deletions cannot be read").count(), 1, "{words}");
    assert_eq!(told["tables"][0]["rows"], 1500, "{told:#}");
}
