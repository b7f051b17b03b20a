//! Who may take what.

use std::time::Duration;

use serde_json::json;

use super::claim::{judge, waits_for_cost};
use super::held::iso;
use super::standing::{moment, phase};
use super::{COST, Denied, Phase, Standing, Start};
use crate::domain::backfill::Table;

fn row(name: &str, finished: bool, failed: bool, lock: Option<u64>) -> Standing {
    let mut row = Standing {
        id: name.into(),
        name: name.into(),
        phase: Phase::Queued,
        args: json!({}),
        state: json!({}),
        worker: lock.map(|_| "w".into()),
        lock_age: lock.map(Duration::from_secs),
        failed_reason: failed.then(|| "why".into()),
    };
    row.phase = phase(&row, finished, failed);
    row
}

fn rows(cost: (bool, bool, Option<u64>), traces: (bool, bool, Option<u64>)) -> Vec<Standing> {
    vec![
        row(COST, cost.0, cost.1, cost.2),
        row(Table::Traces.migration(), traces.0, traces.1, traces.2),
        row(Table::Observations.migration(), false, false, None),
    ]
}

const DONE: (bool, bool, Option<u64>) = (true, false, None);
const QUEUED: (bool, bool, Option<u64>) = (false, false, None);
const FAILED: (bool, bool, Option<u64>) = (false, true, None);

#[test]
fn the_first_by_name_and_nobody_else() {
    let go = |rows: &[Standing], table, start| judge(rows, table, start).map(|r| r.name.clone());
    assert!(go(&rows(DONE, QUEUED), Table::Traces, Start::Run).is_ok());
    assert!(matches!(
        go(&rows(DONE, QUEUED), Table::Observations, Start::Run),
        Err(Denied::Turn { earlier, .. }) if earlier == Table::Traces.migration()
    ));
    assert!(go(&rows(DONE, DONE), Table::Observations, Start::Run).is_ok());
    // What failed is gone past, as the manager does; but not the costs.
    assert!(go(&rows(DONE, FAILED), Table::Observations, Start::Run).is_ok());
    // While a worker is at the costs, the next migration may be taken, to wait for them; not the one after it.
    let running = rows((false, false, Some(3)), QUEUED);
    assert!(go(&running, Table::Traces, Start::Run).is_ok() && waits_for_cost(&running, Table::Traces));
    assert!(matches!(go(&running, Table::Observations, Start::Run), Err(Denied::Turn { .. })));
    for cost in [QUEUED, FAILED, (false, false, Some(70))] {
        let denied = go(&rows(cost, QUEUED), Table::Traces, Start::Resume).unwrap_err();
        assert!(denied.to_string().contains("left to Langfuse's worker"), "{denied}");
    }
    assert!(matches!(go(&rows(DONE, DONE), Table::Traces, Start::Resume), Err(Denied::Finished { .. })));
    assert!(matches!(go(&rows(DONE, DONE), Table::Scores, Start::Run), Err(Denied::Absent { .. })));
}

#[test]
fn a_failed_one_is_resumed_and_not_run() {
    let failed = rows(DONE, FAILED);
    assert!(
        matches!(judge(&failed, Table::Traces, Start::Run), Err(Denied::Failed { reason, .. }) if reason == "why")
    );
    assert!(judge(&failed, Table::Traces, Start::Resume).is_ok());
}

#[test]
fn a_lock_is_foreign_for_a_minute() {
    for start in [Start::Run, Start::Resume] {
        let fresh = rows(DONE, (false, false, Some(59)));
        let Err(denied) = judge(&fresh, Table::Traces, start) else { panic!("a fresh lock") };
        assert!(denied.to_string().contains("worker w, whose heartbeat is 59 s old"), "{denied}");
        assert!(judge(&rows(DONE, (false, false, Some(60))), Table::Traces, start).is_ok());
    }
}

#[test]
fn the_cursor_of_observations_has_a_suffix_of_its_own() {
    let mut observations = row(Table::Observations.migration(), false, false, None);
    observations.args = json!({"stateSuffix": "-a"});
    observations.state =
        json!({"maxDate": "2020-01-01T00:00:00.000Z", "maxDate-a": "2024-10-24T17:30:00.123Z"});
    assert_eq!(observations.cursor(), Some(1_729_791_000_123));
    let mut traces = row(Table::Traces.migration(), false, false, None);
    traces.args = json!({"stateSuffix": "-a", "maxDate": "2024-10-24"});
    assert_eq!((traces.cursor_key().as_str(), traces.wanted_start()), ("maxDate", Some(1_729_728_000_000)));
}

#[test]
fn moments_as_javascript_spells_them() {
    assert_eq!(moment("2024-10-24T17:30:00.123Z"), Some(1_729_791_000_123));
    assert_eq!(moment("2024-10-24T17:30:00"), Some(1_729_791_000_000));
    assert_eq!(moment("yesterday"), None);
    assert_eq!(iso(1_729_791_000_123).as_deref(), Some("2024-10-24T17:30:00.123Z"));
    assert_eq!(iso(-1).as_deref(), Some("1969-12-31T23:59:59.999Z"));
    assert_eq!((iso(i64::MIN), iso(-99_999_999_999_999)), (None, None));
}
