//! What was counted, and what proves it unchanged.
//!
//! One rule: plain data; whoever counts decides what may be kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A day of UTC, counted from 1970-01-01.
pub type Day = i32;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;
/// Sums of `updated_at` are kept modulo this, which both databases can compute.
pub const SUM_MODULUS: i64 = 1 << 62;

/// Everything that is remembered of one installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Book {
    /// Of this layout.
    pub version: u32,
    /// How often it was counted: chooses the days that are counted again.
    pub run: u64,
    /// By the table's PostgreSQL name.
    pub tables: BTreeMap<String, TableBook>,
}

/// One table on both sides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableBook {
    /// PostgreSQL.
    pub pg: PgBook,
    /// ClickHouse.
    pub ch: ChBook,
    /// Days whose counts or sums differ, looked at id by id.
    pub drilled: BTreeMap<String, BTreeMap<Day, Drill>>,
}

impl TableBook {
    /// What looking at a day said, if it still holds.
    pub fn drill(&self, project: &str, day: Day, pg: Bin, copied: Bin, t0: Option<i64>) -> Option<&Drill> {
        let drill = self.drilled.get(project)?.get(&day)?;
        (drill.pg == pg && drill.copied == copied && drill.t0 == t0).then_some(drill)
    }
}

/// A project's day looked at id by id; it holds for as long as both sides say what they said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// PostgreSQL's side.
    pub pg: Bin,
    /// What is copied.
    pub copied: Bin,
    /// T0 in milliseconds.
    pub t0: Option<i64>,
    /// Ids of PostgreSQL that are not copied.
    pub uncopied: u64,
    /// Of those, created after T0.
    pub after: u64,
    /// Copied ids that PostgreSQL does not have.
    pub gone: u64,
    /// Copied, and updated in PostgreSQL since.
    pub changed: u64,
}

/// Row movements of a relation, as `pg_stat_user_tables` counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// `n_tup_ins`.
    pub inserted: i64,
    /// `n_tup_upd`.
    pub updated: i64,
    /// `n_tup_del`.
    pub deleted: i64,
}

/// One closed day in PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgDay {
    /// Rows, by index.
    pub rows: u64,
    /// `n_tup_upd` + `n_tup_del` when its projects were read; `None` until they are.
    pub read_at: Option<i64>,
}

/// Rows of one project and day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bin {
    /// How many.
    pub rows: u64,
    /// Sum of `updated_at` in milliseconds, modulo [`SUM_MODULUS`].
    pub updated: i64,
}

impl Bin {
    /// Both together.
    pub const fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.updated = (self.updated + other.updated) % SUM_MODULUS;
    }
}

/// By project, then by day of `created_at`.
pub type Bins = BTreeMap<String, BTreeMap<Day, Bin>>;

/// What is known of a table in PostgreSQL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PgBook {
    /// Names the relation: server's system identifier, database, file node. Another one is another table.
    pub relation: String,
    /// First day of the count.
    pub start: Day,
    /// First day that is not counted: everything from `start` up to it is in `days`, or empty.
    pub frontier: Day,
    /// Statistics when the counts were last proven.
    pub base: Moved,
    /// Rows, closed and open, at that moment.
    pub base_rows: u64,
    /// When those statistics began.
    pub life: String,
    /// Days with rows.
    pub days: BTreeMap<Day, PgDay>,
    /// The same rows by project.
    pub bins: Bins,
    /// Stretches of counted days whose rows took longer than a statement may: from one moment to another, in
    /// milliseconds. `days` is without them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub gaps: BTreeMap<i64, i64>,
}

impl PgBook {
    /// Rows of all closed days.
    pub fn closed_rows(&self) -> u64 {
        self.days.values().map(|d| d.rows).sum()
    }

    /// Takes the projects of days from another book of the same relation, where they are not known here and the
    /// counts agree.
    pub fn adopt(&mut self, other: &Self) {
        if self.relation != other.relation {
            return;
        }
        let unread: Vec<(Day, u64)> =
            self.days.iter().filter(|(_, d)| d.read_at.is_none()).map(|(day, d)| (*day, d.rows)).collect();
        for (day, rows) in &unread {
            let is_short = self.has_gap(*day);
            let agrees =
                |d: &&PgDay| d.read_at.is_some() && (is_short && !other.has_gap(*day) || d.rows == *rows);
            let Some(theirs) = other.days.get(day).filter(agrees) else {
                continue;
            };
            self.days.insert(*day, *theirs);
            if is_short {
                self.forget_gaps(*day, day.saturating_add(1));
                self.found(theirs.rows.cast_signed() - rows.cast_signed());
            }
            for (project, days) in &other.bins {
                if let Some(bin) = days.get(day) {
                    self.bins.entry(project.clone()).or_default().insert(*day, *bin);
                }
            }
        }
    }

