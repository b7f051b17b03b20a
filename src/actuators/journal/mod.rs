//! The journal: append-only JSON lines, each synced to disk, each holding the hash of the one before.
//!
//! One rule: a line is never changed. What is missing at the end is a crash; what does not fit in the middle
//! was tampered with, and forward moves stop until a person has looked. The way back is never stopped by it.

pub mod record;
pub mod replay;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use record::{Entry, Outcome, PatchRecord, Record, Step};
pub use replay::{Standing, Verified, replay, standing, verify};

/// What can go wrong with the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file or its folder cannot be used.
    #[error(
        "journal {path}: {action} failed: {source}; check the folder's owner and free space, or set [journal] dir"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line does not fit the one before it.
    #[error("journal {path}, line {line}: {detail}; keep a copy, then run `cutover journal --verify`")]
    Broken {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What does not fit.
        detail: String,
    },
}

/// The journal of one namespace.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal at `path`; its folder is made, readable by its owner only.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let journal = Self { path: path.into() };
        if let Some(dir) = journal.path.parent() {
            use std::os::unix::fs::DirBuilderExt;
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(|e| journal.io("making the folder", e))?;
        }
        journal.file()?;
        Ok(journal)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one entry under an exclusive lock and syncs it to disk. Blocking: milliseconds on a local disk.
    pub fn append(&self, entry: Entry, at: jiff::Timestamp) -> Result<Record, JournalError> {
        let mut file = self.file()?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|e| self.io("locking", e.into()))?;
        let (lines, last) = self.last(&mut file)?;
        let record = Record::chain(lines + 1, at, entry, last.map_or_else(String::new, |r| r.hash));
        let mut line = record.line();
        line.push('\n');
        file.seek(SeekFrom::End(0)).map_err(|e| self.io("seeking", e))?;
        file.write_all(line.as_bytes()).map_err(|e| self.io("appending", e))?;
        file.sync_data().map_err(|e| self.io("syncing", e))?;
        Ok(record)
    }

    /// Every whole line, in order. A last line without its end (a crash in the middle of an append) is left out.
    ///
    /// # Errors
    /// The file cannot be read, or a line is no journal line.
    pub fn read(&self) -> Result<Vec<Record>, JournalError> {
        self.lines()?.into_iter().collect()
    }

    /// The same, line by line: one that is no journal line does not hide the others.
    fn lines(&self) -> Result<Vec<Result<Record, JournalError>>, JournalError> {
        let file = self.file()?;
        let mut records = Vec::new();
        let mut reader = BufReader::new(file);
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            // Bytes: a torn line may end in the middle of a character.
            let n = reader.read_until(b'\n', &mut text).map_err(|e| self.io("reading", e))?;
            if n == 0 || !text.ends_with(b"\n") {
                break;
            }
            let parsed = serde_json::from_slice(&text);
            records.push(parsed.map_err(|e| self.broken(line, format!("not a journal line ({e})"))));
        }
        Ok(records)
    }

    /// How many whole lines there are, and the newest record. A torn line at the end is cut off: its request never
    /// left. One that is no journal line is counted and passed over: what is appended then does not fit it, as
    /// `journal --verify` tells.
    fn last(&self, file: &mut File) -> Result<(u64, Option<Record>), JournalError> {
        let mut text = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut text)).map_err(|e| self.io("reading", e))?;
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(|e| self.io("cutting a torn line", e))?;
        }
        let lines = text[..whole].split_inclusive(|b| *b == b'\n');
        let count = lines.clone().count() as u64;
        Ok((count, lines.rev().find_map(|line| serde_json::from_slice(line).ok())))
    }

    fn file(&self) -> Result<File, JournalError> {
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true).mode(0o600);
        options.open(&self.path).map_err(|e| self.io("opening", e))
    }

    fn io(&self, action: &'static str, source: std::io::Error) -> JournalError {
        JournalError::Io { path: self.path.clone(), action, source }
    }

    fn broken(&self, line: usize, detail: String) -> JournalError {
        JournalError::Broken { path: self.path.clone(), line, detail }
    }
}

#[cfg(test)]
mod tests;
