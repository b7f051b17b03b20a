//! What is wrong with a configuration: where, what, and what to write instead.

use std::fmt;

use crate::domain::text::clean;

use super::origin::Origin;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written; `None` when something is missing everywhere.
    pub origin: Option<Origin>,
    /// The dotted key, or the section; empty when the whole file is meant.
    pub key: String,
    /// What is wrong and what to do, one sentence, cleaned.
    pub message: String,
}

impl Problem {
    /// A mistake in `key` as `origin` gave it.
    pub fn new(origin: Option<Origin>, key: impl AsRef<str>, message: impl AsRef<str>) -> Self {
        Self { origin, key: clean(key.as_ref()), message: clean(message.as_ref()) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// All mistakes found, so that they can be mended in one go.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}
