//! `kill -9` of a copy, of catch-up and of the way back at every one of their messages to a database: before it gets there, and
//! after it was answered.
//!
//! One rule: every tenth message, from a place that moves from kind to kind; `CUTOVER_POINTS=all` for each of them.

use std::process::{Child, Command, Stdio};

use cutover::clients::work::Access;

use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::forward::{age_locks, compare, compare_but, cursors_are_true, forget, sql, waiting};
use crate::gate::{Gate, Stop};
use crate::kills::{all_is_whole, both_write, nothing_is_lost, v2_leaves_room, v2_rows, v3_writes_some};
use crate::sides;

/// Rows of each table that go back.
const BACK: usize = 40;

fn start(gate: &Gate, args: &[&str]) -> Child {
    let mut command = Command::new(CUTOVER);
    command.arg("--config").arg(&gate.config).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills the program at its messages, one after the other; how many there were.
async fn at_every_message(gate: &Gate, args: &[&str], mut then: impl AsyncFnMut(&str)) -> u32 {
    let step = if std::env::var("CUTOVER_POINTS").is_ok_and(|v| v == "all") { 1 } else { 10 };
    let (mut killed, mut last) = (0, 0);
    for (stop, first) in [(Stop::Before, 1), (Stop::After, 1 + step / 2)] {
        for nth in (first..).step_by(step) {
            let nth = u32::try_from(nth).unwrap();
            gate.set(nth, stop);
            let mut child = start(gate, args);
            let reached = gate.wait(&mut child);
            child.kill().unwrap();
            child.wait().unwrap();
            let seen = gate.seen();
            then(&format!("{args:?}, {stop:?} message {nth}")).await;
            killed += u32::from(reached);
            // A message without an answer, as a farewell is, stops nobody.
            if !reached && seen < nth {
                last = last.max(seen);
                break;
            }
        }
    }
    eprintln!("{args:?}: killed at {killed} points, of about {last} messages");
    killed
}

fn ends_well(rehearsal: &Rehearsal, point: &str, args: &[&str]) {
    let output = rehearsal.verb(args);
    assert_eq!(output.status.code(), Some(0), "{point}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What was promised is there, and the next run ends what this one began.
#[tokio::test]
async fn a_copy_that_is_killed_at_any_message_goes_on() {
    let rehearsal = waiting("60", &[]).await;
    let gate = Gate::before(&rehearsal);
    let args = ["backfill", "run", "--block-rows", "25", "--jobs", "2"];
    let killed = at_every_message(&gate, &args, async |point| {
        cursors_are_true(&rehearsal).await;
        age_locks(&rehearsal).await;
        ends_well(&rehearsal, point, &["backfill", "run"]);
        assert_eq!(compare(&rehearsal, &[]).await, 60 + 120 + 30, "{point}");
        forget(&rehearsal).await;
    })
    .await;
    assert!(killed >= 10, "only {killed} points");
}

#[tokio::test]
async fn a_way_back_that_is_killed_at_any_message_goes_on() {
    let rehearsal = waiting("60", &[]).await;
    let clear = "TRUNCATE traces, observations, scores; DELETE FROM trace_sessions";
    sql(&rehearsal, clear).await;
    v3_writes_some(&rehearsal, BACK).await;
    let gate = Gate::before(&rehearsal);
    let killed = at_every_message(&gate, &["restore", "--yes"], async |point| {
        ends_well(&rehearsal, point, &["restore", "--yes"]);
        assert_eq!(v2_rows(&rehearsal).await, 3 * BACK, "{point}");
        assert_eq!(compare_but(&rehearsal, &[], &["event_ts"], 0).await, 3 * BACK, "{point}");
        sql(&rehearsal, clear).await;
    })
    .await;
    assert!(killed >= 10, "only {killed} points");
}

/// v3 wrote over two rows of each kind, v2 changed others: what catch-up has written when it is killed is whole, what it
/// has not is as it was, and the next run ends it.
#[tokio::test]
async fn a_catch_up_that_is_killed_at_any_message_goes_on() {
    let rehearsal = waiting("60", &[]).await;
    let (_, clickhouse) = sides::open(&rehearsal, Access::Write).await;
    let gate = Gate::before(&rehearsal);
    v2_leaves_room(&rehearsal).await;
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(0));
    let mut round = 0;
    both_write(&rehearsal, &clickhouse, round).await;
    let killed = at_every_message(&gate, &["catch-up", "--yes"], async |point| {
        nothing_is_lost(&clickhouse, point).await;
        ends_well(&rehearsal, point, &["catch-up", "--yes"]);
        all_is_whole(&rehearsal, &clickhouse, point).await;
        round += 1;
        both_write(&rehearsal, &clickhouse, round).await;
    })
    .await;
    assert!(killed >= 10, "only {killed} points");
}
