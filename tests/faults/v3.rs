//! v3 answers badly, or takes what it does not work off.

use std::time::{Duration, Instant};

use crate::common::sitting::{LONG, Watching, flat, read, rehearse, shift_to, sit_down, take_all_back, zoom};

/// From 25 % on, one request in five is a 500.
#[test]
fn v3_errors_are_named_and_stop_the_next_step_but_not_the_way_back() {
    let rehearsal = rehearse("v3-errors");
    let mut person = sit_down(&rehearsal);
    person.see("trace-upsert");
    shift_to(&mut person, 5);
    shift_to(&mut person, 25);
    // The controller counts every request, so that one in five is found although probes are few.
    zoom(&mut person, '6');
    person.wait("the advisor", |screen| {
        let text = flat(screen);
        text.contains("of its requests") && text.contains("hold, or roll back")
    });
    zoom(&mut person, '6');
    person.press("n");
    read(&mut person, "v3's errors: ");
    let text = flat(&person.text());
    assert!(text.contains("requests in 2 min failed"), "{text}");
    // Kinds of errors are told by probes: with one in five, a test that waits for them would be a lottery.
    rehearsal.fault(&["v3-errors", "share=0.5"]);
    person.wait("v3's errors by kind", |screen| {
        screen.contains("v3 500 ×") || screen.contains("v3 HTTP 500 ×")
    });
    take_all_back(&mut person);
    person.press("q");
    assert_eq!(person.leave(), 0);
}

/// v3 web takes connections and says nothing: known within three rounds of probes, and no phase is undone by it.
#[test]
fn a_frozen_v3_is_told_within_three_rounds_and_stops_the_next_step() {
    let rehearsal = rehearse("happy");
    let mut person = sit_down(&rehearsal);
    person.see("trace-upsert");
    shift_to(&mut person, 5);
    zoom(&mut person, '6');
    rehearsal.fault(&["v3-freeze"]);
    let frozen = Instant::now();
    read(&mut person, "critical: v3 does not answer");
    // Three rounds of five seconds' timeout each, and the pauses between them after a failure.
    assert!(frozen.elapsed() < Duration::from_secs(35), "{:?}", frozen.elapsed());
    zoom(&mut person, '6');
    person.press("n");
    read(&mut person, "v3's errors: ");
    assert!(!person.text().contains("▶ deploy"), "{}", person.text());
    take_all_back(&mut person);
    zoom(&mut person, '6');
    read(&mut person, "warning: v3 does not answer");
    rehearsal.fault(&["v3-freeze", "--lift"]);
    person.wait("v3 again", |screen| !flat(screen).contains("warning: v3 does not answer"));
}

/// A worker that lives and takes nothing.
#[test]
fn a_stalled_queue_is_told_and_stops_the_next_step() {
    let rehearsal = rehearse("queue-stall");
    let mut watching = Watching::start(&rehearsal.config());
    let mut person = sit_down(&rehearsal);
    // Long before a job is late, the pane says that none is done.
    watching.finding("queue-still");
    let told = watching.finding("queue-late");
    assert!(
        told.starts_with("critical") && told.contains("ingestion-queue") && told.contains("to do"),
        "{told}"
    );
    zoom(&mut person, '6');
    read(&mut person, "falls behind");
    zoom(&mut person, '6');
    rehearsal.until(&["plan", "--to", "50"], LONG, |plan| plan.contains("the oldest job waits"));
    read(&mut person, "next step 50 % blocked");
    take_all_back(&mut person);
    rehearsal.fault(&["queue-stall", "--lift"]);
    watching.until("the queue worked off", |status| {
        let all = status["queues"]["value"].as_array();
        all.is_some_and(|q| {
            q.iter()
                .filter(|q| q["name"].as_str().unwrap_or_default().contains("ingestion"))
                .all(|q| q["waiting"] == 0)
        })
    });
}
