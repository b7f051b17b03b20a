//! Reading days: in stretches whose length follows the rows, so that no statement is long.
//!
//! One rule: what a statement read goes into the book at once, and the frontier with it.

use std::collections::BTreeMap;

use super::super::book::{Bin, Bins, DAY_MS, Day, PgBook, PgDay};
use super::{Session, Side, sql};
use crate::clients::postgres::{from_row, trouble};
use crate::domain::Trouble;
use crate::domain::backfill::Table;

/// Rows that one statement should read.
const GOOD: u64 = 200_000;
/// Days that one statement may span.
const LONGEST: Day = 512;

/// After every moment that PostgreSQL can hold (the year 294276), in milliseconds.
pub(super) const FOREVER: i64 = 9_000_000_000_000_000;

/// Days, the last one not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First day.
    pub from: Day,
    /// Day after the last.
    pub to: Day,
}

impl Span {
    /// In milliseconds; an end in the far future stands for "all that follows".
    pub fn ms(self) -> (i64, i64) {
        let end = if self.to == Day::MAX { FOREVER } else { i64::from(self.to) * DAY_MS };
        (i64::from(self.from) * DAY_MS, end)
    }
}

/// How far a pass goes, and who is told.
pub struct Scope<'a> {
    /// Rows that may be read again because rows were updated.
    pub reread: u64,
    /// Told of rows read so far.
    pub progress: &'a mut (dyn FnMut(u64) + Send),
}

#[derive(Debug)]
struct Line {
    project: String,
    day: i32,
    rows: i64,
    updated: i64,
}

from_row!(Line { project, day, rows, updated });

#[derive(Debug)]
struct Total {
    day: i32,
    rows: i64,
}

from_row!(Total { day, rows });

/// Rows per project and day.
pub(super) async fn bins(
    session: &mut Session<'_>,
    table: Table,
    span: Span,
    read: &mut u64,
) -> Result<Bins, Trouble> {
    let mut bins = Bins::new();
    for line in lines(session, table, span.ms()).await? {
        let bin = Bin { rows: u64::try_from(line.rows).unwrap_or(0), updated: line.updated };
        *read += bin.rows;
        bins.entry(line.project).or_default().entry(line.day).or_default().add(bin);
    }
    Ok(bins)
}

/// Rows between two moments in milliseconds, the second not included, and the sum of their `updated_at`.
pub(super) async fn bin(session: &mut Session<'_>, table: Table, ms: (i64, i64)) -> Result<Bin, Trouble> {
    let mut all = Bin::default();
    for line in lines(session, table, ms).await? {
        all.add(Bin { rows: u64::try_from(line.rows).unwrap_or(0), updated: line.updated });
    }
    Ok(all)
}

async fn lines(
    session: &mut Session<'_>,
    table: Table,
    (from, to): (i64, i64),
) -> Result<Vec<Line>, Trouble> {
    sqlx::query_as(sqlx::AssertSqlSafe(sql::bins(table)))
        .bind(from)
        .bind(to)
        .fetch_all(&mut *session.connection)
        .await
        .map_err(|e| trouble(session.object, &e))
}

/// Rows per day, by the index.
pub(super) async fn days(
    session: &mut Session<'_>,
    table: Table,
    span: Span,
    read: &mut u64,
) -> Result<BTreeMap<Day, u64>, Trouble> {
    let (from, to) = span.ms();
    let lines: Vec<Total> = sqlx::query_as(sqlx::AssertSqlSafe(sql::days(table)))
        .bind(from)
        .bind(to)
        .fetch_all(&mut *session.connection)
        .await
        .map_err(|e| trouble(session.object, &e))?;
    let days: BTreeMap<Day, u64> =
        lines.into_iter().map(|l| (l.day, u64::try_from(l.rows).unwrap_or(0))).collect();
    *read += days.values().sum::<u64>();
    Ok(days)
}

/// Reads closed days with their projects into the book, oldest first, and moves the frontier over them.
pub(super) async fn read_days(
    session: &mut Session<'_>,
    table: Table,
    book: &mut PgBook,
    span: Span,
    side: &mut Side,
    scope: &mut Scope<'_>,
) -> Result<(), Trouble> {
    let (mut from, mut step) = (span.from, 1);
    while from < span.to {
        let to = from.saturating_add(step).min(span.to);
        let rows = put(session, table, book, Span { from, to }, side).await?;
        if from == book.frontier {
            book.frontier = to;
        }
        (scope.progress)(side.read);
        step = if rows * 2 <= GOOD {
            (step * 2).min(LONGEST)
        } else if rows > GOOD {
            (step / 2).max(1)
        } else {
            step
        };
        from = to;
    }
    Ok(())
}

/// Reads a stretch and replaces what the book says of it; gives its rows.
pub(super) async fn put(
    session: &mut Session<'_>,
    table: Table,
    book: &mut PgBook,
    span: Span,
    side: &mut Side,
) -> Result<u64, Trouble> {
    let bins = bins(session, table, span, &mut side.read).await?;
    let mut before = 0;
    for day in book.days.range(span.from..span.to).map(|(day, _)| *day).collect::<Vec<_>>() {
        before += book.days.remove(&day).map_or(0, |d| d.rows);
        book.forget_bins(day);
    }
    let (mut rows, read_at) = (0, Some(side.look.updated + side.look.deleted));
    for (project, days) in bins {
        for (day, bin) in days {
            rows += bin.rows;
            book.days.entry(day).or_insert(PgDay { rows: 0, read_at }).rows += bin.rows;
            book.bins.entry(project.clone()).or_default().insert(day, bin);
        }
    }
    if book.forget_gaps(span.from, span.to) {
        book.found(rows.cast_signed() - before.cast_signed());
    }
    Ok(rows)
}

/// Reads days whose projects are not known: they were counted by the index alone.
pub(super) async fn read_unread(
    session: &mut Session<'_>,
    table: Table,
    book: &mut PgBook,
    side: &mut Side,
    scope: &mut Scope<'_>,
) -> Result<(), Trouble> {
    let unread: Vec<Day> =
        book.days.iter().filter(|(_, d)| d.read_at.is_none()).map(|(day, _)| *day).collect();
    for span in spans(&unread, book, GOOD) {
        put(session, table, book, span, side).await?;
        (scope.progress)(side.read);
    }
    Ok(())
}

/// Neighbouring days together, as long as they hold no more than so many rows.
pub(super) fn spans(days: &[Day], book: &PgBook, most: u64) -> Vec<Span> {
    let mut spans: Vec<(Span, u64)> = Vec::new();
    for day in days {
        let rows = book.days.get(day).map_or(0, |d| d.rows);
        match spans.last_mut() {
            Some((span, sum)) if span.to == *day && *sum + rows <= most => {
                span.to += 1;
                *sum += rows;
            }
            _ => spans.push((Span { from: *day, to: day.saturating_add(1) }, rows)),
        }
    }
    spans.into_iter().map(|(span, _)| span).collect()
}
