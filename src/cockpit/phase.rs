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
    let missing = match (web, worker) {
        (Some(web), Some(worker)) if web.ready == 0 || worker.ready == 0 => Some((
            Phase::Deploy,
            format!("web {}/{}, worker {}/{} ready", web.ready, web.desired, worker.ready, worker.desired),
        )),
        (Some(_), Some(_)) => None,
        _ => Some((Phase::Prepare, "no Langfuse v3 web and worker in this namespace".to_owned())),
    };
    match missing {
        // A pod that is not ready for a moment undoes nothing: v3 was deployed when it got traffic or rows.
        Some((_, why)) if begun(model) => Some((moving(model).0, why)),
        Some(early) => Some(early),
        None => Some(moving(model)),
    }
}

/// Whether v3 has been given traffic, or rows by the backfill.
fn begun(model: &Model) -> bool {
    let untouched = |state| matches!(state, MigrationState::Queued | MigrationState::Dormant);
    model.split() > Some(Split::V2)
        || Table::BACKFILLED.iter().any(|t| model.migration(*t).is_some_and(|m| !untouched(m.state)))
}

/// The phases after v3 is there.
fn moving(model: &Model) -> (Phase, String) {
    let shifted = model.split() == Some(Split::V3);
    let copied = Table::BACKFILLED
        .iter()
        .all(|t| model.migration(*t).is_some_and(|m| m.state == MigrationState::Finished));
    let shifting =
        (Phase::Shift, format!("v3 has {}", model.split().map_or_else(|| "-".into(), |s| s.to_string())));
    let copying = (Phase::Backfill, "the migrations to ClickHouse are not finished".into());
    match (model.setup.strategy, shifted, copied) {
        (_, true, true) => (Phase::Verify, "all traffic on v3, history copied: compare both sides".into()),
        (Strategy::ShiftFirst, false, _) | (Strategy::BackfillFirst, false, true) => shifting,
        (Strategy::ShiftFirst, true, false) | (Strategy::BackfillFirst, _, false) => copying,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{cluster, setup};
    use super::*;
    use crate::domain::{Fact, Now, SourceId};
    use crate::shift::plan::tests::route;

    /// With web and worker each at this many of one pod, and the routes at a split.
    fn at(web_ready: u32, worker_ready: u32, percent: u8) -> (Phase, String) {
        let mut model = Model::new(setup(true));
        let fact = cluster(|web, worker| (web.ready, worker.ready) = (web_ready, worker_ready));
        model.facts.take(SourceId::Cluster, Ok(fact), Now::at(1).mono);
        model.facts.take(SourceId::Traffic, Ok(Fact::Traffic(vec![route(percent)])), Now::at(1).mono);
        phase(&model).unwrap()
    }

    #[test]
    fn a_pod_that_is_not_ready_undoes_no_phase_once_v3_has_traffic() {
        assert_eq!(at(0, 1, 0).0, Phase::Deploy, "v3 is still coming up");
        let (phase, why) = at(0, 1, 25);
        assert_eq!((phase, why.as_str()), (Phase::Shift, "web 0/1, worker 1/1 ready"));
        assert_eq!(at(1, 0, 100).0, Phase::Backfill);
        assert_eq!(at(1, 1, 25).1, "v3 has 25 %");
    }
}
