//! What a comparison is asked for, and what it answers with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::chain::Chain;
use super::cost::Strategy;
use super::finding::{Against, Difference, table_name};
use super::range::Range;
use crate::data::tables::{Compare, Mapping, Tier};
use crate::domain::Mono;
use crate::domain::backfill::Table;
use crate::domain::units::{grouped, span};
use crate::domain::verified::Depth;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The tables, in the order in which they are compared.
    pub tables: Vec<Table>,
    /// Which columns.
    pub tier: Tier,
    /// Which rows.
    pub range: Range,
    /// Which side has to be complete.
    pub against: Against,
    /// Whether findings carry both values.
    pub values: bool,
    /// Share of the time in which the servers are asked, 0.05..=1.
    pub load: f64,
    /// Rows between two pauses, where there are pauses.
    pub step: u64,
    /// Rows of a side that are held at once, of those that are looked at closely.
    pub held: u64,
    /// Rows of one side only that are looked at one by one; of more, only that the other side lacks them is told.
    pub closely: usize,
    /// Rows touched within this time may still be on their way.
    pub grace: Duration,
    /// Pause before such rows are looked at again.
    pub settle: Duration,
    /// Whether days that were found equal before are read again.
    pub fresh: bool,
    /// Where finished days are remembered; nowhere without it.
    pub state: Option<PathBuf>,
}

/// How far a run is; read by whoever draws it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows read of ClickHouse.
    pub done: AtomicU64,
    /// Rows to be read, as the servers estimate them.
    pub total: AtomicU64,
    /// What is done now.
    pub phase: Mutex<String>,
    /// Whether nobody knows how long that takes.
    pub unknown: AtomicBool,
    /// Which table is compared, and how many there are.
    pub tables: (AtomicUsize, AtomicUsize),
    /// When this table was begun.
    pub since: Mutex<Option<Mono>>,
}

impl Progress {
    pub(super) fn say(&self, phase: impl Into<String>) {
        if let Ok(mut slot) = self.phase.lock() {
            *slot = phase.into();
        }
        self.unknown.store(false, Ordering::Relaxed);
    }

    /// The reading of a table begins, which has so many rows.
    pub(super) fn begin(&self, total: u64, now: Mono) {
        self.total.store(total, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        if let Ok(mut since) = self.since.lock() {
            *since = Some(now);
        }
    }

    /// "traces (1 of 3): reading both sides, 1 200 000 of ~5 000 000 rows, 12s to go"; without a number of what is
    /// left where nobody knows it.
    pub fn words(&self, now: Mono, begun: Mono) -> String {
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let phase = self.phase.lock().map_or_else(|_| String::new(), |phase| phase.clone());
        let (at, of) = (self.tables.0.load(Ordering::Relaxed), self.tables.1.load(Ordering::Relaxed));
        let phase = match phase.split_once(':') {
            Some((table, what)) if of > 1 => format!("{table} ({at} of {of}):{what}"),
            _ => phase,
        };
        let since = self.since.lock().ok().and_then(|since| *since).unwrap_or(begun);
        let (done, total, took) = (load(&self.done), load(&self.total), now.since(since));
        if self.unknown.load(Ordering::Relaxed) || done == 0 || done >= total {
            return format!("{phase}, {} so far", span(took));
        }
        let rest = took.mul_f64((total - done) as f64 / done as f64);
        let whose = if of > at { " with it" } else { "" };
        format!("{phase}, {} of ~{} rows, {} to go{whose}", grouped(done), grouped(total), span(rest))
    }
}

/// What was found in one table.
#[derive(Debug, Clone, Serialize)]
pub struct TableReport {
    /// The table.
    #[serde(serialize_with = "table_name")]
    pub table: Table,
    /// How it was compared: "ids", "buckets", "buckets by month".
    pub strategy: &'static str,
    /// The columns that were compared.
    pub columns: Vec<&'static str>,
    /// Rows of v2 that were compared, those of remembered days among them.
    pub rows: u64,
    /// Rows that v3 wrote itself and v2 does not know.
    pub v3_only: u64,
    /// Rows in days that were found equal before and have not changed since.
    pub remembered: u64,
    /// How many of each difference.
    pub differences: BTreeMap<Difference, u64>,
    /// Those that somebody has to do something about.
    pub wrong: u64,
    /// Columns that this v3 does not have.
    pub absent: Vec<&'static str>,
    /// Columns of v3 that v2 does not know: they hold their defaults.
    pub unknown: Vec<String>,
    /// Columns that would be compared and are not, as v3 has them with a type that is not known here.
    pub unread: Vec<&'static str>,
    /// What nothing wrong proves of all columns: less than was asked for where one of them was not read.
    #[serde(skip)]
    pub depth: Depth,
    /// Buckets that were looked at closely, of all.
    pub suspicious: (usize, usize),
    /// Bytes that ClickHouse sent, compressed.
    pub received: u64,
    /// Seconds it took.
    pub seconds: f64,
}

impl TableReport {
    /// A report of a table of which nothing was read yet.
    pub fn new(mapping: &Mapping, chain: &Chain, (tier, strategy): (Tier, Strategy)) -> Self {
        let unread: Vec<_> = mapping
            .unread()
            .filter(|column| !matches!(column.compare, Compare::Not(_)) && column.tier() <= tier)
            .collect();
        let only_v3 = mapping.unknown.iter().filter(|name| mapping.spec.column(name).is_none());
        let depth = match unread.iter().map(|column| column.tier()).min() {
            None => depth(tier),
            Some(Tier::All) => Depth::Scalar,
            Some(Tier::Scalar | Tier::Key) => Depth::Key,
        };
        Self {
            table: mapping.spec.table,
            strategy: strategy.word(),
            columns: chain.names().collect(),
            rows: 0,
            v3_only: 0,
            remembered: 0,
            differences: Difference::all().map(|d| (d, 0)).collect(),
            wrong: 0,
            absent: mapping.absent.clone(),
            unknown: only_v3.cloned().collect(),
            unread: unread.iter().map(|column| column.ch).collect(),
            depth,
            suspicious: (0, 0),
            received: 0,
            seconds: 0.0,
        }
    }

