//! PostgreSQL's side: closed days counted once, proven by the relation's statistics, counted again on doubt.
//!
//! One rule: a day is closed an hour after its end by the database's clock.

mod doubt;
pub mod poll;
mod read;
pub mod sql;

use sqlx::PgConnection;

use super::book::{Bin, Bins, DAY_MS, Day, Moved, PgBook};
use crate::clients::postgres::{from_row, trouble};
use crate::domain::Trouble;
use crate::domain::backfill::Table;

pub(in crate::data) use doubt::is_chosen;
pub use read::{Scope, Span};

/// `created_at` is stamped by the client: rows may come this late.
pub const GRACE_MS: i64 = 3_600_000;

/// The table as a whole, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Names the relation.
    pub relation: String,
    /// `n_tup_ins`.
    pub inserted: i64,
    /// `n_tup_upd`.
    pub updated: i64,
    /// `n_tup_del`.
    pub deleted: i64,
    /// `reltuples`.
    pub estimate: i64,
    /// Oldest `created_at`, milliseconds.
    pub oldest: Option<i64>,
    /// Newest.
    pub newest: Option<i64>,
    /// The server's clock.
    pub now: i64,
    /// Whether movements are counted here: not on a standby, which replays them uncounted, nor with `track_counts` off.
    pub proves: bool,
    /// When the statistics began: after a crash they begin anew.
    pub life: String,
}

from_row!(Look { relation, inserted, updated, deleted, estimate, oldest, newest, now, proves, life });

impl Look {
    /// The movements.
    pub const fn moved(&self) -> Moved {
        Moved { inserted: self.inserted, updated: self.updated, deleted: self.deleted }
    }

    /// The moment of a look-up of v3's ids, which holds until rows come or go; one that never comes again where that is
    /// not counted.
    pub const fn mark(&self) -> (i64, i64) {
        if self.proves { (self.inserted, self.deleted) } else { (-self.now, -1) }
    }

    /// First day that is not closed.
    pub const fn open(&self) -> Day {
        ((self.now - GRACE_MS).div_euclid(DAY_MS)) as Day
    }
}

impl PgBook {
    /// Whether a part of a day was left out.
    pub(in crate::data::census) fn has_gap(&self, day: Day) -> bool {
        let midnight = i64::from(day) * DAY_MS;
        self.gaps.range(midnight..midnight + DAY_MS).next().is_some()
    }

    /// Forgets the gaps of days, the second not included: they are counted. Says whether there were any.
    pub(in crate::data::census) fn forget_gaps(&mut self, from: Day, to: Day) -> bool {
        let (from, to) = (i64::from(from) * DAY_MS, i64::from(to) * DAY_MS);
        let before = self.gaps.len();
        self.gaps.retain(|ms, _| !(from..to).contains(ms));
        self.gaps.len() < before
    }

    /// Rows that had not been counted are no new ones: the proof knows of them from now on.
    pub(in crate::data::census) fn found(&mut self, rows: i64) {
        if self.base_rows > 0 {
            self.base_rows = self.base_rows.saturating_add_signed(rows);
        }
    }

    /// Takes the statistics of a moment with so many rows, closed and open, for what counts are held against.
    fn rest(&mut self, look: &Look, rows: u64) {
        (self.base, self.base_rows) = (look.moved(), rows);
        self.life.clone_from(&look.life);
    }
}

/// What one pass over PostgreSQL found beside what went into the book.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// The table.
    pub look: Look,
    /// Rows of the open days, by project and day.
    pub open: Bins,
    /// Closed days that turned out to hold other counts than were remembered.
    pub corrected: Vec<Day>,
    /// Closed days that were counted again at random.
    pub rechecked: usize,
    /// Closed days whose sums of `updated_at` may be old, because the pass was bounded.
    pub stale: usize,
    /// Rows read from the table or its index in this pass.
    pub read: u64,
    /// Whether this pass counts from the beginning: nothing of it is old.
    pub anew: bool,
}

