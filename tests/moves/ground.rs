//! A cluster of one canary pair, the program run against it, and what a journal and an object say together.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use cutover::actuators::Journal;
use cutover::actuators::journal::{Entry, Outcome, Record, Verified, replay, verify};
use cutover::cockpit::msg::JournalState;
use cutover::rehearsal::kube::{Server, Token};
use tokio::process::{Child, Command};

use crate::common::cluster;
use crate::common::rehearsal::CUTOVER;

/// Where the canary stands at the beginning.
pub const START: u8 = 25;

/// A folder with a configuration, and a cluster of its own.
pub struct Ground {
    dir: tempfile::TempDir,
    pub server: Server,
}

impl Ground {
    /// A canary at 25 %, everything ready for a move.
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tokens = vec![Token::admin("rehearsal-admin", "admin")];
        let server = cluster::start(dir.path(), tokens, "admin", "").await;
        cluster::make_ready(&server);
        Self { dir, server }
    }

    /// The program with these arguments, after `before` (`prlimit --fsize=…`).
    pub fn program(&self, before: &[&str], args: &[&str]) -> Command {
        let line: Vec<&str> = before.iter().copied().chain([CUTOVER]).chain(args.iter().copied()).collect();
        let mut command = Command::new(line[0]);
        command
            .args(&line[1..])
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.dir.path())
            // A name that is more bytes than characters: a torn line may end within one of them.
            .env("USER", "müller")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub fn start(&self, args: &[&str]) -> Child {
        self.program(&[], args).spawn().unwrap()
    }

    pub async fn run(&self, args: &[&str]) -> Output {
        self.program(&[], args).output().await.unwrap()
    }

    pub fn weight(&self) -> u8 {
        cluster::weight(&self.server)
    }

    pub fn journal_path(&self) -> PathBuf {
        self.dir.path().join("journal/rehearsal/lf/journal.jsonl")
    }

    pub fn journal(&self) -> Journal {
        Journal::open(self.journal_path()).unwrap()
    }

    /// What the next program would start from; the chain is whole whatever happened.
    #[track_caller]
    pub fn next_start(&self) -> (JournalState, Vec<Record>) {
        let journal = self.journal();
        let records = journal.read().unwrap();
        assert_eq!(verify(&records), Verified::Whole(records.len()));
        (replay(&journal).unwrap(), records)
    }

    /// The journal and the object together: either the next start does not claim to know, or it is right.
    #[track_caller]
    pub fn assert_truth(&self, point: &str) -> JournalState {
        let (state, records) = self.next_start();
        let stands = self.weight();
        let sent = records.iter().rev().find_map(|r| match &r.entry {
            Entry::Intent { op, to, .. } => Some((*op, *to)),
            _ => None,
        });
        let Some((op, to)) = sent else {
            assert_eq!(stands, START, "{point}: written without a line in the journal");
            return state;
        };
        let answer = records.iter().find_map(|r| match &r.entry {
            Entry::Answer { op: of, outcome, .. } if *of == op => Some(*outcome),
            _ => None,
        });
        match answer {
            Some(Outcome::Applied) => {
                assert_eq!(stands, to, "{point}: acknowledged");
                assert!(state.unfinished.is_none(), "{point}");
                let said = state.last_shift.as_ref().map(|(text, _)| text.clone()).unwrap_or_default();
                assert!(said.ends_with(&format!("-> {to} % done")), "{point}: {said}");
            }
            Some(Outcome::Refused | Outcome::Conflict) => {
                assert_eq!(stands, START, "{point}: refused");
                assert!(state.unfinished.is_none(), "{point}");
            }
            Some(Outcome::Lost | Outcome::Partial) | None => {
                let unfinished = state.unfinished.as_ref().map(|p| (p.op.0, p.to.percent()));
                assert_eq!(unfinished, Some((op, to)), "{point}: nobody knows, and the next start says so");
                assert!([START, to].contains(&stands), "{point}: {stands}");
            }
        }
        state
    }

    /// The next program sees where the traffic stands, says when it does not know an outcome, and takes it back.
    pub async fn assert_the_next_program_copes(&self, point: &str) {
        let state = self.assert_truth(point);
        let status = self.run(&["status", "--json", "--wait", "5"]).await;
        let status: serde_json::Value =
            serde_json::from_slice(&status.stdout).unwrap_or_else(|e| panic!("{point}: {e}: {status:?}"));
        assert_eq!(status["split"]["stored"], self.weight(), "{point}: {:#}", status["split"]);
        // Where the object has what was asked for, that is known again.
        let open = state.unfinished.filter(|plan| plan.to.percent() != self.weight());
        let shown = status["shift"]["state"].as_str().unwrap().to_owned();
        assert_eq!(shown == "unknown", open.is_some(), "{point}: {shown}");
        let back = self.run(&["rollback", "--all", "--yes"]).await;
        assert_eq!(back.status.code(), Some(0), "{point}: {}", String::from_utf8_lossy(&back.stderr));
        assert_eq!(self.weight(), 0, "{point}");
        let (state, _) = self.next_start();
        assert!(state.unfinished.is_none(), "{point}: {state:?}");
    }
}
