//! What a run found, wrote, left and lost: numbers first, ids as examples.
//!
//! One rule: every entity that v3 wrote is counted in exactly one verdict.

use std::collections::BTreeMap;

use serde::Serialize;

use super::needs::Unmet;
use crate::data::convert::back::Loss;
use crate::data::rows::Key;
use crate::domain::backfill::Table;

/// Examples kept of each kind.
const EXAMPLES: usize = 5;
/// Ids kept of what could not go back: these are named one by one.
const LISTED: usize = 10_000;

/// Why an entity of v3 stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Left {
    /// Its project is gone, or being deleted.
    ProjectGone,
    /// v2 has its id in another project; ids are global there.
    OtherProject,
    /// A score without a trace.
    NoTrace,
    /// A value that v2 or PostgreSQL cannot hold.
    Refused,
}

impl Left {
    /// In words, after a number.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::ProjectGone => "belong to a project that is gone",
            Self::OtherProject => "have an id that v2 knows in another project",
            Self::NoTrace => "are scores of a session or run, which v2 does not know",
            Self::Refused => "cannot be stored in v2",
        }
    }
}

/// What becomes of an entity that v3 wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// v2 lacks it.
    Insert,
    /// v2 has it, older.
    Update,
    /// v2 has it, as new or newer.
    Known,
    /// v3 deleted it since, or the copied row wins.
    Gone,
}

/// How many, and some of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Named {
    /// How many.
    pub count: u64,
    /// Some of them, "project/id", with the reason where they differ.
    pub examples: Vec<String>,
}

impl Named {
    fn add(&mut self, limit: usize, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < limit {
            self.examples.push(name());
        }
    }
}

/// One table.
#[derive(Debug, Clone, Serialize)]
pub struct TableReport {
    /// Which.
    #[serde(serialize_with = "name")]
    pub table: Table,
    /// Entities that v3 wrote, looked at.
    pub looked_at: u64,
    /// v2 lacks them: to be written, or written.
    pub inserts: Named,
    /// v2 has them older: to be updated, or updated.
    pub updates: Named,
    /// v2 has them as new or newer.
    pub known: u64,
    /// Deleted in v3 since, or the copied row wins.
    pub gone: u64,
    /// Not written, by reason.
    pub left: BTreeMap<Left, Named>,
    /// Written, and not the same in v2, by kind.
    pub lost: BTreeMap<Loss, Named>,
    /// Columns of v3 that this program does not know: not written.
    pub unknown_columns: Vec<String>,
    /// Columns of v3 that v2 has no place for: not written.
    pub kept_columns: Vec<&'static str>,
    /// Columns of v2 that v3 has no place for: empty in rows that are inserted.
    pub empty_columns: Vec<&'static str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn name<S: serde::Serializer>(table: &Table, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(table.name())
}

impl TableReport {
    /// Nothing looked at yet.
    pub fn new(table: Table) -> Self {
        Self {
            table,
            looked_at: 0,
            inserts: Named::default(),
            updates: Named::default(),
            known: 0,
            gone: 0,
            left: BTreeMap::new(),
            lost: BTreeMap::new(),
            unknown_columns: vec![],
            kept_columns: vec![],
            empty_columns: vec![],
        }
    }

    /// Rows to write, or written.
    pub const fn rows(&self) -> u64 {
        self.inserts.count + self.updates.count
    }

    /// Notes a verdict.
    pub(super) fn judged(&mut self, key: &Key, verdict: Verdict) {
        match verdict {
            Verdict::Insert => self.inserts.add(EXAMPLES, || shown(key)),
            Verdict::Update => self.updates.add(EXAMPLES, || shown(key)),
            Verdict::Known => self.known += 1,
            Verdict::Gone => self.gone += 1,
        }
    }

    /// Notes what stays where it is.
    pub(super) fn leave(&mut self, key: &Key, why: Left, words: &str) {
        let limit = if why == Left::ProjectGone { EXAMPLES } else { LISTED };
        self.left.entry(why).or_default().add(limit, || {
            let colon = if words.is_empty() { "" } else { ": " };
            format!("{}{colon}{words}", shown(key))
        });
    }

    /// Notes what is not the same.
    pub(super) fn lose(&mut self, key: &Key, losses: &[Loss]) {
        for loss in losses {
            // What may be shown to anybody is named one by one.
            let limit = if *loss == Loss::Undecided { LISTED } else { EXAMPLES };
            self.lost.entry(*loss).or_default().add(limit, || shown(key));
        }
    }
}

fn shown(key: &Key) -> String {
    crate::domain::text::clean(&format!("{}/{}", key.project, key.id))
}

/// All of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Whether rows were written, or only counted.
    pub written: bool,
    /// Whether it was told to stop before the end.
    pub stopped: bool,
    /// What v2 needs and does not find: with anything but a view in it nothing is written.
    pub unmet: Vec<Unmet>,
    /// The tables, in the order they are written.
    pub tables: Vec<TableReport>,
    /// Seconds that it took.
    pub seconds: f64,
    /// About the seconds that writing takes, measured on a part; nothing for a run that wrote.
    pub estimate_seconds: Option<f64>,
}

impl Report {
    /// Rows to write, or written.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(TableReport::rows).sum()
    }
}
