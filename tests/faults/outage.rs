//! All four stores away at once, killed or stopped: what the screen says by when, and that keys are answered meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rstest::rstest;

use crate::common::person::Person;
use crate::common::sitting::{rehearse, sit_at};

/// The stores: what the fault calls them, the source that is seen in a pane, its cadence in seconds.
const STORES: [(&str, &str, u64); 4] =
    [("postgres", "migrations", 2), ("redis", "queues", 2), ("clickhouse", "rows-ch", 5), ("s3", "s3", 10)];
/// What a machine that runs everything at once may add: to a reading, and to the drawing of its age.
const SLACK: Duration = Duration::from_secs(4);

fn cadences(cadence: u64, n: u32) -> Duration {
    Duration::from_secs(cadence) * n + SLACK
}

/// How long a key takes to be answered.
fn key(person: &mut Person) -> Duration {
    let pressed = Instant::now();
    person.press("?");
    answered(person, |screen| screen.contains("Plan the next step"));
    let took = pressed.elapsed();
    person.press("\x1b");
    answered(person, |screen| !screen.contains("Plan the next step"));
    took
}

fn answered(person: &mut Person, wanted: impl Fn(&str) -> bool) {
    let pressed = Instant::now();
    while !wanted(&person.text()) {
        assert!(pressed.elapsed() < Duration::from_secs(10), "a key is not answered:\n{}", person.text());
        person.look(Duration::from_millis(5));
    }
}

/// When each source was first seen in this state.
fn first_seen(seen: &mut BTreeMap<&'static str, Duration>, screen: &str, word: &str, since: Instant) {
    for (_, source, _) in STORES {
        if screen.contains(&format!("{source} {word}")) {
            seen.entry(source).or_insert_with(|| since.elapsed());
        }
    }
}

#[rstest]
#[case::killed("store-down")]
#[case::stopped("store-pause")]
fn late_within_two_cadences_stale_within_five_and_live_again_within_two(#[case] fault: &str) {
    let rehearsal = rehearse("happy");
    let mut person = sit_at(&rehearsal.config(), 400, 60);
    person.see("trace-upsert");
    let quiet = |screen: &str| {
        STORES.iter().all(|(_, s, _)| {
            ["late", "stale", "failing"].iter().all(|word| !screen.contains(&format!("{s} {word}")))
        })
    };
    person.wait("every store to be live", |screen| screen.contains("✓ S3") && quiet(screen));
    let mut lost = BTreeMap::new();
    for (store, source, _) in STORES {
        rehearsal.fault(&[fault, &format!("store={store}")]);
        lost.insert(source, Instant::now());
    }
    let begun = lost["migrations"];
    let (mut late, mut stale, mut keys) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    while stale.len() < STORES.len() {
        assert!(
            begun.elapsed() < Duration::from_secs(70),
            "late {late:?}, stale {stale:?}:\n{}",
            person.text()
        );
        keys.push(key(&mut person));
        person.look(Duration::from_millis(150));
        first_seen(&mut late, &person.text(), "late", begun);
        first_seen(&mut stale, &person.text(), "stale", begun);
    }
    keys.sort();
    let (median, worst) = (keys[keys.len() / 2], keys[keys.len() - 1]);
    eprintln!(
        "{fault}: {} keys, median {median:?}, worst {worst:?}; late {late:?}, stale {stale:?}",
        keys.len()
    );
    for (_, source, cadence) in STORES {
        let after = lost[source] - begun;
        let (late, stale) = (late[source].saturating_sub(after), stale[source].saturating_sub(after));
        assert!(late <= cadences(cadence, 2), "{source} is late after {late:?}");
        assert!(stale <= cadences(cadence, 5), "{source} is stale after {stale:?}");
    }
    assert!(median < Duration::from_millis(200) && worst < Duration::from_secs(2), "{median:?} {worst:?}");

    for (store, source, cadence) in STORES {
        rehearsal.fault(&[fault, &format!("store={store}"), "--lift"]);
        let back = Instant::now();
        let gone = |screen: &str| {
            ["late", "stale", "failing"].iter().all(|word| !screen.contains(&format!("{source} {word}")))
        };
        person.wait(&format!("{source} live again"), gone);
        let took = back.elapsed();
        eprintln!("{fault}: {source} is live again after {took:?}");
        assert!(took <= cadences(cadence, 2), "{source} is live again after {took:?}");
    }
}
