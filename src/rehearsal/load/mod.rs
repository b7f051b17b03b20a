//! The users of the rehearsal: applications that send traces through the gateway at a steady rate.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub mod ledger;
pub mod sdk;
pub mod story;

use ledger::Ledger;
pub use sdk::Project;
use sdk::{Sdk, Shape};
use story::Story;

/// Stories told at once; beyond it the clients wait, as applications that hang on a dead server do.
const AT_ONCE: usize = 400;
/// Between two savings of the ledger's totals.
const SAVE_EVERY: Duration = Duration::from_secs(2);

/// How a load is started.
pub struct Options {
    /// The public address, without a trailing slash.
    pub url: String,
    /// Events per second over all projects; 0 is none at all.
    pub rate: f64,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Projects, each with a client of its own.
    pub projects: Vec<Project>,
    /// The book.
    pub ledger: Ledger,
}

/// A running load.
pub struct Load {
    ledger: Ledger,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Load {
    /// Starts the clients.
    pub fn start(options: Options) -> Self {
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let ledger = options.ledger.clone();
        let load = Self { ledger: ledger.clone(), cancel: cancel.clone(), tasks: tasks.clone() };
        if options.rate > 0.0 && !options.projects.is_empty() {
            tasks.spawn(tell(options, cancel.clone(), tasks.clone()));
        }
        tasks.spawn(async move {
            while cancel.run_until_cancelled(tokio::time::sleep(SAVE_EVERY)).await.is_some() {
                if let Err(error) = ledger.save().await {
                    tracing::debug!("ledger: {error}");
                }
            }
        });
        load
    }

    /// The book.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Starts no more stories, gives open requests `grace`, and saves the book.
    pub async fn stop(&self, grace: Duration) {
        self.cancel.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(grace, self.tasks.wait()).await;
        if let Err(error) = self.ledger.save().await {
            tracing::debug!("ledger: {error}");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn tell(options: Options, cancel: CancellationToken, tasks: TaskTracker) {
    let http = Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(20)).build_http();
    let clients: Vec<Sdk> = options
        .projects
        .into_iter()
        .enumerate()
        .map(|(index, project)| {
            let shape = if index % 2 == 0 { Shape::Python } else { Shape::JavaScript };
            Sdk::new(http.clone(), &options.url, shape, project, options.ledger.clone())
        })
        .collect();
    let mut dice = StdRng::seed_from_u64(options.seed);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(story::EVENTS / options.rate));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for client in clients.iter().cycle() {
        if cancel.run_until_cancelled(ticks.tick()).await.is_none() {
            return;
        }
        let story = Story::draw(&mut dice);
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (client, cancel) = (client.clone(), cancel.clone());
        tasks.spawn(async move {
            let _place = place;
            client.send(story.batch(0)).await;
            for (part, pause) in (1..).zip(story.pauses) {
                if cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                    return;
                }
                client.send(story.batch(part)).await;
            }
        });
    }
}
