//! What was found equal, so that it need not be read again, and the results that the cockpit shows.
//!
//! One rule: a day counts as equal only for the very tables it was read from, with the same number of rows in
//! PostgreSQL, none of them updated since, and the same parts or the same rows in ClickHouse.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::chain;
use super::range::Range;
use crate::domain::backfill::Table;
use crate::domain::verified::{Depth, Verified};

/// The file's name in the state folder.
pub const FILE: &str = "verify.json";
/// Stretches that are read by themselves; more are read together.
const STRETCHES: usize = 64;
/// Empty days in a row that are remembered one by one.
const EMPTY: i64 = 400;

/// A day that was found equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Rows of PostgreSQL.
    pub rows: u64,
    /// Digest of ClickHouse's rows, where it was taken.
    pub digest: Option<(u64, u64)>,
}

/// What is known of one table, columns and project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Both tables, as their servers name them.
    pub relation: String,
    /// Updates of the PostgreSQL table so far; nothing where it does not say.
    pub updates: Option<i64>,
    /// When the oldest of these days was read, in milliseconds.
    pub since: i64,
    /// Days since 1970.
    pub days: BTreeMap<i64, Day>,
    /// Fingerprints of ClickHouse's months, `YYYYMM`.
    pub months: BTreeMap<u32, u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Result {
    depth: Depth,
    at: Timestamp,
    rows: u64,
    wrong: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Book {
    chain: u32,
    known: BTreeMap<String, Known>,
    results: BTreeMap<String, Vec<Result>>,
}

/// The file.
#[derive(Debug)]
pub struct State {
    file: Option<PathBuf>,
    book: Book,
}

impl State {
    /// Reads it; an unreadable or older one is as good as none.
    pub fn open(folder: Option<&Path>) -> Self {
        let file = folder.map(|folder| folder.join(FILE));
        let read = file.as_deref().and_then(|file| std::fs::read(file).ok());
        let mut book: Book = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        if book.chain != chain::VERSION {
            book.known.clear();
            book.chain = chain::VERSION;
        }
        Self { file, book }
    }

    /// What is known, when it is of the same tables.
    pub fn known(&self, key: &str, relation: &str) -> Option<&Known> {
        self.book.known.get(key).filter(|known| known.relation == relation)
    }

    /// Remembers, and writes the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remember(&mut self, key: &str, known: Known) -> std::io::Result<()> {
        self.book.known.insert(key.to_owned(), known);
        self.write()
    }

    /// Keeps a result, and writes the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn conclude(&mut self, result: &Verified) -> std::io::Result<()> {
        let Verified { table, depth, at, rows, wrong } = *result;
        let results = self.book.results.entry(table.name().to_owned()).or_default();
        results.retain(|r| r.depth != depth);
        results.push(Result { depth, at, rows, wrong });
        self.write()
    }

    /// The last result of each table and depth.
    pub fn results(&self) -> Vec<Verified> {
        let of = |(name, results): (&String, &Vec<Result>)| {
            let table = Table::ALL.into_iter().find(|t| t.name() == name)?;
            let result =
                |r: &Result| Verified { table, depth: r.depth, at: r.at, rows: r.rows, wrong: r.wrong };
            Some(results.iter().map(result).collect::<Vec<_>>())
        };
        self.book.results.iter().filter_map(of).flatten().collect()
    }

    fn write(&self) -> std::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let beside = file.with_extension(format!("{}.new", std::process::id()));
        let mut to = std::fs::File::create(&beside)?;
        to.write_all(&serde_json::to_vec(&self.book)?)?;
        to.sync_all()?;
        std::fs::rename(&beside, file)
    }
}

/// The last results beside a state file of counts; none where nothing was compared.
pub fn results(folder: &Path) -> Vec<Verified> {
    State::open(Some(folder)).results()
}

/// What both servers say now, to hold remembered days against.
#[derive(Debug, Default)]
pub struct Witness {
    /// Rows per day in PostgreSQL.
    pub rows: BTreeMap<i64, u64>,
    /// Days with rows that were updated since.
    pub touched: BTreeSet<i64>,
    /// Fingerprints of ClickHouse's months.
    pub months: BTreeMap<u32, u64>,
    /// Digests of ClickHouse's days, where they were taken.
    pub digests: BTreeMap<i64, (u64, u64)>,
}

