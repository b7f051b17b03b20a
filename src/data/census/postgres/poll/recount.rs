//! Doubt about what was counted, and the count anew that ends it: of today at once, of closed days in stretches.
//!
//! One rule: until the last of it is counted again, every sum is an estimate.

use std::collections::btree_map::Entry;

use tokio::time::Instant;

use super::super::super::book::{DAY_MS, Day, PgDay};
use super::super::{Look, Session, Span, doubt, read};
use super::{AGAIN, Poll, Running, may_ask, timely};
use crate::domain::{Kind, Trouble};

/// A session tells its statistics at the latest so much after it wrote (`PGSTAT_MAX_INTERVAL` of PostgreSQL 15+).
const LATE_MS: i64 = 60_000;
/// Days of the longest stretch.
pub(super) const LONGEST: Day = 32;
/// In every so many polls one closed day is counted again.
const CHANCE: u64 = 12;

impl Poll {
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
    pub(super) async fn doubt(
        &mut self,
        session: &mut Session<'_>,
        look: &Look,
        open: u64,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        self.worn |= self.judge(look, self.closed() + open);
        if !self.worn && self.polls.is_multiple_of(CHANCE) {
            self.by_chance(session, deadline).await?;
        }
        let rested = self.begun.is_none_or(|begun| begun.elapsed() > AGAIN);
        if self.worn && self.recount.is_none() && rested {
            self.begin(look);
            self.advance(session, look, deadline).await?;
        }
        while let Some(from) = self.recount.filter(|_| self.caught_up && Instant::now() < deadline) {
            let to = self.stretch_from(from);
            if self.book.has_gap(from) {
                self.stepped_over.insert(from);
            } else {
                match self.again(session, Span { from, to }).await {
                    Ok(_) => self.leap = (self.leap * 2).min(LONGEST),
                    Err(trouble) if trouble.kind == Kind::Timeout && self.leap > 1 => {
                        self.leap = (self.leap / 8).max(1);
                        break;
                    }
                    Err(trouble) if trouble.kind == Kind::Timeout => self.left_out = true,
                    Err(trouble) => return Err(trouble),
                }
            }
            self.recount = (to < self.book.frontier).then_some(to);
            if self.recount.is_none() {
                // Whoever deleted meanwhile may have done so where it was counted already.
                self.worn = self.left_out || look.deleted != self.deleted;
                let total = self.closed() + open;
                self.book.rest(look, total);
                self.settling = look.now + LATE_MS;
                self.dirty = true;
            }
        }
        Ok(())
    }

    /// Begins a recount. Today is no day of the book yet: what is counted of it is counted anew first.
    fn begin(&mut self, look: &Look) {
        self.recount = Some(self.book.start);
        self.begun = Some(Instant::now());
        self.deleted = look.deleted;
        self.left_out = false;
        self.running = Running::default();
        let closed = i64::from(self.book.frontier) * DAY_MS;
        self.book.gaps.retain(|from, _| *from < closed);
        self.known.clear();
    }

    /// Where a stretch of the recount ends: before a day with a gap, which is an estimate anyway.
    fn stretch_from(&self, from: Day) -> Day {
        if self.book.has_gap(from) {
            return from.saturating_add(1);
        }
        let to = from.saturating_add(self.leap).min(self.book.frontier);
        let gap = self.book.gaps.range(i64::from(from) * DAY_MS..).next();
        gap.map_or(to, |(ms, _)| to.min(ms.div_euclid(DAY_MS) as Day))
    }

    /// Counts one closed day again.
    async fn by_chance(&mut self, session: &mut Session<'_>, deadline: Instant) -> Result<(), Trouble> {
        let (n, days) = ((self.polls / CHANCE) as usize, self.book.days.len().max(1));
        // A step that shares no factor with a number of days up to it visits them all.
        let day = self.book.days.keys().nth(n * 7919 % days).copied();
        let Some(day) = day.filter(|day| !self.book.has_gap(*day) && may_ask(self.slow, deadline)) else {
            return Ok(());
        };
        let moved = self.again(session, Span { from: day, to: day + 1 }).await;
        self.worn = timely(&mut self.slow, moved)?.unwrap_or(false);
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
            if let Entry::Vacant(place) = self.book.days.entry(day) {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::census::book::PgBook;
    use crate::domain::backfill::Table;

    #[test]
    fn a_recount_goes_around_a_day_with_a_gap() {
        let gap = 40 * DAY_MS + 7;
        let book = PgBook { frontier: 100, gaps: [(gap, gap + 1)].into(), ..PgBook::default() };
        let poll = Poll::new(Table::Traces, book);
        assert_eq!([0, 30, 40, 41, 90].map(|day| poll.stretch_from(day)), [32, 40, 41, 73, 100]);
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
