//! What the ingress controller counted lately: real requests and their 5xx answers, per backend.
//!
//! One rule: only what was counted between two readings of the same controllers is believed. A counter that
//! went back, or another number of replicas, starts anew: what happened in between is not known.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::Mono;
use crate::domain::latency::{ControllerFact, Endpoint};

/// What "lately" is: long enough for some requests at a small split, short enough to act on.
pub const LATELY: Duration = Duration::from_mins(2);
/// The longest span that is kept.
pub const KEPT: Duration = Duration::from_mins(10);
/// Readings kept: the controller is read every five seconds, or when somebody asks.
const READINGS: usize = 240;

/// Attempts, and the failed ones among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// All of them.
    pub all: u64,
    /// Those that failed.
    pub failed: u64,
}

impl Tally {
    /// Share of failed ones, 0..=1; `None` without any attempt.
    pub fn rate(self) -> Option<f64> {
        (self.all > 0).then(|| self.failed as f64 / self.all as f64)
    }

    const fn plus(self, other: Self) -> Self {
        Self { all: self.all + other.all, failed: self.failed + other.failed }
    }
}

/// Requests per backend over the last ten minutes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requests {
    last: Option<ControllerFact>,
    steps: VecDeque<Step>,
}

/// What was counted between a reading and the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    at: Mono,
    v2: Tally,
    v3: Tally,
    otlp_refused: u64,
}

impl Requests {
    /// Takes in the counters as they stand at `now`.
    pub fn count(&mut self, now: Mono, fact: &ControllerFact) {
        if let Some(step) = self.last.as_ref().and_then(|last| step(now, last, fact)) {
            if self.steps.len() == READINGS {
                self.steps.pop_front();
            }
            self.steps.push_back(step);
        }
        while self.steps.front().is_some_and(|s| now.since(s.at) > KEPT) {
            self.steps.pop_front();
        }
        self.last = Some(fact.clone());
    }

    /// Requests of one backend that were counted within `span` before `now`; `None` when the controller was not
    /// read twice in it, and for the public address, which is no backend.
    pub fn over(&self, endpoint: Endpoint, span: Duration, now: Mono) -> Option<Tally> {
        let of = match endpoint {
            Endpoint::V2 => |s: &Step| s.v2,
            Endpoint::V3 => |s: &Step| s.v3,
            Endpoint::Public => return None,
        };
        let within = self.steps.iter().filter(|s| now.since(s.at) <= span);
        within.map(of).reduce(Tally::plus)
    }

    /// Requests within `span` before `now` that v2 answered with 404 as it answers OTLP; `None` as for
    /// [`Self::over`].
    pub fn otlp_refused(&self, span: Duration, now: Mono) -> Option<u64> {
        let within = self.steps.iter().filter(|s| now.since(s.at) <= span);
        within.map(|s| s.otlp_refused).reduce(u64::saturating_add)
    }
}

/// The difference of two readings; `None` when they are not of the same controllers.
fn step(at: Mono, last: &ControllerFact, next: &ControllerFact) -> Option<Step> {
    if last.replicas != next.replicas {
        return None;
    }
    let tally = |all: (u64, u64), failed: (u64, u64)| {
        Some(Tally { all: all.1.checked_sub(all.0)?, failed: failed.1.checked_sub(failed.0)? })
    };
    Some(Step {
        at,
        v2: tally((last.v2_requests, next.v2_requests), (last.v2_errors, next.v2_errors))?,
        v3: tally((last.v3_requests, next.v3_requests), (last.v3_errors, next.v3_errors))?,
        otlp_refused: next.v2_otlp_refused.checked_sub(last.v2_otlp_refused)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(requests: u64, errors: u64, replicas: u32) -> ControllerFact {
        ControllerFact { v3_requests: requests, v3_errors: errors, replicas, ..ControllerFact::default() }
    }

    fn lately(requests: &Requests, secs: u64) -> Option<(u64, u64)> {
        requests.over(Endpoint::V3, LATELY, Mono::from_secs(secs)).map(|t| (t.all, t.failed))
    }

    #[test]
    fn what_was_counted_before_the_first_reading_is_not_ours() {
        let mut requests = Requests::default();
        requests.count(Mono::from_secs(0), &fact(9_000, 4_000, 1));
        assert_eq!(lately(&requests, 0), None);
        requests.count(Mono::from_secs(5), &fact(9_100, 4_020, 1));
        assert_eq!(lately(&requests, 5), Some((100, 20)));
        assert_eq!(requests.over(Endpoint::Public, LATELY, Mono::from_secs(5)), None);
    }

    #[test]
    fn lately_forgets_and_the_long_span_does_not() {
        let mut requests = Requests::default();
        for (at, all, failed) in [(0, 0, 0), (5, 100, 50), (200, 300, 50)] {
            requests.count(Mono::from_secs(at), &fact(all, failed, 1));
        }
        assert_eq!(lately(&requests, 200), Some((200, 0)));
        let long = requests.over(Endpoint::V3, KEPT, Mono::from_secs(200));
        assert_eq!(long, Some(Tally { all: 300, failed: 50 }));
        assert_eq!(lately(&requests, 400), None, "the controller fell silent: nothing is known of lately");
    }

    #[test]
    fn otlp_that_v2_refused_before_the_first_reading_is_not_news() {
        let mut requests = Requests::default();
        let fact = |refused| ControllerFact { v2_otlp_refused: refused, ..ControllerFact::default() };
        requests.count(Mono::from_secs(0), &fact(500));
        assert_eq!(requests.otlp_refused(LATELY, Mono::from_secs(0)), None);
        requests.count(Mono::from_secs(5), &fact(503));
        requests.count(Mono::from_secs(10), &fact(503));
        requests.count(Mono::from_secs(15), &fact(507));
        assert_eq!(requests.otlp_refused(LATELY, Mono::from_secs(15)), Some(7));
        assert_eq!(requests.otlp_refused(LATELY, Mono::from_secs(126)), Some(4));
    }

    #[test]
    fn a_restarted_or_absent_replica_starts_anew() {
        let mut requests = Requests::default();
        // A restart; then the other replica does not answer, and comes back with all it ever counted.
        for (at, all, failed, replicas) in
            [(0, 900, 90, 2), (5, 40, 1, 2), (10, 50, 2, 2), (15, 20, 0, 1), (20, 60, 2, 2), (25, 70, 2, 2)]
        {
            requests.count(Mono::from_secs(at), &fact(all, failed, replicas));
        }
        assert_eq!(lately(&requests, 25), Some((20, 1)));
    }

    #[test]
    fn it_stays_small_whatever_the_length_of_the_night() {
        let mut requests = Requests::default();
        for n in 0..5_000 {
            requests.count(Mono::from_millis(n * 100), &fact(n, 0, 1));
        }
        assert_eq!(requests.steps.len(), READINGS);
    }
}
