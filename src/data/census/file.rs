//! The book on disk: one file, written whole and renamed.
//!
//! One rule: an unreadable or older file is as good as none; what it held is counted again.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::book::{Book, ChBook, PgBook, TableBook};
use crate::domain::backfill::Table;

/// Changes with the layout of [`Book`].
const VERSION: u32 = 1;

/// Where the book is kept; without a path it is kept in memory alone.
#[derive(Debug, Clone)]
pub struct BookFile(Option<PathBuf>);

impl BookFile {
    /// Beside the state file ("counts.json" has "counts.census.json" beside it).
    pub fn beside(state_file: Option<&Path>) -> Self {
        Self(state_file.map(|file| file.with_extension("census.json")))
    }

    /// Reads it.
    pub fn read(&self) -> Book {
        let bytes = self.0.as_deref().and_then(|file| std::fs::read(file).ok());
        bytes
            .and_then(|bytes| serde_json::from_slice::<Book>(&bytes).ok())
            .filter(|book| book.version == VERSION)
            .unwrap_or_else(Self::new_book)
    }

    /// An empty one.
    pub fn new_book() -> Book {
        Book { version: VERSION, ..Book::default() }
    }

    /// Writes it; a file that cannot be written is said in the log and costs the next run its time.
    pub fn write(&self, book: &Book) {
        if let Some(file) = &self.0
            && let Err(error) = write(file, book)
        {
            tracing::warn!(target: "census", "{}: cannot be written: {error}", file.display());
        }
    }
}

/// One book for those who count side by side: each keeps its part there.
#[derive(Debug)]
pub struct Shelf {
    file: BookFile,
    book: Mutex<Book>,
}

impl Shelf {
    /// Takes the book from its file.
    pub fn open(state_file: Option<&Path>) -> Self {
        let file = BookFile::beside(state_file);
        let book = Mutex::new(file.read());
        Self { file, book }
    }

    /// What is known of a table.
    pub fn table(&self, table: Table) -> TableBook {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.tables.get(table.name()).cloned().unwrap_or_default()
    }

    /// Keeps PostgreSQL's side. Projects that another program read meanwhile stay where the counts agree.
    pub fn keep_pg(&self, table: Table, side: &PgBook) {
        self.keep(table, |book| {
            let before = std::mem::replace(&mut book.pg, side.clone());
            book.pg.adopt(&before);
        });
    }

    /// Keeps ClickHouse's side.
    pub fn keep_ch(&self, table: Table, side: &ChBook) {
        self.keep(table, |book| book.ch.clone_from(side));
    }

    fn keep(&self, table: Table, change: impl FnOnce(&mut TableBook)) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if self.file.0.is_some() {
            // The verb may have written it meanwhile.
            *book = self.file.read();
        }
        change(book.tables.entry(table.name().to_owned()).or_default());
        self.file.write(&book);
    }
}

fn write(file: &Path, book: &Book) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Two programs may count at once: each has its own file until it is renamed.
    let beside = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut out = std::io::BufWriter::new(std::fs::File::create(&beside)?);
    serde_json::to_writer(&mut out, book)?;
    out.flush()?;
    std::fs::rename(&beside, file)
}
