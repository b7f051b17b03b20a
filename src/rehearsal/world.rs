//! Standing it all up, and taking it all down.
//!
//! Its rule: parts that do not need each other start side by side, and everything ends in the reverse order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cluster::Cluster;
use super::control;
use super::faults::levers::Levers;
use super::gateway::{self, Gateway};
use super::history;
use super::info::Info;
use super::load::ledger::Ledger;
use super::load::{self, Load};
use super::options::{Options, RATE, TRACES};
use super::runner::{self, Readings};
use super::scenario::{Backfill, Scenario};
use super::stage::{Stage, write_private};
use super::stores::{Endpoints, Stores};
use super::workloads::manifests::langfuse as manifests;
use super::workloads::{PodFaults, Workloads};
use super::{clock, config_file, docker, setup};

mod error;

pub use error::RehearsalError;

/// Namespace of everything.
pub const NAMESPACE: &str = "langfuse";
/// How long Langfuse v3 may take until its Pods are ready.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running rehearsal.
pub struct Rehearsal {
    info: Info,
    scenario: Scenario,
    levers: Arc<Levers>,
    load: Load,
    gateway: Arc<Gateway>,
    workloads: Workloads,
    cluster: Cluster,
    stores: Arc<Stores>,
    stage: Stage,
}

impl Rehearsal {
    /// What it tells the outside.
    pub fn info(&self) -> Info {
        self.info.clone()
    }

    /// The scenario it plays.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// What its faults act upon.
    pub fn levers(&self) -> &Arc<Levers> {
        &self.levers
    }

    /// The clients' book.
    pub fn ledger(&self) -> &Ledger {
        self.load.ledger()
    }

    /// The gateway.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Sends no more stories and gives those under way `grace`; the ledger is then final.
    pub async fn quiet(&self, grace: Duration) {
        self.load.stop(grace).await;
    }

    /// Ends everything, clients first, and removes the directory unless it is to be kept; `progress` gets a line
    /// before each part.
    pub async fn stop(self, progress: impl Fn(&str)) -> Result<(), RehearsalError> {
        progress("clients, faults and gateway");
        self.load.stop(Duration::from_secs(2)).await;
        self.levers.cancel.cancel();
        self.levers.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(2), self.levers.tasks.wait()).await;
        self.gateway.stop().await;
        progress("Langfuse v2 and v3");
        self.workloads.stop().await;
        progress("Kubernetes API server");
        self.cluster.stop().await;
        progress("PostgreSQL, Redis, ClickHouse and S3");
        self.stores.stop().await;
        self.stage.close().await?;
        Ok(())
    }
}

/// Starts a rehearsal; `progress` gets one line per part that is up.
///
/// # Errors
/// The first part that could not start; the others are ended.
pub async fn start(
    options: &Options,
    progress: impl Fn(&str) + Send + Sync,
) -> Result<Rehearsal, RehearsalError> {
    // Whoever was first wins; any provider will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let begun = clock::mono();
    let scenario = Scenario::load(&options.scenario)?;
    let stage = Stage::open(options.dir.clone()).await?;
    if options.keep {
        stage.keep()?;
    }
    control::fits(stage.dir()).map_err(setup::file(stage.dir()))?;
    for swept in stage.swept() {
        progress(&format!("removed what a dead rehearsal left in {}", swept.dir.display()));
    }
    let starting = Starting { options, scenario: &scenario, stage: &stage, progress: &progress };
    let (stores, cluster) = tokio::try_join!(starting.stores(), starting.cluster())?;
    let endpoints = stores.endpoints();
    let parts = starting.parts(&stores, &endpoints, &cluster);
    let (history, (workloads, gateway, levers, v2)) = tokio::try_join!(starting.history(&endpoints), parts)?;
    runner::prepare(&scenario.faults, &levers).await;
    starting.langfuse(&workloads, &endpoints, gateway.public.port()).await?;
    let v3 = workloads.expose_web().await.map_err(setup::file(stage.dir()))?;
    let info = starting.info(&endpoints, gateway.public.port(), v2, v3);
    starting.files(&info, &endpoints, &cluster, history.canary(), &gateway)?;
    let ledger = Ledger::open(stage.dir()).await.map_err(setup::file(stage.dir()))?;
    let load = Load::start(load::Options {
        url: info.public_url.clone(),
        rate: options.rate.or(scenario.settings.rate).unwrap_or(RATE),
        seed: options.seed,
        projects: setup::load_projects(&history),
        ledger,
    });
    let readings = Arc::new(Readings {
        client: levers.client.clone(),
        namespace: NAMESPACE.to_owned(),
        gateway: Arc::clone(&gateway),
        postgres_url: endpoints.postgres_url.clone(),
    });
    runner::run(scenario.faults.clone(), &levers, &readings);
    control::listen(stage.dir(), &levers).map_err(setup::file(stage.dir()))?;
    progress(&format!("everything is up ({:.1} s)", clock::since(begun).as_secs_f64()));
    Ok(Rehearsal { info, scenario, levers, load, gateway, workloads, cluster, stores, stage })
}

