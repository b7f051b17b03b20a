//! The share that v3 really gets since the newest weight, counted and not assumed.
//!
//! One rule: requests that the ingress controller counted are preferred to our own probes.

use crate::domain::Mono;
use crate::domain::latency::{ControllerFact, ShareFact, wilson};

/// Which version answered, since the newest weight took effect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShareWindow {
    /// Since when.
    pub since: Mono,
    /// Probe answers by v2, v3 and without a version.
    pub probes: ShareFact,
    /// The controller's counters as they were read last in this window.
    last: Option<ControllerFact>,
    /// Requests by the controller's counters since then: v2, v3.
    controller: Option<(u64, u64)>,
}

impl ShareWindow {
    /// Starts a new window.
    pub fn restart(&mut self, now: Mono) {
        *self = Self { since: now, ..Self::default() };
    }

    /// Adds a round of probes.
    pub fn push(&mut self, round: ShareFact) {
        self.probes.v2 = self.probes.v2.saturating_add(round.v2);
        self.probes.v3 = self.probes.v3.saturating_add(round.v3);
        self.probes.unknown = self.probes.unknown.saturating_add(round.unknown);
    }

    /// Takes in the controller's counters. Only what was counted between two readings of the same controllers is
    /// believed: one that restarted, or comes back, brings what it counted before this window.
    pub fn count(&mut self, fact: &ControllerFact) {
        let grown = self.last.as_ref().filter(|last| last.replicas == fact.replicas).and_then(|last| {
            let v2 = fact.v2_requests.checked_sub(last.v2_requests)?;
            Some((v2, fact.v3_requests.checked_sub(last.v3_requests)?))
        });
        let (v2, v3) = grown.unwrap_or_default();
        let (all_v2, all_v3) = self.controller.unwrap_or_default();
        self.controller = Some((all_v2.saturating_add(v2), all_v3.saturating_add(v3)));
        self.last = Some(fact.clone());
    }

    /// The measured share of v3 with its 95 % interval, 0..=1, and the answers it rests on. Real requests by
    /// the controller's counters are preferred; without them, the probes.
    pub fn measured(&self) -> Option<Measured> {
        let (v2, v3, by_controller) = match self.controller {
            Some((v2, v3)) if v2 + v3 > 0 => (v2, v3, true),
            _ => (u64::from(self.probes.v2), u64::from(self.probes.v3), false),
        };
        let (low, high) = wilson(v3, v2 + v3)?;
        Some(Measured { share: v3 as f64 / (v2 + v3) as f64, low, high, answers: v2 + v3, by_controller })
    }
}

/// A share that was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Share of v3, 0..=1.
    pub share: f64,
    /// Lower end of the 95 % Wilson interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Answers it rests on.
    pub answers: u64,
    /// Counted by the controller over real requests, rather than by our probes.
    pub by_controller: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_that_restarts_or_comes_back_brings_nothing_of_before() {
        let fact = |v2, v3, replicas| ControllerFact {
            v2_requests: v2,
            v3_requests: v3,
            replicas,
            ..ControllerFact::default()
        };
        let mut window = ShareWindow::default();
        window.count(&fact(100, 10, 2));
        window.count(&fact(175, 35, 2));
        let measured =
            |window: &ShareWindow| window.measured().map(|m| (m.answers, (m.share * 100.0) as u32));
        assert_eq!(measured(&window), Some((100, 25)));
        assert!(window.measured().unwrap().by_controller);
        // One replica is gone, and is back with all that it ever counted.
        window.count(&fact(90, 30, 1));
        window.count(&fact(5_000, 35, 2));
        assert_eq!(measured(&window), Some((100, 25)));
        // All restarted, and have counted past where this window began.
        window.count(&fact(150, 20, 2));
        assert_eq!(measured(&window), Some((100, 25)));
        window.count(&fact(225, 45, 2));
        assert_eq!(measured(&window), Some((200, 25)));
    }
}
