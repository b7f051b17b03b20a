//! The scenario as it happens: each fault waits for its moment, lasts, and passes.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::networking::v1::Ingress;
use kube::{Api, Client, ResourceExt as _};
use sqlx::Connection as _;

use super::condition::Reading;
use super::faults::levers::Levers;
use super::gateway::Gateway;
use super::gateway::annotations;
use super::scenario::Timed;
use super::stores::postgres;
use super::workloads::manifests::ingress;

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(500);

/// Background migrations that are done.
const FINISHED: &str = "SELECT count(*) FROM background_migrations WHERE finished_at IS NOT NULL";
/// Background migrations whose lock is younger than the 60 s after which Langfuse takes it for stale.
const RUNNING: &str = "SELECT count(*) FROM background_migrations WHERE finished_at IS NULL AND failed_at IS NULL \
                       AND locked_at > (now() AT TIME ZONE 'UTC') - interval '60 seconds'";

/// What conditions can be read from.
pub(super) struct Readings {
    /// The API server.
    pub client: Client,
    /// Namespace of the Ingresses.
    pub namespace: String,
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// `PostgreSQL`, for the background migrations.
    pub postgres_url: String,
}

impl Readings {
    /// A reading now; `None` when it cannot be had.
    async fn read(&self, reading: Reading) -> Option<f64> {
        match reading {
            Reading::Split => self.split().await,
            Reading::Share => {
                let (all, canary) = self.gateway.shares(ingress::MAIN);
                (all > 0).then(|| canary as f64 / all as f64 * 100.0)
            }
            Reading::MigrationsFinished => self.count(FINISHED).await,
            Reading::MigrationsRunning => self.count(RUNNING).await,
        }
    }

    async fn split(&self) -> Option<f64> {
        let api: Api<Ingress> = Api::namespaced(self.client.clone(), &self.namespace);
        let canary = api.get(ingress::CANARY).await.ok()?;
        let policy = annotations::policy(canary.annotations());
        Some(
            policy.weight.clamp(0, policy.weight_total.max(100)) as f64 / policy.weight_total.max(100) as f64
                * 100.0,
        )
    }

    async fn count(&self, query: &'static str) -> Option<f64> {
        let mut connection = postgres::connect(&self.postgres_url).await.ok()?;
        let (count,): (i64,) = sqlx::query_as(query).fetch_one(&mut connection).await.ok()?;
        let _ = connection.close().await;
        Some(count as f64)
    }
}

/// Fires the faults that are there from the beginning, before Langfuse starts.
pub(super) async fn prepare(faults: &[Timed], levers: &Arc<Levers>) {
    for timed in faults.iter().filter(|f| f.from_start()) {
        fire(timed.clone(), levers).await;
    }
}

/// Starts a task for each other fault of a scenario; they end with the levers' token.
pub(super) fn run(faults: Vec<Timed>, levers: &Arc<Levers>, readings: &Arc<Readings>) {
    for timed in faults.into_iter().filter(|f| !f.from_start()) {
        let (own, readings) = (Arc::clone(levers), Arc::clone(readings));
        let cancel = levers.cancel.clone();
        levers.tasks.spawn(async move { cancel.run_until_cancelled(play(timed, own, readings)).await });
    }
}

async fn play(timed: Timed, levers: Arc<Levers>, readings: Arc<Readings>) {
    if let Some(at) = timed.at {
        tokio::time::sleep(at.0).await;
    }
    if let Some(when) = timed.when {
        while !readings.read(when.reading).await.is_some_and(|value| when.holds(value)) {
            tokio::time::sleep(LOOK).await;
        }
    }
    fire(timed, &levers).await;
}

async fn fire(timed: Timed, levers: &Arc<Levers>) {
    match levers.apply(&timed.fault).await {
        Ok(done) => tracing::info!("scenario: {done}"),
        Err(error) => tracing::warn!("scenario: {error}"),
    }
    if let Some(lasts) = timed.lasts {
        levers.lift_later(timed.fault, lasts);
    }
}
