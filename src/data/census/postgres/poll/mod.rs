//! PostgreSQL's side in small steps: by the index alone, within a time, and exact as soon as it has caught up.
//!
//! One rule: a poll spends its time and no more; what it could not count yet makes its sums estimates.

mod gaps;
mod recount;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::super::book::{DAY_MS, Day, PgBook, PgDay};
use super::{GRACE_MS, Look, Session, Span, read};
use crate::domain::backfill::{MOST_TIED, Table};
use crate::domain::units::Count;
use crate::domain::{Kind, Trouble};

const MINUTE_MS: i64 = 60_000;
/// What is in doubt is counted again, and not more often than this.
const AGAIN: Duration = Duration::from_mins(10);
/// Rows that a stretch should hold: its end moves so that no single count is long.
const GOOD: std::ops::RangeInclusive<u64> = 50_000..=400_000;
/// After a statement that took too long, sums that are not part of the counting rest so long.
const REST: Duration = Duration::from_mins(1);
/// So long after the counting a poll still asks for sums: a statement that then runs into its limit (5 s) does not
/// make the whole poll too late.
const SLACK: Duration = Duration::from_secs(3);
/// The day that is being counted: up to a moment, so many rows.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    until: i64,
    rows: u64,
}

/// One table's counting, poll after poll.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what is known of the counts, each by itself")]
pub struct Poll {
    table: Table,
    /// What is counted.
    pub book: PgBook,
    /// Whether the book changed since the caller last kept it.
    pub dirty: bool,
    running: Running,
    step: i64,
    polls: u64,
    caught_up: bool,
    /// What was counted may not be so any more.
    worn: bool,
    /// Whether everything that is counted was counted by this poll.
    anew: bool,
    /// Whether the server counts what comes and goes.
    proven: bool,
    /// Where a recount has come to.
    recount: Option<Day>,
    begun: Option<Instant>,
    /// `n_tup_del` when it began.
    deleted: i64,
    /// Days of its next stretch.
    leap: Day,
    /// Whether it left a day out.
    left_out: bool,
    /// Days with a gap that a recount did not count.
    stepped_over: BTreeSet<Day>,
    /// Until when by the server's clock, in milliseconds, more insertions than new rows are the late statistics of
    /// rows that are counted already.
    settling: i64,
    /// Sums that were asked for and cannot change any more: rows up to a moment.
    known: Vec<(i64, u64)>,
    /// A moment and its rows; without them they are too many for one statement.
    tied: Option<(i64, Option<u64>)>,
    /// When the sum of all rows last took too long.
    slow_total: Option<Instant>,
    /// When another sum did.
    slow: Option<Instant>,
    /// When a gap was last tried, and which.
    tried: Option<(Instant, i64)>,
    /// About how many rows are in the gaps.
    missing: u64,
}

/// All rows, and how they came about.
#[derive(Debug, Clone, Copy)]
pub struct Total {
    /// All rows; the planner's estimate until everything closed is counted.
    pub count: Count,
    /// Whether everything closed is counted.
    whole: bool,
}

impl Poll {
    /// Goes on from a book.
    pub fn new(table: Table, mut book: PgBook) -> Self {
        // The day that is not closed is counted from its beginning.
        let counted = i64::from(book.frontier) * DAY_MS;
        book.gaps.retain(|from, _| *from < counted);
        Self {
            table,
            book,
            dirty: false,
            running: Running::default(),
            step: DAY_MS,
            polls: 0,
            caught_up: false,
            worn: false,
            anew: false,
            proven: false,
            recount: None,
            begun: None,
            deleted: 0,
            leap: recount::LONGEST,
            left_out: false,
            stepped_over: BTreeSet::new(),
            settling: i64::MIN,
            known: Vec::new(),
            tied: None,
            slow_total: None,
            slow: None,
            tried: None,
            missing: 0,
        }
    }

    /// Where the counting has come to.
    fn frontier(&self) -> i64 {
        (i64::from(self.book.frontier) * DAY_MS).max(self.running.until)
    }

