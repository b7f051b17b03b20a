//! The main job, flown by a person: watch a migration, shift it step by step, take it back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::process::Command;
use std::time::Duration;

use common::rehearsal::{CUTOVER, Rehearsal};
use common::sitting::{shift_to, sit_down, take_all_back};

const SMALL: [&str; 8] = ["--traces", "2000", "--rate", "20", "--seed", "7", "--scenario", "happy"];

#[test]
fn a_person_shifts_step_by_step_and_takes_it_back_with_two_keys() {
    let rehearsal = Rehearsal::start(&SMALL);
    let mut person = sit_down(&rehearsal);
    for pane in ["Traffic", "Backfill", "Queues", "Latency", "Cluster", "Advisor", "Log"] {
        person.see(pane);
    }
    person.see("trace-upsert");
    person.wait("the backfill of every table", |s| s.matches("finished 100%").count() == 3);
    for percent in [5, 25] {
        shift_to(&mut person, percent);
    }
    let status = rehearsal.until(&["status", "--json"], Duration::from_secs(30), |text| {
        let status: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        status["split"]["stored"] == 25
    });
    assert!(status.contains("langfuse-canary"));
    person.press("R");
    person.see("Roll back to 5 %");
    person.answer("\r", "25 % -> 5 % done");
    take_all_back(&mut person);
    person.press("q");
    assert_eq!(person.leave(), 0);
    assert_eq!(rehearsal.stop(), Some(0));
}

#[test]
fn the_same_without_a_screen() {
    let rehearsal = Rehearsal::start(&SMALL);
    let plan = rehearsal.verb(&["plan", "--to", "25"]);
    assert!(plan.status.success(), "{plan:?}");
    assert!(String::from_utf8_lossy(&plan.stdout).contains("canary-weight"));

    let refused = rehearsal.verb(&["shift", "--to", "25"]);
    assert_eq!(refused.status.code(), Some(2), "without --yes: {refused:?}");

    // As at home, where nothing in the file allows it.
    let steps = Command::new(CUTOVER)
        .env("CUTOVER_TRAFFIC_SKIP_STEPS", "false")
        .arg("--config")
        .arg(rehearsal.config())
        .args(["shift", "--to", "50", "--yes"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&steps.stderr);
    assert_eq!(steps.status.code(), Some(4), "{said}");
    assert!(said.contains("0 % to 50 % skips 5 %, 25 %") && said.contains("--skip-steps"), "{said}");

    let shift = rehearsal.verb(&["shift", "--to", "25", "--yes"]);
    let said = String::from_utf8_lossy(&shift.stderr);
    assert!(shift.status.success(), "{said}");
    assert!(said.contains("skips 5 %") && said.contains("waiting for 5 probes of v3"), "{said}");
    let journal = rehearsal.verb(&["journal"]);
    let journal = String::from_utf8_lossy(&journal.stdout).into_owned();
    assert!(!journal.contains("too few"), "{journal}");
    let journal = rehearsal.verb(&["journal", "--verify"]);
    assert!(journal.status.success(), "{journal:?}");

    let rollback = rehearsal.verb(&["rollback", "--yes"]);
    assert!(rollback.status.success(), "{rollback:?}");
    rehearsal.until(&["status", "--json"], Duration::from_secs(30), |text| {
        let status: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        status["split"]["stored"] == 0
    });
}
