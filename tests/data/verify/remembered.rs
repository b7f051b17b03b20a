//! Days that were found equal are not read again until they change, and whatever changes is seen.

use std::process::Stdio;
use std::time::{Duration, Instant};

use cutover::clients::work::Access;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use super::{ODD, ch, document, findings, sql, still, told, verify};
use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::forward::ask;
use crate::sides;

/// Rows, those of remembered days, differences.
fn remembered(told: &Value) -> (u64, u64, u64) {
    let table = &told["tables"][0];
    (table["rows"].as_u64().unwrap(), table["remembered"].as_u64().unwrap(), told["wrong"].as_u64().unwrap())
}

/// Carries statements out, and waits until PostgreSQL's statistics show them.
async fn counted(rehearsal: &Rehearsal, statements: &str) {
    counted_of(rehearsal, "traces", statements).await;
}

/// The same of another table: a session may tell what it did with one later than what it did with another.
async fn counted_of(rehearsal: &Rehearsal, table: &str, statements: &str) {
    let mut watcher = PgConnection::connect(rehearsal.field("postgres_url")).await.unwrap();
    let moved = "SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relname = $1";
    let asked = || sqlx::query_scalar::<_, i64>(moved).bind(table);
    let before = asked().fetch_one(&mut watcher).await.unwrap();
    sql(rehearsal, statements).await;
    let begun = Instant::now();
    while asked().fetch_one(&mut watcher).await.unwrap() == before {
        assert!(begun.elapsed() < Duration::from_secs(70), "the statistics say nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Where PostgreSQL's statistics are believed, nothing that happened is overlooked: each kind of change, alone.
#[tokio::test]
async fn what_the_statistics_prove_is_true() {
    let rehearsal = still("2000").await;
    counted(&rehearsal, "UPDATE traces SET name = name WHERE id = (SELECT min(id) FROM traces)").await;
    let verify = |args: &[&str]| told(&rehearsal, &[&["--table", "traces"], args].concat());
    assert_eq!(remembered(&verify(&[])), (2000, 0, 0));
    let whole = remembered(&verify(&[]));
    assert!(matches!(whole, (2000, 1501..=2000, 0)), "{whole:?}");

    // A row that came today, with a time long ago.
    let new = "INSERT INTO traces (id, project_id, \"timestamp\", created_at, updated_at) SELECT 'came', \
               (SELECT min(id) FROM projects), '2026-06-01', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'";
    counted(&rehearsal, new).await;
    let told = verify(&[]);
    assert_eq!(findings(&told)["came"].0, "missing", "{told:#}");
    assert!(matches!(remembered(&told), (2001, 1400..2001, 1)), "{told:#}");
    // It is still told, and goes when it is gone.
    assert_eq!(remembered(&verify(&[])).2, 1);
    counted(&rehearsal, "DELETE FROM traces WHERE id = 'came'").await;
    assert_eq!(remembered(&verify(&[])).2, 0);
    // Written into the past: no open window shows it, but there is one insertion too many.
    counted(&rehearsal, &new.replace("now() AT TIME ZONE 'UTC'", "timestamp '2026-05-01'")).await;
    assert_eq!(findings(&verify(&[]))["came"].0, "missing");
    counted(&rehearsal, "DELETE FROM traces WHERE id = 'came'").await;
    // One goes from v2 and another comes, on one day and on two: as many as before.
    let day = "UPDATE traces SET name = name WHERE false; WITH gone AS (DELETE FROM traces WHERE id = (SELECT id FROM traces \
               WHERE \"timestamp\" < '2026-11-01' ORDER BY \"timestamp\" DESC LIMIT 1) RETURNING *) INSERT INTO traces \
               (id, project_id, \"timestamp\", created_at, updated_at) SELECT 'instead', project_id, \"timestamp\", \
               now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' FROM gone";
    counted(&rehearsal, day).await;
    let kinds: Vec<_> = findings(&verify(&[])).into_values().map(|(kind, _)| kind).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert!(kinds.contains(&"missing".to_owned()) && kinds.contains(&"extra".to_owned()), "{kinds:?}");
    // Changed without a word in updated_at.
    counted(
        &rehearsal,
        "UPDATE traces SET user_id = 'silently' WHERE id = (SELECT id FROM traces WHERE id <> 'instead' \
         ORDER BY \"timestamp\" LIMIT 1)",
    )
    .await;
    assert_eq!(remembered(&verify(&[])).2, 3);
    let swap =
        format!("DELETE FROM traces WHERE id = (SELECT max(id) FROM traces WHERE id <> 'instead'); {new}");
    counted(&rehearsal, &swap).await;
    let kinds: Vec<_> = findings(&verify(&[])).into_values().map(|(kind, _)| kind).collect();
    assert!(kinds.contains(&"missing".to_owned()) && kinds.contains(&"extra".to_owned()), "{kinds:?}");
    // ClickHouse: a version more, a month rewritten.
    let (_, work) = sides::open(&rehearsal, Access::Write).await;
    ch(&work, "INSERT INTO traces SELECT * REPLACE ('other' AS name) FROM traces FINAL WHERE timestamp > '2026-05-02' AND id != 'came' \
               ORDER BY timestamp LIMIT 5, 1").await;
    ch(&work, "OPTIMIZE TABLE traces FINAL").await;
    assert_eq!(remembered(&verify(&[])).2, 6, "merged with what was known");
    ch(&work, "ALTER TABLE traces UPDATE user_id = 'other' WHERE id = (SELECT min(id) FROM traces) SETTINGS mutations_sync = 2")
        .await;
    assert_eq!(remembered(&verify(&[])).2, 7, "a mutation");
    let again = remembered(&verify(&[]));
    assert!(again.1 > 1000 && again.2 == 7, "{again:?}");
}

/// Days that are remembered of the first table.
fn days(rehearsal: &Rehearsal) -> Vec<i64> {
    let file = rehearsal.dir().join("state/verify.json");
    let book = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let days = |b: Value| {
        let days = b["known"].as_object()?.values().next()?["days"].as_object()?.clone();
        Some(days.into_iter().filter(|(_, rows)| *rows != 0).map(|(day, _)| day.parse().unwrap()).collect())
    };
    book.and_then(days).unwrap_or_default()
}

/// A whole run over traces that is killed in the middle.
async fn broken_off(rehearsal: &Rehearsal) {
    let mut child = std::process::Command::new(CUTOVER)
        .arg("--config")
        .arg(rehearsal.config())
        .args(["verify", "--table", "traces", "--max-load", "5", "--step", "40"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while days(rehearsal).len() < 5 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is remembered");
        assert!(child.try_wait().unwrap().is_none(), "it was faster than that");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A row that changes without a word in `updated_at`, as the backfill of costs does it.
async fn silently(rehearsal: &Rehearsal, which: &str) {
    let id = format!("SELECT id FROM traces WHERE {which} LIMIT 1");
    counted(rehearsal, &format!("UPDATE traces SET user_id = 'silently' WHERE id = ({id})")).await;
}

/// What PostgreSQL does not prove is not called proven now: a run that goes on is as old as it is.
#[tokio::test]
async fn a_run_that_goes_on_is_as_old_as_its_beginning() {
    let rehearsal = still("1500").await;
    counted(&rehearsal, "UPDATE traces SET name = name WHERE id = (SELECT min(id) FROM traces)").await;
    broken_off(&rehearsal).await;
    let day = days(&rehearsal)[0];
    silently(&rehearsal, &format!("floor(date_part('epoch', \"timestamp\") / 86400) = {day}")).await;
    let now = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
    let before: jiff::Timestamp = ask(&rehearsal, now).await.parse().unwrap();
    let resumed = told(&rehearsal, &["--table", "traces"]);
    assert!(remembered(&resumed).1 > 0, "{resumed:#}");
    let book = std::fs::read(rehearsal.dir().join("state/verify.json")).unwrap();
    let book: Value = serde_json::from_slice(&book).unwrap();
    let result = &book["found"]["traces"].as_object().unwrap().values().next().unwrap()[0];
    let at: jiff::Timestamp = result["at"].as_str().unwrap().parse().unwrap();
    // One day in a hundred is read again all the same.
    assert!(result["wrong"] == 1 || at < before, "{result:#} after {before}");
    assert!(resumed["notes"].to_string().contains("traces: goes on with what was begun at"), "{resumed:#}");
    assert_eq!(told(&rehearsal, &["--table", "traces", "--fresh"])["wrong"], 1);
}

/// What a run over a part found equal is read again, unless PostgreSQL proves that nothing changed.
#[tokio::test]
async fn a_part_that_was_read_is_taken_over_with_a_proof_alone() {
    let rehearsal = still("1500").await;
    counted(&rehearsal, "UPDATE traces SET name = name WHERE id = (SELECT min(id) FROM traces)").await;
    let last =
        ask(&rehearsal, "SELECT (max(\"timestamp\") - interval '5 days')::date::text FROM traces").await;
    let part = || told(&rehearsal, &["--table", "traces", "--from", "2020-01-01", "--to", &last]);
    assert_eq!(remembered(&part()).1, 0);
    let again = part();
    assert!(remembered(&again).1 > 0 && again["wrong"] == 0, "{again:#}");
    silently(&rehearsal, &format!("\"timestamp\" < '{last}'")).await;
    assert_eq!(told(&rehearsal, &["--table", "traces"])["wrong"], 1);
}

/// A run that is killed goes on; the next one reads only what changed, and sees what changed.
#[tokio::test]
async fn what_was_found_equal_is_not_read_again_until_it_changes() {
    let rehearsal = still("3000").await;
    broken_off(&rehearsal).await;
    let resumed = remembered(&verify(&rehearsal, &["--table", "traces"]));
    assert!(resumed.0 == 3000 && resumed.1 > 0 && resumed.1 < 3000 && resumed.2 == 0, "{resumed:?}");
    // All but the days that are read again by chance.
    let again = remembered(&told(&rehearsal, &["--table", "traces"]));
    assert!(again.0 == 3000 && again.1 > 2500 && again.2 == 0, "{again:?}");

    // One new day.
    sql(&rehearsal, ODD).await;
    let told = verify(&rehearsal, &["--table", "traces"]);
    assert!(matches!(remembered(&told), (3006, _, 6)), "{told:#}");
    // Changed in v2, long ago by its own time.
    let old = "(SELECT id FROM traces WHERE \"timestamp\" > '2026-06-01' ORDER BY \"timestamp\" LIMIT 1)";
    sql(
        &rehearsal,
        &format!(
            "UPDATE traces SET name = 'changed', updated_at = now() AT TIME ZONE 'UTC' WHERE id = {old}"
        ),
    )
    .await;
    let told = verify(&rehearsal, &["--table", "traces"]);
    let stale: Vec<_> = findings(&told).into_values().filter(|(d, _)| d == "stale").collect();
    assert_eq!(stale, [("stale".to_owned(), vec!["name".to_owned(), "updated_at".to_owned()])], "{told:#}");
    // Changed in v3.
    let (_, work) = sides::open(&rehearsal, Access::Write).await;
    ch(&work, "INSERT INTO traces SELECT * REPLACE ('other' AS name) FROM traces FINAL WHERE timestamp > '2026-06-01' ORDER BY timestamp DESC LIMIT 1")
        .await;
    let told = verify(&rehearsal, &["--table", "traces"]);
    assert!(findings(&told).into_values().any(|(d, c)| d == "changed" && c == ["name"]), "{told:#}");
    what_the_cockpit_shows(&rehearsal, told["wrong"].as_u64().unwrap()).await;
}

/// Two at once, each of its own table: what both found out is there afterwards, and is believed.
#[tokio::test]
async fn two_runs_at_once_keep_what_both_found() {
    let rehearsal = still("1200").await;
    for table in ["traces", "observations"] {
        let nothing = format!("UPDATE {table} SET name = name WHERE id = (SELECT min(id) FROM {table})");
        counted_of(&rehearsal, table, &nothing).await;
    }
    let run = |table: &str| {
        let mut command = std::process::Command::new(CUTOVER);
        command.arg("--config").arg(rehearsal.config());
        // So slow that they are at it together.
        command.args(["verify", "--json", "--max-load", "20", "--step", "40", "--table", table]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let both = ["traces", "observations"].map(|table| (table, run(table)));
    let mut ended = vec![];
    for (table, child) in both {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{table}: {}", document(&output));
        ended.push((table, document(&output)["tables"][0]["rows"].as_u64().unwrap()));
    }
    assert_eq!(ended, [("traces", 1200), ("observations", 2400)]);
    for (table, rows) in ended {
        let again = remembered(&told(&rehearsal, &["--table", table]));
        assert!(again.0 == rows && again.1 > rows / 2 && again.2 == 0, "{table}: {again:?}");
    }
    let said = String::from_utf8_lossy(&rehearsal.verb(&["status"]).stdout).into_owned();
    for rows in ["1 200", "2 400"] {
        assert!(said.contains(&format!("0 differences in {rows} rows")), "{rows}: {said}");
    }
}

/// The result counts, with how closely was compared, until a newer one; and for these two tables only.
async fn what_the_cockpit_shows(rehearsal: &Rehearsal, wrong: u64) {
    let shown = || String::from_utf8_lossy(&rehearsal.verb(&["status"]).stdout).into_owned();
    let said = shown();
    assert!(said.contains(&format!("{wrong} differences in 3 006 rows (all columns but JSON)")), "{said}");
    // Nothing is wrong with the ids of May, which says nothing about what was found; something is with another part.
    verify(rehearsal, &["--table", "traces", "--columns", "key", "--from", "2026-06-01"]);
    let said = shown();
    assert!(said.contains(&format!("{wrong} differences in 3 006 rows (all columns but JSON)")), "{said}");
    verify(rehearsal, &["--table", "traces", "--from", "2026-05-04", "--to", "2026-05-04"]);
    let said = shown();
    assert!(said.contains("6 differences in 6 rows (all columns but JSON, from 2026-05-04"), "{said}");
    // All traffic to v3 asks for what nobody has compared yet.
    let refused = rehearsal.verb(&["shift", "--to", "100", "--skip-steps", "--yes"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("observations was never compared") && said.contains("--unverified"), "{said}");
    // Another file of the same name is another table.
    sql(rehearsal, "VACUUM FULL traces").await;
    let said = shown();
    assert!(!said.contains("verified"), "{said}");
}
