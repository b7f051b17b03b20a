//! What was found equal, so that it need not be read again, and the results that the cockpit shows.
//!
//! One rule: a day counts as equal only for the very tables it was read from, and together with what proves on
//! both sides that it has not changed since; a result counts only for the two tables it was found in. The file is
//! shared by all configurations, and by runs at the same time: each writes into what is there then.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::chain;
use super::range::Range;
use crate::data::census::book::{Moved, Part};
use crate::domain::backfill::Table;
use crate::domain::verified::{Depth, Verified};

/// The file's name in the state folder.
pub const FILE: &str = "verify.json";
/// What PostgreSQL's statistics said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct V2Mark {
    /// When it was asked, in milliseconds.
    pub at: i64,
    /// Rows that came, changed and went so far; nothing where it does not say.
    pub moved: Option<Moved>,
    /// In which life of the server that was counted.
    pub life: String,
    /// Rows created shortly before the run, by day, which the next run counts once more.
    pub recent: BTreeMap<i64, u64>,
}

/// What ClickHouse's table was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct V3Mark {
    /// Active parts by partition.
    pub parts: BTreeMap<String, Vec<Part>>,
    /// Newest block of the whole table.
    pub newest: i64,
    /// When the server began, in seconds.
    pub started: i64,
}

/// What is known of one table, columns and project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Both tables, as their servers name them.
    pub relation: String,
    /// Days since 1970 that were found equal, with their rows in PostgreSQL.
    pub days: BTreeMap<i64, u64>,
    /// All other days that have rows; nothing as long as not all of the table was read.
    pub rest: Option<BTreeSet<i64>>,
    /// The rows that a run is at, in words, until it has read them: who is told to read the same goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<String>,
    /// What proves PostgreSQL's rows unchanged.
    pub v2: V2Mark,
    /// What proves ClickHouse's rows unchanged.
    pub v3: V3Mark,
}

impl Known {
    /// Whether a run over these rows goes on with it: it was broken off, and nothing else is asked for.
    pub fn goes_on(&self, range: &Range) -> bool {
        self.rest.is_none() && self.open.as_ref() == Some(&range.words().unwrap_or_default())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Result {
    depth: Depth,
    at: Timestamp,
    rows: u64,
    wrong: u64,
    /// The part of the table that was read; nothing for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Book {
    chain: u32,
    known: BTreeMap<String, Known>,
    /// By table and [`pair`].
    found: BTreeMap<String, BTreeMap<String, Vec<Result>>>,
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
        let book = file.as_deref().and_then(read).unwrap_or_default();
        Self { file, book: Book { chain: chain::VERSION, ..book } }
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
        self.change(|book| _ = book.known.insert(key.to_owned(), known))
    }

    /// Keeps a result of two tables, in the place of those that it answers for, and writes the file: see
    /// [`Verified`] for which those are.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn conclude(&mut self, pair: &str, result: &Verified) -> std::io::Result<()> {
        let of_table = result.table.name().to_owned();
        self.change(|book| {
            let results = book.found.entry(of_table).or_default().entry(pair.to_owned()).or_default();
            results.retain(|old| !result.replaces(&old.of(result.table)));
            if result.part.is_none() || result.wrong > 0 {
                let Verified { depth, at, rows, wrong, ref part, .. } = *result;
                results.push(Result { depth, at, rows, wrong, part: part.clone() });
            }
        })
    }

    /// Whether there are results of any tables.
    pub fn has_results(&self) -> bool {
        !self.book.found.is_empty()
    }

    /// The results of these two tables.
    pub fn results(&self, table: Table, pair: &str) -> Vec<Verified> {
        let results = self.book.found.get(table.name()).and_then(|found| found.get(pair));
        results.into_iter().flatten().map(|result| result.of(table)).collect()
    }

    /// Changes what is in the file now, which another run may have written since it was read.
    fn change(&mut self, change: impl FnOnce(&mut Book)) -> std::io::Result<()> {
        let Some(file) = &self.file else {
            change(&mut self.book);
            return Ok(());
        };
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Held until this returns: between reading and writing nobody else writes.
        let lock = std::fs::File::create(file.with_extension("lock"))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
        if let Some(book) = read(file) {
            self.book = Book { chain: chain::VERSION, ..book };
        }
        change(&mut self.book);
        let beside = file.with_extension(format!("{}.new", std::process::id()));
        let mut to = std::fs::File::create(&beside)?;
        to.write_all(&serde_json::to_vec(&self.book)?)?;
        to.sync_all()?;
        std::fs::rename(&beside, file)
    }
}

