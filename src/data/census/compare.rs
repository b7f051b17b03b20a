//! Both sides, day by day: what differs, and the sums of a table.
//!
//! One rule: pure; everything that has to be read was read before.

use std::collections::BTreeMap;

use super::book::{Bin, Bins, ChBook, Day, Drill, SUM_MODULUS};
use super::report::{DayReport, Filter, Number, TableReport, date};

/// One project's day on both sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pair {
    /// PostgreSQL.
    pub pg: Bin,
    /// Copied.
    pub copied: Bin,
    /// Written by v3, known to PostgreSQL.
    pub shared: u64,
    /// Deleted in v3, known to PostgreSQL.
    pub deleted: u64,
    /// Known to v3 alone.
    pub v3_only: u64,
}

impl Pair {
    /// Whether counts and sums agree.
    pub fn agrees(&self) -> bool {
        self.pg == self.copied && self.shared == 0 && self.deleted == 0
    }

    /// Whether the counts agree and the sums of `updated_at` do not: at least one row is another.
    fn hides_a_change(&self) -> bool {
        self.shared + self.deleted == 0
            && self.pg.rows == self.copied.rows
            && self.pg.updated != self.copied.updated
    }
}

/// By project and day.
pub type Pairs = BTreeMap<(String, Day), Pair>;

/// Puts both sides together.
pub fn pairs(closed: &Bins, open: &Bins, ch: &ChBook) -> Pairs {
    let mut pairs = Pairs::new();
    for bins in [closed, open] {
        for (project, days) in bins {
            for (day, bin) in days {
                pairs.entry((project.clone(), *day)).or_default().pg.add(*bin);
            }
        }
    }
    for (project, _, unit) in ch.units() {
        let mut at = |day: Day, then: &mut dyn FnMut(&mut Pair)| {
            then(pairs.entry((project.to_owned(), day)).or_default());
        };
        for (day, made) in unit.made.iter().filter(|(_, made)| made.copied.rows > 0) {
            at(*day, &mut |pair| pair.copied.add(made.copied));
        }
        let Some(known) = &unit.known else { continue };
        for (day, n) in &known.shared {
            at(*day, &mut |pair| pair.shared += n);
        }
        for (day, n) in &known.deleted {
            at(*day, &mut |pair| pair.deleted += n);
        }
        for (day, n) in &known.v3_only {
            at(*day, &mut |pair| pair.v3_only += n);
        }
    }
    take_off(&mut pairs, ch);
    pairs
}

/// Numbers by project and day.
type Days = BTreeMap<String, Vec<(Day, u64)>>;
/// Where a number of a pair stands.
type Place = fn(&mut Pair) -> &mut u64;

fn take_off(pairs: &mut Pairs, ch: &ChBook) {
    for (project, days) in &ch.strays.copied {
        for (day, bin) in days {
            if let Some(pair) = pairs.get_mut(&(project.clone(), *day)) {
                pair.copied.rows = pair.copied.rows.saturating_sub(bin.rows);
                pair.copied.updated = (pair.copied.updated - bin.updated).rem_euclid(SUM_MODULUS);
            }
        }
    }
    let kinds: [(&Days, Place); 3] = [
        (&ch.strays.shared, |pair| &mut pair.shared),
        (&ch.strays.deleted, |pair| &mut pair.deleted),
        (&ch.strays.v3_only, |pair| &mut pair.v3_only),
    ];
    for (of, number) in kinds {
        for (project, days) in of {
            for (day, n) in days {
                if let Some(pair) = pairs.get_mut(&(project.clone(), *day)) {
                    let number = number(pair);
                    *number = number.saturating_sub(*n);
                }
            }
        }
    }
}

/// A day in the report.
pub fn judge(project: &str, day: Day, pair: &Pair, drill: Option<&Drill>, t0: Option<Day>) -> DayReport {
    let there = pair.shared + pair.deleted;
    let (missing, gone) = if let Some(d) = drill {
        (d.uncopied.saturating_sub(there), d.gone)
    } else {
        let there = pair.copied.rows + there;
        (pair.pg.rows.saturating_sub(there), there.saturating_sub(pair.pg.rows))
    };
    let after_t0 = match (t0, drill) {
        (Some(t0), _) if day > t0 => missing,
        (Some(t0), Some(d)) if day == t0 => d.after.min(missing),
        _ => 0,
    };
    DayReport {
        project: project.to_owned(),
        day: date(day),
        postgres: pair.pg.rows,
        copied: pair.copied.rows,
        shared: pair.shared,
        v3_only: pair.v3_only,
        missing,
        after_t0,
        changed: drill.map_or_else(|| u64::from(pair.hides_a_change()), |d| d.changed),
        gone,
        deleted_in_v3: pair.deleted,
        by_id: drill.is_some() || pair.agrees() || pair.copied.rows == 0 || pair.pg.rows == 0,
    }
}

