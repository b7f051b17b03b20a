//! The forward copy: PostgreSQL to ClickHouse, by the protocol of Langfuse's own worker, several ranges at once.
//!
//! One rule: the cursor in `background_migrations` is true at every instant. Whoever takes over, a worker of Langfuse or
//! this program, goes on from it and loses nothing.
//!
//! How it walks: [`range`] finds stretches of `created_at`, newest first; several `copy` jobs stream one each, binary
//! COPY in, `Native` blocks out; `frontier` says how far they reach without a gap, and the cursor follows; `heart` keeps
//! the lock, and whoever loses it stops at once.

mod begin;
mod copy;
mod cost;
mod deleted;
mod frontier;
mod halt;
mod heart;
mod line;
pub mod range;
mod run;
pub mod survey;
mod throttle;

pub use begin::{Begun, begin, could_begin};
pub use copy::insert;
pub use halt::Halt;
pub use run::copy_table;
pub use throttle::may_see_load;

use std::sync::Mutex;
use std::time::Duration;

use crate::clients::work::{ClickhouseWork, PostgresWork};
use crate::data::rows::Rejected;
use crate::domain::Trouble;
use crate::domain::backfill::Table;

/// A row may be committed so long after v2 stamped it, in milliseconds: a look that saw a moment's rows may have missed
/// one of them until then.
pub const IN_FLIGHT_MS: i64 = 30_000;

/// Both databases, opened for writing.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Where the rows are.
    pub pg: PostgresWork,
    /// Where they go.
    pub ch: ClickhouseWork,
}

/// How the copy works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Ranges at once, at least 1.
    pub jobs: usize,
    /// Rows a second at most.
    pub rate: Option<f64>,
    /// Pauses while either database has more than so many other statements at work.
    pub max_load: Option<u32>,
    /// Rows of one insert.
    pub block_rows: u64,
    /// Bytes of one insert, before compression.
    pub block_bytes: usize,
    /// How long a database may be away, or refuse, before the copy is given up.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            jobs: 3,
            rate: None,
            max_load: None,
            block_rows: 50_000,
            block_bytes: 32 << 20,
            patience: Duration::from_secs(180),
        }
    }
}

/// Bytes of one range, about.
const RANGE_BYTES: u64 = 64 << 20;
/// Rows of the first range, before anything is known of them.
const FIRST: u64 = 5_000;

impl Options {
    /// Rows of the next range: as many as one insert holds; fewer where rows are big, where slow is asked for, and
    /// towards the end, so that all jobs end together.
    fn range_rows(&self, seen: &Progress) -> u64 {
        let most = match self.rate {
            Some(rate) => self.block_rows.min((rate * 2.0) as u64),
            None => self.block_rows,
        };
        let left = seen.total.map_or(u64::MAX, |total| total.saturating_sub(seen.passed()));
        let share = (left / (4 * self.jobs.max(1) as u64)).max(FIRST);
        let fit = match seen.rows {
            0 => FIRST,
            rows => RANGE_BYTES.saturating_mul(rows) / seen.bytes.max(1),
        };
        fit.min(share).clamp(1, most.max(1))
    }
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows there were to copy when it began; unknown until they are counted.
    pub total: Option<u64>,
    /// Rows copied by this run.
    pub rows: u64,
    /// Their bytes as ClickHouse was sent them, before compression.
    pub bytes: u64,
    /// Rows that could not be converted.
    pub rejected: u64,
    /// Rows that v3's users have deleted since, and that were left out.
    pub deleted: u64,
    /// Attempts at a range that failed and were made again.
    pub retries: u64,
    /// Everything newer than this, in milliseconds, is copied.
    pub cursor: Option<i64>,
    /// Why it waits, if it does.
    pub waiting: Option<Wait>,
}

impl Progress {
    /// Rows that need not be looked at again: copied or not.
    pub const fn passed(&self) -> u64 {
        self.rows + self.rejected + self.deleted
    }
}

/// Why a copy waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For the rate that was asked for.
    Rate,
    /// One of the databases is busy with others.
    Load,
    /// ClickHouse has more parts than it has merged.
    Parts,
    /// A database is away, or refused; tried again.
    Trouble,
}

/// What a copy tells while it runs; shared with whoever prints it.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Progress>);

impl Watch {
    /// How far it is.
    pub fn read(&self) -> Progress {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

/// Where rows that cannot be converted are written down before the cursor passes them.
pub trait Rejects: Send {
    /// Writes them down, durably.
    ///
    /// # Errors
    /// They cannot be written: the copy stops, for its cursor would pass them untold.
    fn write(&mut self, table: Table, rejected: &[Rejected]) -> Result<(), Trouble>;
}