impl Known {
    /// The days of which nothing has changed.
    pub fn unchanged(&self, now: &Witness) -> BTreeSet<i64> {
        let unchanged = |(day, known): &(&i64, &Day)| {
            let month = month_of(**day);
            let parts = self.months.get(&month) == now.months.get(&month);
            let digest = known.digest.is_some_and(|d| now.digests.get(day).copied().unwrap_or_default() == d);
            now.rows.get(day).copied().unwrap_or(0) == known.rows
                && !now.touched.contains(day)
                && (parts || digest)
        };
        self.days.iter().filter(unchanged).map(|(day, _)| *day).collect()
    }
}

/// The month of a day, `YYYYMM`; 0 for days that no calendar has.
pub fn month_of(day: i64) -> u32 {
    let date =
        Timestamp::from_second(day.saturating_mul(86_400)).map(|at| at.to_zoned(jiff::tz::TimeZone::UTC));
    date.map_or(0, |d| u32::from(d.year().unsigned_abs()) * 100 + u32::from(d.month().unsigned_abs()))
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
    while edges.len() > STRETCHES {
        // The two that stand closest are read as one.
        let closest =
            (1..edges.len()).min_by_key(|at| edges[*at].0.saturating_sub(edges[at - 1].1)).unwrap_or(1);
        let (_, end) = edges.remove(closest);
        edges[closest - 1].1 = end;
    }
    let part = |(from, to): (i64, i64)| {
        let mut part = range.days(from.max(-200_000), to.min(200_000));
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

    #[test]
    fn only_what_did_not_change_is_left_out() {
        let day = |rows, digest| Day { rows, digest };
        let known = Known {
            days: BTreeMap::from([
                (20_454, day(5, None)),
                (20_455, day(0, None)),
                (20_490, day(7, Some((7, 9)))),
            ]),
            months: BTreeMap::from([(202_601, 11), (202_602, 12)]),
            ..Known::default()
        };
        let mut now = Witness {
            rows: BTreeMap::from([(20_454, 5), (20_490, 7), (20_491, 3)]),
            months: BTreeMap::from([(202_601, 11), (202_602, 99)]),
            digests: BTreeMap::from([(20_490, (7, 9))]),
            ..Witness::default()
        };
        assert_eq!(known.unchanged(&now), BTreeSet::from([20_454, 20_455, 20_490]));
        let left = without(&Range::default(), &known.unchanged(&now));
        let edges: Vec<_> = left.iter().map(|r| (r.from, r.to)).collect();
        assert_eq!(
            edges,
            [
                (None, Some(20_454 * DAY)),
                (Some(20_456 * DAY), Some(20_490 * DAY)),
                (Some(20_491 * DAY), None)
            ]
        );
        now.touched.insert(20_454);
        now.digests.insert(20_490, (7, 8));
        now.rows.insert(20_455, 1);
        assert!(known.unchanged(&now).is_empty());
        assert_eq!(without(&Range::default(), &BTreeSet::new()), [Range::default()]);
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::open(Some(folder.path()));
        let known = Known { relation: "a".into(), since: 5, ..Known::default() };
        state.remember("traces", known.clone()).unwrap();
        let result = Verified {
            table: Table::Scores,
            depth: Depth::All,
            at: crate::domain::Now::at(9).wall,
            rows: 3,
            wrong: 1,
        };
        state.conclude(&result).unwrap();
        let read = State::open(Some(folder.path()));
        assert_eq!(read.known("traces", "a"), Some(&known));
        assert_eq!(read.known("traces", "another"), None);
        assert_eq!(results(folder.path()), [result]);
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(results(folder.path()).is_empty());
    }

    #[test]
    fn many_stretches_are_read_together() {
        let days: BTreeSet<i64> = (0..1000).map(|n| n * 2).collect();
        let left = without(&Range::default(), &days);
        assert_eq!(left.len(), STRETCHES);
        assert!(left.windows(2).all(|pair| pair[0].to <= pair[1].from));
        assert_eq!(filled(&BTreeMap::from([(1, 5), (4, 6)])).len(), 4);
        assert_eq!((month_of(0), month_of(20_454)), (197_001, 202_601));
    }
}