/// Sums the days that the filter takes; keeps those that differ.
pub fn sum_up(report: &mut TableReport, days: Vec<DayReport>) {
    for day in days {
        let add = |to: &mut Number, n: u64| to.value += n;
        add(&mut report.postgres, day.postgres);
        add(&mut report.copied, day.copied);
        add(&mut report.shared, day.shared);
        add(&mut report.v3_only, day.v3_only);
        add(&mut report.missing, day.missing);
        add(&mut report.after_t0, day.after_t0);
        add(&mut report.changed, day.changed);
        add(&mut report.gone, day.gone);
        add(&mut report.deleted_in_v3, day.deleted_in_v3);
        for number in [&mut report.missing, &mut report.after_t0, &mut report.changed, &mut report.gone] {
            number.estimate |= !day.by_id;
        }
        if day.missing + day.changed + day.gone + day.deleted_in_v3 > 0 {
            report.days.push(day);
        }
    }
    report.clickhouse.value = report.copied.value + report.shared.value + report.v3_only.value;
    report.days.sort_by(|a, b| (a.day, &a.project).cmp(&(b.day, &b.project)));
}

/// What is counted by unit, and not by day of `created_at`.
pub fn sum_units(report: &mut TableReport, ch: &ChBook, filter: &Filter, parts_rows: u64) {
    let mut keys = 0;
    for (_, _, unit) in ch.units().filter(|(project, ..)| filter.project(project)) {
        report.raw += unit.raw;
        keys += unit.keys;
        report.duplicates_by_id.value += unit.keys.saturating_sub(unit.ids);
        report.tombstones += unit.deleted;
        report.proof.units += 1;
    }
    if filter.project.is_none() {
        // A merge takes rows away and counts nothing anew; rows that a DELETE masks are in the parts still.
        report.raw = report.raw.min(parts_rows);
        report.tombstones = report.tombstones.saturating_sub(ch.strays.tombstones);
        report.duplicates_by_id.value += ch.strays.rows;
    } else {
        // The search counts surplus rows of all projects together.
        report.duplicates_by_id.estimate |= ch.strays.rows > 0;
    }
    report.duplicates_by_key = report.raw.saturating_sub(keys);
    let unsure = ch.unsearched > 0 || !ch.searched;
    for number in [&mut report.clickhouse, &mut report.duplicates_by_id] {
        number.estimate |= unsure;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_was_not_looked_at_by_id_is_not_called_equal() {
        let bin = |updated| Bin { rows: 2_000_000, updated };
        let mut report = TableReport { in_clickhouse: true, ..TableReport::default() };
        let pair = Pair { pg: bin(5), copied: bin(4), ..Pair::default() };
        sum_up(&mut report, vec![judge("p", 3, &pair, None, None)]);
        assert_eq!((report.changed.value, report.changed.estimate, report.days.len()), (1, true, 1));
        assert!(report.differs());
        // Counts that v3's own rows make up for say nothing of the others.
        let mut unknown = TableReport { in_clickhouse: true, ..TableReport::default() };
        let shared = Pair { pg: bin(5), copied: Bin { rows: 1_999_999, updated: 4 }, shared: 1, ..pair };
        sum_up(&mut unknown, vec![judge("p", 3, &shared, None, None)]);
        assert!(!unknown.differs() && !unknown.is_proven());
        // Of a day that v2 has no rows of any more, nothing can be missing.
        let gone = judge("p", 3, &Pair { pg: Bin::default(), ..pair }, None, None);
        assert!(gone.by_id && gone.missing + gone.changed == 0 && gone.gone == 2_000_000);
        let same = Pair { pg: bin(5), copied: bin(5), ..Pair::default() };
        let day = judge("p", 3, &same, None, None);
        assert_eq!((day.changed, day.missing, day.by_id), (0, 0, true));
    }
}