type Parts = (Workloads, Arc<Gateway>, Arc<Levers>, std::net::SocketAddr);

struct Starting<'a, P> {
    options: &'a Options,
    scenario: &'a Scenario,
    stage: &'a Stage,
    progress: &'a P,
}

impl<P: Fn(&str) + Send + Sync> Starting<'_, P> {
    async fn told<T>(
        &self,
        part: &str,
        work: impl Future<Output = Result<T, RehearsalError>>,
    ) -> Result<T, RehearsalError> {
        let begun = clock::mono();
        let done = work.await?;
        (self.progress)(&format!("{part} ({:.1} s)", clock::since(begun).as_secs_f64()));
        Ok(done)
    }

    async fn stores(&self) -> Result<Arc<Stores>, RehearsalError> {
        Ok(Arc::new(Box::pin(Stores::start(self.stage, self.progress)).await?))
    }

    async fn cluster(&self) -> Result<Cluster, RehearsalError> {
        let start = async { Ok(Cluster::start(self.options.kube, self.stage).await?) };
        self.told("Kubernetes API server is ready", start).await
    }

    async fn history(&self, endpoints: &Endpoints) -> Result<history::History, RehearsalError> {
        let settings = &self.scenario.settings;
        let defaults = history::Options::default();
        let options = history::Options {
            traces: self.options.traces.or(settings.traces).unwrap_or(TRACES),
            projects: self.options.projects,
            seed: self.options.seed,
            tie_group: settings.tie_group.unwrap_or(defaults.tie_group),
            ..defaults
        };
        let part = format!("history of {} traces is loaded", options.traces);
        let load = async {
            let history = history::load(endpoints, &options).await?;
            if let Some(size) = settings.batch_size {
                setup::set_batch_size(&endpoints.postgres_url, size).await?;
            }
            Ok(history)
        };
        self.told(&part, load).await
    }

    /// Everything that neither needs the history nor v3: v2's process, the cluster's objects, the gateway.
    async fn parts(
        &self,
        stores: &Arc<Stores>,
        endpoints: &Endpoints,
        cluster: &Cluster,
    ) -> Result<Parts, RehearsalError> {
        let client = cluster.client(NAMESPACE).await?;
        let log = super::log_files::sink(self.stage.room("logs")?, NAMESPACE, cluster.logs());
        let (faults, cancel, tasks) = (PodFaults::default(), CancellationToken::new(), TaskTracker::new());
        let v2 = docker::start(
            setup::v2_env(endpoints),
            Arc::clone(&log),
            faults.v2.clone(),
            &tasks,
            cancel.clone(),
        )
        .await?;
        let options = super::workloads::Options {
            client: client.clone(),
            namespace: NAMESPACE.to_owned(),
            stores: setup::store_pods(endpoints)?,
            log,
            faults: faults.clone(),
        };
        let workloads = Workloads::start(options).await?;
        let secrets = setup::secrets(endpoints)?;
        let secrets: Vec<(&str, &str)> = secrets.iter().map(|(key, value)| (*key, value.as_str())).collect();
        workloads.install_routes(&secrets, v2, self.scenario.settings.weight).await?;
        let start = Box::pin(Gateway::start(gateway::Options {
            client: client.clone(),
            namespace: NAMESPACE.to_owned(),
            poll: Duration::from_secs(1),
            seed: self.options.seed,
            access_log: self.stage.room("logs")?.join("gateway-access.log"),
        }));
        let gateway = self.told("gateway is ready", async { Ok(Arc::new(start.await?)) }).await?;
        let levers = Arc::new(Levers {
            pods: faults,
            stores: Arc::clone(stores),
            api: cluster.faults(),
            client,
            namespace: NAMESPACE.to_owned(),
            tasks,
            cancel,
            lasting: Mutex::default(),
        });
        Ok((workloads, gateway, levers, v2))
    }

    /// v3's web before its worker: it brings the schemas that the worker looks for when it starts.
    async fn langfuse(
        &self,
        workloads: &Workloads,
        endpoints: &Endpoints,
        port: u16,
    ) -> Result<(), RehearsalError> {
        let settings = manifests::Settings {
            backfill: self.scenario.settings.backfill == Backfill::FromStart,
            web_replicas: 1,
            bucket: endpoints.s3_bucket.clone(),
            prefix: setup::S3_PREFIX.to_owned(),
            clickhouse_user: endpoints.clickhouse_user.clone(),
            clickhouse_database: endpoints.clickhouse_database.clone(),
            public_url: setup::public_url(port),
        };
        for (name, part) in
            [(manifests::WEB, "Langfuse v3 web is ready"), (manifests::WORKER, "Langfuse v3 worker is ready")]
        {
            let start = async {
                workloads.install(name, &settings).await?;
                if workloads.wait_ready(name, PATIENCE).await {
                    return Ok(());
                }
                Err(RehearsalError::NotReady {
                    name,
                    words: setup::last_words(&self.stage.dir().join("logs"), name),
                })
            };
            self.told(part, start).await?;
        }
        Ok(())
    }

    fn info(
        &self,
        endpoints: &Endpoints,
        port: u16,
        v2: std::net::SocketAddr,
        v3: std::net::SocketAddr,
    ) -> Info {
        Info {
            config: self.stage.dir().join("cutover.toml"),
            kubeconfig: self.stage.dir().join("kubeconfig"),
            public_url: setup::public_url(port),
            v2_url: format!("http://{v2}"),
            v3_url: format!("http://{v3}"),
            postgres_url: endpoints.postgres_url.clone(),
            clickhouse_url: endpoints.clickhouse_url.clone(),
            redis_url: endpoints.redis_url.clone(),
            s3_url: endpoints.s3_url.clone(),
            pid: std::process::id(),
        }
    }

    fn files(
        &self,
        info: &Info,
        endpoints: &Endpoints,
        cluster: &Cluster,
        probe: Option<&history::Project>,
        gateway: &Gateway,
    ) -> Result<(), RehearsalError> {
        let text = config_file::text(&config_file::Facts {
            info,
            stores: endpoints,
            s3_prefix: setup::S3_PREFIX,
            namespace: NAMESPACE,
            backfill_first: self.scenario.settings.backfill == Backfill::FromStart,
            probe,
            cluster: self.options.kube,
            metrics_url: &format!("http://{}/metrics", gateway.metrics),
        });
        for (path, text) in [(&info.config, text), (&info.kubeconfig, cluster.kubeconfig(NAMESPACE))] {
            write_private(path, &text).map_err(setup::file(path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod scenario_tests;
#[cfg(test)]
mod tests;
