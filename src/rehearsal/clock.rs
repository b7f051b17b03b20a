//! The rehearsal's clock: the one place of this room that reads time.

use std::time::{Duration, Instant};

/// The wall clock, as the stand-ins stamp it on rows, jobs and Kubernetes objects (UTC).
#[expect(clippy::disallowed_methods, reason = "the rehearsal plays other machines; this is their clock")]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    now().as_millisecond()
}

/// A monotonic reading, to measure a duration inside the rehearsal.
#[expect(clippy::disallowed_methods, reason = "the rehearsal plays other machines; this is their clock")]
pub fn mono() -> Instant {
    Instant::now()
}

/// Time since `start`, a reading of [`mono`].
pub fn since(start: Instant) -> Duration {
    mono().saturating_duration_since(start)
}
