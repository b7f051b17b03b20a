//! Where the migration stands, read off the facts and never set by hand.

use jiff::Timestamp;

use super::Model;
use super::model::Strategy;
use crate::domain::Split;
use crate::domain::backfill::MigrationState;
use crate::domain::cluster::Role;
use crate::domain::verified::all_fresh;

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
pub fn phase(model: &Model, now: Timestamp) -> Option<(Phase, String)> {
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
        Some((_, why)) if begun(model) => Some((moving(model, now).0, why)),
        Some(early) => Some(early),
        None => Some(moving(model, now)),
    }
}

/// Whether v3 has been given traffic, or rows by the backfill.
fn begun(model: &Model) -> bool {
    let untouched = |state| matches!(state, MigrationState::Queued | MigrationState::Dormant);
    model.split() > Some(Split::V2)
        || model.tables().iter().any(|t| model.migration(*t).is_some_and(|m| !untouched(m.state)))
}

/// The phases after v3 is there.
fn moving(model: &Model, now: Timestamp) -> (Phase, String) {
    let shifted = model.split() == Some(Split::V3);
    let tables = model.tables();
    let copied =
        tables.iter().all(|t| model.migration(*t).is_some_and(|m| m.state == MigrationState::Finished));
    let shifting =
        (Phase::Shift, format!("v3 has {}", model.split().map_or_else(|| "-".into(), |s| s.to_string())));
    let compared = model.facts.postgres_rows.value().map_or(&[][..], |rows| &rows.verified);
    let copying = (Phase::Backfill, "the migrations to ClickHouse are not finished".into());
    match (model.setup.strategy, shifted, copied) {
        (_, true, true) => match all_fresh(&tables, compared, now) {
            Ok(()) => (Phase::Complete, "all traffic on v3, history copied, every row compared".into()),
            Err(why) => (Phase::Verify, why),
        },
        (Strategy::ShiftFirst, false, _) | (Strategy::BackfillFirst, false, true) => shifting,
        (Strategy::ShiftFirst, true, false) | (Strategy::BackfillFirst, _, false) => copying,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{cluster, setup};
    use super::*;
    use crate::domain::backfill::{Migration, RowsFact, Side, Table};
    use crate::domain::verified::{Depth, Verified};
    use crate::domain::{Fact, Now, SourceId};
    use crate::shift::plan::tests::route;

    /// With web and worker each at this many of one pod, and the routes at a split.
    fn at(web_ready: u32, worker_ready: u32, percent: u8) -> (Phase, String) {
        let mut model = Model::new(setup(true));
        let fact = cluster(|web, worker| (web.ready, worker.ready) = (web_ready, worker_ready));
        model.facts.take(SourceId::Cluster, Ok(fact), Now::at(1).mono);
        model.facts.take(SourceId::Traffic, Ok(Fact::Traffic(vec![route(percent)])), Now::at(1).mono);
        phase(&model, Now::at(1).wall).unwrap()
    }

    #[test]
    fn a_pod_that_is_not_ready_undoes_no_phase_once_v3_has_traffic() {
        assert_eq!(at(0, 1, 0).0, Phase::Deploy, "v3 is still coming up");
        let (phase, why) = at(0, 1, 25);
        assert_eq!((phase, why.as_str()), (Phase::Shift, "web 0/1, worker 1/1 ready"));
        assert_eq!(at(1, 0, 100).0, Phase::Backfill);
        assert_eq!(at(1, 1, 25).1, "v3 has 25 %");
    }

    #[test]
    fn it_is_complete_when_every_row_was_compared_within_a_day() {
        let mut model = Model::new(setup(true));
        let (mono, wall) = (Now::at(1).mono, Now::at(1).wall);
        model.facts.take(SourceId::Cluster, Ok(cluster(|_, _| {})), mono);
        model.facts.take(SourceId::Traffic, Ok(Fact::Traffic(vec![route(100)])), mono);
        let finished = |table: Table| Migration {
            name: table.migration().into(),
            state: MigrationState::Finished,
            cursor: None,
            lock_age: None,
            worker: None,
            failed_reason: None,
            batch_size: None,
            finished_at: None,
        };
        let migrations = Table::BACKFILLED.map(finished).to_vec();
        model.facts.take(SourceId::Migrations, Ok(Fact::Migrations(migrations)), mono);
        let (phase_now, why) = phase(&model, wall).unwrap();
        assert_eq!(
            (phase_now, why.as_str()),
            (Phase::Verify, "traces was never compared: run cutover verify")
        );
        let result =
            |table| Verified { table, depth: Depth::Scalar, at: wall, rows: 5, wrong: 0, part: None };
        let verified = Table::BACKFILLED.map(result).to_vec();
        let rows = RowsFact { side: Side::Postgres, tables: vec![], verified };
        model.facts.take(SourceId::PostgresRows, Ok(Fact::Rows(rows)), mono);
        assert_eq!(phase(&model, wall).unwrap().0, Phase::Complete);
        assert_eq!(phase(&model, Now::at(25 * 3600).wall).unwrap().0, Phase::Verify);
    }
}
