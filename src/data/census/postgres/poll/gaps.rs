//! Minutes with more rows than one statement counts in its time: what was loaded at one moment (langfuse#7117).
//!
//! One rule: such a minute holds nothing else up; it is tried again now and then, and until it is counted every sum it
//! belongs to is an estimate.

use tokio::time::Instant;

use super::super::super::book::{DAY_MS, Day, PgDay};
use super::super::Session;
use super::{AGAIN, Poll};
use crate::domain::{Kind, Trouble};

impl Poll {
    /// Leaves out the next minute, and goes on after it.
    pub(super) fn pass_over(&mut self, end: i64) {
        let from = self.frontier();
        let midnight = (i64::from(self.book.frontier) + 1) * DAY_MS;
        let to = (from + self.step).min(midnight).min(end);
        tracing::warn!(target: "census", "{}: the rows of one minute take too long to count", self.table.name());
        self.book.gaps.insert(from, to);
        self.tried = Some((Instant::now(), from));
        self.counted_to(to, 0);
    }

    /// Counts what was left out, one gap after the other, as far as the time allows.
    pub(super) async fn fill(&mut self, session: &mut Session<'_>, deadline: Instant) -> Result<(), Trouble> {
        let may_try = |tried: Option<(Instant, i64)>| tried.is_none_or(|(at, _)| at.elapsed() > AGAIN);
        while may_try(self.tried) && Instant::now() < deadline {
            let after = self.tried.map_or(i64::MIN, |(_, from)| from + 1);
            let mut gaps = self.book.gaps.range(after..).chain(&self.book.gaps);
            let Some((from, to)) = gaps.next().map(|(from, to)| (*from, *to)) else { break };
            match session.between(self.table, from, to).await {
                Ok(rows) => self.filled(from, rows),
                Err(trouble) if trouble.kind == Kind::Timeout => self.tried = Some((Instant::now(), from)),
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }

    fn filled(&mut self, from: i64, rows: u64) {
        let day = from.div_euclid(DAY_MS) as Day;
        if day < self.book.frontier {
            self.book.days.entry(day).or_insert(PgDay { rows: 0, read_at: None }).rows += rows;
        } else {
            self.running.rows += rows;
        }
        self.book.gaps.remove(&from);
        self.book.found(rows.cast_signed());
        // The rest of the day was in doubt when a recount could not count it.
        self.worn |= !self.book.has_gap(day) && self.stepped_over.remove(&day);
        self.known.clear();
        self.dirty = true;
    }

    /// Whether a minute before or at a moment of the same day was left out.
    pub(super) fn has_gap_up_to(&self, at: i64) -> bool {
        let midnight = at.div_euclid(DAY_MS) * DAY_MS;
        self.book.gaps.range(midnight..=at).next().is_some()
    }

    /// Whether a moment is in a minute that was left out.
    pub(super) fn is_in_gap(&self, at: i64) -> bool {
        self.book.gaps.range(..=at).next_back().is_some_and(|(_, to)| at < *to)
    }

    /// Rows up to a moment after a gap of its day, without those of the gap: by what follows it in that day.
    pub(super) async fn back_from_the_end(&self, session: &mut Session<'_>, at: i64) -> Result<u64, Trouble> {
        let day = at.div_euclid(DAY_MS) as Day;
        let whole: u64 = self.book.days.range(..=day).map(|(_, d)| d.rows).sum();
        let whole = if day < self.book.frontier { whole } else { whole + self.running.rows };
        let end = ((i64::from(day) + 1) * DAY_MS).min(self.frontier());
        if at + 1 > end {
            return Ok(whole + session.between(self.table, end, at + 1).await?);
        }
        Ok(whole.saturating_sub(session.between(self.table, at + 1, end).await?))
    }
}
