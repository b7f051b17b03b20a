//! One line of the journal.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::actuators::Actor;
use crate::domain::traffic::{ObjectRef, RouterKind};
use crate::domain::{Split, Weight};
use crate::shift::{Intent, OpId, Patch, PatchKind, Plan};

/// One line: an entry in the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counted from 1.
    pub seq: u64,
    /// When it was written (UTC).
    pub at: jiff::Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
    /// `hash` of the line before; empty in the first.
    pub prev: String,
    /// SHA-256 in hex over `prev` and this line without its `hash`.
    pub hash: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// Before a write leaves.
    Intent {
        /// The operation.
        op: u64,
        /// `shift` or `rollback`.
        intent: String,
        /// Who.
        actor: Actor,
        /// The split that was read, per cent to v3.
        from: u8,
        /// The split asked for.
        to: u8,
        /// The requests.
        patches: Vec<PatchRecord>,
        /// What the operator saw: guards and counts, in words.
        evidence: Vec<String>,
        /// Taken back then, unless it is confirmed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm_by: Option<jiff::Timestamp>,
    },
    /// After the write's answer, or without one.
    Answer {
        /// The operation.
        op: u64,
        /// How it ended.
        outcome: Outcome,
        /// In words.
        detail: String,
        /// The resourceVersion of each object after it was written.
        versions: Vec<String>,
    },
    /// What was seen in the objects afterwards.
    Concluded {
        /// The operation.
        op: u64,
        /// In words.
        detail: String,
    },
    /// A move with a deadline stays.
    Confirmed {
        /// The operation.
        op: u64,
        /// Who.
        actor: Actor,
    },
    /// Traffic was held, or the hold was taken off.
    Hold {
        /// Who.
        actor: Actor,
        /// Set or taken off.
        on: bool,
    },
    /// Rows are about to be written by the data engine, were written, or could not be.
    Rows {
        /// Who.
        actor: Actor,
        /// The verb: `restore`.
        verb: String,
        /// How far it is.
        step: Step,
        /// What was asked for, or what went wrong, in words.
        detail: String,
        /// Rows by table and kind: "traces inserted". Empty before.
        counts: std::collections::BTreeMap<String, u64>,
    },
    /// The right to write was taken from somebody.
    TakeOver {
        /// Who took it.
        actor: Actor,
        /// From whom.
        from: String,
    },
}

/// How far a write of rows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Before the first row.
    Begun,
    /// All of it is written.
    Done,
    /// It ended early; what was committed stays.
    Failed,
}

/// How a write was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Acknowledged.
    Applied,
    /// Nothing was written.
    Refused,
    /// Somebody else wrote first; nothing was written.
    Conflict,
    /// No answer: it may have been written.
    Lost,
    /// Some objects were written and one was not.
    Partial,
}

/// One request as journalled; enough to rebuild it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PatchRecord {
    /// Kind, namespace and name of the object.
    pub object: [String; 3],
    /// The mechanism's name.
    pub router: String,
    /// Parts and parts in all, before.
    pub from: [u32; 2],
    /// After.
    pub to: [u32; 2],
    /// Content type.
    pub content_type: String,
    /// The body.
    pub body: serde_json::Value,
}

impl Record {
    /// The next line of the chain.
    pub fn chain(seq: u64, at: jiff::Timestamp, entry: Entry, prev: String) -> Self {
        let mut record = Self { seq, at, entry, prev, hash: String::new() };
        record.hash = record.digest();
        record
    }

    /// The hash that belongs to this content.
    pub fn digest(&self) -> String {
        let bare = Self { hash: String::new(), ..self.clone() };
        let mut hasher = Sha256::new();
        hasher.update(self.prev.as_bytes());
        hasher.update(bare.line().as_bytes());
        hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The JSON text.
    pub fn line(&self) -> String {
        // Plain data with string keys: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Entry {
    /// The entry before a plan is sent.
    pub fn intent(plan: &Plan, actor: &Actor, evidence: Vec<String>, at: jiff::Timestamp) -> Self {
        Self::Intent {
            op: plan.op.0,
            intent: plan.intent.word().into(),
            actor: actor.clone(),
            from: plan.from.percent(),
            to: plan.to.percent(),
            patches: plan.patches.iter().map(PatchRecord::of).collect(),
            evidence,
            confirm_by: plan.confirm_within.and_then(|within| at.checked_add(within).ok()),
        }
    }

    /// The plan of an intent, rebuilt. `None` for other entries and for mechanisms this version does not know.
    pub fn plan(&self) -> Option<Plan> {
        let Self::Intent { op, intent, from, to, patches, .. } = self else {
            return None;
        };
        Some(Plan {
            op: OpId(*op),
            intent: if intent == Intent::Rollback.word() { Intent::Rollback } else { Intent::Shift },
            from: Split::new(*from)?,
            to: Split::new(*to)?,
            patches: patches.iter().map(PatchRecord::patch).collect::<Option<_>>()?,
            v3_only: None,
            confirm_within: None,
        })
    }
}

impl PatchRecord {
    fn of(patch: &Patch) -> Self {
        let ObjectRef { kind, namespace, name } = patch.object.clone();
        Self {
            object: [kind, namespace, name],
            router: patch.router.name().into(),
            from: [patch.from.value, patch.from.total],
            to: [patch.to.value, patch.to.total],
            content_type: patch.kind.content_type().into(),
            body: patch.body.clone(),
        }
    }

    fn patch(&self) -> Option<Patch> {
        let [kind, namespace, name] = self.object.clone();
        let weight = |[value, total]: [u32; 2]| Weight { value, total };
        Some(Patch {
            object: ObjectRef { kind, namespace, name },
            router: [RouterKind::IngressNginx].into_iter().find(|r| r.name() == self.router)?,
            from: weight(self.from),
            to: weight(self.to),
            kind: [PatchKind::Merge, PatchKind::Json]
                .into_iter()
                .find(|k| k.content_type() == self.content_type)?,
            body: self.body.clone(),
        })
    }
}
