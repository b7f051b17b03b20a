//! Which days of what was found equal have to be read again, and as which ranges.
//!
//! One rule: a day is left out only when both servers prove that nothing in it can have changed; one in a hundred
//! of those is read again all the same, so that a proof that does not hold is found out.

use std::collections::{BTreeMap, BTreeSet};

use super::cost::first_day;
use super::range::Range;
use super::state::Known;
use crate::data::census::postgres::is_chosen;

/// Stretches that are read by themselves; more are read together.
const STRETCHES: usize = 64;
/// Empty days in a row that are remembered one by one.
const EMPTY: i64 = 400;
/// Days before and after which a range is open.
const FAR: i64 = 200_000;

/// What both servers say now, to hold remembered days against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witness {
    /// Rows per day in PostgreSQL, where they had to be counted.
    pub rows: Option<BTreeMap<i64, u64>>,
    /// Days with rows of PostgreSQL that came or were updated since.
    pub touched: BTreeSet<i64>,
    /// Days with rows of ClickHouse in parts that were not seen before.
    pub grown: BTreeSet<i64>,
    /// Months of ClickHouse whose old parts were changed or taken away, `YYYYMM`.
    pub rewritten: BTreeSet<u32>,
}

impl Known {
    /// The days that have to be read again; `run` chooses those that are read though nothing speaks against them.
    pub fn doubtful(&self, now: &Witness, run: u64) -> BTreeSet<i64> {
        let mut days: BTreeSet<i64> = now.touched.union(&now.grown).copied().collect();
        days.extend(self.rest.iter().flatten());
        for month in &now.rewritten {
            let next = if month % 100 == 12 { month + 89 } else { month + 1 };
            // Months are those of the server's zone: a day more on both sides.
            match first_day(*month).zip(first_day(next)) {
                Some((first, end)) => days.extend(first - 1..=end),
                None => days.extend(self.days.keys()),
            }
        }
        if let Some(rows) = &now.rows {
            days.extend(rows.keys().filter(|day| !self.days.contains_key(day)));
            let moved = |(day, known): &(&i64, &u64)| rows.get(day).copied().unwrap_or(0) != **known;
            days.extend(self.days.iter().filter(moved).map(|(day, _)| *day));
        }
        let by_chance = |day: &&i64| i32::try_from(**day).is_ok_and(|day| is_chosen(day, run));
        days.extend(self.days.keys().filter(by_chance));
        days
    }
}

/// These days of a range and nothing else, as few stretches.
pub fn only(range: &Range, days: &BTreeSet<i64>) -> Vec<Range> {
    let mut edges: Vec<(i64, i64)> = vec![];
    for day in days {
        let (from, to) = match *day {
            day if day < -FAR => (i64::MIN, -FAR),
            day if day >= FAR => (FAR, i64::MAX),
            day => (day, day + 1),
        };
        match edges.last_mut() {
            Some((_, end)) if *end >= from => *end = to,
            _ => edges.push((from, to)),
        }
    }
    stretches(range, edges)
}

/// What is left of a range without these days.
pub fn without(range: &Range, days: &BTreeSet<i64>) -> Vec<Range> {
    let mut edges: Vec<(i64, i64)> = vec![];
    let mut next = i64::MIN;
    for day in days {
        if *day > next {
            edges.push((next, *day));
        }
        next = day + 1;
    }
    edges.push((next, i64::MAX));
    stretches(range, edges)
}

fn stretches(range: &Range, mut edges: Vec<(i64, i64)>) -> Vec<Range> {
    while edges.len() > STRETCHES {
        // The two that stand closest are read as one.
        let closest =
            (1..edges.len()).min_by_key(|at| edges[*at].0.saturating_sub(edges[at - 1].1)).unwrap_or(1);
        let (_, end) = edges.remove(closest);
        edges[closest - 1].1 = end;
    }
    let part = |(from, to): (i64, i64)| {
        let mut part = range.days(from.max(-FAR), to.min(FAR));
        if from == i64::MIN {
            part.from = range.from;
        }
        if to == i64::MAX {
            part.to = range.to;
        }
        part
    };
    let parts = edges.into_iter().map(part);
    parts.filter(|p| p.from.zip(p.to).is_none_or(|(from, to)| from < to)).collect()
}