    /// Forgets the projects of a day.
    pub fn forget_bins(&mut self, day: Day) {
        for days in self.bins.values_mut() {
            days.remove(&day);
        }
        self.bins.retain(|_, days| !days.is_empty());
    }
}

/// A part of a partition: its content is known again by its checksum or by its blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// First block.
    pub min: i64,
    /// Last block.
    pub max: i64,
    /// Number of the newest mutation in it.
    pub mutation: i64,
    /// `hash_of_all_files`.
    pub hash: String,
}

/// Entities of one day of `created_at` in a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Live entities whose winning version the backfill wrote.
    pub copied: Bin,
    /// Live entities whose winning version v3 wrote.
    pub written: u64,
    /// Newest `created_at` of a copied one, in milliseconds.
    pub newest: i64,
}

/// A project's day of business time in ClickHouse.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Rows before merging.
    pub raw: u64,
    /// Distinct sorting keys.
    pub keys: u64,
    /// Distinct ids.
    pub ids: u64,
    /// Ids whose newest version is a deletion.
    pub deleted: u64,
    /// By day of `created_at`.
    pub made: Vec<(Day, Made)>,
    /// What PostgreSQL said of the ids that v3 wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<Known>,
}

impl Unit {
    /// Live entities whose winning version v3 wrote.
    pub fn written(&self) -> u64 {
        self.made.iter().map(|(_, made)| made.written).sum()
    }
}

/// Ids that v3 wrote, looked up in PostgreSQL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// `n_tup_ins` and `n_tup_del` of PostgreSQL's table when they were looked up.
    pub at: (i64, i64),
    /// Live, and not in PostgreSQL, by ClickHouse's day of `created_at`.
    pub v3_only: Vec<(Day, u64)>,
    /// Live, and in PostgreSQL, by PostgreSQL's day of `created_at`.
    pub shared: Vec<(Day, u64)>,
    /// Deleted in v3, and in PostgreSQL, by PostgreSQL's day.
    pub deleted: Vec<(Day, u64)>,
}

/// One month partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Partition {
    /// Parts when it was counted.
    pub parts: Vec<Part>,
    /// Newest block of the whole table at that moment.
    pub seen: i64,
    /// Newest block of the partition when the count was over: of newer ones than `parts` up to this, it is not known
    /// whether they were counted.
    pub unsure: i64,
    /// By project, then by day of business time as ClickHouse's `Date`.
    pub units: BTreeMap<String, BTreeMap<u16, Unit>>,
}

/// Ids that stand in more than one unit: the same id, moved to another day. They are never merged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Strays {
    /// Surplus rows: each id counts once for every unit beyond the first.
    pub rows: u64,
    /// Entities that units count as live and copied, and that are not: by project and day of `created_at`.
    pub copied: BTreeMap<String, Vec<(Day, Bin)>>,
    /// The same for those that v3 wrote and PostgreSQL knows, by PostgreSQL's day.
    pub shared: BTreeMap<String, Vec<(Day, u64)>>,
    /// The same for those that only v3 has.
    pub v3_only: BTreeMap<String, Vec<(Day, u64)>>,
    /// Deletions that are not the newest version, of ids that PostgreSQL knows, by PostgreSQL's day.
    pub deleted: BTreeMap<String, Vec<(Day, u64)>>,
    /// All deletions that are not the newest version.
    pub tombstones: u64,
}

/// What is known of a table in ClickHouse.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChBook {
    /// `uuid` of the table. Another one is another table.
    pub relation: String,
    /// By partition id.
    pub partitions: BTreeMap<String, Partition>,
    /// Ids in more than one unit, as of the last search.
    pub strays: Strays,
    /// Rows that came since that search.
    pub unsearched: u64,
    /// Whether there was a search at all.
    pub searched: bool,
}

