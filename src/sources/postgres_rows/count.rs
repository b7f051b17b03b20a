//! The counting of one table: a frontier that moves through time, and sums below and above it.
//!
//! One rule: a stretch is closed an hour after its end by the database's clock, and counted once.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::sql::{self, Statements};
use crate::clients::postgres::{Postgres, from_row};
use crate::domain::backfill::Table;
use crate::domain::units::Count;
use crate::domain::{Kind, Trouble};
use crate::sources::ledger::{Bucket, Counted, Ledger};

/// `created_at` is stamped by the client: rows may come this late.
const GRACE_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// Deletions make what was counted too high; it is counted again, and not more often than this.
const AGAIN: Duration = Duration::from_mins(10);
/// Rows that a stretch should hold: its end moves so that no single count is long.
const GOOD: std::ops::RangeInclusive<u64> = 50_000..=400_000;

/// The table as a whole.
#[derive(Debug, Clone)]
pub(super) struct Size {
    pub(super) relation: String,
    pub(super) deleted: i64,
    pub(super) estimate: i64,
    pub(super) oldest: Option<i64>,
    pub(super) newest: Option<i64>,
    pub(super) now: i64,
}

from_row!(Size { relation, deleted, estimate, oldest, newest, now });

/// All rows, and how they came about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Total {
    pub(super) count: Count,
    /// Rows from the frontier on, once everything before it is counted.
    tail: Option<u64>,
}

/// One table's counting.
#[derive(Debug)]
pub(super) struct Counting {
    table: Table,
    statements: &'static Statements,
    counted: Counted,
    /// How far the next stretch reaches.
    step: i64,
    /// Everything that is closed is counted.
    caught_up: bool,
    /// Rows were deleted since, so that sums are only estimates.
    worn: bool,
    begun: Option<Instant>,
    /// Sums that were asked for and cannot change any more: rows up to a moment.
    below: Option<(i64, u64)>,
    below_t0: Option<(i64, u64)>,
    ties: Option<(i64, u64)>,
}

impl Counting {
    pub(super) fn new(table: Table) -> Self {
        Self {
            table,
            statements: sql::of(table),
            counted: Counted::default(),
            step: DAY_MS,
            caught_up: false,
            worn: false,
            begun: None,
            below: None,
            below_t0: None,
            ties: None,
        }
    }

    pub(super) const fn table(&self) -> Table {
        self.table
    }

    /// Reads the size, and starts anew when the table is another one, or when rows were deleted from it.
    pub(super) async fn look(&mut self, pg: &Postgres, ledger: &Ledger) -> Result<Size, Trouble> {
        let size: Size = match sqlx::query_as(self.statements.look).fetch_one(&pg.pool).await {
            Ok(size) => size,
            Err(error) => return Err(pg.trouble(&error).await),
        };
        if self.counted.relation.is_empty() {
            self.counted = ledger.counted(self.table, &size.relation).unwrap_or_default();
        }
        let same = self.counted.relation == size.relation;
        // An older row than the first: something was written back into the past.
        let older = size.oldest.is_some_and(|oldest| oldest < self.counted.start);
        self.worn = same && self.counted.deleted != size.deleted;
        let rested = self.begun.is_none_or(|begun| begun.elapsed() > AGAIN);
        if !same || older || (self.worn && rested) {
            self.start_anew(&size);
            ledger.set_counted(self.table, self.counted.clone());
        }
        Ok(size)
    }

    fn start_anew(&mut self, size: &Size) {
        self.counted = Counted {
            relation: size.relation.clone(),
            deleted: size.deleted,
            start: size.oldest.unwrap_or(size.now),
            buckets: Vec::new(),
        };
        self.begun = Some(Instant::now());
        self.worn = false;
        (self.below, self.below_t0, self.ties) = (None, None, None);
    }