impl Result {
    fn of(&self, table: Table) -> Verified {
        let Self { depth, at, rows, wrong, ref part } = *self;
        Verified { table, depth, at, rows, wrong, part: part.clone() }
    }
}

/// What other hashes found equal is not taken over.
fn read(file: &Path) -> Option<Book> {
    let book: Book = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    Some(if book.chain == chain::VERSION { book } else { Book { known: BTreeMap::new(), ..book } })
}

/// Names two tables as their servers and the configuration do: a result of others proves nothing here. `v2` is
/// [`relation`](crate::data::census::postgres::sql::relation) of the table, the same on a replica; `uuid` is ClickHouse's.
pub fn pair([v2_at, v2]: [&str; 2], [v3_at, uuid]: [&str; 2]) -> String {
    // Without the system identifier two new databases may look alike.
    let v2_at = if v2.starts_with('-') { v2_at } else { "" };
    format!("{v2_at} {v2} {v3_at} {uuid}").trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(wrong: u64, part: Option<&str>) -> Verified {
        let at = crate::domain::Now::at(9).wall;
        let part = part.map(str::to_owned);
        Verified { table: Table::Scores, depth: Depth::All, at, rows: 3, wrong, part }
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::open(Some(folder.path()));
        let known = Known { relation: "a".into(), days: BTreeMap::from([(5, 6)]), ..Known::default() };
        state.remember("traces", known.clone()).unwrap();
        state.conclude("one pair", &result(1, None)).unwrap();
        let read = || State::open(Some(folder.path()));
        assert_eq!(read().known("traces", "a"), Some(&known));
        assert_eq!(read().known("traces", "another"), None);
        assert_eq!(read().results(Table::Scores, "one pair"), [result(1, None)]);
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(read().results(Table::Scores, "one pair").is_empty());
    }

    #[test]
    fn only_the_same_run_goes_on() {
        let part = Range::default().days(1, 3);
        let open =
            |range: &Range| Known { open: Some(range.words().unwrap_or_default()), ..Known::default() };
        assert!(open(&part).goes_on(&part) && open(&Range::default()).goes_on(&Range::default()));
        assert!(!open(&part).goes_on(&Range::default()) && !open(&Range::default()).goes_on(&part));
        let old = Known::default();
        assert!(!old.goes_on(&Range::default()), "what is over, or nobody knows");
        let rest = Known { rest: Some(BTreeSet::new()), ..open(&part) };
        assert!(!rest.goes_on(&part));
    }

    #[test]
    fn a_result_counts_for_the_two_tables_that_it_was_found_in() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::open(Some(folder.path()));
        let of = |v2: &str, uuid: &str| {
            pair(["PostgreSQL u@localhost:5432/d", v2], ["ClickHouse http://c/d", uuid])
        };
        let (staging, production) = (of("71/5/16400", "a-b"), of("72/5/16400", "a-b"));
        state.conclude(&staging, &result(0, None)).unwrap();
        assert_eq!(state.results(Table::Scores, &staging).len(), 1);
        assert_eq!(state.results(Table::Scores, &production), []);
        assert_eq!(state.results(Table::Scores, &of("71/5/16400", "c-d")), [], "tables made anew");
        assert_ne!(
            of("-/5/16400", "a-b"),
            pair(["PostgreSQL elsewhere", "-/5/16400"], ["ClickHouse http://c/d", "a-b"])
        );
        // What an older program wrote says not of which tables it was.
        let old = r#"{"chain":1,"known":{},"results":{"scores":[{"depth":"all","at":"2026-01-01T00:00:00Z","rows":3,"wrong":0}]}}"#;
        std::fs::write(folder.path().join(FILE), old).unwrap();
        assert_eq!(State::open(Some(folder.path())).results(Table::Scores, &staging), []);
    }

    #[test]
    fn runs_at_the_same_time_keep_each_others_results() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (State::open(Some(folder.path())), State::open(Some(folder.path())));
        one.conclude("p", &result(0, None)).unwrap();
        other.remember("traces", Known::default()).unwrap();
        other.conclude("p", &Verified { table: Table::Traces, ..result(2, None) }).unwrap();
        one.conclude("p", &result(4, Some("of one project"))).unwrap();
        let read = State::open(Some(folder.path()));
        assert_eq!(read.results(Table::Scores, "p"), [result(0, None), result(4, Some("of one project"))]);
        assert_eq!(read.results(Table::Traces, "p").len(), 1);
        assert!(read.known("traces", "").is_some());
    }
}
