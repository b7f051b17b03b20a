//! All sources, started together and stopped together.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::driver::{self, Steering};
use super::shared::Shared;
use super::{
    Make, clickhouse_rows, cluster, controller, migrations, postgres_rows, probe, queues, share, stores,
    traffic,
};
use crate::clients::target::Targets;
use crate::cockpit::msg::Msg;
use crate::domain::SourceId;
use crate::domain::store::StoreKind;

/// The table of sources.
#[derive(Debug, Clone, Copy)]
pub struct SourceSet;

impl SourceSet {
    /// Starts every source on `targets`; each sends [`Msg::Fact`] at its cadence.
    pub fn spawn(targets: Targets, to: &mpsc::Sender<Msg>) -> Handle {
        let shared = Shared::new(targets);
        Self::spawn_shared(&shared, &SourceId::ALL, to)
    }

    /// Starts some sources on what others share: the verbs need one or two of them.
    pub fn spawn_shared(shared: &Arc<Shared>, ids: &[SourceId], to: &mpsc::Sender<Msg>) -> Handle {
        let makers = ids.iter().map(|id| (*id, make(*id, shared))).collect();
        Handle::start(makers, to)
    }
}

/// How a source is made.
fn make(id: SourceId, shared: &Arc<Shared>) -> Make {
    let shared = Arc::clone(shared);
    Box::new(move || {
        let shared = Arc::clone(&shared);
        match id {
            SourceId::Cluster => Box::new(cluster::Cluster::new(shared)),
            SourceId::Traffic => Box::new(traffic::Traffic::new(shared)),
            SourceId::Migrations => Box::new(migrations::Migrations::new(shared)),
            SourceId::PostgresRows => Box::new(postgres_rows::PostgresRows::new(shared)),
            SourceId::ClickhouseRows => Box::new(clickhouse_rows::ClickhouseRows::new(shared)),
            SourceId::Queues => Box::new(queues::Queues::new(shared)),
            SourceId::Probe(endpoint) => Box::new(probe::Prober::new(shared, endpoint)),
            SourceId::Share => Box::new(share::Share::new(shared)),
            SourceId::Controller => Box::new(controller::Controller::new(shared)),
            SourceId::Store(StoreKind::Postgres) => Box::new(stores::PostgresStore::new(shared)),
            SourceId::Store(StoreKind::Clickhouse) => Box::new(stores::ClickhouseStore::new(shared)),
            SourceId::Store(StoreKind::Redis) => Box::new(stores::RedisStore::new(shared)),
            SourceId::Store(StoreKind::S3) => Box::new(stores::S3Store::new(shared)),
        }
    })
}

/// The running sources; dropping it ends them.
#[derive(Debug)]
pub struct Handle {
    triggers: BTreeMap<SourceId, Arc<Notify>>,
    paused: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Handle {
    /// Starts these sources.
    pub fn start(makers: Vec<(SourceId, Make)>, to: &mpsc::Sender<Msg>) -> Self {
        let (paused, seen) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut triggers = BTreeMap::new();
        for (id, make) in makers {
            let trigger = Arc::new(Notify::new());
            triggers.insert(id, Arc::clone(&trigger));
            driver::start(&mut tasks, id, make, to.clone(), Steering { trigger, paused: seen.clone() });
        }
        Self { triggers, paused, tasks }
    }

    /// Asks one source, or all of them, for a reading now.
    pub fn poll_now(&self, id: Option<SourceId>) {
        for (known, trigger) in &self.triggers {
            if id.is_none_or(|id| id == *known) {
                trigger.notify_one();
            }
        }
    }

    /// Stops asking, or goes on.
    pub fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// Ends all tasks and waits until they are gone.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}