    /// Counts closed stretches, the oldest first, until they are all counted or the time is up.
    pub(super) async fn advance(
        &mut self,
        pg: &Postgres,
        ledger: &Ledger,
        size: &Size,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        let end = (size.now - GRACE_MS).div_euclid(GRACE_MS) * GRACE_MS;
        let before = self.counted.buckets.len();
        while self.counted.frontier() < end && Instant::now() < deadline {
            let from = self.counted.frontier();
            let to = (from + self.step).min(end);
            let begun = Instant::now();
            match self.between(pg, from, to).await {
                Ok(rows) => {
                    self.counted.buckets.push(Bucket { end: to, rows });
                    self.pace(rows, begun.elapsed());
                }
                // Too much for one statement: a shorter stretch next time.
                Err(trouble) if trouble.kind == Kind::Timeout && self.step > 60_000 => {
                    self.step = (self.step / 8).max(60_000);
                    break;
                }
                Err(trouble) => return Err(trouble),
            }
        }
        self.caught_up = self.counted.frontier() >= end;
        if self.counted.buckets.len() != before {
            ledger.set_counted(self.table, self.counted.clone());
        }
        Ok(())
    }

    fn pace(&mut self, rows: u64, took: Duration) {
        if rows > *GOOD.end() || took > Duration::from_millis(700) {
            self.step = (self.step / 2).max(60_000);
        } else if rows < *GOOD.start() && took < Duration::from_millis(200) {
            self.step = (self.step * 2).min(DAY_MS * 32);
        }
    }

    /// All rows. Until the frontier has come to the present, the planner's estimate.
    pub(super) async fn total(&self, pg: &Postgres, size: &Size) -> Result<Total, Trouble> {
        if !self.caught_up {
            let known = self.counted.total();
            let estimate = u64::try_from(size.estimate).unwrap_or(0).max(known);
            return Ok(Total { count: Count::about(estimate), tail: None });
        }
        let tail = self.scalar(pg, self.statements.since, &[self.counted.frontier()]).await?;
        Ok(Total { count: self.sum(self.counted.total() + tail), tail: Some(tail) })
    }

    /// Rows with `created_at` up to a moment, that one included; `None` until the counting has come so far.
    pub(super) async fn up_to(
        &mut self,
        pg: &Postgres,
        at: Timestamp,
        total: &Total,
    ) -> Result<Option<Count>, Trouble> {
        let after = at.as_millisecond() + 1;
        for known in [self.below, self.below_t0].into_iter().flatten() {
            if known.0 == after {
                return Ok(Some(self.sum(known.1)));
            }
        }
        let frontier = self.counted.frontier();
        if after > frontier && total.tail.is_none() {
            return Ok(None);
        }
        let (whole, from) = self.counted.before(after);
        let rest = if from < after { self.between(pg, from, after).await? } else { 0 };
        let rows = whole + rest;
        if after <= frontier {
            // Two moments are asked for again and again: T0 and the cursor.
            (self.below_t0, self.below) = (self.below.or(self.below_t0), Some((after, rows)));
        }
        Ok(Some(self.sum(rows)))
    }

    /// Rows that share the cursor's `created_at`.
    pub(super) async fn ties(&mut self, pg: &Postgres, cursor: Timestamp) -> Result<Option<u64>, Trouble> {
        let at = cursor.as_millisecond();
        if let Some((_, rows)) = self.ties.filter(|(known, _)| *known == at) {
            return Ok(Some(rows));
        }
        let rows = self.scalar(pg, self.statements.at, &[at]).await?;
        self.ties = Some((at, rows));
        Ok(Some(rows))
    }

    const fn sum(&self, value: u64) -> Count {
        Count { value, estimate: self.worn }
    }

    async fn between(&self, pg: &Postgres, from: i64, to: i64) -> Result<u64, Trouble> {
        self.scalar(pg, self.statements.between, &[from, to]).await
    }

    async fn scalar(&self, pg: &Postgres, statement: &'static str, bounds: &[i64]) -> Result<u64, Trouble> {
        let mut query = sqlx::query_scalar::<_, i64>(statement);
        for bound in bounds {
            query = query.bind(*bound);
        }
        match query.fetch_one(&pg.pool).await {
            Ok(rows) => Ok(u64::try_from(rows).unwrap_or(0)),
            Err(error) => Err(pg.trouble(&error).await),
        }
    }
}
