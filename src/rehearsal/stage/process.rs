//! A child process: started so that it cannot outlive us, written down, stopped in order.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rustix::process::Signal;
use tokio::process::{Child, ChildStdin, Command};

use super::{Account, Identity, StageError, find_program, registry::Ledger, spawner};

/// How a process is asked to end, and what the kernel sends it when we die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM: a clean end.
    Term,
    /// SIGINT: PostgreSQL's fast shutdown; on our death SIGQUIT, its immediate one, which leaves no shared
    /// memory behind.
    Postgres,
    /// Closing its standard input; on our death SIGKILL.
    Stdin,
}

impl Stop {
    fn on_parent_death(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Postgres => "QUIT",
            Self::Stdin => "KILL",
        }
    }

    fn signal(self) -> Option<Signal> {
        match self {
            Self::Term => Some(Signal::TERM),
            Self::Postgres => Some(Signal::INT),
            Self::Stdin => None,
        }
    }
}

/// What to start.
pub struct Program {
    /// The part's name: log file, ledger and messages.
    pub name: String,
    /// The program file.
    pub file: PathBuf,
    /// Its arguments; never a password, arguments are public.
    pub args: Vec<OsString>,
    /// Variables added to the environment.
    pub env: Vec<(String, OsString)>,
    /// Run as this user instead of us.
    pub account: Option<Account>,
    /// How it ends.
    pub stop: Stop,
}

impl Program {
    /// `file` with `args`, as ourselves, ended by SIGTERM.
    pub fn new<A: Into<OsString>>(
        name: &str,
        file: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            file: file.into(),
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            account: None,
            stop: Stop::Term,
        }
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Runs as `account`, where there is one.
    #[must_use]
    pub fn run_as(mut self, account: Option<&Account>) -> Self {
        self.account = account.cloned();
        self
    }

    /// Ends by `stop`.
    #[must_use]
    pub fn stop_by(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    fn command(&self) -> Result<Command, StageError> {
        let setpriv = find_program(&["setpriv"], &[]).ok_or(StageError::Missing {
            program: "setpriv",
            place: "on PATH",
            remedy: "install util-linux",
        })?;
        let mut command = Command::new(setpriv);
        command.args(["--pdeathsig", self.stop.on_parent_death()]);
        if let Some(account) = &self.account {
            command.arg(format!("--reuid={}", account.uid)).arg(format!("--regid={}", account.gid));
            command.arg("--clear-groups").current_dir("/").env("HOME", "/");
        }
        command.arg("--").arg(&self.file).args(&self.args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        // A group of its own: Ctrl-C on the terminal is for us, who stop the parts in their order.
        command.process_group(0).kill_on_drop(false);
        Ok(command)
    }
}

/// A running child.
pub struct Process {
    name: String,
    log: PathBuf,
    stop: Stop,
    child: Child,
    stdin: Option<ChildStdin>,
    identity: Identity,
    ledger: Arc<Ledger>,
}

impl Process {
    pub(super) async fn start(
        program: Program,
        log: PathBuf,
        ledger: &Arc<Ledger>,
    ) -> Result<Self, StageError> {
        let mut command = program.command()?;
        let open = || std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let stdin = if program.stop == Stop::Stdin { Stdio::piped() } else { Stdio::null() };
        command
            .stdin(stdin)
            .stdout(open().map_err(StageError::at(&log))?)
            .stderr(open().map_err(StageError::at(&log))?);
        let failed = |source| StageError::Start {
            name: program.name.clone(),
            command: program.file.display().to_string(),
            source,
        };
        let mut child = spawner::spawn(command).await.map_err(failed)?;
        let pid = child.id().unwrap_or_default();
        let identity = Identity::of(pid).unwrap_or(Identity { pid, started: 0, boot: String::new() });
        ledger.add(&program.name, &identity, program.stop == Stop::Postgres)?;
        let stdin = child.stdin.take();
        let (name, stop, ledger) = (program.name, program.stop, Arc::clone(ledger));
        Ok(Self { name, log, stop, child, stdin, identity, ledger })
    }

    /// The part's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id; 0 when it was gone at once.
    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// An error with the end of the log when the process has ended.
    pub fn still_runs(&mut self) -> Result<(), StageError> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(self.ended(&status.to_string())),
            _ => Ok(()),
        }
    }

    /// Waits for a program that ends by itself; anything but success is an error.
    pub async fn finish(mut self) -> Result<(), StageError> {
        match self.child.wait().await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(self.ended(&status.to_string())),
            Err(failure) => Err(self.ended(&failure.to_string())),
        }
    }

    fn ended(&self, status: &str) -> StageError {
        StageError::Ended { name: self.name.clone(), status: status.to_owned(), log: tail(&self.log) }
    }

    /// Sends a signal to the whole group (SIGSTOP, SIGCONT, SIGKILL ...).
    pub fn signal(&self, signal: Signal) -> bool {
        self.identity.signal_group(signal)
    }

    /// As [`Process::signal`], to every descendant as well.
    pub fn signal_tree(&self, signal: Signal) {
        self.identity.signal_tree(signal);
    }

    /// Asks the process to end, waits up to `grace`, then kills it and all it started; whether it ended by itself.
    pub async fn stop(mut self, grace: Duration) -> bool {
        self.signal_tree(Signal::CONT); // a paused process cannot end
        self.stdin = None;
        if let Some(signal) = self.stop.signal() {
            self.identity.signal(signal);
        }
        if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
            tracing::warn!("{} did not end within {grace:?}: killed", self.name);
            self.signal_tree(Signal::KILL);
            let _ = self.child.wait().await;
            return false;
        }
        true
    }

    /// Kills the process and all it started, and waits until it is gone.
    pub async fn kill(mut self) {
        self.signal_tree(Signal::KILL);
        let _ = self.child.wait().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.stop == Stop::Postgres && self.identity.signal(Signal::QUIT) {
            return; // killed, it would leave shared memory; the ledger keeps it until the stage is closed
        }
        self.signal(Signal::KILL);
        self.ledger.remove(&self.identity);
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
