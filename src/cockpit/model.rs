//! The one truth that everything on the screen is drawn from.

use std::collections::VecDeque;

use crate::domain::backfill::{Migration, MigrationState, Progress, Side, Table, TableRows, default_batch};
use crate::domain::cluster::Role;
use crate::domain::store::{StoreKind, VIEWS, WAY_BACK};
use crate::domain::traffic::Route;
use crate::domain::units::Count;
use crate::domain::{Now, SourceId, Split};
use crate::shift::{Hindrance, Intent, Ladder, OpId, Plan, Shift, V3Only};

use super::advisor::Finding;
use super::facts::Facts;
use super::history::{BACKFILL_WINDOW, History};
use super::msg::{Hold, JournalState, Lease, LogLine, Pending};
use super::remedy::Work;
use super::screen::Screen;

/// Log lines kept.
pub const LOG_LINES: usize = 1_000;

/// What does not change while the program runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// The environment's name, as the configuration gives it.
    pub environment: String,
    /// Whether it is production: said in words, not only in colour.
    pub production: bool,
    /// kubeconfig context.
    pub context: String,
    /// Namespace.
    pub namespace: String,
    /// The order of shift and backfill.
    pub strategy: Strategy,
    /// The steps.
    pub ladder: Ladder,
    /// Whether writes are allowed (`--arm`); read-only is the default.
    pub armed: bool,
    /// Who sits here ("ops@bastion").
    pub operator: String,
    /// Sources that the configuration leaves out.
    pub off: Vec<SourceId>,
    /// When the program started.
    pub started: Now,
}

/// The order of shift and backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Langfuse's documented zero-downtime order: the backfill starts when v3 has all traffic.
    #[default]
    ShiftFirst,
    /// v3 backfills while v2 still writes; what v2 writes meanwhile must be caught up.
    BackfillFirst,
}

impl Strategy {
    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ShiftFirst => "shift-first",
            Self::BackfillFirst => "backfill-first",
        }
    }
}

/// The whole state of the cockpit.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Fixed at the start.
    pub setup: Setup,
    /// The newest readings.
    pub facts: Facts,
    /// What accumulates.
    pub history: History,
    /// The operation under way.
    pub shift: Shift,
    /// The split the operator asked for last; `None` until the routes were read once.
    pub intended: Option<Split>,
    /// Where a rollback goes.
    pub last_safe: Split,
    /// The newest completed move, in words, and when.
    pub last_shift: Option<(String, jiff::Timestamp)>,
    /// When the newest write left: what its deadline counts from.
    pub sent: Option<jiff::Timestamp>,
    /// A move that is taken back unless it is confirmed.
    pub pending: Option<Pending>,
    /// Traffic is held.
    pub hold: Option<Hold>,
    /// Who may write.
    pub lease: Lease,
    /// The journal at the start.
    pub journal: JournalState,
    /// Ranked findings.
    pub findings: Vec<Finding>,
    /// Dry runs of verbs so far.
    pub asked: u64,
    /// A verb that was started from here and has not ended.
    pub work: Option<Work>,
    /// The newest log lines, oldest first.
    pub log: VecDeque<LogLine>,
    /// The screen.
    pub screen: Screen,
    /// Number of the next operation.
    pub next_op: u64,
    /// The program is ending.
    pub ending: bool,
}

