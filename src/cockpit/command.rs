//! The one command table: dispatch, help, palette, footer and the README's keys come from these rows.
//!
//! One rule: a disabled command stays visible and says why.

use crate::domain::Now;

use super::effect::Effect;
use super::key::Key;
use super::model::Model;

/// What a command can do to the migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Danger {
    /// Nothing: it looks.
    None,
    /// It opens a dialog that can write.
    Writes,
    /// It opens the dialog that takes traffic back.
    TakesBack,
}

/// Where a command is grouped in help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Moving traffic.
    Traffic,
    /// Looking around.
    View,
    /// The program itself.
    Program,
}

impl Group {
    /// Its heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Traffic => "Traffic",
            Self::View => "View",
            Self::Program => "Program",
        }
    }
}

/// One row.
#[derive(Debug)]
pub struct Command {
    /// Stable id ("shift-next").
    pub id: &'static str,
    /// A few words for palette and footer.
    pub title: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// Its heading in help.
    pub group: Group,
    /// What it can do.
    pub danger: Danger,
    /// Whether the footer shows it while it is enabled.
    pub footer: bool,
    /// Whether it can be used now, or why not.
    pub enabled: fn(&Model, Now) -> Result<(), String>,
    /// What it does.
    pub run: fn(&mut Model, Now) -> Vec<Effect>,
}

/// The rows.
pub static COMMANDS: &[Command] = &[];
