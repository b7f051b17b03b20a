//! What the readings of both databases say that no count says: times that cannot be, cursors that go the wrong way.

use std::time::Duration;

use crate::domain::Now;
use crate::domain::backfill::{MigrationState, Side, Table};

use super::super::Model;
use super::super::remedy::Remedy;
use super::{Findings, Severity, act, add};

/// A row may be this much newer than our clock: clocks differ.
const AHEAD: Duration = Duration::from_hours(24);

pub(super) fn advise(model: &Model, now: Now, findings: &mut Findings) {
    for table in model.tables() {
        far_future(model, table, now, findings);
    }
    began_again(model, findings);
    stand_twice(model, findings);
}

/// The sorting key holds the day of the time: a row whose time was changed is another row to the engine (langfuse.md 3.3).
fn stand_twice(model: &Model, findings: &mut Findings) {
    let of =
        |table: Table| Some((table, model.rows(Side::Clickhouse, table)?.doubled.filter(|c| c.value > 0)?));
    let tables: Vec<_> = model.tables().into_iter().filter_map(of).collect();
    if tables.is_empty() {
        return;
    }
    let evidence: Vec<_> =
        tables.iter().map(|(table, count)| format!("{}: {} too many", table.name(), count.text())).collect();
    add(
        findings,
        "rows-twice",
        Severity::Warning,
        "rows stand in ClickHouse twice, under two days",
        evidence.join("\n"),
        "their timestamp was changed: no merge takes the older one away, and sums count both; `cutover catch-up` leaves one",
    );
    act(findings, Remedy::CatchUp);
}

/// ClickHouse from 26.8 on reads the milliseconds that Langfuse up to 3.225.4 sends as seconds (langfuse#16858).
fn far_future(model: &Model, table: Table, now: Now, findings: &mut Findings) {
    let newest = model.rows(Side::Clickhouse, table).and_then(|r| r.newest);
    let Some(newest) = newest.filter(|at| now.wall.checked_add(AHEAD).is_ok_and(|limit| *at > limit)) else {
        return;
    };
    add(
        findings,
        "times-in-the-future",
        Severity::Critical,
        format!("{} in ClickHouse has rows of a day that has not come", table.name()),
        format!("newest created_at {newest:.0}"),
        "ClickHouse 26.8 and newer turn Langfuse's times into the year 9999: stop the worker, use ClickHouse 26.6 or a \
         profile with compatibility = '26.7', delete these rows, run the migration again",
    );
}

/// A cursor only ever goes down. Up means that somebody started again from the top, or that two write it.
fn began_again(model: &Model, findings: &mut Findings) {
    for migration in model.facts.migrations.value().into_iter().flatten() {
        let running = matches!(migration.state, MigrationState::Running | MigrationState::Stalled);
        let Some(rise) = model.history.cursors.get(&migration.name).and_then(|c| c.rise.as_ref()) else {
            continue;
        };
        if !running {
            continue;
        }
        let who = match (&rise.before, &migration.worker) {
            (Some(before), Some(worker)) if before != worker => {
                format!("worker {before} before, {worker} now")
            }
            (_, Some(worker)) => format!("by worker {worker}"),
            _ => "by nobody who holds the lock".into(),
        };
        add(
            findings,
            "cursor-went-back",
            Severity::Warning,
            format!("the cursor of {} went back up", migration.name),
            format!("from {:.0} to {:.0}, {who}", rise.from, rise.to),
            "it began again from the top, or a second copy runs (Langfuse's scripts take no lock): rows are copied twice, \
             which the engine merges; stop one of them",
        );
    }
}