/// A session and what errors call it.
#[derive(Debug)]
pub struct Session<'c> {
    /// The session.
    pub connection: &'c mut PgConnection,
    /// "PostgreSQL langfuse@10.0.0.5:5432/langfuse".
    pub object: &'c str,
}

impl Session<'_> {
    /// Reads the table as a whole.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn look(&mut self, table: Table) -> Result<Look, Trouble> {
        sqlx::query_as(sqlx::AssertSqlSafe(sql::look(table)))
            .fetch_one(&mut *self.connection)
            .await
            .map_err(|e| trouble(self.object, &e))
    }

    /// Rows between two moments, in milliseconds; the second is not included.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn between(&mut self, table: Table, from: i64, to: i64) -> Result<u64, Trouble> {
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql::between(table)))
            .bind(from)
            .bind(to)
            .fetch_one(&mut *self.connection)
            .await
            .map_err(|e| trouble(self.object, &e))?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    /// The same, and no more than so many: they are not looked for any further.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn first(&mut self, table: Table, (from, to): (i64, i64), most: i64) -> Result<u64, Trouble> {
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql::first(table)))
            .bind(from)
            .bind(to)
            .bind(most)
            .fetch_one(&mut *self.connection)
            .await
            .map_err(|e| trouble(self.object, &e))?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    /// Rows between two moments, in milliseconds, and the sum of their `updated_at`; the second is not included.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn bin(&mut self, table: Table, from: i64, to: i64) -> Result<Bin, Trouble> {
        read::bin(self, table, (from, to)).await
    }

    /// Rows with `created_at` up to a moment, that one included: whole closed days from the book, the rest asked.
    ///
    /// # Errors
    /// A statement fails.
    pub async fn up_to(&mut self, table: Table, book: &PgBook, at: i64) -> Result<u64, Trouble> {
        let day = Day::try_from((at + 1).div_euclid(DAY_MS)).unwrap_or(Day::MAX).min(book.frontier);
        let whole: u64 = book.days.range(..day).map(|(_, d)| d.rows).sum();
        let from = i64::from(day) * DAY_MS;
        if at < from {
            return Ok(whole);
        }
        Ok(whole + self.between(table, from, at + 1).await?)
    }
}

/// Brings the book up to date and reads the open days. `run` chooses the days that are counted again.
///
/// # Errors
/// A statement fails; what was counted before it stays in the book.
pub async fn count(
    session: &mut Session<'_>,
    table: Table,
    book: &mut PgBook,
    run: u64,
    scope: &mut Scope<'_>,
) -> Result<Side, Trouble> {
    let mut side = Side { look: session.look(table).await?, ..Side::default() };
    let look = side.look.clone();
    let oldest = look.oldest.map_or(look.open(), |ms| ms.div_euclid(DAY_MS) as Day);
    if book.relation != look.relation {
        *book =
            PgBook { relation: look.relation.clone(), start: oldest, frontier: oldest, ..PgBook::default() };
        book.rest(&look, 0);
        side.anew = true;
    }
    if oldest < book.start {
        // An older row than the first: something was written into the past.
        read::read_days(session, table, book, Span { from: oldest, to: book.start }, &mut side, scope)
            .await?;
        book.start = oldest;
    }
    let open = look.open().max(oldest);
    if book.frontier < open {
        let span = Span { from: book.frontier, to: open };
        read::read_days(session, table, book, span, &mut side, scope).await?;
    }
    read::read_unread(session, table, book, &mut side, scope).await?;
    side.open =
        read::bins(session, table, Span { from: book.frontier, to: Day::MAX }, &mut side.read).await?;
    let total = book.closed_rows() + side.open.values().flat_map(|d| d.values()).map(|b| b.rows).sum::<u64>();
    doubt::settle(session, table, book, total, run, &mut side, scope).await?;
    Ok(side)
}
