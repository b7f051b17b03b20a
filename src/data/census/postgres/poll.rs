//! PostgreSQL's side in small steps: by the index alone, within a time, and exact as soon as it has caught up.
//!
//! One rule: a poll spends its time and no more; what it could not count yet makes its sums estimates.

use std::time::Duration;

use tokio::time::Instant;

use super::super::book::{DAY_MS, Day, PgBook, PgDay};
use super::{GRACE_MS, Look, Session, Span, doubt, read};
use crate::domain::backfill::Table;
use crate::domain::units::Count;
use crate::domain::{Kind, Trouble};

const MINUTE_MS: i64 = 60_000;
/// What is in doubt is counted again, and not more often than this.
const AGAIN: Duration = Duration::from_mins(10);
/// A session tells its statistics at the latest so much after it wrote (`PGSTAT_MAX_INTERVAL` of PostgreSQL 15+).
const LATE_MS: i64 = 60_000;
/// Rows that a stretch should hold: its end moves so that no single count is long.
const GOOD: std::ops::RangeInclusive<u64> = 50_000..=400_000;
/// Days of one stretch of a recount.
const RECOUNT: Day = 32;
/// In every so many polls one closed day is counted again.
const CHANCE: u64 = 12;

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
    /// Until when by the server's clock, in milliseconds, more insertions than new rows are the late statistics of
    /// rows that are counted already.
    settling: i64,
    /// Sums that were asked for and cannot change any more: rows up to a moment.
    known: Vec<(i64, u64)>,
    tied: Option<(i64, u64)>,
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
    pub fn new(table: Table, book: PgBook) -> Self {
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
            settling: i64::MIN,
            known: Vec::new(),
            tied: None,
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
                // Too much for one statement: a shorter stretch next time.
                Err(trouble) if trouble.kind == Kind::Timeout && self.step > MINUTE_MS => {
                    self.step = (self.step / 8).max(MINUTE_MS);
                    break;
                }
                Err(trouble) => return Err(trouble),
            }
        }
        self.caught_up = self.frontier() >= end;
        Ok(())
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
        self.running = Running { until: to, rows: self.running.rows + rows };
        if to == midnight {
            if self.running.rows > 0 {
                self.book.days.insert(day, PgDay { rows: self.running.rows, read_at: None });
            }
            self.close(day.saturating_add(1));
        }
        Ok(rows)
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
        let closed = self.book.closed_rows() + self.running.rows;
        if !self.caught_up {
            let estimate = u64::try_from(look.estimate).unwrap_or(0).max(closed);
            return Ok(Total { count: Count::about(estimate), whole: false });
        }
        let total = closed + session.between(self.table, self.frontier(), super::read::FOREVER).await?;
        self.doubt(session, look, total, deadline).await?;
        // A recount may have changed what is closed.
        let total = total + self.book.closed_rows() + self.running.rows - closed;
        Ok(Total { count: self.sum(total), whole: true })
    }

    /// Whether the statistics put closed days in doubt; where they agree with the count, both are the new base.
    fn judge(&mut self, look: &Look, total: u64) -> bool {
        let fresh = self.book.base_rows == 0;
        if fresh {
            self.settling = look.now + LATE_MS;
            self.dirty = true;
        }
        let base = self.book.base;
        let (inserted, seen) =
            (look.inserted - base.inserted, total.cast_signed() - self.book.base_rows.cast_signed());
        let late = look.now < self.settling
            && look.proves
            && look.life == self.book.life
            && look.deleted == base.deleted
            && look.updated >= base.updated
            && inserted > seen;
        let doubtful = !(late || fresh && self.anew) && doubt::reason(&self.book, look, total).is_some();
        // Fewer insertions than new rows are not taken over: late statistics must not look like insertions later.
        if fresh || (!doubtful && inserted >= seen) {
            self.book.rest(look, total);
        }
        doubtful
    }

    /// Counts again what the statistics or chance put in doubt, as far as the time allows.
    async fn doubt(
        &mut self,
        session: &mut Session<'_>,
        look: &Look,
        total: u64,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        let closed = self.book.closed_rows() + self.running.rows;
        self.worn |= self.judge(look, total);
        if !self.worn && self.polls.is_multiple_of(CHANCE) {
            let (n, days) = ((self.polls / CHANCE) as usize, self.book.days.len().max(1));
            // A step that shares no factor with a number of days up to it visits them all.
            if let Some(day) = self.book.days.keys().nth(n * 7919 % days).copied() {
                self.worn = self.again(session, Span { from: day, to: day + 1 }).await?;
            }
        }
        let rested = self.begun.is_none_or(|begun| begun.elapsed() > AGAIN);
        if self.worn && self.recount.is_none() && rested {
            self.recount = Some(self.book.start);
            self.begun = Some(Instant::now());
        }
        while let Some(from) = self.recount.filter(|_| Instant::now() < deadline) {
            let to = from.saturating_add(RECOUNT).min(self.book.frontier);
            self.again(session, Span { from, to }).await?;
            self.recount = (to < self.book.frontier).then_some(to);
            if self.recount.is_none() {
                self.worn = false;
                let closed_now = self.book.closed_rows() + self.running.rows;
                self.book.rest(look, total + closed_now - closed);
                self.settling = look.now + LATE_MS;
                self.dirty = true;
            }
        }
        Ok(())
    }

    /// Counts days again; whether one of them had another count.
    async fn again(&mut self, session: &mut Session<'_>, span: Span) -> Result<bool, Trouble> {
        let now = read::days(session, self.table, span, &mut 0).await?;
        let before: Vec<(Day, u64)> =
            self.book.days.range(span.from..span.to).map(|(day, d)| (*day, d.rows)).collect();
        let mut moved = false;
        for (day, _) in before.iter().filter(|(day, rows)| now.get(day) != Some(rows)) {
            self.book.days.remove(day);
            self.book.forget_bins(*day);
            moved = true;
        }
        for (day, rows) in now {
            if let std::collections::btree_map::Entry::Vacant(place) = self.book.days.entry(day) {
                place.insert(PgDay { rows, read_at: None });
                moved = true;
            }
        }
        if moved {
            self.known.clear();
            self.dirty = true;
        }
        Ok(moved)
    }

    /// Rows with `created_at` up to a moment in milliseconds, that one included; `None` until the counting has
    /// come so far.
    ///
    /// # Errors
    /// A statement fails.
    pub async fn up_to(
        &mut self,
        session: &mut Session<'_>,
        at: i64,
        total: &Total,
    ) -> Result<Option<Count>, Trouble> {
        if let Some((_, rows)) = self.known.iter().find(|(known, _)| *known == at) {
            return Ok(Some(self.sum(*rows)));
        }
        let frontier = self.frontier();
        if at + 1 > frontier && !total.whole {
            return Ok(None);
        }
        let rows = session.up_to(self.table, &self.book, at).await?;
        if at < frontier {
            // Two moments are asked for again and again: T0 and the cursor.
            self.known.truncate(3);
            self.known.insert(0, (at, rows));
        }
        Ok(Some(self.sum(rows)))
    }

    /// Rows that share a moment, in milliseconds.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn ties(&mut self, session: &mut Session<'_>, at: i64) -> Result<u64, Trouble> {
        if let Some((_, rows)) = self.tied.filter(|(known, _)| *known == at) {
            return Ok(rows);
        }
        let rows = session.between(self.table, at, at + 1).await?;
        self.tied = Some((at, rows));
        Ok(rows)
    }

    /// What a run item is joined with may come and go without a trace in the statistics of its own table.
    const fn sum(&self, value: u64) -> Count {
        let is_joined = matches!(self.table, Table::DatasetRunItems);
        Count { value, estimate: self.worn || !self.proven || is_joined }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_never_proven() {
        let sum = |table| Poll { proven: true, ..Poll::new(table, PgBook::default()) }.sum(7);
        assert_eq!(sum(Table::Scores), Count::exact(7));
        assert_eq!(sum(Table::DatasetRunItems), Count::about(7));
    }

    #[test]
    fn statistics_that_come_late_raise_no_doubt_and_rows_of_the_past_do() {
        let first = || Poll { anew: true, ..Poll::new(Table::Traces, PgBook::default()) };
        let mut poll = first();
        let look = |now, inserted| Look { inserted, now, proves: true, ..Look::default() };
        assert!(!poll.judge(&look(1_000, 990), 1_000), "a first look, ten rows before their statistics");
        assert!(!poll.judge(&look(3_000, 1_000), 1_000), "here they are");
        assert!(!poll.judge(&look(5_000, 1_004), 1_020), "late again");
        assert!(!poll.judge(&look(7_000, 1_020), 1_020));
        assert!(poll.judge(&look(61_001, 1_021), 1_020), "one went where no count of new rows sees it");
        assert!(!poll.judge(&look(61_001, 1_021), 1_021), "and here it is one of the open day");

        let mut poll = first();
        assert!(!poll.judge(&look(1_000, 990), 1_000));
        let deleted = Look { deleted: 1, ..look(2_000, 1_000) };
        assert!(poll.judge(&deleted, 999), "a deletion is none of the late");

        let mut begun = Poll::new(Table::Traces, PgBook::default());
        assert!(begun.judge(&look(1_000, 990), 1_000), "rows moved since somebody began to count");
    }
}