impl ChBook {
    /// Newest `created_at` of a copied entity, in milliseconds.
    pub fn newest_copied(&self) -> Option<i64> {
        let made = self.units().flat_map(|(_, _, unit)| unit.made.iter());
        made.filter(|(_, made)| made.copied.rows > 0).map(|(_, made)| made.newest).max()
    }

    /// Newest `created_at` of any entity, in milliseconds: of those that v3 wrote the beginning of the day.
    pub fn newest(&self) -> Option<i64> {
        let made = self.units().flat_map(|(_, _, unit)| unit.made.iter());
        let written =
            made.filter(|(_, made)| made.written > 0).map(|(day, _)| i64::from(*day) * DAY_MS).max();
        written.max(self.newest_copied())
    }

    /// Every unit.
    pub fn units(&self) -> impl Iterator<Item = (&str, u16, &Unit)> {
        self.partitions.values().flat_map(|p| {
            p.units.iter().flat_map(|(project, days)| {
                days.iter().map(move |(day, unit)| (project.as_str(), *day, unit))
            })
        })
    }

    /// The sums of all units.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { strays: self.unsearched > 0 || !self.searched, ..Totals::default() };
        for (_, _, unit) in self.units() {
            for (_, made) in &unit.made {
                totals.copied += made.copied.rows;
                totals.written += made.written;
            }
            let sum = |days: &[(Day, u64)]| days.iter().map(|(_, n)| n).sum::<u64>();
            totals.v3_only += unit.known.as_ref().map_or(0, |k| sum(&k.v3_only));
            totals.looked_up += unit.known.as_ref().map_or(0, |k| sum(&k.v3_only) + sum(&k.shared));
        }
        let of =
            |strays: &BTreeMap<String, Vec<(Day, u64)>>| strays.values().flatten().map(|s| s.1).sum::<u64>();
        let copied: u64 = self.strays.copied.values().flatten().map(|(_, bin)| bin.rows).sum();
        let (shared, v3_only) = (of(&self.strays.shared), of(&self.strays.v3_only));
        totals.copied = totals.copied.saturating_sub(copied);
        totals.live = (totals.copied + totals.written).saturating_sub(shared + v3_only);
        totals.v3_only = totals.v3_only.saturating_sub(v3_only);
        totals.doubled = copied + shared + v3_only;
        totals
    }

    /// Rows before merging.
    pub fn raw(&self) -> u64 {
        self.units().map(|(_, _, unit)| unit.raw).sum()
    }
}

/// Sums over all units of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Live entities.
    pub live: u64,
    /// Of those, written by the copy.
    pub copied: u64,
    /// Of those, written by v3; an id in two units counts twice.
    pub written: u64,
    /// Of those that were looked up, how many only v3 has.
    pub v3_only: u64,
    /// How many were looked up.
    pub looked_up: u64,
    /// Live rows beside the newest of their id, on another day: no merge takes them away.
    pub doubled: u64,
    /// Whether rows came since ids in more than one unit were searched.
    pub strays: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_that_somebody_else_read_are_adopted_where_counts_agree() {
        let day = |rows, read_at| PgDay { rows, read_at };
        let bins = |rows| BTreeMap::from([(1, Bin { rows, updated: 3 }), (2, Bin { rows, updated: 4 })]);
        let other = PgBook {
            relation: "a".into(),
            days: BTreeMap::from([(1, day(5, Some(9))), (2, day(5, Some(9)))]),
            bins: BTreeMap::from([("p".into(), bins(5))]),
            ..PgBook::default()
        };
        let days = BTreeMap::from([(1, day(5, None)), (2, day(6, None))]);
        let mut mine = PgBook { relation: "a".into(), days: days.clone(), ..PgBook::default() };
        mine.adopt(&other);
        assert_eq!((mine.days[&1], mine.days[&2]), (day(5, Some(9)), day(6, None)));
        assert_eq!(mine.bins["p"].len(), 1);
        // A day of which a part was left out takes whatever the other counted of it.
        let mut short =
            PgBook { relation: "a".into(), days: days.clone(), base_rows: 20, ..PgBook::default() };
        short.gaps.insert(2 * DAY_MS + 7, 2 * DAY_MS + 8);
        short.adopt(&other);
        assert_eq!((short.days[&2], short.gaps.len(), short.base_rows), (day(5, Some(9)), 0, 19));
        let mut another = PgBook { relation: "b".into(), days, ..PgBook::default() };
        another.adopt(&other);
        assert!(another.bins.is_empty());
    }
}
