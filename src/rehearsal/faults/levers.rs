//! Carrying faults out on the real parts, and taking them back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Fault, StoreName};
use crate::rehearsal::gateway::annotations::PREFIX;
use crate::rehearsal::kube::{Fault as ApiFault, Faults as ApiFaults, Scope};
use crate::rehearsal::period::Period;
use crate::rehearsal::stores::{StoreError, Stores, redis};
use crate::rehearsal::workloads::PodFaults;
use crate::rehearsal::workloads::manifests::{ingress, langfuse};
use crate::rehearsal::workloads::objects::merge;

/// Why a fault could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The part it is about cannot do that.
    #[error("{0} is not possible here: {1}")]
    Impossible(String, &'static str),
    /// A store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The API server refused it.
    #[error("the API server refused it: {0}")]
    Kube(Box<kube::Error>),
}

impl From<kube::Error> for FaultError {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

/// Everything that faults act upon.
pub struct Levers {
    /// The Langfuse processes.
    pub pods: PodFaults,
    /// The stores.
    pub stores: Arc<Stores>,
    /// The API server, where it is ours.
    pub api: Option<ApiFaults>,
    /// A client that is not hit by the operator's rights.
    pub client: Client,
    /// Namespace of everything.
    pub namespace: String,
    /// Where tasks of lasting faults run.
    pub tasks: TaskTracker,
    /// The end of the rehearsal.
    pub cancel: CancellationToken,
    /// Lasting faults under way, by name.
    pub lasting: Mutex<Vec<(String, CancellationToken)>>,
}

impl Levers {
    /// Makes a fault happen; the answer says what was done.
    pub async fn apply(&self, fault: &Fault) -> Result<String, FaultError> {
        self.turn(fault, true).await
    }

    /// Takes a fault back; for those that pass by themselves there is nothing to do.
    pub async fn lift(&self, fault: &Fault) -> Result<String, FaultError> {
        self.turn(fault, false).await
    }

    /// Takes a fault back after `lasts`, unless the rehearsal ends before.
    pub fn lift_later(self: &Arc<Self>, fault: Fault, lasts: Period) {
        let (own, cancel) = (Arc::clone(self), self.cancel.clone());
        self.tasks.spawn(async move {
            if cancel.run_until_cancelled(tokio::time::sleep(lasts.0)).await.is_none() {
                return;
            }
            match own.lift(&fault).await {
                Ok(done) => tracing::info!("{done}"),
                Err(error) => tracing::warn!("{} could not be lifted: {error}", fault.name()),
            }
        });
    }

    async fn turn(&self, fault: &Fault, on: bool) -> Result<String, FaultError> {
        let pods = &self.pods;
        match fault {
            Fault::V3Errors { share, latency } => {
                pods.web.set_error_share(if on { *share } else { 0.0 });
                pods.web.set_latency(when(on, *latency));
            }
            Fault::V2Errors { share, latency } => {
                pods.v2.set_error_share(if on { *share } else { 0.0 });
                pods.v2.set_latency(when(on, *latency));
            }
            Fault::V3Throttle { share } => pods.web.set_throttle_share(if on { *share } else { 0.0 }),
            Fault::V3Freeze {} => pods.web.set_frozen(on),
            Fault::QueueStall {} => pods.worker.set_queue_stalled(on),
            Fault::V3Crash {} if on => pods.web.crash_now(),
            Fault::WorkerCrash {} if on => pods.worker.crash_now(),
            Fault::V2Crash {} if on => pods.v2.crash_now(),
            Fault::WorkerDiesInBatch { table } if on => pods.worker.die_in_next_batch(table.as_deref()),
            Fault::BatchConflict { table } if on => pods.worker.fail_next_batch(table.as_deref()),
            Fault::V3Crash {}
            | Fault::WorkerCrash {}
            | Fault::V2Crash {}
            | Fault::WorkerDiesInBatch { .. }
            | Fault::BatchConflict { .. } => return Ok(format!("{} passes by itself", fault.name())),
            Fault::StoreDown { store } if on => self.kill(*store).await,
            Fault::StoreDown { store } => self.start(*store).await?,
            Fault::StorePause { store } => self.pause(*store, on).await,
            Fault::RedisFull { maxmemory } => {
                let limit = if on { *maxmemory } else { redis::MAX_MEMORY };
                self.stores.redis.set_maxmemory(limit).await?;
            }
            Fault::WeightRevert { weight, every, manager } => {
                self.lasting(fault, on, |cancel| {
                    revert(
                        self.client.clone(),
                        self.namespace.clone(),
                        *weight,
                        *every,
                        manager.clone(),
                        cancel,
                    )
                });
            }
            Fault::ApiFlaky { .. } | Fault::ApiFreeze {} => self.turn_api(fault, on)?,
            Fault::Backfill { enabled } => self.backfill(*enabled == on).await?,
        }
        Ok(format!("{} {}", fault.name(), if on { "is on" } else { "is lifted" }))
    }

