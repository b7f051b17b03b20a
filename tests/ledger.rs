//! The clients' own book against both databases: what was accepted while the traffic moved there and back, with v3
//! failing on the way, is on both sides afterwards, once.
//!
//! 20 000 events by default; `CUTOVER_EVENTS=1000000` for more, `CUTOVER_RATE` for faster ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock of its own")]
#![cfg(feature = "rehearsal")]

mod common;
#[path = "data/sides.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared with the tests of the data engine")]
mod sides;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::rehearsal::Rehearsal;
use cutover::clients::work::{Access, ClickhouseWork};
use cutover::rehearsal::load::ledger::{Line, TOTALS, Totals};
use sqlx::PgConnection;

/// No part of the way is longer, in events: the rehearsal's ClickHouse lets v3's worker do about 120 a second on two
/// cores, and a step that it is minutes behind is refused.
const LONGEST_PART: u64 = 62_500;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// The totals as saved every two seconds.
fn totals(rehearsal: &Rehearsal) -> Totals {
    let text = std::fs::read(rehearsal.dir().join(TOTALS)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Waits until so many events were answered in all.
fn until_accepted(rehearsal: &Rehearsal, events: u64, within: Duration) -> Totals {
    let begun = Instant::now();
    loop {
        let totals = totals(rehearsal);
        let accepted: u64 = totals.accepted.values().sum();
        if accepted >= events {
            return totals;
        }
        assert!(begun.elapsed() < within, "only {accepted} of {events} accepted in {within:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// What the lines of the book ask of the databases.
#[derive(Debug, Default)]
struct Asked {
    /// Rows by table.
    ids: BTreeMap<&'static str, BTreeSet<String>>,
    /// What v3 took of them.
    v3: BTreeMap<&'static str, BTreeSet<String>>,
    /// Observations that were told their end.
    ended: BTreeSet<String>,
    /// By version.
    events: BTreeMap<String, u64>,
}

fn asked(rehearsal: &Rehearsal) -> Asked {
    let lines = Line::read(&rehearsal.dir()).unwrap();
    let mut asked = Asked { ids: Line::ids(&lines), ..Asked::default() };
    asked.v3 = Line::ids(lines.iter().filter(|line| line.version == "v3"));
    for line in lines {
        *asked.events.entry(line.version).or_default() += line.events.len() as u64;
        let ends = line.events.into_iter().filter(|event| event.kind.ends_with("-update"));
        asked.ended.extend(ends.map(|event| event.body_id));
    }
    asked
}

async fn in_postgres(session: &mut PgConnection, table: &str, and: &str) -> BTreeSet<String> {
    let sql = format!("SELECT id FROM {table} WHERE {and}");
    let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(session).await.unwrap();
    rows.into_iter().collect()
}

async fn in_clickhouse(clickhouse: &ClickhouseWork, table: &str, and: &str) -> BTreeSet<String> {
    let sql = format!("SELECT id FROM {table} FINAL WHERE is_deleted = 0 AND {and}");
    let rows: Vec<String> = clickhouse.query(&sql).fetch_all().await.unwrap();
    rows.into_iter().collect()
}

fn missing<'a>(wanted: &'a BTreeSet<String>, there: &BTreeSet<String>) -> Vec<&'a String> {
    wanted.iter().filter(|id| !there.contains(*id)).collect()
}

fn verb(rehearsal: &Rehearsal, args: &[&str], codes: &[i32]) -> String {
    let output = rehearsal.verb(args);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(codes.contains(&output.status.code().unwrap()), "{args:?}: {:?}: {text}", output.status);
    text
}

/// A step forward; while v3 fails the guards refuse it, as they should: lifted, it is taken again.
fn shift(rehearsal: &Rehearsal, to: &str) {
    let begun = Instant::now();
    loop {
        let output = rehearsal.verb(&["shift", "--to", to, "--skip-steps", "--unverified", "--yes"]);
        if output.status.success() {
            return;
        }
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(begun.elapsed() < Duration::from_secs(200), "never at {to} %: {why}");
    }
}

/// There and back with faults of v3 on the way, until `wanted` events were taken.
fn fly(rehearsal: &Rehearsal, wanted: u64, within: Duration) -> Totals {
    let part = |n: u64| n * (wanted / 8).min(LONGEST_PART);
    until_accepted(rehearsal, part(1), within);
    for (n, to, fault) in [
        (2, "25", &["v3-errors", "share=0.3"][..]),
        (3, "50", &["v3-throttle", "share=0.3"]),
        (5, "100", &["queue-stall"]),
    ] {
        shift(rehearsal, to);
        rehearsal.fault(fault);
        until_accepted(rehearsal, part(n), within);
        rehearsal.fault(&[fault[0], "--lift"]);
    }
    rehearsal.fault(&["v3-crash"]);
    until_accepted(rehearsal, part(6), within);
    verb(rehearsal, &["rollback", "--all", "--yes"], &[0]);
    until_accepted(rehearsal, wanted, within)
}

/// v3 works its queue off; what it took is then in ClickHouse without any help.
async fn until_worked_off(clickhouse: &ClickhouseWork, asked: &Asked, within: Duration) {
    for (table, ids) in &asked.v3 {
        let begun = Instant::now();
        loop {
            let left = missing(ids, &in_clickhouse(clickhouse, table, "1").await).len();
            if left == 0 {
                break;
            }
            assert!(begun.elapsed() < within, "v3 took {left} {table} and does not have them");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

#[track_caller]
fn none_lost(what: &str, wanted: &BTreeSet<String>, there: &BTreeSet<String>) {
    let lost = missing(wanted, there);
    let some = &lost[..lost.len().min(5)];
    assert!(lost.is_empty(), "{} of {} {what}: {some:?}", lost.len(), wanted.len());
}

/// Every row that was asked for is on both sides, and once; how many there are.
async fn both_have_each_once(
    session: &mut PgConnection,
    clickhouse: &ClickhouseWork,
    asked: &Asked,
) -> usize {
    for (table, ids) in &asked.ids {
        let lost = format!("{table} are not in PostgreSQL");
        none_lost(&lost, ids, &in_postgres(session, table, "true").await);
        let lost = format!("{table} are not in ClickHouse");
        none_lost(&lost, ids, &in_clickhouse(clickhouse, table, "1").await);
        let twice = format!(
            "SELECT count() FROM (SELECT id FROM {table} FINAL WHERE is_deleted = 0 GROUP BY project_id, id HAVING count() > 1)"
        );
        let twice: u64 = clickhouse.query(&twice).fetch_one().await.unwrap();
        assert_eq!(twice, 0, "live {table} that are there twice");
    }
    let ended = in_postgres(session, "observations", "end_time IS NOT NULL").await;
    none_lost("ends are not in PostgreSQL", &asked.ended, &ended);
    let ended = in_clickhouse(clickhouse, "observations", "isNotNull(end_time)").await;
    none_lost("ends are not in ClickHouse", &asked.ended, &ended);
    asked.ids.values().map(BTreeSet::len).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_event_is_on_both_sides_once() {
    let wanted = number("CUTOVER_EVENTS", 20_000);
    let rate = number("CUTOVER_RATE", 400).to_string();
    let within = Duration::from_secs(120 + wanted / 50);
    let begun = Instant::now();
    let rehearsal =
        Rehearsal::start(&["--traces", "500", "--rate", &rate, "--seed", "3", "--scenario", "happy"]);
    let flown = tokio::task::spawn_blocking(move || {
        let totals = fly(&rehearsal, wanted, within);
        (rehearsal, totals)
    });
    let (rehearsal, Totals { sent, given_up, unknown, .. }) = flown.await.unwrap();
    eprintln!("{:?}: sent {sent}, given up {given_up}, unknown {unknown}", begun.elapsed());

    let asked = asked(&rehearsal);
    assert!(asked.events["v2"] > 0 && asked.events["v3"] > 0, "{:?}", asked.events);
    // All but the batches that are on their way: the lines say what the totals say.
    let lines: u64 = asked.events.values().sum();
    assert!(lines >= wanted - wanted / 100, "{lines} events in the book's lines, {wanted} in its totals");
    let (postgres, clickhouse) = sides::open(&rehearsal, Access::Read).await;
    until_worked_off(&clickhouse, &asked, within).await;
    let brought = tokio::task::spawn_blocking(move || {
        for way in ["restore", "catch-up"] {
            verb(&rehearsal, &[way, "--yes"], &[0, 1]);
        }
        rehearsal
    });
    let rehearsal = brought.await.unwrap();
    let mut session = postgres.session().await.unwrap();
    let rows = both_have_each_once(&mut session, &clickhouse, &asked).await;
    eprintln!("{:?} events as {rows} rows, 0 lost, 0 twice, in {:?}", asked.events, begun.elapsed());
    drop(rehearsal);
}
