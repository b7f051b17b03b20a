//! The gateway of the rehearsal: a reverse proxy that splits as ingress-nginx v1.15 does.
//!
//! Its rule: it learns everything from the Kubernetes API, so it works on any API server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rand::{Rng as _, SeedableRng as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub mod access;
mod admin;
pub mod annotations;
pub mod build;
pub mod choose;
pub mod endpoints;
pub mod metrics;
pub mod model;
pub mod objects;
pub mod proxy;
mod report;
mod watch;

use model::Routing;

/// Before the next try when no connection could be accepted: out of file descriptors, mostly.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// How a gateway is started.
#[derive(Clone)]
pub struct Options {
    /// Client of the API server to watch.
    pub client: kube::Client,
    /// Namespace of the Ingresses.
    pub namespace: String,
    /// How often the workers poll what was pushed to them: 1 s in the real controller.
    pub poll: Duration,
    /// Seed of the per-request choice.
    pub seed: u64,
    /// File of the access log, appended to.
    pub access_log: PathBuf,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A loopback port could not be bound.
    #[error("the gateway could not listen on 127.0.0.1: {0}; is the loopback interface up?")]
    Listen(std::io::Error),
    /// The access log could not be opened.
    #[error("the gateway's access log {0} could not be opened: {1}")]
    Log(PathBuf, std::io::Error),
    /// An object of the controller could not be written.
    #[error("the gateway's own objects could not be written to the API server: {0}")]
    Kube(#[from] Box<kube::Error>),
}

impl From<kube::Error> for GatewayError {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

/// A running gateway.
pub struct Gateway {
    /// Where clients go.
    pub public: SocketAddr,
    /// Where `/metrics` is (10254 in the controller's Pod).
    pub metrics: SocketAddr,
    /// Where `/configuration/backends` is (10246 in the controller's Pod).
    pub config: SocketAddr,
    state: Arc<State>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// What every request shares.
pub(super) struct State {
    pushed: RwLock<Arc<Routing>>,
    live: RwLock<Arc<Routing>>,
    metrics: metrics::Metrics,
    log: mpsc::Sender<access::Entry>,
    client: HttpClient<HttpConnector, Full<Bytes>>,
    dice: Mutex<rand::rngs::StdRng>,
    turn: AtomicUsize,
}

impl State {
    fn live(&self) -> Arc<Routing> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn pushed(&self) -> Arc<Routing> {
        Arc::clone(&self.pushed.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, routing: Routing) {
        *self.pushed.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routing);
    }

    /// The Lua workers' poll: what was pushed becomes what requests see.
    fn adopt(&self) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = self.pushed();
    }

    fn roll(&self, total: i64) -> i64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).random_range(1..=total)
    }
}

impl Gateway {
    /// Binds free loopback ports, writes the controller's objects, loads the first routing and serves.
    pub async fn start(options: Options) -> Result<Self, GatewayError> {
        let (public, metrics, config) = (bind().await?, bind().await?, bind().await?);
        let cancel = CancellationToken::new();
        let (log, write_log) = access::open(options.access_log.clone(), cancel.clone())
            .await
            .map_err(|error| GatewayError::Log(options.access_log.clone(), error))?;
        let state = Arc::new(State {
            pushed: RwLock::default(),
            live: RwLock::default(),
            metrics: metrics::Metrics::default(),
            log,
            client: HttpClient::builder(TokioExecutor::new())
                .pool_idle_timeout(Duration::from_secs(5))
                .build_http(),
            dice: Mutex::new(rand::rngs::StdRng::seed_from_u64(options.seed)),
            turn: AtomicUsize::new(0),
        });
        let gateway = Self {
            public: address(&public)?,
            metrics: address(&metrics)?,
            config: address(&config)?,
            state: Arc::clone(&state),
            cancel,
            tasks: TaskTracker::new(),
        };
        objects::create(&options.client, gateway.metrics, gateway.config, gateway.public).await?;
        gateway.follow(&options).await;
        gateway.listen(public);
        gateway.tasks.spawn(admin::serve(metrics, config, Arc::clone(&state), gateway.cancel.clone()));
        gateway.tasks.spawn(write_log);
        Ok(gateway)
    }

    /// Requests so far through one Ingress: (all, of them canary).
    pub fn shares(&self, ingress: &str) -> (u64, u64) {
        self.state.metrics.shares(ingress)
    }

    /// Requests answered with `status` so far.
    pub fn count_status(&self, status: u16) -> u64 {
        self.state.metrics.count_status(status)
    }

    /// Closes the listeners and ends every task.
    pub async fn stop(&self) {
        self.cancel.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(2), self.tasks.wait()).await;
    }

    /// The controller: informers, push, and the workers' poll.
    async fn follow(&self, options: &Options) {
        let informers =
            watch::Informers::start(&options.client, &options.namespace, &self.tasks, &self.cancel);
        // A controller without its first lists would answer 404 to everything.
        let _ = tokio::time::timeout(Duration::from_secs(10), informers.ready()).await;
        self.state.push(build::build(&informers.objects()));
        self.state.adopt();
        let (state, cancel, client) = (Arc::clone(&self.state), self.cancel.clone(), options.client.clone());
        self.tasks.spawn(async move {
            let mut reporter = report::Reporter::default();
            loop {
                let objects = informers.objects();
                state.push(build::build(&objects));
                let rest = async {
                    reporter.report(&client, &build::ours(&objects)).await;
                    informers.changed().await;
                };
                if cancel.run_until_cancelled(rest).await.is_none() {
                    return;
                }
            }
        });
        let (state, cancel, poll) = (Arc::clone(&self.state), self.cancel.clone(), options.poll);
        self.tasks.spawn(async move {
            let mut ticks = tokio::time::interval(poll);
            while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
                state.adopt();
            }
        });
    }

    fn listen(&self, listener: TcpListener) {
        let (state, cancel, tasks) = (Arc::clone(&self.state), self.cancel.clone(), self.tasks.clone());
        self.tasks.spawn(async move {
            while let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await {
                let Ok((stream, remote)) = accepted else {
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                };
                let (state, cancel) = (Arc::clone(&state), cancel.clone());
                tasks.spawn(async move {
                    let service = service_fn(move |request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, Infallible>(proxy::serve(state, remote, request).await) }
                    });
                    let serve = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    let _ = cancel.run_until_cancelled(serve).await;
                });
            }
        });
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn bind() -> Result<TcpListener, GatewayError> {
    TcpListener::bind(("127.0.0.1", 0)).await.map_err(GatewayError::Listen)
}

fn address(listener: &TcpListener) -> Result<SocketAddr, GatewayError> {
    listener.local_addr().map_err(GatewayError::Listen)
}

#[cfg(test)]
mod tests;
