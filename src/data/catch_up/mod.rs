//! What the forward copy leaves behind, found and copied: rows that came later, rows that v2 changed after they were
//! copied, rows that v3 overwrote with a part of themselves.
//!
//! One rule: a row is read again on both sides right before it is written, and is written one millisecond newer than
//! what was read; what v3 writes at the same time is newer still and wins. Whatever that leaves is found next time.
//!
//! How it walks: `strays` lists what v3 has under two times; `window` compares both sides stretch by stretch of the
//! business time and names candidates; `mend` reads those whole; [`merge`] says what becomes of each.

mod mend;
pub mod merge;
mod run;
mod strays;
mod window;

pub use run::{Options, table};

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::data::backfill::Rejects;
use crate::data::rows::{Key, Rejected};
use crate::domain::Trouble;
use crate::domain::backfill::Table;

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// v3 does not have it: created after the copy began, or passed over by it.
    Missing,
    /// Copied, and changed in v2 since.
    Stale,
    /// v3 wrote it without knowing the whole: fields that v2 has are empty.
    Overwritten,
    /// Its time changed, or what v3 sorts it by: v3 has it under an older one as well, and would show it twice.
    Twice,
}

impl Class {
    /// All, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Missing, Self::Stale, Self::Overwritten, Self::Twice];

    /// The word in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::Overwritten => "overwritten",
            Self::Twice => "twice",
        }
    }

    /// What it means.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Missing => "in v2 and not in v3",
            Self::Stale => "changed in v2 after it was copied",
            Self::Overwritten => "written by v3 without the fields that v2 has",
            Self::Twice => "in v3 under another time, type or name as well",
        }
    }
}

/// One row to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Whose row.
    pub key: Key,
    /// The columns that differ.
    pub columns: Vec<&'static str>,
}

/// What was found in one table, and what was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Rows of v2 that were looked at.
    pub looked_at: u64,
    /// By class.
    pub counts: BTreeMap<Class, u64>,
    /// A few of each.
    pub examples: BTreeMap<Class, Vec<Example>>,
    /// Rows written to ClickHouse, tombstones of older places not counted.
    pub written: u64,
    /// Rows that were found and left: v3 wrote them while they were to be written, and the next run finds them again.
    pub left: u64,
    /// Rows that v3 has deleted: left alone.
    pub deleted_in_v3: u64,
    /// Rows of projects that are gone or being deleted, which v3 lacks or has otherwise: left alone.
    pub project_gone: u64,
    /// Rows that cannot be converted: the first few, and how many.
    pub rejected: Vec<Rejected>,
    /// How many.
    pub rejected_count: u64,
    /// Those that are not listed yet.
    unlisted: Vec<Rejected>,
    /// Every row of v2 created up to this moment, in milliseconds, was looked at.
    pub until: i64,
    /// Rows up to this moment only, in milliseconds, wait for the backfill and were left to it.
    pub left_to_backfill: Option<i64>,
}

/// Examples that are kept of each class, and rejected rows.
const SHOWN: usize = 10;

impl Found {
    /// Rows that are not as they should be.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    fn note(&mut self, class: Class, key: &Key, columns: Vec<&'static str>) {
        *self.counts.entry(class).or_default() += 1;
        let examples = self.examples.entry(class).or_default();
        if examples.len() < SHOWN {
            examples.push(Example { key: key.clone(), columns });
        }
    }

    fn reject(&mut self, rejected: Rejected) {
        self.rejected_count += 1;
        if self.rejected.len() < SHOWN {
            self.rejected.push(rejected.clone());
        }
        self.unlisted.push(rejected);
    }

    fn list(&mut self, table: Table, rejects: &mut dyn Rejects) -> Result<(), Trouble> {
        let rejected = std::mem::take(&mut self.unlisted);
        if rejected.is_empty() { Ok(()) } else { rejects.write(table, &rejected) }
    }
}

/// A list of rejected rows that nobody keeps.
#[derive(Debug, Clone, Copy)]
pub struct Unlisted;

impl Rejects for Unlisted {
    fn write(&mut self, _: Table, _: &[Rejected]) -> Result<(), Trouble> {
        Ok(())
    }
}

/// How far a look is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows of v2 looked at.
    pub looked_at: u64,
    /// Rows to be mended so far.
    pub found: u64,
    /// Rows written so far.
    pub written: u64,
}

/// Shared with whoever prints it.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Progress>);

impl Watch {
    /// How far it is.
    pub fn read(&self) -> Progress {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn tell(&self, found: &Found) {
        let now = Progress { looked_at: found.looked_at, found: found.total(), written: found.written };
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = now;
    }
}
