//! Migrations and rows in the document.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::seconds;
use crate::cockpit::model::Model;
use crate::domain::backfill::{Side, Table};
use crate::domain::units::Count;

/// A count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CountReport {
    /// How many.
    pub value: u64,
    /// Whether it is only an estimate.
    pub estimate: bool,
}

impl From<Count> for CountReport {
    fn from(c: Count) -> Self {
        Self { value: c.value, estimate: c.estimate }
    }
}

/// One row of `background_migrations`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MigrationReport {
    /// Its name.
    pub name: String,
    /// "queued", "running", "stalled", "failed", "finished", "dormant".
    pub state: &'static str,
    /// Everything newer than this is copied.
    pub cursor: Option<Timestamp>,
    /// Age of its lock, by the database's clock.
    pub lock_age_seconds: Option<f64>,
    /// The worker that claimed it.
    pub worker: Option<String>,
    /// Why it failed.
    pub failed_reason: Option<String>,
    /// Rows a batch.
    pub batch_size: Option<u64>,
    /// When it finished.
    pub finished_at: Option<Timestamp>,
}

/// One table on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TableReport {
    /// Its name.
    pub table: &'static str,
    /// Rows in PostgreSQL.
    pub postgres: Option<CountReport>,
    /// Live entities in ClickHouse.
    pub clickhouse: Option<CountReport>,
    /// Raw rows in ClickHouse, before merging.
    pub clickhouse_raw: Option<u64>,
    /// Rows the backfill has to copy.
    pub to_copy: Option<CountReport>,
    /// Of those, surely copied.
    pub copied: Option<CountReport>,
    /// Share copied, per cent.
    pub percent: Option<f64>,
    /// Rows a second.
    pub rows_per_second: Option<f64>,
    /// Time to go at that rate.
    pub eta_seconds: Option<f64>,
    /// Rows v2 wrote after T0: nobody copies them.
    pub stranded: Option<CountReport>,
    /// Rows copied and then changed in v2, as the last census or catch-up counted them: nobody copies them again.
    pub changed: Option<CountReport>,
    /// When that was.
    pub changed_at: Option<Timestamp>,
    /// Entities that v3 wrote and v2 cannot see.
    pub v3_only: Option<CountReport>,
    /// Entities that v3 wrote and PostgreSQL has as well: v2 may have them older.
    pub shared: Option<CountReport>,
    /// Live rows in ClickHouse beside the newest of their id, on another day.
    pub doubled: Option<CountReport>,
    /// The newest `created_at` that the backfill covers.
    pub t0: Option<Timestamp>,
    /// Size of the tie group at the cursor when the cursor cannot pass it; 100 000 is that many or more.
    pub tie_group: Option<u64>,
}

/// All migrations, when they were read.
pub(super) fn migrations(model: &Model) -> Option<Vec<MigrationReport>> {
    let all = model.facts.migrations.value()?;
    let report = |m: &crate::domain::backfill::Migration| MigrationReport {
        name: m.name.clone(),
        state: m.state.word(),
        cursor: m.cursor,
        lock_age_seconds: m.lock_age.map(seconds),
        worker: m.worker.clone(),
        failed_reason: m.failed_reason.clone(),
        batch_size: m.batch_size,
        finished_at: m.finished_at,
    };
    Some(all.iter().map(report).collect())
}

/// The tables, whether or not they were counted.
pub(super) fn tables(model: &Model) -> Vec<TableReport> {
    model.tables().into_iter().map(|t| table(model, t)).collect()
}

fn table(model: &Model, table: Table) -> TableReport {
    let postgres = model.rows(Side::Postgres, table);
    let clickhouse = model.rows(Side::Clickhouse, table);
    let progress = model.progress(table);
    let count = |c: Option<Count>| c.map(CountReport::from);
    TableReport {
        table: table.name(),
        postgres: count(postgres.and_then(|r| r.rows)),
        clickhouse: count(clickhouse.and_then(|r| r.rows)),
        clickhouse_raw: clickhouse.and_then(|r| r.raw),
        to_copy: count(postgres.and_then(|r| r.backfill)),
        copied: count(postgres.and_then(|r| r.done)),
        percent: progress.share.map(|s| (s * 1e4).round() / 1e2),
        rows_per_second: progress.rate,
        eta_seconds: progress.eta.map(seconds),
        stranded: count(postgres.and_then(|r| r.stranded)),
        changed: count(postgres.and_then(|r| r.changed).map(|(rows, _)| rows)),
        changed_at: postgres.and_then(|r| r.changed).map(|(_, at)| at),
        v3_only: count(clickhouse.and_then(|r| r.v3_only)),
        shared: count(clickhouse.and_then(|r| r.shared)),
        doubled: count(clickhouse.and_then(|r| r.doubled)),
        t0: postgres.and_then(|r| r.t0),
        tie_group: model.tie_group(table),
    }
}
