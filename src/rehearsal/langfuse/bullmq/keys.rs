//! The names of a queue's keys.

use base64::Engine as _;

/// The keys of one queue: `bull:<queue>:<part>`.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    queue: String,
    base: String,
}

impl Keys {
    pub(crate) fn new(queue: &str) -> Self {
        Self { queue: queue.to_owned(), base: format!("bull:{queue}:") }
    }

    /// `bull:<queue>:`, what job keys start with.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// One of the queue's own keys (`wait`, `active`, `meta` ...) or a job's hash.
    pub(crate) fn part(&self, name: &str) -> String {
        format!("{}{name}", self.base)
    }

    /// The name of a worker's blocking connection in `CLIENT LIST`: `bull:` and base64 of the queue's name.
    pub(crate) fn client_name(&self) -> String {
        format!("bull:{}", base64::engine::general_purpose::STANDARD.encode(&self.queue))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_blocking_connection_as_bullmq_does() {
        assert_eq!(Keys::new("ingestion-queue").client_name(), "bull:aW5nZXN0aW9uLXF1ZXVl");
        assert_eq!(Keys::new("trace-upsert").part("wait"), "bull:trace-upsert:wait");
    }
}
