//! Findings: what the readings mean together, ranked, each with its evidence and a remedy.

use super::Model;
use crate::domain::Now;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Data or availability is in danger now.
    Critical,
    /// It will be, or something cannot be seen.
    Warning,
    /// Worth knowing.
    Info,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable id ("canary-no-endpoints").
    pub id: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What is so, in one sentence.
    pub title: String,
    /// The values it was concluded from.
    pub evidence: String,
    /// What to do.
    pub remedy: String,
}

/// All findings of the moment, worst first.
pub fn advise(_model: &Model, _now: Now) -> Vec<Finding> {
    Vec::new()
}
