//! Catch-up while both versions take traffic: requests of one story go to either, so rows are written by one, changed
//! by the other, and copied in between.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cutover::clients::work::Access;
use cutover::rehearsal::load::ledger::Line;
use serde_json::Value;

use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::forward::{document, set};
use crate::sides;

const CLASSES: [&str; 4] = ["missing", "stale", "overwritten", "twice"];

/// Rows that are not as they should be, by class, over all tables.
fn found(document: &Value) -> [u64; 4] {
    let tables = document["tables"].as_array().unwrap();
    assert!(tables.len() >= 3, "{document:#}");
    CLASSES.map(|class| tables.iter().map(|t| t["found"][class]["count"].as_u64().unwrap()).sum())
}

fn written(document: &Value) -> u64 {
    document["tables"].as_array().unwrap().iter().map(|t| t["written"].as_u64().unwrap()).sum()
}

fn look(rehearsal: &Rehearsal) -> [u64; 4] {
    let told = document(&rehearsal.verb(&["catch-up", "--json"]));
    assert_eq!(written(&told), 0, "a look writes nothing");
    found(&told)
}

fn start(rehearsal: &Rehearsal) -> std::process::Child {
    let mut command = Command::new(CUTOVER);
    command.arg("--config").arg(rehearsal.config()).args(["catch-up", "--yes", "--json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What the clients' own book says was accepted, by either version.
fn accepted(rehearsal: &Rehearsal) -> BTreeMap<&'static str, BTreeSet<String>> {
    let lines = Line::read(&rehearsal.dir()).unwrap();
    for version in ["v2", "v3"] {
        let events: usize =
            lines.iter().filter(|line| line.version == version).map(|line| line.events.len()).sum();
        assert!(events > 50, "both versions took traffic; {version}: {events}");
    }
    Line::ids(&lines)
}

#[tokio::test]
async fn nothing_is_lost_between_two_versions_that_both_write() {
    let rehearsal = set("400", "60", "weight = 50", &[]).await;
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(0));
    // Stories under way: dry run, run, two runs at the same time, and again.
    let begun = Instant::now();
    let (mut seen, mut mended, mut rounds) = ([0; 4], 0, 0);
    while rounds < 3 || (begun.elapsed() < Duration::from_secs(40) && (seen[0] == 0 || seen[2] == 0)) {
        let now = look(&rehearsal);
        seen = std::array::from_fn(|at| seen[at] + now[at]);
        let both = [start(&rehearsal), start(&rehearsal)];
        for child in both {
            let output = child.wait_with_output().unwrap();
            // One of the two may find a row that the other, or v3, has just written, and leave it.
            let told = document(&output);
            let left: u64 =
                told["tables"].as_array().unwrap().iter().map(|t| t["left"].as_u64().unwrap()).sum();
            assert_eq!(output.status.code(), Some(i32::from(left > 0)), "{told:#}");
            mended += written(&document(&output));
        }
        rounds += 1;
    }
    assert!(seen[0] > 0 && seen[2] > 0, "late and overwritten rows were met under load: {seen:?}");
    assert!(mended > 0);

    // The clients are sent away; what v3 accepted is still on its way for some seconds.
    rehearsal.fault(&["v2-errors", "share=1"]);
    rehearsal.fault(&["v3-errors", "share=1"]);
    let (begun, mut quiet) = (Instant::now(), 0);
    while quiet < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?} are still found", look(&rehearsal));
        let told = document(&rehearsal.verb(&["catch-up", "--yes", "--json"]));
        quiet = if found(&told) == [0; 4] { quiet + 1 } else { 0 };
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(look(&rehearsal), [0; 4]);

    let output = rehearsal.verb(&["verify", "--columns", "all", "--grace", "0", "--json"]);
    let told = document(&output);
    let lost: Vec<_> = told["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| {
            !["v3-updated", "v3-only", "probe", "precision"].contains(&f["difference"].as_str().unwrap())
        })
        .collect();
    assert_eq!((output.status.code(), lost.as_slice()), (Some(0), &[][..]), "{told:#}");
    everything_accepted_is_in_v3_once(&rehearsal).await;
}

async fn everything_accepted_is_in_v3_once(rehearsal: &Rehearsal) {
    let (_, clickhouse) = sides::open(rehearsal, Access::Read).await;
    for (table, wanted) in accepted(rehearsal) {
        let live: Vec<String> = clickhouse
            .ask
            .all(clickhouse.query(&format!("SELECT id FROM {table} FINAL ORDER BY id")))
            .await
            .unwrap();
        let once: BTreeSet<String> = live.iter().cloned().collect();
        assert_eq!(once.len(), live.len(), "{table}: a row lives twice");
        let lost: Vec<_> = wanted.difference(&once).collect();
        assert!(lost.is_empty(), "{table}: {} of {} accepted are lost: {lost:?}", lost.len(), wanted.len());
    }
}