    /// Looks at the table, and starts anew when it is another one or has older rows than the first.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn look(&mut self, session: &mut Session<'_>) -> Result<Look, Trouble> {
        let look = session.look(self.table).await?;
        self.polls += 1;
        self.proven = look.proves;
        let oldest = look.oldest.map_or(look.open(), |ms| ms.div_euclid(DAY_MS) as Day);
        if self.book.relation != look.relation || oldest < self.book.start {
            let relation = look.relation.clone();
            self.book = PgBook { relation, start: oldest, frontier: oldest, ..PgBook::default() };
            self.book.rest(&look, 0);
            self.anew = true;
            (self.running, self.recount, self.worn) = (Running::default(), None, false);
            self.known.clear();
            self.dirty = true;
        }
        Ok(look)
    }

    /// Counts closed stretches, the oldest first, until they are all counted or the time is up.
    ///
    /// # Errors
    /// A statement fails; one that is too long shortens the next instead.
    pub async fn advance(
        &mut self,
        session: &mut Session<'_>,
        look: &Look,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        // To the minute: what is open is counted in every poll, and PostgreSQL proves none of it.
        let end = (look.now - GRACE_MS).div_euclid(MINUTE_MS) * MINUTE_MS;
        while self.frontier() < end && Instant::now() < deadline {
            let begun = Instant::now();
            match self.stretch(session, end).await {
                Ok(rows) => self.pace(rows, begun.elapsed()),
                // Too much for one statement: a shorter stretch next time, and in the end none.
                Err(trouble) if trouble.kind == Kind::Timeout => {
                    if self.step > MINUTE_MS {
                        self.step = (self.step / 8).max(MINUTE_MS);
                    } else {
                        self.pass_over(end);
                    }
                    break;
                }
                Err(trouble) => return Err(trouble),
            }
        }
        self.caught_up = self.frontier() >= end;
        if self.caught_up { self.fill(session, deadline).await } else { Ok(()) }
    }

    /// Whether all that is closed was counted, or left out, when it was last tried.
    pub const fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// Counts the next stretch: whole days at once, or a part of one day.
    async fn stretch(&mut self, session: &mut Session<'_>, end: i64) -> Result<u64, Trouble> {
        let (from, day) = (self.frontier(), self.book.frontier);
        let midnight = (i64::from(day) + 1) * DAY_MS;
        let days = (self.step / DAY_MS).min((end - from) / DAY_MS);
        if from == midnight - DAY_MS && days > 0 {
            let to = day.saturating_add(Day::try_from(days).unwrap_or(1));
            let mut rows = 0;
            let found = read::days(session, self.table, Span { from: day, to }, &mut rows).await?;
            let new = found.into_iter().map(|(day, rows)| (day, PgDay { rows, read_at: None }));
            self.book.days.extend(new);
            self.close(to);
            return Ok(rows);
        }
        let to = (from + self.step).min(midnight).min(end);
        let rows = session.between(self.table, from, to).await?;
        self.counted_to(to, rows);
        Ok(rows)
    }

    /// The day that is being counted is counted up to a moment, with so many rows more.
    fn counted_to(&mut self, to: i64, rows: u64) {
        let day = self.book.frontier;
        self.running = Running { until: to, rows: self.running.rows + rows };
        if to == (i64::from(day) + 1) * DAY_MS {
            if self.running.rows > 0 || self.book.has_gap(day) {
                self.book.days.insert(day, PgDay { rows: self.running.rows, read_at: None });
            }
            self.close(day.saturating_add(1));
        }
    }

    fn close(&mut self, frontier: Day) {
        self.book.frontier = frontier;
        self.running = Running::default();
        self.dirty = true;
    }

    fn pace(&mut self, rows: u64, took: Duration) {
        if rows > *GOOD.end() || took > Duration::from_millis(700) {
            self.step = (self.step / 2).max(MINUTE_MS);
        } else if rows < *GOOD.start() && took < Duration::from_millis(200) {
            self.step = (self.step * 2).min(DAY_MS * 32);
        }
    }

    /// All rows. Until everything closed is counted, the planner's estimate.
    ///
    /// # Errors
    /// A statement fails.
    pub async fn total(
        &mut self,
        session: &mut Session<'_>,
        look: &Look,
        deadline: Instant,
    ) -> Result<Total, Trouble> {
        let estimate = u64::try_from(look.estimate).unwrap_or(0);
        if !self.caught_up || !may_ask(self.slow_total, deadline) {
            return Ok(self.about(estimate));
        }
        let open = session.between(self.table, self.frontier(), read::FOREVER).await;
        let Some(open) = timely(&mut self.slow_total, open)? else { return Ok(self.about(estimate)) };
        self.doubt(session, look, open, deadline).await?;
        if !self.caught_up {
            // A recount has just begun.
            return Ok(self.about(estimate));
        }
        // It may have changed what is closed.
        let total = self.closed() + open;
        self.missing = if self.book.gaps.is_empty() { 0 } else { estimate.saturating_sub(total) };
        Ok(Total { count: self.sum(i64::MAX, total), whole: true })
    }

    fn about(&self, estimate: u64) -> Total {
        Total { count: Count::about(estimate.max(self.closed())), whole: false }
    }

    /// Rows of what is counted and stays.
    fn closed(&self) -> u64 {
        self.book.closed_rows() + self.running.rows
    }

    /// Rows with `created_at` up to a moment in milliseconds, that one included; `None` until the counting has
    /// come so far, and where it takes too long.
    ///
    /// # Errors
    /// A statement fails.
    pub async fn up_to(
        &mut self,
        session: &mut Session<'_>,
        at: i64,
        total: &Total,
        deadline: Instant,
    ) -> Result<Option<Count>, Trouble> {
        if let Some((_, rows)) = self.known.iter().find(|(known, _)| *known == at) {
            return Ok(Some(self.sum(at, *rows)));
        }
        let frontier = self.frontier();
        if at + 1 > frontier && !total.whole || !may_ask(self.slow, deadline) {
            return Ok(None);
        }
        let rows = if self.has_gap_up_to(at) {
            self.back_from_the_end(session, at).await
        } else {
            session.up_to(self.table, &self.book, at).await
        };
        let Some(rows) = timely(&mut self.slow, rows)? else { return Ok(None) };
        if at < frontier {
            // Two moments are asked for again and again: T0 and the cursor.
            self.known.truncate(3);
            self.known.insert(0, (at, rows));
        }
        Ok(Some(self.sum(at, rows)))
    }

    /// Rows that share a moment, in milliseconds; of very many the first [`MOST_TIED`]. `None` where it takes too long.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn ties(
        &mut self,
        session: &mut Session<'_>,
        at: i64,
        deadline: Instant,
    ) -> Result<Option<u64>, Trouble> {
        let known = self.tied.filter(|(known, _)| *known == at);
        if let Some((_, Some(rows))) = known {
            return Ok(Some(rows));
        }
        if !may_ask(self.slow, deadline) {
            return Ok(None);
        }
        let rows = if known.is_some() || self.is_in_gap(at) {
            session.first(self.table, (at, at + 1), MOST_TIED.cast_signed()).await
        } else {
            session.between(self.table, at, at + 1).await
        };
        let rows = timely(&mut self.slow, rows)?;
        self.tied = Some((at, rows));
        Ok(rows)
    }

    /// A sum up to a moment: an estimate where it is not proven. What a run item is joined with may come and go without
    /// a trace in the statistics of its own table.
    fn sum(&self, at: i64, rows: u64) -> Count {
        let is_joined = matches!(self.table, Table::DatasetRunItems);
        let beyond = self.book.gaps.keys().next().is_some_and(|from| *from <= at);
        let value = if beyond { rows.saturating_add(self.missing) } else { rows };
        Count { value, estimate: self.worn || !self.proven || is_joined || beyond }
    }
}

