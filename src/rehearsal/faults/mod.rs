//! What can go wrong in a rehearsal: the words for it, shared by scenario files and the command line.

use serde::{Deserialize, Serialize};

use super::period::Period;

pub mod levers;
mod words;

pub use words::WordsError;

/// A store of the rehearsal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreName {
    /// `PostgreSQL`.
    Postgres,
    /// `ClickHouse`.
    Clickhouse,
    /// Redis.
    Redis,
    /// S3.
    S3,
}

/// One fault with its arguments; unknown arguments are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// v3 web answers a share of its requests with 500, and all of them later.
    V3Errors {
        /// 0.0..=1.0.
        #[serde(default = "fifth")]
        share: f64,
        /// Added to every answer.
        #[serde(default)]
        latency: Period,
    },
    /// v2 answers a share of its requests with 500, and all of them later.
    V2Errors {
        /// 0.0..=1.0.
        #[serde(default = "fifth")]
        share: f64,
        /// Added to every answer.
        #[serde(default)]
        latency: Period,
    },
    /// v3 web answers a share of its requests with 429.
    V3Throttle {
        /// 0.0..=1.0.
        #[serde(default = "fifth")]
        share: f64,
    },
    /// v3 web lives and does not answer, its probes included.
    V3Freeze {},
    /// v3 web is killed as the OOM killer does it.
    V3Crash {},
    /// The worker is killed as the OOM killer does it; it is back within seconds, its locks stay.
    WorkerCrash {},
    /// The worker dies in its next migration batch, after the insert and before the cursor moves.
    WorkerDiesInBatch {
        /// Of this table only.
        #[serde(default)]
        table: Option<String>,
    },
    /// The next migration batch fails with `PostgreSQL`'s write conflict.
    BatchConflict {
        /// Of this table only.
        #[serde(default)]
        table: Option<String>,
    },
    /// The worker fetches no more jobs; its connections stay open.
    QueueStall {},
    /// v2 is killed; Docker starts it again.
    V2Crash {},
    /// A store is killed; lifting it starts it again.
    StoreDown {
        /// Which one.
        store: StoreName,
    },
    /// A store hangs: connections stay open, nothing answers.
    StorePause {
        /// Which one.
        store: StoreName,
    },
    /// Redis may use so much memory and refuses writes above it.
    RedisFull {
        /// In bytes.
        #[serde(default = "mebibyte")]
        maxmemory: u64,
    },
    /// Another writer puts the canary weight back whenever it differs from its own.
    WeightRevert {
        /// What it wants.
        #[serde(default)]
        weight: u8,
        /// How often it looks: Argo CD's self-heal waits 5 s.
        #[serde(default = "five_seconds")]
        every: Period,
        /// The name it writes under.
        #[serde(default = "argocd")]
        manager: String,
    },
    /// The API server answers shares of its requests with 409, 429 and 500, late, and closes watches.
    ApiFlaky {
        /// Share of writes answered with 409.
        #[serde(default)]
        conflicts: f64,
        /// Share of requests answered with 429.
        #[serde(default)]
        throttled: f64,
        /// Share of requests answered with 500.
        #[serde(default)]
        errors: f64,
        /// Added to every answer.
        #[serde(default)]
        latency: Period,
        /// How often every open watch is closed; never when absent.
        #[serde(default)]
        close_watches: Option<Period>,
    },
    /// The API server takes connections and answers nothing.
    ApiFreeze {},
    /// Switches the worker's background migrations on or off, as an operator does: by its environment.
    Backfill {
        /// On or off.
        enabled: bool,
    },
}

fn fifth() -> f64 {
    0.2
}

fn mebibyte() -> u64 {
    1 << 20
}

fn five_seconds() -> Period {
    Period::seconds(5)
}

fn argocd() -> String {
    "argocd-controller".into()
}

/// Name, arguments and meaning of every fault: what `cutover rehearse fault` lists.
pub const FAULTS: [(&str, &str, &str); 17] = [
    (
        "v3-errors",
        "share=0.2 latency=0s",
        "v3 web answers a share of its requests with 500, and all of them later",
    ),
    ("v2-errors", "share=0.2 latency=0s", "the same of v2"),
    ("v3-throttle", "share=0.2", "v3 web answers a share of its requests with 429"),
    ("v3-freeze", "", "v3 web lives and does not answer"),
    ("v3-crash", "", "v3 web is OOM-killed"),
    ("worker-crash", "", "the worker is OOM-killed and back within seconds; its locks stay"),
    ("worker-dies-in-batch", "table=traces", "the worker dies in its next migration batch"),
    ("batch-conflict", "table=observations", "the next migration batch fails with a write conflict"),
    ("queue-stall", "", "the worker fetches no more jobs"),
    ("v2-crash", "", "v2 is killed; Docker starts it again"),
    ("store-down", "store=clickhouse", "a store is killed; lifting starts it again"),
    ("store-pause", "store=clickhouse", "a store hangs"),
    ("redis-full", "maxmemory=1048576", "Redis refuses writes"),
    ("weight-revert", "weight=0 every=5s manager=argocd-controller", "another writer puts the weight back"),
    (
        "api-flaky",
        "conflicts=0 throttled=0 errors=0 latency=0s close_watches=10s",
        "the API server fails shares of its requests",
    ),
    ("api-freeze", "", "the API server answers nothing"),
    ("backfill", "enabled=true", "switches the worker's background migrations by its environment"),
];

impl Fault {
    /// Its name.
    pub fn name(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value.as_object().and_then(|fields| fields.keys().next().cloned()).unwrap_or_default()
    }
}
