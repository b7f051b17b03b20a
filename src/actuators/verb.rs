//! A verb of this program as a child process: what the cockpit does about a finding is what a shell would do.
//!
//! One rule: it ends with the cockpit that started it, in order; whatever it was doing, it can be started again.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cockpit::Msg;
use crate::cockpit::msg::Answer;
use crate::cockpit::remedy::{Ended, Remedy, Told};
use crate::domain::text::clean;
use crate::domain::{Kind, Trouble};

/// Lines of a verb that are kept.
const KEPT: usize = 400;

/// How verbs are started and stopped.
#[derive(Debug, Clone)]
pub struct Verbs {
    /// The flags that name the same configuration and cluster.
    pub flags: Vec<String>,
    /// Where lines go while one runs.
    pub to: mpsc::Sender<Msg>,
    /// Stops the one that was started last.
    stop: Arc<Mutex<CancellationToken>>,
}

impl Verbs {
    /// Verbs of this very program.
    pub fn new(flags: Vec<String>, to: mpsc::Sender<Msg>) -> Self {
        Self { flags, to, stop: Arc::default() }
    }

    /// Asks the one that runs to stop.
    pub fn stop(&self) {
        self.last(|token| token.cancel());
    }

    /// A new token; what ran before it is asked to stop.
    fn next(&self) -> CancellationToken {
        self.last(|token| {
            token.cancel();
            *token = CancellationToken::new();
            token.clone()
        })
    }

    fn last<R>(&self, with: impl FnOnce(&mut CancellationToken) -> R) -> R {
        with(&mut self.stop.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows what a remedy would do. `asked` is the number of the question, for the answer.
    pub fn plan(&self, remedy: Remedy, asked: u64) -> impl Future<Output = Answer> + Send + use<> {
        let told = self.carry_out(remedy.plan(), None);
        async move { Answer::Remedy(remedy, Told::Plan(asked, told.await)) }
    }

    /// Carries it out, and tells each line.
    pub fn run(&self, remedy: Remedy) -> impl Future<Output = Answer> + Send + use<> {
        let told = self.carry_out(remedy.run(), Some(remedy));
        async move { Answer::Remedy(remedy, Told::Done(told.await)) }
    }

    /// It can be stopped from now on, not from when its task comes first to run.
    fn carry_out(
        &self,
        arguments: Vec<&'static str>,
        telling: Option<Remedy>,
    ) -> impl Future<Output = Result<Ended, Trouble>> + Send + use<> {
        let (verbs, stop) = (self.clone(), self.next());
        async move { verbs.follow(verbs.start(&arguments)?, telling, &stop).await }
    }

    fn start(&self, arguments: &[&str]) -> Result<Child, Trouble> {
        let started = super::program::find().and_then(|program| {
            Command::new(program)
                .args(&self.flags)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
        });
        let object = format!("cutover {}", arguments.join(" "));
        started.map_err(|e| {
            Trouble::new(Kind::Refused, object, format!("it could not be started: {e}"))
                .remedy("run it in a shell")
        })
    }

    /// Reads both of its outputs to their ends.
    async fn follow(
        &self,
        mut child: Child,
        telling: Option<Remedy>,
        stop: &CancellationToken,
    ) -> Result<Ended, Trouble> {
        let mut read = output(&mut child);
        let mut kept: std::collections::VecDeque<String> = std::collections::VecDeque::new();
        let mut stopped = false;
        loop {
            let line = tokio::select! {
                line = read.recv() => line,
                () = stop.cancelled(), if !stopped => {
                    stopped = true;
                    terminate(&child);
                    continue;
                }
            };
            let Some(line) = line.map(|line| clean(&line)) else { break };
            if let Some(remedy) = telling {
                // A line that finds no room is no loss: the next one says more.
                let told = Told::Line(line.trim().to_owned());
                let _ = self.to.try_send(Msg::Answer(Answer::Remedy(remedy, told)));
            }
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(line);
        }
        let ended = child.wait().await;
        let code = ended.ok().and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
        code.map(|code| Ended { code, lines: kept.into() }).ok_or_else(|| {
            Trouble::new(Kind::Unexpected, "the verb", "it was killed").remedy("start it again: it goes on")
        })
    }
}

/// The lines of both of its outputs, as they come.
fn output(child: &mut Child) -> mpsc::Receiver<String> {
    let (lines, read) = mpsc::channel(64);
    for output in [
        child.stdout.take().map(|o| Box::pin(o) as std::pin::Pin<Box<dyn AsyncRead + Send>>),
        child.stderr.take().map(|o| Box::pin(o) as std::pin::Pin<Box<dyn AsyncRead + Send>>),
    ]
    .into_iter()
    .flatten()
    {
        let lines = lines.clone();
        tokio::spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                if lines.send(line).await.is_err() {
                    break;
                }
            }
        });
    }
    read
}

/// SIGTERM: a verb ends what it is writing, and says how to go on.
fn terminate(child: &Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}
