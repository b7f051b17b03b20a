//! Findings: what the readings mean together, ranked, each with its evidence and a remedy.
//!
//! One rule: a finding rests on readings of this moment; when the reading is gone, so is the finding.

mod backfill;
mod cluster;
mod data;
mod queues;
mod stores;
mod traffic;

use super::Model;
use super::remedy::Remedy;
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

impl Severity {
    /// The word on screen.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
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
    /// The values it was concluded from, a line for each subject.
    pub evidence: String,
    /// What to do.
    pub remedy: String,
    /// The verb of this program that does it.
    pub act: Option<Remedy>,
}

/// What a rule adds its findings to.
type Findings = Vec<Finding>;

/// The rules, one room of the screen each.
const RULES: &[fn(&Model, Now, &mut Findings)] =
    &[traffic::advise, backfill::advise, data::advise, queues::advise, stores::advise, cluster::advise];

/// All findings of the moment, worst first; within a rank in the order of the rules.
pub fn advise(model: &Model, now: Now) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in RULES {
        rule(model, now, &mut findings);
    }
    findings.sort_by_key(|f| f.severity);
    findings
}

/// Adds a finding.
fn add(
    findings: &mut Findings,
    id: &'static str,
    severity: Severity,
    title: impl Into<String>,
    evidence: impl Into<String>,
    remedy: impl Into<String>,
) {
    findings.push(Finding {
        id,
        severity,
        title: title.into(),
        evidence: evidence.into(),
        remedy: remedy.into(),
        act: None,
    });
}

/// Says which verb does something about the finding that was added last.
fn act(findings: &mut Findings, remedy: Remedy) {
    if let Some(finding) = findings.last_mut() {
        finding.act = Some(remedy);
    }
}

#[cfg(test)]
mod tests;
