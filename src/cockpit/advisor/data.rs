//! What the readings of both databases say that no count says: times that cannot be, cursors that go the wrong way.

use std::time::Duration;

use crate::domain::Now;
use crate::domain::backfill::{MigrationState, Side, Table};
use crate::domain::units::grouped;

use super::super::Model;
use super::super::remedy::Remedy;
use super::{Findings, Severity, act, add};

/// A row may be this much newer than our clock: clocks differ.
const AHEAD: Duration = Duration::from_hours(24);
/// Above so many rows no poll searches ids under two days.
const SEARCHED: u64 = 3_000_000;
/// What leaves nothing of times that ClickHouse misread, and loses no row. In this order: a row of v3 that is still
/// there gives its time to what is replayed (`immutableEntityKeys` of its ingestion), and what v3 took itself stands in
/// S3 alone. Neither a migration that has finished nor v2 would bring that back.
const MISREAD: &str = "ClickHouse 26.8 and newer turn Langfuse's times into the year 9999. First end the cause: stop the worker, use \
     ClickHouse 26.6 or a profile with compatibility = '26.7', or Langfuse 3.225.5. `cutover verify --against pg` then names \
     as v3-only what v2 does not have. Copy these rows (created_at > now() + INTERVAL 1 DAY) into a table of their own and delete \
     them here. Start the worker and replay the events of their ids from S3 (/api/admin/ingestion-replay from 3.159 on, before it \
     refill-ingestion-events), which alone has what v3 took itself. Last `cutover catch-up --yes` copies what v2 has of them";

pub(super) fn advise(model: &Model, now: Now, findings: &mut Findings) {
    let tables = model.tables();
    let misread: Vec<_> =
        tables.into_iter().filter(|table| far_future(model, *table, now, findings)).collect();
    began_again(model, findings);
    stand_twice(model, &misread, findings);
}

/// The sorting key holds the day of the time: a row whose time was changed is another row to the engine (langfuse.md 3.3).
fn stand_twice(model: &Model, misread: &[Table], findings: &mut Findings) {
    let of =
        |table: Table| Some((table, model.rows(Side::Clickhouse, table)?.doubled.filter(|c| c.value > 0)?));
    let tables: Vec<_> = model.tables().into_iter().filter_map(of).collect();
    if tables.is_empty() {
        return;
    }
    let unsearched = model.tables().into_iter().filter_map(|table| not_searched(model, table));
    let told = tables.iter().map(|(table, count)| format!("{}: {} too many", table.name(), count.text()));
    let evidence = told.chain(unsearched).collect::<Vec<_>>().join("\n");
    let title = "rows stand in ClickHouse twice, under two days";
    if !misread.is_empty() {
        // A copy that had to be newer than the year 9999 would hide every later update by v3.
        let remedy = "some of them may be there under a time that ClickHouse misread: mend the times in the future first";
        add(findings, "rows-twice", Severity::Warning, title, evidence, remedy);
        return;
    }
    add(
        findings,
        "rows-twice",
        Severity::Warning,
        title,
        evidence,
        "their timestamp was changed: no merge takes the older one away, and sums count both; of those that v2 has and v3 \
         has not deleted `cutover catch-up` leaves one, the others stay",
    );
    act(findings, Remedy::CatchUp);
}

/// A table that is too large to search in every poll, as long as no census has done it.
fn not_searched(model: &Model, table: Table) -> Option<String> {
    let rows = model.rows(Side::Clickhouse, table)?;
    let large = rows.raw.is_some_and(|raw| raw > SEARCHED) && rows.doubled?.estimate;
    large
        .then(|| format!("{}: not searched above {} rows: `cutover census`", table.name(), grouped(SEARCHED)))
}

/// ClickHouse from 26.8 on reads the milliseconds that Langfuse up to 3.225.4 sends as seconds (langfuse#16858). Whether
/// it did in this table.
fn far_future(model: &Model, table: Table, now: Now, findings: &mut Findings) -> bool {
    let newest = model.rows(Side::Clickhouse, table).and_then(|r| r.newest);
    let Some(newest) = newest.filter(|at| now.wall.checked_add(AHEAD).is_ok_and(|limit| *at > limit)) else {
        return false;
    };
    add(
        findings,
        "times-in-the-future",
        Severity::Critical,
        format!("{} in ClickHouse has rows of a day that has not come", table.name()),
        format!("newest created_at {newest:.0}"),
        MISREAD,
    );
    true
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
