//! Environment, split and the operation under way in the document.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{CountReport, MeasuredReport};
use crate::cockpit::model::Model;
use crate::cockpit::msg::Lease;
use crate::domain::Split;
use crate::shift::{Shift, V3Only};

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EnvironmentReport {
    /// Its name.
    pub name: String,
    /// Whether it is production.
    pub production: bool,
    /// kubeconfig context.
    pub context: String,
    /// Namespace.
    pub namespace: String,
    /// "shift-first" or "backfill-first".
    pub strategy: &'static str,
    /// The steps, per cent.
    pub ladder: Vec<u8>,
    /// Whether writes are allowed.
    pub armed: bool,
    /// Who looks.
    pub operator: String,
}

/// Where the migration stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PhaseReport {
    /// "prepare", "deploy", "shift", "backfill", "verify", "complete".
    pub name: &'static str,
    /// What keeps it from the next one.
    pub why: String,
}

/// The share of v3, per cent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SplitReport {
    /// What the operator asked for last.
    pub intended: Option<u8>,
    /// The highest weight that a route stores.
    pub stored: Option<u8>,
    /// What requests really got since the newest weight.
    pub measured: Option<MeasuredReport>,
    /// Where a rollback goes.
    pub last_safe: u8,
    /// The newest completed move, in words.
    pub last_shift: Option<MoveReport>,
    /// Who holds the traffic where it is.
    pub hold: Option<HoldReport>,
    /// What v2 would not see after a move back.
    pub v3_only: V3OnlyReport,
}

/// A completed move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MoveReport {
    /// In words.
    pub text: String,
    /// When.
    pub at: Timestamp,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HoldReport {
    /// Who.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
}

/// Entities that exist only in v3, or that v3 wrote as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct V3OnlyReport {
    /// Traces.
    pub traces: Option<CountReport>,
    /// Observations.
    pub observations: Option<CountReport>,
    /// Scores.
    pub scores: Option<CountReport>,
    /// More of all three that v3 wrote and PostgreSQL has as well: v2 may have them older.
    pub shared: Option<CountReport>,
}

impl From<V3Only> for V3OnlyReport {
    fn from(s: V3Only) -> Self {
        let count = |c: Option<_>| c.map(CountReport::from);
        Self {
            traces: count(s.traces),
            observations: count(s.observations),
            scores: count(s.scores),
            shared: count(s.shared),
        }
    }
}

/// The operation under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ShiftReport {
    /// "idle", "proposed", "armed", "applying", "verifying", "unknown", "done", "failed".
    pub state: &'static str,
    /// The operation ("op-7").
    pub operation: Option<String>,
    /// "shift" or "rollback".
    pub intent: Option<&'static str>,
    /// Per cent before.
    pub from: Option<u8>,
    /// Per cent it ends in.
    pub to: Option<u8>,
    /// Why its outcome is unknown, or why it failed.
    pub reason: Option<String>,
    /// A move that is taken back unless it is confirmed.
    pub pending: Option<PendingReport>,
    /// Who may write: "ours", "none", a holder's name, or why it could not be asked.
    pub lease: String,
}

/// A move with a deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PendingReport {
    /// The operation.
    pub operation: String,
    /// Where traffic goes back to, per cent to v3.
    pub back_to: u8,
    /// When, unless `cutover confirm` comes first (UTC).
    pub at: jiff::Timestamp,
}

/// What is looked at, and by whom.
pub(super) fn environment(model: &Model) -> EnvironmentReport {
    let setup = &model.setup;
    EnvironmentReport {
        name: setup.environment.clone(),
        production: setup.production,
        context: setup.context.clone(),
        namespace: setup.namespace.clone(),
        strategy: setup.strategy.name(),
        ladder: setup.ladder.steps().iter().map(|s| s.percent()).collect(),
        armed: setup.armed,
        operator: setup.operator.clone(),
    }
}

/// The share of v3, from every side.
pub(super) fn split(model: &Model) -> SplitReport {
    SplitReport {
        intended: model.intended.map(Split::percent),
        stored: model.split().map(Split::percent),
        measured: model.history.share.measured().map(MeasuredReport::from),
        last_safe: model.last_safe.percent(),
        last_shift: model.last_shift.as_ref().map(|(text, at)| MoveReport { text: text.clone(), at: *at }),
        hold: model.hold.as_ref().map(|h| HoldReport { by: h.by.clone(), since: h.since }),
        v3_only: model.v3_only().into(),
    }
}

/// The operation under way.
pub(super) fn shift(model: &Model) -> ShiftReport {
    let (state, reason) = match &model.shift {
        Shift::Idle => ("idle", None),
        Shift::Proposed { .. } => ("proposed", None),
        Shift::Armed { .. } => ("armed", None),
        Shift::Applying { .. } => ("applying", None),
        Shift::Verifying { .. } => ("verifying", None),
        Shift::Unknown { why, .. } => ("unknown", Some(why.sentence())),
        Shift::Done { .. } => ("done", None),
        Shift::Failed { trouble, .. } => ("failed", Some(trouble.to_string())),
    };
    let plan = model.shift.plan();
    ShiftReport {
        state,
        operation: plan.map(|p| p.op.to_string()),
        intent: plan.map(|p| p.intent.word()),
        from: plan.map(|p| p.from.percent()),
        to: plan.map(|p| p.to.percent()),
        reason,
        pending: model.pending.map(|p| PendingReport {
            operation: p.op.to_string(),
            back_to: p.back_to.percent(),
            at: p.at,
        }),
        lease: match &model.lease {
            Lease::None => "none".into(),
            Lease::Ours => "ours".into(),
            Lease::Other(who, _) => who.clone(),
            Lease::Failed(trouble) => trouble.to_string(),
        },
    }
}
