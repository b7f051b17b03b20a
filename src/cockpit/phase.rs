//! Where the migration stands, read off the facts and never set by hand.

use super::Model;
use super::model::Strategy;
use crate::domain::Split;
use crate::domain::backfill::{MigrationState, Table};
use crate::domain::cluster::Role;

/// The phases, in the order of `shift-first`; `backfill-first` exchanges shift and backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// v3 is not there yet.
    Prepare,
    /// v3 is coming up.
    Deploy,
    /// Traffic moves.
    Shift,
    /// History moves.
    Backfill,
    /// Both sides are compared.
    Verify,
    /// v2 is no longer needed.
    Complete,
}

impl Phase {
    /// In the order a strategy walks them.
    pub const fn order(strategy: Strategy) -> [Self; 6] {
        match strategy {
            Strategy::ShiftFirst => {
                [Self::Prepare, Self::Deploy, Self::Shift, Self::Backfill, Self::Verify, Self::Complete]
            }
            Strategy::BackfillFirst => {
                [Self::Prepare, Self::Deploy, Self::Backfill, Self::Shift, Self::Verify, Self::Complete]
            }
        }
    }

    /// The word on the phase line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Deploy => "deploy",
            Self::Shift => "shift",
            Self::Backfill => "backfill",
            Self::Verify => "verify",
            Self::Complete => "complete",
        }
    }
}

/// The phase, and what keeps it from the next one. `None` while too little has been read to say.
pub fn phase(model: &Model) -> Option<(Phase, String)> {
    let cluster = model.facts.cluster.value()?;
    let web = cluster.of(Role::Web);
    let worker = cluster.of(Role::Worker);
    let (Some(web), Some(worker)) = (web, worker) else {
        return Some((Phase::Prepare, "no Langfuse v3 web and worker in this namespace".into()));
    };
    if web.ready == 0 || worker.ready == 0 {
        return Some((
            Phase::Deploy,
            format!("web {}/{}, worker {}/{} ready", web.ready, web.desired, worker.ready, worker.desired),
        ));
    }
    let shifted = model.split() == Some(Split::V3);
    let copied = Table::BACKFILLED
        .iter()
        .all(|t| model.migration(*t).is_some_and(|m| m.state == MigrationState::Finished));
    let moving =
        (Phase::Shift, format!("v3 has {}", model.split().map_or_else(|| "-".into(), |s| s.to_string())));
    let copying = (Phase::Backfill, "the migrations to ClickHouse are not finished".into());
    Some(match (model.setup.strategy, shifted, copied) {
        (_, true, true) => (Phase::Verify, "all traffic on v3, history copied: compare both sides".into()),
        (Strategy::ShiftFirst, false, _) | (Strategy::BackfillFirst, false, true) => moving,
        (Strategy::ShiftFirst, true, false) | (Strategy::BackfillFirst, _, false) => copying,
    })
}
