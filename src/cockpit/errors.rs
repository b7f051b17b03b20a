//! Whether an address answers badly: real requests where the ingress controller counts them, our probes beside
//! them.
//!
//! One rule: guard, advisor, pane and report ask here, so that all of them say the same.

use crate::domain::latency::Endpoint;
use crate::domain::{Mono, units};

use super::history::History;
use super::requests::{LATELY, Tally};

/// Failed requests, or failed probe rounds, above this share forbid more traffic to v3.
pub const ERRORS_BLOCK: f64 = 0.05;
/// Fewer real requests than this say nothing.
pub const REQUESTS_NEEDED: u64 = 20;
/// Fewer probe rounds than this, all of them good, say nothing.
pub const ROUNDS_NEEDED: u64 = 5;
/// Probe rounds that are judged: two minutes of them at their cadence.
pub const ROUNDS: u32 = 24;
/// So many rounds in a row without any answer are no accident.
pub const SILENT: u32 = 2;

/// The errors of one address, lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errors {
    /// Real requests of the last two minutes and their 5xx answers; `None` when the controller was not read.
    pub requests: Option<Tally>,
    /// The newest probe rounds.
    pub rounds: Tally,
    /// Rounds in a row, up to the newest, that got no answer at all.
    pub silent: u32,
}

/// The errors of `endpoint` as they are known at `now`.
pub fn errors(history: &History, endpoint: Endpoint, now: Mono) -> Errors {
    let latency = &history.latency[endpoint as usize];
    Errors {
        requests: history.requests.over(endpoint, LATELY, now),
        rounds: latency.recent.newest(ROUNDS),
        silent: latency.silent,
    }
}

impl Errors {
    /// Real requests, when there were enough of them to say something.
    pub fn telling(&self) -> Option<Tally> {
        self.requests.filter(|r| r.all >= REQUESTS_NEEDED)
    }

    /// Too many real requests failed.
    pub fn requests_bad(&self) -> bool {
        self.telling().is_some_and(bad)
    }

    /// Too many probe rounds failed.
    pub fn rounds_bad(&self) -> bool {
        bad(self.rounds)
    }

    /// It does not answer at all.
    pub const fn is_silent(&self) -> bool {
        self.silent >= SILENT
    }

    /// What the errors rest on: "83 of 412 requests, 2 of 24 rounds failed".
    pub fn evidence(&self) -> String {
        let rounds = format!("{} of {} rounds failed", self.rounds.failed, self.rounds.all);
        match self.telling() {
            None => rounds,
            Some(r) => format!(
                "{} of {} requests in {} min failed, {rounds}",
                units::grouped(r.failed),
                units::grouped(r.all),
                LATELY.as_secs() / 60
            ),
        }
    }
}

fn bad(tally: Tally) -> bool {
    tally.rate().is_some_and(|rate| rate > ERRORS_BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::latency::ControllerFact;

    fn history(requests: u64, errors: u64) -> History {
        let mut history = History::default();
        let fact =
            |all, failed| ControllerFact { v3_requests: all, v3_errors: failed, ..ControllerFact::default() };
        history.requests.count(Mono::from_secs(0), &fact(0, 0));
        history.requests.count(Mono::from_secs(5), &fact(requests, errors));
        history
    }

    #[test]
    fn a_few_real_requests_prove_nothing() {
        for (all, failed, wrong) in [(19, 19, false), (20, 2, true), (100, 5, false), (100, 6, true)] {
            let errors = errors(&history(all, failed), Endpoint::V3, Mono::from_secs(5));
            assert_eq!(errors.requests_bad(), wrong, "{failed} of {all}");
        }
    }

    #[test]
    fn old_rounds_do_not_hide_new_ones() {
        let mut history = history(0, 0);
        let recent = &mut history.latency[Endpoint::V3 as usize].recent;
        (0..98).for_each(|_| recent.push(false));
        recent.push(true);
        recent.push(true);
        let errors = errors(&history, Endpoint::V3, Mono::from_secs(5));
        assert!(errors.rounds_bad(), "{errors:?}");
        assert_eq!(errors.evidence(), "2 of 24 rounds failed");
    }
}
