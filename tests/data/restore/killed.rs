//! kill -9 in the middle of a write: whole batches are there, and the next run writes the rest.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cutover::data::restore::Wish;
use serde_json::json;

use super::Bench;
use crate::common::rehearsal::CUTOVER;

const ROWS: i64 = 30_000;
const COUNT: &str = "SELECT count(*) FROM traces WHERE id LIKE 'many-%'";

/// What is there is whole batches, and the rest follows.
pub(super) async fn killed_and_resumed(bench: &mut Bench) {
    v3_writes_many(bench).await;
    for limit in [1, 2_500, 6_000, 11_000] {
        let mut child = restore_up_to(bench, limit).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // Four were killed, the last one is asked to end.
    let mut child = restore_up_to(bench, 15_000).await;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(75));
    let journal = bench.rehearsal.verb(&["journal"]);
    assert!(String::from_utf8(journal.stdout).unwrap().contains("all tables: interrupted, "));

    let written = rows_when_it_is_quiet(bench).await;
    assert!(written > 0 && written < ROWS && written % 500 == 0, "{written} rows are no whole batches");
    let dry = bench.library(false, Wish::default()).await;
    assert_eq!(dry.tables[0].inserts.count, (ROWS - written) as u64);
    let (code, text, words) = bench.verb(&["--yes"]);
    assert_eq!(code, 1, "{text} {words}");
    assert_eq!(bench.one::<i64>(COUNT).await, ROWS);
    assert_eq!(bench.library(true, Wish::default()).await.rows(), 0);
}

async fn v3_writes_many(bench: &Bench) {
    // Only PostgreSQL itself refuses it, and a dry run asks it about the first batches only.
    bench
        .v3_writes(
            "traces",
            &[json!({"id": "large", "is_deleted": 1, "event_ts": "2026-11-22 12:00:00.000"})],
        )
        .await;
    let many = format!(
        "INSERT INTO traces (id, project_id, timestamp, name, input, metadata, tags, public, bookmarked, created_at, updated_at, \
         event_ts, is_deleted) SELECT concat('many-', leftPad(toString(number), 6, '0')), '{}', \
         toDateTime64('2026-11-10 00:00:00', 3) + toIntervalMinute(number), 'm', repeat('{{\"a\":1}} ', 20), map('k', toString(number)), \
         ['t'], false, false, now64(3), now64(3), now64(3), 0 FROM numbers({ROWS})",
        bench.project
    );
    bench.clickhouse.execute(bench.clickhouse.query(&many)).await.unwrap();
}

/// The verb, still at work when so many rows are there.
async fn restore_up_to(bench: &mut Bench, limit: i64) -> Child {
    let mut child = Command::new(CUTOVER)
        .arg("--config")
        .arg(bench.rehearsal.config())
        .args(["restore", "--yes"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while bench.one::<i64>(COUNT).await < limit {
        assert!(
            begun.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(),
            "too late to kill"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    child
}

/// A transaction that was on its way may still end, one way or the other.
async fn rows_when_it_is_quiet(bench: &mut Bench) -> i64 {
    let begun = Instant::now();
    loop {
        let busy: i64 = bench
            .one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cutover restore'")
            .await;
        if busy == 0 {
            return bench.one::<i64>(COUNT).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