    async fn kill(&self, store: StoreName) {
        match store {
            StoreName::Postgres => self.stores.postgres.kill().await,
            StoreName::Clickhouse => self.stores.clickhouse.kill().await,
            StoreName::Redis => self.stores.redis.kill().await,
            StoreName::S3 => self.stores.s3.kill().await,
        }
    }

    async fn start(&self, store: StoreName) -> Result<(), StoreError> {
        match store {
            StoreName::Postgres => self.stores.postgres.start().await,
            StoreName::Clickhouse => self.stores.clickhouse.start().await,
            StoreName::Redis => self.stores.redis.start().await,
            StoreName::S3 => self.stores.s3.start().await,
        }
    }

    async fn pause(&self, store: StoreName, on: bool) {
        let stores = &self.stores;
        match (store, on) {
            (StoreName::Postgres, true) => stores.postgres.pause().await,
            (StoreName::Postgres, false) => stores.postgres.resume().await,
            (StoreName::Clickhouse, true) => stores.clickhouse.pause().await,
            (StoreName::Clickhouse, false) => stores.clickhouse.resume().await,
            (StoreName::Redis, true) => stores.redis.pause().await,
            (StoreName::Redis, false) => stores.redis.resume().await,
            (StoreName::S3, true) => stores.s3.pause(),
            (StoreName::S3, false) => stores.s3.resume(),
        }
    }

    fn turn_api(&self, fault: &Fault, on: bool) -> Result<(), FaultError> {
        let Some(api) = &self.api else {
            return Err(FaultError::Impossible(fault.name(), "a real API server has no knobs"));
        };
        match fault {
            Fault::ApiFlaky { conflicts, throttled, errors, latency, close_watches } => {
                // A freeze is another fault, and lifted by its own name.
                api.calm();
                if on {
                    api.share(*conflicts, Scope::Writes, ApiFault::Conflict);
                    api.share(*throttled, Scope::All, ApiFault::TooManyRequests(1));
                    api.share(*errors, Scope::All, ApiFault::Internal);
                    api.latency(latency.0);
                }
                // Whoever lifts the fault need not say how often watches were closed.
                let (api, every) = (api.clone(), pause(close_watches.unwrap_or_default()));
                self.lasting(fault, on && close_watches.is_some(), |cancel| async move {
                    while cancel.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
                        api.close_watches();
                    }
                });
            }
            _ => api.freeze(on),
        }
        Ok(())
    }

    /// Starts or ends a fault that is a task of its own; one of its name at a time, of which the last one counts.
    fn lasting<F>(&self, fault: &Fault, on: bool, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let name = fault.name();
        let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        lasting.retain(|(known, cancel)| {
            let same = *known == name;
            if same {
                cancel.cancel();
            }
            !same
        });
        if on {
            let cancel = self.cancel.child_token();
            self.tasks.spawn(task(cancel.clone()));
            lasting.push((name, cancel));
        }
    }

    async fn backfill(&self, enabled: bool) -> Result<(), FaultError> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = json!({"spec": {"template": {"spec": {"containers": [{
            "name": langfuse::WORKER,
            "env": [{"name": "LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS", "value": enabled.to_string()}],
        }]}}}});
        let params = PatchParams { field_manager: Some("kubectl-set".into()), ..PatchParams::default() };
        api.patch(langfuse::WORKER, &params, &Patch::Strategic(patch)).await?;
        Ok(())
    }
}

fn when(on: bool, latency: Period) -> Duration {
    if on { latency.0 } else { Duration::ZERO }
}

/// Between two rounds of a lasting fault; 0 would be a loop that does nothing else.
fn pause(every: Period) -> Duration {
    every.0.max(Duration::from_millis(50))
}

/// What a `GitOps` controller does: it looks, and where the object differs from its manifest it applies that.
async fn revert(
    client: Client,
    namespace: String,
    weight: u8,
    every: Period,
    manager: String,
    cancel: CancellationToken,
) {
    let api: Api<Ingress> = Api::namespaced(client, &namespace);
    let key = format!("{PREFIX}canary-weight");
    while cancel.run_until_cancelled(tokio::time::sleep(pause(every))).await.is_some() {
        let Ok(found) = api.get(ingress::CANARY).await else {
            continue;
        };
        let wanted = weight.to_string();
        if found.annotations().get(&key) == Some(&wanted) {
            continue;
        }
        let patch = json!({"metadata": {"annotations": {key.clone(): wanted}}});
        if let Err(error) = merge(&api, ingress::CANARY, patch, &manager).await {
            tracing::debug!("{manager}: {error}");
        }
    }
}
