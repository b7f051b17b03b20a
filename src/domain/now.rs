//! One reading of both clocks, taken once per message and passed down, so that every test owns time.

use std::time::Duration;

/// A monotonic reading: time since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub Duration);

impl Mono {
    /// A reading `secs` seconds after the start.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// A reading `ms` milliseconds after the start.
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// Time from `earlier` to this reading; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This reading moved forward by `by`.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For ages, deadlines and rates.
    pub mono: Mono,
    /// For people, journals and rows (UTC).
    pub wall: jiff::Timestamp,
}

impl Now {
    /// A moment for tests and tables: `secs` after the start, and as many after 2026-01-01T00:00:00Z.
    pub fn at(secs: u64) -> Self {
        let wall = jiff::Timestamp::from_second(1_767_225_600 + i64::try_from(secs).unwrap_or(0));
        Self { mono: Mono::from_secs(secs), wall: wall.unwrap_or(jiff::Timestamp::UNIX_EPOCH) }
    }
}
