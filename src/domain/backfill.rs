//! The background migrations of Langfuse and the rows they move.

use std::time::Duration;

use jiff::Timestamp;

use super::units::{Count, grouped};
use super::verified::Verified;

/// The migration that writes the costs of observations, which are then copied: the worker alone carries it out.
pub const COST: &str = "20241024_1216_add_generations_cost_backfill";

/// The tables whose history moves from PostgreSQL to ClickHouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// `traces`.
    Traces,
    /// `observations`.
    Observations,
    /// `scores`.
    Scores,
    /// `dataset_run_items`; in ClickHouse from v3.98 on, as `dataset_run_items_rmt`.
    DatasetRunItems,
}

impl Table {
    /// In the order of their migrations.
    pub const ALL: [Self; 4] = [Self::Traces, Self::Observations, Self::Scores, Self::DatasetRunItems];
    /// Those that every v3 moves.
    pub const BACKFILLED: [Self; 3] = [Self::Traces, Self::Observations, Self::Scores];

    /// Those that move where these migrations stand: run items do from v3.98 on, and stay in PostgreSQL before.
    pub fn moving(migrations: &[Migration]) -> Vec<Self> {
        let listed = |table: &Self| migrations.iter().any(|m| m.name == table.migration());
        Self::ALL.into_iter().filter(|table| Self::BACKFILLED.contains(table) || listed(table)).collect()
    }

    /// The table's name in PostgreSQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Observations => "observations",
            Self::Scores => "scores",
            Self::DatasetRunItems => "dataset_run_items",
        }
    }

    /// The name for a narrow column.
    pub const fn short(self) -> &'static str {
        match self {
            Self::DatasetRunItems => "run items",
            other => other.name(),
        }
    }

    /// The name of the migration that copies it (Langfuse v2.95's own Prisma migrations insert these rows).
    pub const fn migration(self) -> &'static str {
        match self {
            Self::Traces => "20241024_1730_migrate_traces_from_pg_to_ch",
            Self::Observations => "20241024_1737_migrate_observations_from_pg_to_ch",
            Self::Scores => "20241024_1738_migrate_scores_from_pg_to_ch",
            Self::DatasetRunItems => "20250814_1001_migrate_dataset_run_items_rmt_pg_to_ch",
        }
    }
}

/// `batchSize` of the copying migrations where their row does not say: 5000 until v3.34, 1000 since (langfuse.md 0, 1.3).
/// `None` for a tag that names no release.
pub fn default_batch(tag: &str) -> Option<u64> {
    let mut numbers = tag.trim_start_matches('v').split('.').map_while(|n| n.parse::<u32>().ok());
    let release = (numbers.next()?, numbers.next()?);
    Some(if release < (3, 35) { 5_000 } else { SMALLEST_BATCH })
}

/// The smallest default of any version.
pub const SMALLEST_BATCH: u64 = 1_000;

/// What the `worker_id` of a copy by this program begins with; Langfuse's workers write a bare UUID (langfuse.md 1.1).
pub const OURS: &str = "cutover-";

/// What Langfuse's own screen cannot tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MigrationState {
    /// Nobody has claimed it.
    Queued,
    /// Locked, and the lock is younger than 90 s.
    Running,
    /// Claimed, not finished, and the lock is older than 90 s or gone: nobody works on it.
    Stalled,
    /// `failed_at` is set.
    Failed,
    /// `finished_at` is set.
    Finished,
    /// Gated by an environment variable that is not set: not to be counted as pending.
    Dormant,
}

impl MigrationState {
    /// The word on screen.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Stalled => "stalled",
            Self::Failed => "failed",
            Self::Finished => "finished",
            Self::Dormant => "dormant",
        }
    }
}

/// One row of `background_migrations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its name, the order of execution.
    pub name: String,
    /// What it does now.
    pub state: MigrationState,
    /// `state.maxDate`: everything newer is copied.
    pub cursor: Option<Timestamp>,
    /// Age of the lock by the database's own clock.
    pub lock_age: Option<Duration>,
    /// Id of the process that claimed it: random, with [`OURS`] before it when that was a copy of this program.
    pub worker: Option<String>,
    /// Why it failed, cleaned.
    pub failed_reason: Option<String>,
    /// `args.batchSize`, when set.
    pub batch_size: Option<u64>,
    /// When it finished.
    pub finished_at: Option<Timestamp>,
}

