//! One running Langfuse process: its tasks, and the three ways it ends.
//!
//! Rule: every task belongs to the process's crew, so that [`Process::kill`] takes all of them down at once and
//! leaves behind exactly what SIGKILL leaves: held locks, jobs in `active`, rows still in memory lost.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::faults::Faults;
use super::pod::{Log, Pod};
use super::settings::Settings;
use super::{Kind, LangfuseError, v2, web, worker};

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The exit code as Kubernetes shows it: 0 after SIGTERM, 1 after a crash of its own, 137 after SIGKILL.
    pub code: i32,
    /// One sentence.
    pub reason: String,
}

/// A handle on a running process; cheap to clone. Dropping it ends nothing.
#[derive(Debug, Clone)]
pub struct Process {
    addr: SocketAddr,
    crew: Crew,
}

/// What every part of a process can see.
pub(crate) struct Context {
    pub(crate) kind: Kind,
    pub(crate) settings: Settings,
    pub(crate) log: Log,
    pub(crate) faults: Faults,
    pub(crate) crew: Crew,
}

/// The tasks of a process and its end.
#[derive(Debug, Clone)]
pub(crate) struct Crew(Arc<CrewState>);

#[derive(Debug)]
struct CrewState {
    tasks: Mutex<JoinSet<()>>,
    term: CancellationToken,
    exit: watch::Sender<Option<Exit>>,
}

impl Crew {
    fn new() -> Self {
        Self(Arc::new(CrewState {
            tasks: Mutex::new(JoinSet::new()),
            term: CancellationToken::new(),
            exit: watch::Sender::new(None),
        }))
    }

    /// Runs `task` as a part of this process; after its end nothing new starts.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        if self.0.exit.borrow().is_none() {
            tasks.spawn(task);
        }
    }

    /// Cancelled when SIGTERM arrived.
    pub(crate) fn term(&self) -> &CancellationToken {
        &self.0.term
    }

    /// Ends the process; the first end is the one that counts.
    pub(crate) fn end(&self, code: i32, reason: &str) {
        self.0.exit.send_if_modified(|exit| {
            let first = exit.is_none();
            if first {
                *exit = Some(Exit { code, reason: reason.to_owned() });
            }
            first
        });
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Ends the process from inside; the calling task never continues.
    pub(crate) async fn die(&self, code: i32, reason: &str) -> ! {
        self.end(code, reason);
        std::future::pending().await
    }
}

impl Process {
    pub(crate) fn spawn(
        kind: Kind,
        settings: Settings,
        pod: &Pod,
        listener: TcpListener,
    ) -> Result<Self, LangfuseError> {
        let addr = listener
            .local_addr()
            .map_err(|source| LangfuseError::Bind { addr: SocketAddr::from(([127, 0, 0, 1], 0)), source })?;
        let crew = Crew::new();
        let context = Arc::new(Context {
            kind,
            settings,
            log: pod.log().clone(),
            faults: pod.faults.clone(),
            crew: crew.clone(),
        });
        let (crash, crashing) = (context.faults.crash(), crew.clone());
        crew.spawn(async move {
            crash.await;
            crashing.die(137, "OOMKilled").await;
        });
        crew.spawn(async move {
            let outcome = match kind {
                Kind::V2Web => v2::run(context.clone(), listener).await,
                Kind::V3Web => web::run(context.clone(), listener).await,
                Kind::V3Worker => worker::run(context.clone(), listener).await,
            };
            match outcome {
                Ok(()) => context.crew.end(0, "Completed"),
                Err(error) => {
                    context.log.error(&error.to_string());
                    context.crew.end(1, &error.to_string());
                }
            }
        });
        Ok(Self { addr, crew })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// SIGTERM, then SIGKILL after `grace`: readiness turns 500, open work is finished, the migration lock is
    /// given back. Returns when the process has ended.
    pub async fn stop(&self, grace: Duration) -> Exit {
        self.crew.term().cancel();
        if let Ok(exit) = tokio::time::timeout(grace, self.wait()).await {
            return exit;
        }
        self.kill();
        self.wait().await
    }

    /// SIGKILL: everything stops where it is.
    pub fn kill(&self) {
        self.crew.end(137, "Killed");
    }

    /// Waits until the process has ended, whoever ended it.
    pub async fn wait(&self) -> Exit {
        let mut exit = self.crew.0.exit.subscribe();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone());
        ended.unwrap_or(Exit { code: 137, reason: "Killed".into() })
    }

    /// How it ended, or `None` while it runs.
    pub fn exit(&self) -> Option<Exit> {
        self.crew.0.exit.borrow().clone()
    }
}
