//! The one place that reads the clocks.

use std::time::Instant;

use crate::domain::{Mono, Now};

/// Reads both clocks; monotonic time counts from its making.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self::start()
    }
}

impl Clock {
    /// Starts to count.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Both clocks, now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(self) -> Now {
        Now { mono: Mono(self.start.elapsed()), wall: jiff::Timestamp::now() }
    }

    /// The moment of a monotonic reading, for timers.
    pub fn instant(self, at: Mono) -> tokio::time::Instant {
        (self.start + at.0).into()
    }
}

/// The wall clock, for what is stamped outside the loop (journal, Events, leases).
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
