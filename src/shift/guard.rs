//! What must hold before traffic moves, each with the value it rests on.

/// The outcome of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// The operator should know; not in the way.
    Warn,
    /// A forward move must not start.
    Block,
}

/// One row of the plan overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Stable id ("traffic-fresh").
    pub id: &'static str,
    /// What it is about: reads well before a good and before a bad answer.
    pub label: &'static str,
    /// Its answer.
    pub verdict: Verdict,
    /// The value it was answered from, and what would make it pass.
    pub evidence: String,
}

/// All checks of one move, in the order of the screen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guards(pub Vec<Check>);

impl Guards {
    /// The first check that forbids a forward move.
    pub fn blocker(&self) -> Option<&Check> {
        self.0.iter().find(|c| c.verdict == Verdict::Block)
    }
}
