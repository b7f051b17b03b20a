//! A verb of this program as a child process: what the cockpit does about a finding is what a shell would do.
//!
//! One rule: it ends with the cockpit that started it, in order; whatever it was doing, it can be started again.

use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc};

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
    stop: Arc<Notify>,
}

impl Verbs {
    /// Verbs of this very program.
    pub fn new(flags: Vec<String>, to: mpsc::Sender<Msg>) -> Self {
        Self { flags, to, stop: Arc::default() }
    }

    /// Asks the one that runs to stop.
    pub fn stop(&self) {
        self.stop.notify_waiters();
    }

    /// Shows what a remedy would do.
    pub async fn plan(self, remedy: Remedy) -> Answer {
        let outcome = self.start(&remedy.plan());
        Answer::Remedy(remedy, Told::Plan(async { self.follow(outcome?, None).await }.await))
    }

    /// Carries it out, and tells each line.
    pub async fn run(self, remedy: Remedy) -> Answer {
        let outcome = self.start(&remedy.run());
        Answer::Remedy(remedy, Told::Done(async { self.follow(outcome?, Some(remedy)).await }.await))
    }

    fn start(&self, arguments: &[&str]) -> Result<Child, Trouble> {
        let started = std::env::current_exe().and_then(|program| {
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
    async fn follow(&self, mut child: Child, telling: Option<Remedy>) -> Result<Ended, Trouble> {
        let (lines, mut read) = mpsc::channel(64);
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
        drop(lines);
        let mut kept: std::collections::VecDeque<String> = std::collections::VecDeque::new();
        loop {
            let line = tokio::select! {
                line = read.recv() => line,
                () = self.stop.notified(), if telling.is_some() => {
                    terminate(&child);
                    continue;
                }
            };
            let Some(line) = line.map(|line| clean(&line)) else { break };
            if let Some(remedy) = telling {
                let told = Told::Line(line.trim().to_owned());
                let _ = self.to.send(Msg::Answer(Answer::Remedy(remedy, told))).await;
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

/// SIGTERM: a verb ends what it is writing, and says how to go on.
fn terminate(child: &Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}
