//! One store as a process that can be started, stopped, killed and paused by itself, for the faults.

use std::{future::Future, time::Duration};

use rustix::process::Signal;
use tokio::sync::Mutex;

use super::StoreError;
use crate::rehearsal::{
    clock,
    stage::{Process, Program, StageError, Starter, await_ready},
};

/// What a store's process needs to be started and known to be ready.
pub trait Server: Send + Sync + 'static {
    /// How long a start may take.
    const PATIENCE: Duration = Duration::from_secs(20);
    /// How long a clean end may take.
    const GRACE: Duration = Duration::from_secs(8);

    /// What to start; the same program on the same directory and port every time.
    fn program(&self) -> Program;

    /// Clears away what the killed server left outside its directory.
    fn bury(&self) {}

    /// Succeeds once the server answers a real request with its credentials.
    fn probe(&self) -> impl Future<Output = Result<(), String>> + Send;
}

/// A store's process and its place on the stage.
pub struct Service<S> {
    server: S,
    starter: Starter,
    process: Mutex<Option<Process>>,
}

impl<S: Server> Service<S> {
    /// Starts `server` and waits until it is ready.
    pub(super) async fn begin(server: S, starter: Starter) -> Result<Self, StoreError> {
        let service = Self { server, starter, process: Mutex::new(None) };
        service.start().await?;
        Ok(service)
    }

    /// The server's own facts: address, credentials.
    pub fn server(&self) -> &S {
        &self.server
    }

    /// Starts the process where it does not run, and waits until it is ready.
    ///
    /// After a kill the ended server's children may hold its files for a moment longer, so a start that
    /// fails is repeated while there is patience.
    pub async fn start(&self) -> Result<(), StoreError> {
        let mut slot = self.process.lock().await;
        if slot.as_mut().is_some_and(|process| process.still_runs().is_ok()) {
            return Ok(());
        }
        let begun = clock::mono();
        loop {
            let mut process = self.starter.spawn(self.server.program()).await?;
            match await_ready(&mut process, S::PATIENCE, || self.server.probe()).await {
                Ok(()) => {
                    *slot = Some(process);
                    return Ok(());
                }
                Err(StageError::Ended { .. }) if clock::since(begun) < RETRY_FOR => {
                    tokio::time::sleep(Duration::from_millis(150)).await;
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// A clean end; what was stored stays.
    pub async fn stop(&self) {
        if let Some(process) = self.process.lock().await.take()
            && !process.stop(S::GRACE).await
        {
            self.server.bury();
        }
    }

    /// SIGKILL: what a node failure or the OOM killer does.
    pub async fn kill(&self) {
        if let Some(process) = self.process.lock().await.take() {
            process.kill().await;
            self.server.bury();
        }
    }

    /// SIGSTOP to the process and all it started: connections stay open and nothing answers.
    pub async fn pause(&self) {
        self.signal(Signal::STOP).await;
    }

    /// SIGCONT: ends a pause.
    pub async fn resume(&self) {
        self.signal(Signal::CONT).await;
    }

    async fn signal(&self, signal: Signal) {
        if let Some(process) = self.process.lock().await.as_ref() {
            process.signal_tree(signal);
        }
    }

    /// The process id while it runs.
    pub async fn pid(&self) -> Option<u32> {
        let mut slot = self.process.lock().await;
        let process = slot.as_mut()?;
        process.still_runs().is_ok().then(|| process.pid())
    }
}

const RETRY_FOR: Duration = Duration::from_secs(3);