impl Model {
    /// A model that has read nothing yet.
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            facts: Facts::default(),
            history: History::default(),
            shift: Shift::Idle,
            intended: None,
            last_safe: Split::V2,
            last_shift: None,
            sent: None,
            pending: None,
            hold: None,
            lease: Lease::None,
            journal: JournalState::default(),
            findings: Vec::new(),
            asked: 0,
            work: None,
            log: VecDeque::new(),
            screen: Screen::default(),
            next_op: 1,
            ending: false,
        }
    }

    /// The readings on the screen: the frozen ones while the view is frozen.
    pub fn shown(&self) -> (&Facts, &History) {
        match &self.screen.frozen {
            Some(frozen) => (&frozen.facts, &frozen.history),
            None => (&self.facts, &self.history),
        }
    }

    /// The routes as last read, however old.
    pub fn routes(&self) -> &[Route] {
        self.facts.routes.value().map_or(&[], Vec::as_slice)
    }

    /// The stored split: the highest of the routes; `None` when no route is known.
    pub fn split(&self) -> Option<Split> {
        self.routes().iter().map(|r| r.stored.split()).max()
    }

    /// Counted rows of one table on one side.
    pub fn rows(&self, side: Side, table: Table) -> Option<&TableRows> {
        self.facts.rows(side).value()?.tables.iter().find(|t| t.table == table)
    }

    /// The tables that move: see [`Table::moving`].
    pub fn tables(&self) -> Vec<Table> {
        Table::moving(self.facts.migrations.value().map_or(&[], Vec::as_slice))
    }

    /// The migration that copies a table.
    pub fn migration(&self, table: Table) -> Option<&Migration> {
        self.facts.migrations.value()?.iter().find(|m| m.name == table.migration())
    }

    /// Where the backfill of a table stands, by rows.
    pub fn progress(&self, table: Table) -> Progress {
        let rows = self.rows(Side::Postgres, table);
        let total = rows.and_then(|r| r.backfill).map(|c| c.value);
        let done = rows.and_then(|r| r.done).map(|c| c.value);
        let share = match (done, total) {
            (Some(_), Some(0)) => Some(1.0),
            (Some(done), Some(total)) => Some((done as f64 / total as f64).min(1.0)),
            _ => None,
        };
        let rate = self.history.done[table as usize].slope(BACKFILL_WINDOW).filter(|r| *r >= 0.0);
        let eta = match (done, total, rate) {
            (Some(done), Some(total), Some(rate)) if rate > 0.0 && total > done => {
                Some(std::time::Duration::from_secs_f64(((total - done) as f64 / rate).min(1e9)))
            }
            _ => None,
        };
        Progress { share, rate, eta }
    }

    /// `batchSize` of a migration: its row's, or the default of the worker's version; `None` when neither is known.
    pub fn batch(&self, migration: &Migration) -> Option<u64> {
        let worker = || self.facts.cluster.value()?.of(Role::Worker);
        migration.batch_size.or_else(|| default_batch(&worker()?.tag))
    }

    /// Rows at the cursor of a table that it cannot pass, as many as a batch or more with one `created_at`: by the
    /// batch size, or by a cursor that does not move where that is not known.
    pub fn tie_group(&self, table: Table) -> Option<u64> {
        let migration = self.migration(table)?;
        if matches!(migration.state, MigrationState::Finished | MigrationState::Dormant) {
            return None;
        }
        let size = self.rows(Side::Postgres, table)?.tie_group?;
        let batch = self.batch(migration);
        let stops = batch.map_or_else(|| self.history.stands_still(&migration.name), |batch| size >= batch);
        stops.then_some(size)
    }

    /// What v2 would not see after a move back, or see as it was.
    pub fn v3_only(&self) -> V3Only {
        let counted = |pick: fn(&TableRows) -> Option<Count>| {
            Table::BACKFILLED.map(|table| self.rows(Side::Clickhouse, table).and_then(pick))
        };
        let [traces, observations, scores] = counted(|rows| rows.v3_only);
        let shared = together(counted(|rows| rows.shared));
        V3Only { traces, observations, scores, shared, hindered: self.hindrance() }
    }

    /// What PostgreSQL is known to lack for the way back, the gravest first.
    fn hindrance(&self) -> Option<Hindrance> {
        let store = self.facts.store(StoreKind::Postgres).value()?;
        let refused = store.wrong(WAY_BACK).map(|setting| Hindrance::Refused(setting.advice.clone()));
        refused.or_else(|| store.wrong(VIEWS).map(|_| Hindrance::Views))
    }

    /// The plan of a move, with a number of its own.
    pub fn plan(&mut self, intent: Intent, to: Split) -> Plan {
        let op = OpId(self.next_op);
        self.next_op += 1;
        let back = intent == Intent::Rollback || self.split().is_some_and(|from| to < from);
        let v3_only = back.then(|| self.v3_only());
        Plan::new(op, intent, self.routes(), to, v3_only)
    }
}

/// The sum. Where a table was not counted, the sum of the others is an estimate, and one of nothing is unknown.
fn together(counts: [Option<Count>; 3]) -> Option<Count> {
    let value = counts.iter().flatten().map(|c| c.value).sum();
    let all = counts.iter().all(Option::is_some);
    let estimate = !all || counts.iter().flatten().any(|c| c.estimate);
    (all || value > 0).then_some(Count { value, estimate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cockpit::fixtures::setup;
    use crate::domain::store::{Setting, StoreFact};
    use crate::domain::{Fact, SourceId};

    #[test]
    fn what_was_not_counted_makes_a_sum_an_estimate_and_never_a_zero() {
        let [none, some] = [0, 5].map(|n| Some(Count::exact(n)));
        assert_eq!(together([none, some, some]), Some(Count::exact(10)));
        assert_eq!(together([none; 3]), none);
        assert_eq!(together([None, some, none]), Some(Count::about(5)));
        assert_eq!(together([None, none, none]), None);
        assert_eq!(together([Some(Count::about(0)), none, none]), Some(Count::about(0)));
    }

    #[test]
    fn what_restore_would_refuse_goes_before_views_that_can_be_made() {
        let hindered = |wrong: &[&'static str]| {
            let mut model = Model::new(setup(true));
            let setting = |name| Setting {
                name,
                value: Some("no".into()),
                ok: Some(!wrong.contains(&name)),
                advice: format!("{name} is wrong"),
            };
            let store = StoreFact {
                kind: StoreKind::Postgres,
                version: "15".into(),
                role: "primary".into(),
                latency: std::time::Duration::ZERO,
                used: None,
                limit: None,
                settings: [VIEWS, WAY_BACK].map(setting).to_vec(),
            };
            model.facts.take(SourceId::Store(StoreKind::Postgres), Ok(Fact::Store(store)), Now::at(1).mono);
            model.v3_only().hindered
        };
        assert_eq!(hindered(&[]), None);
        assert_eq!(hindered(&[VIEWS]), Some(Hindrance::Views));
        let refused = Some(Hindrance::Refused("way back is wrong".into()));
        assert_eq!((hindered(&[WAY_BACK]), hindered(&[VIEWS, WAY_BACK])), (refused.clone(), refused));
    }
}
