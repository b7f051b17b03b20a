//! The room's clock: how long something took, and how long something may still take.
//!
//! One rule: rows and locks are stamped by the database's clock, never by this one.

use std::time::{Duration, Instant};

/// A monotonic reading.
#[expect(clippy::disallowed_methods, reason = "this is the room's clock")]
pub fn mono() -> Instant {
    Instant::now()
}

/// Time since `start`, a reading of [`mono`].
pub fn since(start: Instant) -> Duration {
    mono().saturating_duration_since(start)
}
