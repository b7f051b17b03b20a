//! Rows that could not be converted: one JSON line each, in a file of their own, synced before the cursor passes them.
//!
//! One rule: while rows are copied the file is only appended to; it is the list of what is in v2 and will not be in v3.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::data::backfill::Rejects;
use crate::data::rows::Rejected;
use crate::domain::backfill::Table;
use crate::domain::{Kind, Trouble};

/// How many are kept to be shown.
const SHOWN: usize = 20;

/// The file, and the first few lines.
pub(in crate::cli) struct RejectsFile {
    path: PathBuf,
    /// The first few of this run, in words.
    pub(super) first: Vec<String>,
    /// How many in this run.
    pub(in crate::cli) count: u64,
}

impl RejectsFile {
    pub(super) fn new(folder: &Path) -> Self {
        Self::named(folder, "backfill-rejects.jsonl")
    }

    /// Another verb's list.
    pub(in crate::cli) fn named(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(name), first: vec![], count: 0 }
    }

    pub(in crate::cli) fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// Leaves out what an earlier run said of a table that is looked at anew.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(in crate::cli) fn forget(&self, table: Table) -> std::io::Result<()> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let of = |line: &str| {
            let line: Option<serde_json::Value> = serde_json::from_str(line).ok();
            line.is_some_and(|line| line["table"] == table.name())
        };
        let kept: String = text.split_inclusive('\n').filter(|line| !of(line)).collect();
        if kept.is_empty() { std::fs::remove_file(&self.path) } else { std::fs::write(&self.path, kept) }
    }

    fn file(&self) -> std::io::Result<File> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)
    }

    fn append(&self, table: Table, rejected: &[Rejected]) -> std::io::Result<()> {
        let mut text = String::new();
        for Rejected { key, why } in rejected {
            let line = json!({
                "table": table.name(), "project_id": key.project, "id": key.id,
                "column": why.column, "reason": why.reason,
            });
            text.push_str(&line.to_string());
            text.push('\n');
        }
        let mut file = self.file()?;
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }
}

impl Rejects for RejectsFile {
    fn write(&mut self, table: Table, rejected: &[Rejected]) -> Result<(), Trouble> {
        self.append(table, rejected).map_err(|error| {
            Trouble::new(Kind::Refused, self.path(), format!("rejected rows cannot be written down: {error}"))
                .remedy("check the folder's owner and free space, or set [state] dir")
        })?;
        self.count += rejected.len() as u64;
        let room = SHOWN.saturating_sub(self.first.len());
        let lines = rejected.iter().take(room).map(|Rejected { key, why }| {
            format!("{} {} of project {}: {why}", table.name(), key.id, key.project)
        });
        self.first.extend(lines.map(|line| crate::domain::text::clean(&line)));
        Ok(())
    }
}