/// Days to remember after a range was read: those with rows, and the empty ones between them.
pub fn filled(rows: &BTreeMap<i64, u64>) -> BTreeMap<i64, u64> {
    let mut filled = rows.clone();
    let days: Vec<i64> = rows.keys().copied().collect();
    for pair in days.windows(2) {
        if pair[1] - pair[0] <= EMPTY {
            filled.extend((pair[0] + 1..pair[1]).map(|day| (day, 0)));
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::verify::range::DAY;

    /// A run whose number chooses none of these days.
    fn quiet(known: &Known) -> u64 {
        let none =
            |run: &u64| known.doubtful(&Witness::default(), *run) == known.rest.clone().unwrap_or_default();
        (0..10_000).find(none).unwrap()
    }

    #[test]
    fn only_what_may_have_changed_is_read_again() {
        let known = Known {
            days: BTreeMap::from([(20_454, 5), (20_455, 0), (20_490, 7)]),
            rest: Some(BTreeSet::from([20_460])),
            ..Known::default()
        };
        let run = quiet(&known);
        let doubt = |now: &Witness| known.doubtful(now, run).into_iter().collect::<Vec<_>>();
        let now = Witness::default();
        assert_eq!(doubt(&now), [20_460], "what was not equal is read each time");
        let touched = Witness { touched: BTreeSet::from([20_454]), ..now.clone() };
        assert_eq!(doubt(&touched), [20_454, 20_460]);
        let grown = Witness { grown: BTreeSet::from([20_500]), ..now.clone() };
        assert_eq!(doubt(&grown), [20_460, 20_500]);
        let counted =
            Witness { rows: Some(BTreeMap::from([(20_454, 5), (20_490, 6), (20_491, 1)])), ..now.clone() };
        assert_eq!(doubt(&counted), [20_460, 20_490, 20_491]);
        let rewritten = Witness { rewritten: BTreeSet::from([202_602]), ..now };
        assert_eq!(doubt(&rewritten).len(), 31, "February, a day on both sides of it, and one of January");
        let chosen = (0..1000).filter(|run| known.doubtful(&Witness::default(), *run).len() > 1).count();
        assert!((5..80).contains(&chosen), "three days in a thousand runs: {chosen}");
    }

    #[test]
    fn days_become_stretches() {
        let edges = |ranges: Vec<Range>| ranges.into_iter().map(|r| (r.from, r.to)).collect::<Vec<_>>();
        let days = BTreeSet::from([20_454, 20_455, 20_490]);
        let whole = Range::default();
        assert_eq!(
            edges(without(&whole, &days)),
            [
                (None, Some(20_454 * DAY)),
                (Some(20_456 * DAY), Some(20_490 * DAY)),
                (Some(20_491 * DAY), None)
            ]
        );
        assert_eq!(
            edges(only(&whole, &days)),
            [(Some(20_454 * DAY), Some(20_456 * DAY)), (Some(20_490 * DAY), Some(20_491 * DAY))]
        );
        assert_eq!(without(&whole, &BTreeSet::new()), vec![whole.clone()]);
        assert_eq!(only(&whole, &BTreeSet::new()), []);
        assert_eq!(only(&whole.days(20_455, 20_456), &days).len(), 1, "only what is asked for");
        let beyond = only(&whole, &BTreeSet::from([-2_000_000, 20_454, 2_932_896, 2_932_897]));
        assert_eq!(
            edges(beyond),
            [(None, Some(-FAR * DAY)), (Some(20_454 * DAY), Some(20_455 * DAY)), (Some(FAR * DAY), None)]
        );
        let many: BTreeSet<i64> = (0..1000).map(|n| n * 2).collect();
        for left in [without(&whole, &many), only(&whole, &many)] {
            assert_eq!(left.len(), STRETCHES);
            assert!(left.windows(2).all(|pair| pair[0].to <= pair[1].from));
        }
        assert_eq!(filled(&BTreeMap::from([(1, 5), (4, 6)])).len(), 4);
    }
}
