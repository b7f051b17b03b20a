//! What was counted once and need not be counted again: a small JSON file, written whole and renamed.
//!
//! One rule: an entry counts only for the very relation it was taken from; anything else starts anew.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::backfill::Table;

/// A stretch of `created_at` whose rows were counted: from the bucket before it, up to `end` (not included).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// End, in milliseconds since 1970.
    pub end: i64,
    /// Rows in it.
    pub rows: u64,
}

/// What is known of one table of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Names the relation: server's system identifier, database, file node. Another one is another table.
    pub relation: String,
    /// Rows deleted in it so far (`pg_stat_user_tables.n_tup_del`): more of them, and counts may be too high.
    pub deleted: i64,
    /// Oldest `created_at` when the counting began, in milliseconds.
    pub start: i64,
    /// Contiguous from `start`.
    pub buckets: Vec<Bucket>,
}

impl Counted {
    /// Where the counting has come to.
    pub fn frontier(&self) -> i64 {
        self.buckets.last().map_or(self.start, |b| b.end)
    }

    /// Rows counted so far.
    pub fn total(&self) -> u64 {
        self.buckets.iter().map(|b| b.rows).sum()
    }

    /// Rows in the buckets that end at or before `at`, and where the next one begins.
    pub fn before(&self, at: i64) -> (u64, i64) {
        let whole = self.buckets.iter().take_while(|b| b.end <= at);
        whole.fold((0, self.start), |(rows, _), b| (rows + b.rows, b.end))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Book {
    version: u32,
    tables: BTreeMap<String, Counted>,
    /// T0 by table, in milliseconds.
    t0: BTreeMap<String, i64>,
    /// The relation that each T0 belongs to.
    relation: BTreeMap<String, String>,
}

/// The ledger of all tables.
#[derive(Debug)]
pub struct Ledger {
    file: Option<PathBuf>,
    book: Mutex<Book>,
}

const VERSION: u32 = 1;

impl Ledger {
    /// Reads the file if there is one; an unreadable or older one is as good as none.
    pub fn open(file: Option<PathBuf>) -> Self {
        let book = file
            .as_deref()
            .and_then(|file| std::fs::read(file).ok())
            .and_then(|bytes| serde_json::from_slice::<Book>(&bytes).ok())
            .filter(|book| book.version == VERSION)
            .unwrap_or_else(|| Book { version: VERSION, ..Book::default() });
        Self { file, book: Mutex::new(book) }
    }

    fn with<R>(&self, work: impl FnOnce(&mut Book) -> R) -> R {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let before = book.clone();
        let result = work(&mut book);
        if *book != before
            && let Some(file) = &self.file
            && let Err(error) = write(file, &book)
        {
            tracing::warn!(target: "ledger", "{}: cannot be written: {error}", file.display());
        }
        result
    }

    /// What was counted of this relation; nothing when the table is another one now.
    pub fn counted(&self, table: Table, relation: &str) -> Option<Counted> {
        self.with(|book| book.tables.get(table.name()).filter(|c| c.relation == relation).cloned())
    }

    /// Remembers it. With a new relation the T0 of the old one is forgotten.
    pub fn set_counted(&self, table: Table, counted: Counted) {
        self.with(|book| {
            let known = book.relation.insert(table.name().to_owned(), counted.relation.clone());
            if known.is_some_and(|known| known != counted.relation) {
                book.t0.remove(table.name());
            }
            book.tables.insert(table.name().to_owned(), counted);
        });
    }

    /// The newest moment that a backfill is known to have covered.
    pub fn t0(&self, table: Table) -> Option<Timestamp> {
        self.with(|book| book.t0.get(table.name()).copied())
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
    }

    /// Notes a moment that a backfill covers: a cursor, or the newest copied row. The newest counts.
    pub fn note_t0(&self, table: Table, at: Timestamp) {
        let at = at.as_millisecond();
        self.with(|book| {
            let known = book.t0.entry(table.name().to_owned()).or_insert(at);
            *known = (*known).max(at);
        });
    }
}

fn write(file: &Path, book: &Book) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension("tmp");
    let mut out = std::fs::File::create(&beside)?;
    out.write_all(&serde_json::to_vec_pretty(book)?)?;
    std::fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted() -> Counted {
        let buckets = vec![Bucket { end: 200, rows: 5 }, Bucket { end: 300, rows: 7 }];
        Counted { relation: "a/1".into(), deleted: 0, start: 100, buckets }
    }

    #[test]
    fn rows_below_a_moment() {
        assert_eq!(counted().before(99), (0, 100));
        assert_eq!(counted().before(250), (5, 200));
        assert_eq!(counted().before(900), (12, 300));
        assert_eq!((counted().total(), counted().frontier()), (12, 300));
    }

    #[test]
    fn remembered_for_the_same_relation_only() {
        let folder = std::env::temp_dir().join(format!("cutover-ledger-{}", uuid::Uuid::new_v4()));
        let file = folder.join("state.json");
        let ledger = Ledger::open(Some(file.clone()));
        ledger.set_counted(Table::Traces, counted());
        ledger.note_t0(Table::Traces, Timestamp::from_millisecond(5).unwrap());
        ledger.note_t0(Table::Traces, Timestamp::from_millisecond(4).unwrap());
        let again = Ledger::open(Some(file));
        assert_eq!(again.counted(Table::Traces, "a/1"), Some(counted()));
        assert_eq!(again.counted(Table::Traces, "b/1"), None);
        assert_eq!(again.t0(Table::Traces).unwrap().as_millisecond(), 5);
        again.set_counted(Table::Traces, Counted { relation: "b/1".into(), ..counted() });
        assert_eq!(again.t0(Table::Traces), None);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