impl Migration {
    /// Whether a copy of this program is at work on it. It takes a group of rows with one `created_at` as one, and its
    /// cursor stands still meanwhile.
    pub fn is_being_copied_by_us(&self) -> bool {
        self.state == MigrationState::Running && self.worker.as_deref().is_some_and(|w| w.starts_with(OURS))
    }
}

/// Which database counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// PostgreSQL, the v2 side.
    Postgres,
    /// ClickHouse, the v3 side.
    Clickhouse,
}

/// Row counts of one table on one side. What could not be read is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRows {
    /// The table.
    pub table: Table,
    /// All rows (PostgreSQL), or live entities: distinct ids not deleted (ClickHouse).
    pub rows: Option<Count>,
    /// PostgreSQL: rows with `created_at` up to T0: what the backfill has to copy.
    /// ClickHouse: rows that the backfill wrote (`event_ts` = `timestamp` or `start_time`).
    pub backfill: Option<Count>,
    /// PostgreSQL: of those, rows newer than the cursor: surely copied. ClickHouse: `None`.
    pub done: Option<Count>,
    /// PostgreSQL: rows that v2 wrote after T0; nobody copies them. ClickHouse: `None`.
    pub stranded: Option<Count>,
    /// PostgreSQL: rows that were copied and then changed in v2, and when a census or catch-up counted them: nobody copies
    /// them again. ClickHouse: `None`.
    pub changed: Option<(Count, Timestamp)>,
    /// ClickHouse: entities that v3 wrote and v2 cannot see. PostgreSQL: `None`.
    pub v3_only: Option<Count>,
    /// ClickHouse: entities that v3 wrote and PostgreSQL has as well: v2 may have them older. PostgreSQL: `None`.
    pub shared: Option<Count>,
    /// ClickHouse: live rows beside the newest of their id, on another day: no merge takes them away. PostgreSQL: `None`.
    pub doubled: Option<Count>,
    /// Raw rows before merging (ClickHouse): grows while ids do not when a cursor is frozen.
    pub raw: Option<u64>,
    /// Newest `created_at` on this side.
    pub newest: Option<Timestamp>,
    /// T0 as far as it is known.
    pub t0: Option<Timestamp>,
    /// Size of the tie group at the cursor, when it is as large as a batch may be: whether the cursor cannot pass it
    /// depends on the worker's version, where its row does not say the batch size. [`MOST_TIED`] is that many or more.
    pub tie_group: Option<u64>,
}

/// Rows of a moment that are counted where there are too many for one statement: more than any batch holds.
pub const MOST_TIED: u64 = 100_000;

/// The size of a tie group in words: "400", "at least 100 000".
pub fn tied(size: u64) -> String {
    format!("{}{}", if size == MOST_TIED { "at least " } else { "" }, grouped(size))
}

impl TableRows {
    /// A table of which nothing was read yet.
    pub const fn unread(table: Table) -> Self {
        Self {
            table,
            rows: None,
            backfill: None,
            done: None,
            stranded: None,
            changed: None,
            v3_only: None,
            shared: None,
            doubled: None,
            raw: None,
            newest: None,
            t0: None,
            tie_group: None,
        }
    }

    /// The same as an estimate: nobody knows what has come since.
    #[must_use]
    pub fn of_before(mut self) -> Self {
        let counts = [&mut self.rows, &mut self.backfill, &mut self.done, &mut self.stranded];
        for count in counts.into_iter().flatten() {
            count.estimate = true;
        }
        self
    }
}

/// Row counts of one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsFact {
    /// Who counted.
    pub side: Side,
    /// In the order of [`Table::BACKFILLED`].
    pub tables: Vec<TableRows>,
    /// PostgreSQL: the last comparisons with ClickHouse, of `cutover verify`. ClickHouse: none.
    pub verified: Vec<Verified>,
}

/// Where the backfill of one table stands; computed from both sides and the migration row.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Share done, 0..=1.
    pub share: Option<f64>,
    /// Rows a second, over rows and not over dates.
    pub rate: Option<f64>,
    /// Time to go at that rate.
    pub eta: Option<Duration>,
}
