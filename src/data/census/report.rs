//! What a census says, as plain data with a stable shape.
//!
//! One rule: what could not be counted exactly says so in its number.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Serialize;

use super::book::Day;
use crate::domain::units::Count;

/// Which part of the counts is reported. Counting is always of the whole: what was counted is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Just this project.
    pub project: Option<String>,
    /// First day of `created_at`, UTC.
    pub from: Option<Day>,
    /// Last day, included.
    pub to: Option<Day>,
}

impl Filter {
    /// Whether a project's day belongs to it.
    pub fn takes(&self, project: &str, day: Day) -> bool {
        self.project(project)
            && self.from.is_none_or(|from| day >= from)
            && self.to.is_none_or(|to| day <= to)
    }

    /// Whether a project belongs to it.
    pub fn project(&self, project: &str) -> bool {
        self.project.as_deref().is_none_or(|p| p == project)
    }
}

/// The day of a civil date.
pub fn day(date: Date) -> Day {
    let since = jiff::civil::date(1970, 1, 1).until(date);
    since.map_or(0, |span| span.get_days())
}

/// The civil date of a day; the last one of the calendar for what lies beyond it.
pub fn date(day: Day) -> Date {
    let span = jiff::Span::new().try_days(day);
    span.and_then(|days| jiff::civil::date(1970, 1, 1).checked_add(days)).unwrap_or(Date::MAX)
}

/// A number of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Number {
    /// How many.
    pub value: u64,
    /// Whether it is only an estimate.
    pub estimate: bool,
}

impl Number {
    /// Counted.
    pub const fn exact(value: u64) -> Self {
        Self { value, estimate: false }
    }
}

impl From<Number> for Count {
    fn from(n: Number) -> Self {
        Self { value: n.value, estimate: n.estimate }
    }
}

/// The whole document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Report {
    /// Of this document: 1.
    pub version: u32,
    /// When it was counted.
    pub at: jiff::Timestamp,
    /// In the order of the migrations.
    pub tables: Vec<TableReport>,
    /// Whether nothing is missing and nothing is stranded, and all that says so was read.
    pub equal: bool,
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TableReport {
    /// Its name in PostgreSQL.
    pub table: &'static str,
    /// Whether this v3 has it in ClickHouse; run items stay in PostgreSQL until v3.98.
    pub in_clickhouse: bool,
    /// The newest `created_at` that a copy covers.
    pub t0: Option<jiff::Timestamp>,
    /// Rows in PostgreSQL that belong into ClickHouse.
    pub postgres: Number,
    /// Live entities in ClickHouse: each id of a project once.
    pub clickhouse: Number,
    /// Of those, written by the copy.
    pub copied: Number,
    /// Of those, written by v3 and also in PostgreSQL: fields of v2 may be hidden.
    pub shared: Number,
    /// Of those, only v3 has: a way back to v2 leaves them behind.
    pub v3_only: Number,
    /// Rows of PostgreSQL that are not in ClickHouse.
    pub missing: Number,
    /// Of those, created after T0: no copy comes for them by itself.
    pub after_t0: Number,
    /// Copied, and updated in v2 since.
    pub changed: Number,
    /// Copied, and deleted in v2 since.
    pub gone: Number,
    /// Deleted in v3 and still in PostgreSQL.
    pub deleted_in_v3: Number,
    /// Entities whose newest version in ClickHouse is a deletion; of all days, whatever days were asked for.
    pub tombstones: u64,
    /// Rows that ClickHouse will merge away: the same sorting key again; of all days.
    pub duplicates_by_key: u64,
    /// Rows that it never merges: the same id with another day, type or name; of all days.
    pub duplicates_by_id: Number,
    /// Rows in ClickHouse before merging; of all days.
    pub raw: u64,
    /// Projects' days that differ, oldest first.
    pub days: Vec<DayReport>,
    /// How the counts came about.
    pub proof: Proof,
}

impl TableReport {
    /// Whether rows are missing or stranded.
    pub const fn differs(&self) -> bool {
        self.in_clickhouse && (self.missing.value > 0 || self.changed.value > 0)
    }

    /// Whether all that could be missing or stranded was read in this run or before: an estimate of nothing is not
    /// nothing.
    pub const fn is_proven(&self) -> bool {
        !self.in_clickhouse || !(self.missing.estimate || self.changed.estimate)
    }
}

/// A project's day of `created_at` that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DayReport {
    /// The project.
    pub project: String,
    /// The day, UTC.
    #[schemars(with = "String")]
    pub day: Date,
    /// Rows in PostgreSQL.
    pub postgres: u64,
    /// Copied.
    pub copied: u64,
    /// Written by v3, and in PostgreSQL.
    pub shared: u64,
    /// Only v3 has them; the day is ClickHouse's.
    pub v3_only: u64,
    /// Not in ClickHouse.
    pub missing: u64,
    /// Of those, created after T0.
    pub after_t0: u64,
    /// Updated in v2 after they were copied.
    pub changed: u64,
    /// Copied, and deleted in v2 since.
    pub gone: u64,
    /// Deleted in v3, and still in PostgreSQL.
    pub deleted_in_v3: u64,
    /// Whether the ids were compared; otherwise only the counts.
    pub by_id: bool,
}

/// How the counts came about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Proof {
    /// Closed days of PostgreSQL that are remembered.
    pub closed_days: usize,
    /// Of those, counted again at random in this run.
    pub rechecked_days: usize,
    /// Of those, found to hold another count than was remembered.
    pub corrected_days: usize,
    /// Of those, with rows that may have been updated since they were read.
    pub stale_days: usize,
    /// Rows that PostgreSQL read for this run, in tables and indexes.
    pub postgres_rows_read: u64,
    /// Projects' days of ClickHouse that are remembered.
    pub units: usize,
    /// Of those, counted in this run.
    pub counted_units: usize,
    /// Rows that ClickHouse read for this run.
    pub clickhouse_rows_read: u64,
    /// Ids that v3 wrote and that were not looked up: v3-only is an estimate.
    pub not_looked_up: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates() {
        assert_eq!(day(jiff::civil::date(2024, 10, 24)), 20_020);
        assert_eq!(date(20_020), jiff::civil::date(2024, 10, 24));
        assert_eq!((date(-1), day(date(-1))), (jiff::civil::date(1969, 12, 31), -1));
        assert_eq!(date(Day::MAX), Date::MAX);
    }
}
