//! What can be done about a finding from the cockpit: a verb of this program, shown as a dry run first.
//!
//! One rule: a remedy is a verb and its arguments and nothing else, so that the cockpit and the shell do the same
//! thing; the verb journals what it writes.

use crate::domain::backfill::Table;
use crate::domain::{Mono, Trouble};

/// A verb that does something about what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// A failed migration goes on from its cursor.
    Resume(Table),
    /// A migration that nobody works on, or that cannot go on, is carried out by this program.
    Copy(Table),
    /// What the backfill left behind is copied.
    CatchUp,
    /// The two views that v2 reads are made again.
    Views,
    /// What v3 wrote is written back into PostgreSQL.
    Restore,
    /// All rows of both sides are compared.
    Verify,
}

impl Remedy {
    /// The arguments of the verb, without a word on writing.
    fn verb(self) -> Vec<&'static str> {
        match self {
            Self::Resume(table) => vec!["backfill", "resume", "--table", table.name()],
            Self::Copy(table) => vec!["backfill", "run", "--table", table.name()],
            Self::CatchUp => vec!["catch-up"],
            Self::Views => vec!["restore", "--views"],
            Self::Restore => vec!["restore"],
            Self::Verify => vec!["verify"],
        }
    }

    /// The arguments that show what it would do, and do nothing.
    pub fn plan(self) -> Vec<&'static str> {
        match self {
            Self::Resume(table) | Self::Copy(table) => vec!["backfill", "plan", "--table", table.name()],
            Self::Verify => vec!["verify", "--explain"],
            Self::CatchUp | Self::Views | Self::Restore => self.verb(),
        }
    }

    /// The arguments that do it.
    pub fn run(self) -> Vec<&'static str> {
        let mut arguments = self.verb();
        if self.writes().is_some() {
            arguments.push("--yes");
        }
        arguments
    }

    /// What one types into a shell for the same: "cutover backfill resume --table traces --yes".
    pub fn command(self) -> String {
        format!("cutover {}", self.run().join(" "))
    }

    /// The database that it writes to.
    pub const fn writes(self) -> Option<&'static str> {
        match self {
            Self::Resume(_) | Self::Copy(_) => Some("ClickHouse and the migration's row in PostgreSQL"),
            Self::CatchUp => Some("ClickHouse"),
            Self::Views | Self::Restore => Some("PostgreSQL"),
            Self::Verify => None,
        }
    }

    /// What its button and its line in the list say.
    pub fn title(self) -> String {
        match self {
            Self::Resume(table) => format!("Resume the backfill of {} from its cursor", table.name()),
            Self::Copy(table) => format!("Copy {} in the worker's place", table.name()),
            Self::CatchUp => "Copy what the backfill left behind".into(),
            Self::Views => "Make the views that v2 reads again".into(),
            Self::Restore => "Write v3's rows back to v2".into(),
            Self::Verify => "Compare all rows of both sides".into(),
        }
    }
}

/// A remedy under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// Which.
    pub remedy: Remedy,
    /// Since when.
    pub since: Mono,
    /// What it said last.
    pub line: String,
    /// It was asked to stop.
    pub stopping: bool,
}

/// How a verb ended: its exit code, and what it wrote to its standard output and error, cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The published exit code.
    pub code: u8,
    /// Its lines, the newest at the end.
    pub lines: Vec<String>,
}

/// What is told of a remedy.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The dry run of this number ended, or could not be started.
    Plan(u64, Result<Ended, Trouble>),
    /// A line while it runs.
    Line(String),
    /// It ended, or could not be started.
    Done(Result<Ended, Trouble>),
}
