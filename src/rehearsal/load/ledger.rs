//! The clients' own book of what was accepted by whom: the measure of "nothing lost".
//!
//! Rule: an event is written down as accepted only after its 207 said so; everything else is `given_up` or
//! `unknown`, never silently nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

/// Name of the append-only file, one JSON object per answered request.
pub const LINES: &str = "ledger.jsonl";
/// Name of the totals.
pub const TOTALS: &str = "ledger.json";

/// What one event creates or changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Id of the event itself.
    pub id: String,
    /// Its type, such as `generation-update`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Id of the trace, observation or score it is about.
    pub body_id: String,
}

impl Event {
    /// The table of the row that it is about.
    pub fn table(&self) -> &'static str {
        match self.kind.split('-').next() {
            Some("trace") => "traces",
            Some("score") => "scores",
            _ => "observations",
        }
    }
}

/// One line of [`LINES`]: what one request was answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it was answered.
    pub at: String,
    /// Who took it: `v2`, `v3`.
    pub version: String,
    /// Its project.
    pub project: String,
    /// What was accepted of it.
    pub events: Vec<Event>,
}

impl Line {
    /// All lines of a book; the last one is left out while it is only half written.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is none.
    pub fn read(dir: &Path) -> std::io::Result<Vec<Self>> {
        let text = std::fs::read_to_string(dir.join(LINES))?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).map_err(Into::into)).collect()
    }

    /// Ids of all rows that lines are about, by table.
    pub fn ids<'l>(lines: impl IntoIterator<Item = &'l Self>) -> BTreeMap<&'static str, BTreeSet<String>> {
        let mut ids: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for event in lines.into_iter().flat_map(|line| &line.events) {
            ids.entry(event.table()).or_default().insert(event.body_id.clone());
        }
        ids
    }
}

/// The whole book in numbers; the ids stand in its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Events the clients made.
    pub sent: u64,
    /// Accepted events by version (`v2`, `v3`), each counted once.
    pub accepted: BTreeMap<String, u64>,
    /// Events an answer refused for good (4xx, or an error inside a 207).
    pub refused: u64,
    /// Events given up after the last retry was answered with an error: surely not stored by an answer of ours.
    pub given_up: u64,
    /// Events whose last try got no answer at all: they may or may not have been stored.
    pub unknown: u64,
}

/// How sending a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Refused for good.
    Refused,
    /// Errors until the last retry.
    GivenUp,
    /// No answer.
    Unknown,
}

/// A handle on the book; cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    totals: Arc<Mutex<Totals>>,
    file: Arc<tokio::sync::Mutex<tokio::fs::File>>,
    summary: PathBuf,
}

impl Ledger {
    /// Opens the book in `dir`, appending to one that is there.
    pub async fn open(dir: &Path) -> std::io::Result<Self> {
        let file = tokio::fs::OpenOptions::new().create(true).append(true).open(dir.join(LINES)).await?;
        Ok(Self {
            totals: Arc::default(),
            file: Arc::new(tokio::sync::Mutex::new(file)),
            summary: dir.join(TOTALS),
        })
    }

    /// Counts events that are about to be sent.
    pub fn sent(&self, count: usize) {
        self.edit(|totals| totals.sent += count as u64);
    }

    /// Writes down what `version` accepted of one request.
    pub async fn accepted(&self, version: &str, project: &str, events: &[Event]) {
        self.edit(|totals| {
            *totals.accepted.entry(version.to_owned()).or_default() += events.len() as u64;
        });
        let line = Line {
            at: crate::rehearsal::clock::now().to_string(),
            version: version.to_owned(),
            project: project.to_owned(),
            events: events.to_vec(),
        };
        let line = serde_json::to_string(&line).unwrap_or_default();
        let mut file = self.file.lock().await;
        let written = file.write_all(format!("{line}\n").as_bytes()).await;
        if let Err(error) = written.and(file.flush().await) {
            tracing::warn!("ledger: {error}");
        }
    }

    /// Writes down events that nobody accepted.
    pub fn lost(&self, loss: Loss, count: usize) {
        self.edit(|totals| match loss {
            Loss::Refused => totals.refused += count as u64,
            Loss::GivenUp => totals.given_up += count as u64,
            Loss::Unknown => totals.unknown += count as u64,
        });
    }

    /// The book as it is now.
    pub fn totals(&self) -> Totals {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes [`TOTALS`], whole or not at all.
    pub async fn save(&self) -> std::io::Result<()> {
        let text = serde_json::to_vec(&self.totals())?;
        let draft = self.summary.with_extension("json.new");
        tokio::fs::write(&draft, text).await?;
        tokio::fs::rename(&draft, &self.summary).await
    }

    fn edit(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_book_survives_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).await.unwrap();
        let event =
            |kind: &str| Event { id: format!("e-{kind}"), kind: kind.into(), body_id: format!("b-{kind}") };
        ledger.sent(4);
        ledger.accepted("v2", "p", &[event("trace-create"), event("generation-update")]).await;
        ledger.accepted("v3", "p", &[event("score-create")]).await;
        ledger.lost(Loss::Unknown, 1);
        ledger.save().await.unwrap();
        let read: Totals = serde_json::from_slice(&std::fs::read(dir.path().join(TOTALS)).unwrap()).unwrap();
        assert_eq!(read, ledger.totals());
        assert_eq!((read.sent, read.unknown, read.accepted["v2"]), (4, 1, 2));
        let lines = Line::read(dir.path()).unwrap();
        assert_eq!(lines.iter().map(|line| line.version.as_str()).collect::<Vec<_>>(), ["v2", "v3"]);
        let ids = Line::ids(&lines);
        assert_eq!(ids.keys().copied().collect::<Vec<_>>(), ["observations", "scores", "traces"]);
        assert!(ids["observations"].contains("b-generation-update"));
    }
}
