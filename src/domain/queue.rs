//! BullMQ queues as they stand in Redis.

use std::time::Duration;

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name without the prefix, cleaned.
    pub name: String,
    /// Jobs a worker could take now: `wait` + `paused` + `prioritized`.
    pub waiting: u64,
    /// Jobs being worked on.
    pub active: u64,
    /// Jobs in `delayed`, due or not: Langfuse's ingestion passes through it, so this is not backlog.
    pub delayed: u64,
    /// Delayed jobs that are due.
    pub overdue: u64,
    /// Jobs in `failed`.
    pub failed: u64,
    /// Age of the oldest job that waits or is overdue.
    pub oldest: Option<Duration>,
    /// The `id` counter: jobs ever added.
    pub added: Option<u64>,
    /// Whether the queue is paused.
    pub paused: bool,
    /// Blocking worker connections; `None` when `CLIENT LIST` is not allowed.
    pub consumers: Option<u32>,
    /// Who wrote `meta` ("bullmq:5.34.10").
    pub version: Option<String>,
}

impl Queue {
    /// Work that could be done now or is being done: waiting + active + overdue.
    pub const fn depth(&self) -> u64 {
        self.waiting.saturating_add(self.active).saturating_add(self.overdue)
    }
}

/// All queues found, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueuesFact {
    /// By name.
    pub queues: Vec<Queue>,
}
