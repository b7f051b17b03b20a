//! The book on disk: one file, written whole and renamed.
//!
//! One rule: an unreadable or older file is as good as none; what it held is counted again.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::book::Book;

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
