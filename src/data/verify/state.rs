//! What was found equal, so that it need not be read again, and the results that the cockpit shows.
//!
//! One rule: a day counts as equal only for the very tables it was read from, and together with what proves on
//! both sides that it has not changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::chain;
use crate::data::census::book::{Moved, Part};
use crate::domain::backfill::Table;
use crate::domain::verified::{Depth, Verified};

/// The file's name in the state folder.
pub const FILE: &str = "verify.json";
/// What PostgreSQL's statistics said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct V2Mark {
    /// Rows that came, changed and went so far; nothing where it does not say.
    pub moved: Option<Moved>,
    /// Since when it counts.
    pub reset: String,
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
}

/// What is known of one table, columns and project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Both tables, as their servers name them.
    pub relation: String,
    /// When the run that found this began, in milliseconds.
    pub since: i64,
    /// Days since 1970 that were found equal, with their rows in PostgreSQL.
    pub days: BTreeMap<i64, u64>,
    /// All other days that have rows; nothing as long as not all of the table was read.
    pub rest: Option<BTreeSet<i64>>,
    /// What proves PostgreSQL's rows unchanged.
    pub v2: V2Mark,
    /// What proves ClickHouse's rows unchanged.
    pub v3: V3Mark,
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
