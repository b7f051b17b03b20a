//! T0 of each table, which Langfuse stores nowhere: a small JSON file, written whole and renamed. What was
//! counted stands beside it, in the book of [`crate::data::census`].
//!
//! One rule: an entry counts only for the very relation it was taken from; anything else starts anew. The file is
//! shared: what another process wrote into it (`cutover catch-up`, beside an open cockpit) counts at once.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::backfill::Table;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Book {
    version: u32,
    /// T0 by table, in milliseconds.
    t0: BTreeMap<String, i64>,
    /// The relation that each T0 belongs to.
    relation: BTreeMap<String, String>,
    /// By table, what the last look by id found changed.
    changed: BTreeMap<String, Found>,
}

/// Rows that were copied and then changed in v2, as the last census or catch-up found them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How many.
    pub rows: u64,
    /// Whether not all of them could be looked at.
    pub estimate: bool,
    /// When, in milliseconds.
    pub at: i64,
}

/// T0 of all tables.
#[derive(Debug)]
pub struct Ledger {
    file: Option<PathBuf>,
    book: Mutex<(Book, Stamp)>,
}

/// Which version of the file was read: its inode, and the time it was written. Nothing when there is no file.
type Stamp = Option<(u64, std::time::SystemTime)>;

const VERSION: u32 = 1;

impl Ledger {
    /// Reads the file if there is one; an unreadable or older one is as good as none.
    pub fn open(file: Option<PathBuf>) -> Self {
        // First the stamp: what is written in between is read again.
        let stamp = file.as_deref().and_then(stamp);
        let read = file.as_deref().and_then(read);
        let book = read.unwrap_or_else(|| Book { version: VERSION, ..Book::default() });
        Self { file, book: Mutex::new((book, stamp)) }
    }

    fn with<R>(&self, work: impl FnOnce(&mut Book) -> R) -> R {
        let mut held = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let (book, seen) = &mut *held;
        let Some(file) = &self.file else { return work(book) };
        // Held until this returns: between reading and writing nobody else writes.
        let _alone = alone(file);
        let now = stamp(file);
        if now != *seen
            && let Some(theirs) = read(file)
        {
            (*book, *seen) = (theirs, now);
        }
        let before = book.clone();
        let result = work(book);
        if *book != before {
            match write(file, book) {
                Ok(()) => *seen = stamp(file),
                Err(error) => {
                    tracing::warn!(target: "ledger", "{}: cannot be written: {error}", file.display());
                }
            }
        }
        result
    }

    /// Notes which relation a table is now. With a new one the T0 of the old one is forgotten.
    pub fn note_relation(&self, table: Table, relation: &str) {
        self.with(|book| {
            let known = book.relation.insert(table.name().to_owned(), relation.to_owned());
            if known.is_some_and(|known| known != relation) {
                book.t0.remove(table.name());
                book.changed.remove(table.name());
            }
        });
    }

    /// The newest moment that a backfill is known to have covered.
    pub fn t0(&self, table: Table) -> Option<Timestamp> {
        self.with(|book| book.t0.get(table.name()).copied())
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
    }

    /// What was found changed at last.
    pub fn changed(&self, table: Table) -> Option<Found> {
        self.with(|book| book.changed.get(table.name()).copied())
    }

    /// Notes what a look at the whole table found.
    pub fn note_changed(&self, table: Table, found: Found) {
        self.with(|book| book.changed.insert(table.name().to_owned(), found));
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

fn read(file: &Path) -> Option<Book> {
    let book = serde_json::from_slice::<Book>(&std::fs::read(file).ok()?).ok()?;
    (book.version == VERSION).then_some(book)
}

/// Waits for other processes; without the lock (a folder that cannot be written) there is nothing to lose.
fn alone(file: &Path) -> Option<std::fs::File> {
    std::fs::create_dir_all(file.parent()?).ok()?;
    let lock = std::fs::File::create(file.with_extension("lock")).ok()?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).ok()?;
    Some(lock)
}

fn stamp(file: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let data = std::fs::metadata(file).ok()?;
    Some((data.ino(), data.modified().ok()?))
}

fn write(file: &Path, book: &Book) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension(format!("{}.new", std::process::id()));
    let mut out = std::fs::File::create(&beside)?;
    out.write_all(&serde_json::to_vec_pretty(book)?)?;
    std::fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembered_for_the_same_relation_only() {
        let folder = std::env::temp_dir().join(format!("cutover-ledger-{}", uuid::Uuid::new_v4()));
        let file = folder.join("state.json");
        let ledger = Ledger::open(Some(file.clone()));
        ledger.note_relation(Table::Traces, "a/1");
        ledger.note_t0(Table::Traces, Timestamp::from_millisecond(5).unwrap());
        ledger.note_t0(Table::Traces, Timestamp::from_millisecond(4).unwrap());
        let found = Found { rows: 3, estimate: false, at: 7 };
        ledger.note_changed(Table::Traces, found);
        let again = Ledger::open(Some(file));
        again.note_relation(Table::Traces, "a/1");
        assert_eq!(again.t0(Table::Traces).unwrap().as_millisecond(), 5);
        assert_eq!(again.changed(Table::Traces), Some(found));
        again.note_relation(Table::Traces, "b/1");
        assert_eq!((again.t0(Table::Traces), again.changed(Table::Traces)), (None, None));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_another_process_noted_counts_and_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let cockpit = Ledger::open(Some(file.clone()));
        cockpit.note_relation(Table::Traces, "a/1");
        cockpit.note_t0(Table::Traces, at(5));
        let verb = Ledger::open(Some(file.clone()));
        verb.note_t0(Table::Traces, at(9));
        assert_eq!(cockpit.t0(Table::Traces), Some(at(9)));
        verb.note_t0(Table::Traces, at(12));
        cockpit.note_relation(Table::Scores, "b/1");
        assert_eq!(Ledger::open(Some(file)).t0(Table::Traces), Some(at(12)));
    }
}
