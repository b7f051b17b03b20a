//! What a running comparison writes down after each range, for the next one not to read it again.
//!
//! One rule: only days in which nothing is wrong and nothing was moving are remembered.

use std::collections::{BTreeMap, BTreeSet};

use super::doubt::filled;
use super::range::Range;
use super::state::Known;

/// What is written down after each range.
pub(super) struct Remembering {
    pub(super) known: Known,
    /// Days that were read in this run and are not to be remembered.
    pub(super) wrong: BTreeSet<i64>,
    /// Days with something wrong in the range that is read; nothing of it is remembered when a row without a day
    /// is wrong.
    pub(super) tainted: Option<BTreeSet<i64>>,
    /// When the days that were taken over without a proof were read at the earliest, by PostgreSQL's clock.
    pub(super) since: Option<i64>,
}

impl Remembering {
    pub(super) const fn new(known: Known, since: Option<i64>) -> Self {
        Self { known, wrong: BTreeSet::new(), tainted: Some(BTreeSet::new()), since }
    }

    /// A range begins.
    pub(super) fn begin(&mut self) {
        self.tainted = Some(BTreeSet::new());
    }

    /// A range was read, which had these rows.
    pub(super) fn end(&mut self, range: &Range, rows: &BTreeMap<i64, u64>) {
        let mut rows = filled(rows);
        // What was in doubt and turned out to be empty on both sides.
        let rest = self.known.rest.iter().flatten().copied().filter(|day| range.has_day(*day));
        for day in rest.collect::<Vec<_>>() {
            rows.entry(day).or_default();
        }
        for (day, rows) in rows {
            let equal = self.tainted.as_ref().is_some_and(|tainted| !tainted.contains(&day));
            if equal && range.has_day(day) {
                self.known.days.insert(day, rows);
                if let Some(rest) = &mut self.known.rest {
                    rest.remove(&day);
                }
            } else {
                self.forget(&[day]);
            }
        }
    }

    /// All of this was read: of the whole table, what is not remembered is told apart from what nobody knows.
    pub(super) fn complete(&mut self, range: &Range) {
        self.known.open = None;
        if !range.is_whole() {
            return;
        }
        let wrong = self.wrong.iter().filter(|day| !self.known.days.contains_key(day)).copied();
        self.known.rest.get_or_insert_default().extend(wrong);
    }

    pub(super) fn taint(&mut self, days: &[i64]) {
        if let Some(tainted) = &mut self.tainted {
            tainted.extend(days);
        }
        self.forget(days);
    }

    fn forget(&mut self, days: &[i64]) {
        for day in days {
            self.known.days.remove(day);
            self.wrong.insert(*day);
            if let Some(rest) = &mut self.known.rest {
                rest.insert(*day);
            }
        }
    }
}