/// Whether there is time for a statement that may run into its limit, as another did at a moment.
fn may_ask(slow: Option<Instant>, deadline: Instant) -> bool {
    slow.is_none_or(|at| at.elapsed() > REST) && Instant::now() < deadline + SLACK
}

/// The answer, or nothing where it took too long: then the next one is asked for after a rest.
fn timely<T>(slow: &mut Option<Instant>, answer: Result<T, Trouble>) -> Result<Option<T>, Trouble> {
    match answer {
        Err(trouble) if trouble.kind == Kind::Timeout => {
            tracing::info!(target: "census", "{trouble}");
            *slow = Some(Instant::now());
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_never_proven() {
        let sum = |table| Poll { proven: true, ..Poll::new(table, PgBook::default()) }.sum(0, 7);
        assert_eq!(sum(Table::Scores), Count::exact(7));
        assert_eq!(sum(Table::DatasetRunItems), Count::about(7));
    }

    #[test]
    fn what_could_not_be_counted_makes_what_is_above_it_an_estimate() {
        let book = PgBook { frontier: 2, gaps: [(DAY_MS, DAY_MS + MINUTE_MS)].into(), ..PgBook::default() };
        let poll = Poll { proven: true, missing: 100, ..Poll::new(Table::Traces, book) };
        assert_eq!(poll.sum(DAY_MS - 1, 7), Count::exact(7));
        assert_eq!(poll.sum(DAY_MS, 7), Count::about(107));
        assert_eq!(poll.sum(i64::MAX, 9), Count::about(109));
    }
}
