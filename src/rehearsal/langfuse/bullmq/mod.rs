//! Job queues in BullMQ 5's key layout, so that BullMQ's own workers, producers and dashboards can share them.
//!
//! Rule: every move of a job is one Lua script (`scripts/`), atomic in Redis; nothing is ever moved by two
//! commands. The scripts are ours; the keys, fields, scores and events are BullMQ's (seen with 5.34.10).

mod count;
mod keys;
mod queue;
mod stalled;
#[cfg(test)]
mod tests;
mod worker;

pub use count::{Counts, counts};
pub(crate) use keys::Keys;
pub(crate) use queue::{Queue, retry_failed};
pub(crate) use worker::{Job, Pace, Worker};

/// The queues of v3.29.0 that the migration watches.
pub(crate) const INGESTION: &str = "ingestion-queue";
/// Evaluations are started from this one; every trace passes it 30 s after it was merged.
pub(crate) const TRACE_UPSERT: &str = "trace-upsert";

/// Every queue v3.29.0 knows, for the admin page.
pub(crate) const ALL: &[&str] = &[
    TRACE_UPSERT,
    "trace-delete",
    "project-delete",
    "evaluation-execution-queue",
    "dataset-run-item-upsert-queue",
    "batch-export-queue",
    INGESTION,
    "secondary-ingestion-queue",
    "cloud-usage-metering-queue",
    "experiment-create-queue",
    "posthog-integration-queue",
    "posthog-integration-processing-queue",
    "core-data-s3-export-queue",
    "metering-data-postgres-export-queue",
    "data-retention-queue",
    "data-retention-processing-queue",
    "batch-action-queue",
    "create-eval-queue",
    "score-delete",
];

/// How many times a job is tried before it rests in `failed`; Langfuse sets 5 for both queues in v3.29.0.
pub(crate) const ATTEMPTS: u64 = 5;
/// First pause of the exponential back-off, milliseconds.
pub(crate) const BACKOFF_MS: u64 = 5_000;
/// How many failed jobs Redis keeps per queue.
pub(crate) const KEEP_FAILED: u64 = 100_000;
