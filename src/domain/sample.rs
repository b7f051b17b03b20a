//! A reading and how much of it may still be believed.

use std::time::Duration;

use super::{Mono, Trouble};

/// How often a source means to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence(pub Duration);

/// What is known of one subject.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Sample<T> {
    /// Not read yet: drawn `-`, never 0.
    #[default]
    Never,
    /// The last good value; it survives failures, which are noted beside it.
    Seen {
        /// The value.
        value: T,
        /// When it was read.
        at: Mono,
        /// The failure that has gone on since, if any.
        failing: Option<Failure>,
    },
    /// Tried, and never had a good value.
    Failed {
        /// What goes on.
        failure: Failure,
    },
}

/// A run of failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Since when.
    pub since: Mono,
    /// How many tries in a row.
    pub attempts: u32,
    /// The newest of them.
    pub trouble: Trouble,
}

/// How old a reading is in the terms of its source's cadence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing was read.
    Unknown,
    /// Within two cadences.
    Fresh(Duration),
    /// Older than two cadences.
    Late(Duration),
    /// Older than five cadences: not to be acted on.
    Stale(Duration),
}

impl Freshness {
    /// Whether an action may rest on it.
    pub const fn is_fresh(self) -> bool {
        matches!(self, Self::Fresh(_))
    }

    /// The age, when something was read.
    pub const fn age(self) -> Option<Duration> {
        match self {
            Self::Unknown => None,
            Self::Fresh(age) | Self::Late(age) | Self::Stale(age) => Some(age),
        }
    }
}

impl<T> Sample<T> {
    /// The last good value, however old.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Seen { value, .. } => Some(value),
            Self::Never | Self::Failed { .. } => None,
        }
    }

    /// When the last good value was read.
    pub const fn at(&self) -> Option<Mono> {
        match self {
            Self::Seen { at, .. } => Some(*at),
            Self::Never | Self::Failed { .. } => None,
        }
    }

    /// The failure that goes on now, if any.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Seen { failing, .. } => failing.as_ref(),
            Self::Failed { failure } => Some(failure),
            Self::Never => None,
        }
    }

    /// Takes in one answer of the source.
    pub fn take(&mut self, answer: Result<T, Trouble>, now: Mono) {
        *self = match (std::mem::take(self), answer) {
            (_, Ok(value)) => Self::Seen { value, at: now, failing: None },
            (Self::Never, Err(trouble)) => {
                Self::Failed { failure: Failure { since: now, attempts: 1, trouble } }
            }
            (Self::Failed { failure }, Err(trouble)) => Self::Failed { failure: failure.again(trouble) },
            (Self::Seen { value, at, failing }, Err(trouble)) => {
                let failure = match failing {
                    Some(failure) => failure.again(trouble),
                    None => Failure { since: now, attempts: 1, trouble },
                };
                Self::Seen { value, at, failing: Some(failure) }
            }
        };
    }

    /// Age in terms of the cadence: late above 2 of them, stale above 5.
    pub fn freshness(&self, now: Mono, cadence: Cadence) -> Freshness {
        let Some(at) = self.at() else {
            return Freshness::Unknown;
        };
        let age = now.since(at);
        if age > cadence.0 * 5 {
            Freshness::Stale(age)
        } else if age > cadence.0 * 2 {
            Freshness::Late(age)
        } else {
            Freshness::Fresh(age)
        }
    }
}

impl Failure {
    fn again(self, trouble: Trouble) -> Self {
        Self { since: self.since, attempts: self.attempts.saturating_add(1), trouble }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Kind;

    const EACH: Cadence = Cadence(Duration::from_secs(2));

    fn trouble() -> Trouble {
        Trouble::new(Kind::Timeout, "PostgreSQL", "no answer in 5 s")
    }

    #[test]
    fn a_good_value_survives_failures_and_they_are_counted() {
        let mut sample = Sample::Never;
        sample.take(Ok(7), Mono::from_secs(1));
        sample.take(Err(trouble()), Mono::from_secs(3));
        sample.take(Err(trouble()), Mono::from_secs(5));
        assert_eq!(sample.value(), Some(&7));
        let failure = sample.failure().unwrap();
        assert_eq!((failure.attempts, failure.since), (2, Mono::from_secs(3)));
        sample.take(Ok(8), Mono::from_secs(7));
        assert_eq!(sample.failure(), None);
    }

    #[test]
    fn freshness_follows_the_cadence() {
        let mut sample = Sample::Never;
        assert_eq!(sample.freshness(Mono::from_secs(9), EACH), Freshness::Unknown);
        sample.take(Ok(()), Mono::from_secs(10));
        assert!(sample.freshness(Mono::from_secs(14), EACH).is_fresh());
        assert!(matches!(sample.freshness(Mono::from_secs(15), EACH), Freshness::Late(_)));
        assert!(matches!(sample.freshness(Mono::from_secs(21), EACH), Freshness::Stale(_)));
    }
}
