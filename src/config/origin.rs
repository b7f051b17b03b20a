//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

use crate::domain::text::clean;

/// The layer that a value won from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The table of keys.
    Default,
    /// A line of the file, from 1.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, 0) => f.write_str(&clean(&path.to_string_lossy())),
            Self::File(path, line) => write!(f, "{}:{line}", clean(&path.to_string_lossy())),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}