    /// The part of the table that was compared, in words; nothing for all of it, whatever was found.
    pub(super) fn part(&self, rows: Option<String>) -> Option<String> {
        let columns = (!self.unread.is_empty()).then(|| format!("without {}", self.unread.join(" and ")));
        let parts: Vec<String> = rows.into_iter().chain(columns).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// The tier in the vocabulary of results.
pub const fn depth(tier: Tier) -> Depth {
    match tier {
        Tier::Key => Depth::Key,
        Tier::Scalar => Depth::Scalar,
        Tier::All => Depth::All,
    }
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// When the comparison began (UTC).
    pub at: jiff::Timestamp,
    /// Which side had to be complete.
    pub against: Against,
    /// One entry a table.
    pub tables: Vec<TableReport>,
    /// What the operator has to know about the servers.
    pub notes: Vec<String>,
}

impl Report {
    /// Differences that somebody has to do something about.
    pub fn wrong(&self) -> u64 {
        self.tables.iter().map(|t| t.wrong).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_is_not_proven() {
        use crate::data::cell::ChType;
        use crate::data::tables::{Live, spec};
        let spec = spec(Table::Traces);
        let report = |odd: &[&str], tier| {
            let kind =
                |ch: &str| if odd.contains(&ch) { ChType::Other("JSON".into()) } else { ChType::String };
            let columns = spec.columns.iter().map(|c| (c.ch.to_owned(), kind(c.ch)));
            let columns = columns.chain([("new".to_owned(), ChType::String)]).collect();
            let mapping = Live { columns }.map(spec);
            TableReport::new(&mapping, &Chain::new(&mapping, tier), (tier, Strategy::Buckets))
        };
        let all = report(&[], Tier::All);
        assert_eq!((all.depth, all.part(None), all.unknown), (Depth::All, None, vec!["new".to_owned()]));
        let input = report(&["input"], Tier::All);
        assert_eq!((input.depth, input.unknown), (Depth::Scalar, vec!["new".to_owned()]));
        assert_eq!(report(&["input"], Tier::All).part(None).as_deref(), Some("without input"));
        let part = report(&["input", "output"], Tier::All).part(Some("project p".into()));
        assert_eq!(part.as_deref(), Some("project p, without input and output"));
        assert_eq!(report(&["input"], Tier::Scalar).depth, Depth::Scalar, "nobody asked for it");
        assert_eq!(report(&["name"], Tier::All).depth, Depth::Key);
        assert_eq!(report(&["environment"], Tier::All).depth, Depth::All, "it is never compared");
    }

    #[test]
    fn what_is_to_go_is_said_where_it_is_known() {
        let progress = Progress::default();
        let at = Mono::from_secs;
        progress.tables.0.store(2, Ordering::Relaxed);
        progress.tables.1.store(3, Ordering::Relaxed);
        progress.say("observations: reading both sides");
        // The table before took its time, which says nothing about this one.
        progress.begin(4000, at(100));
        assert_eq!(progress.words(at(101), at(0)), "observations (2 of 3): reading both sides, 1s so far");
        progress.done.store(1000, Ordering::Relaxed);
        let words = progress.words(at(110), at(0));
        assert_eq!(
            words,
            "observations (2 of 3): reading both sides, 1 000 of ~4 000 rows, 30s to go with it"
        );
        progress.done.store(4000, Ordering::Relaxed);
        assert!(progress.words(at(120), at(0)).ends_with("both sides, 20s so far"));
        progress.done.store(3000, Ordering::Relaxed);
        progress.unknown.store(true, Ordering::Relaxed);
        assert!(progress.words(at(120), at(0)).ends_with("20s so far"));
    }
}
