//! The knobs that make the server misbehave, as a real one does under load or when a network breaks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng;
use tokio::sync::watch;

use super::status::Status;

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// 409, as if somebody else had written in between.
    Conflict,
    /// 429 with `Retry-After` in seconds.
    TooManyRequests(u32),
    /// 422, as a validation or a policy refuses.
    Invalid,
    /// 500.
    Internal,
    /// The connection is accepted and never answered.
    Freeze,
    /// The request is carried out, and never answered.
    Swallow,
    /// The write is carried out after this time, whether or not anybody waits for it, and never answered.
    Late(Duration),
    /// The request is carried out, and the connection cut before the answer.
    DropAnswer,
    /// The connection is cut before anything is done.
    Refuse,
}

/// Which requests a fault can hit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Scope {
    /// Every request.
    #[default]
    All,
    /// Get, list and watch.
    Reads,
    /// Create, update, patch and delete.
    Writes,
}

#[derive(Debug, Default)]
struct Knobs {
    next: Vec<(u32, Scope, Fault)>,
    nth: Option<(u32, Scope, Fault)>,
    share: Vec<(f64, Scope, Fault)>,
    latency: Duration,
}

/// A cloneable handle to the faults of one server.
#[derive(Debug, Clone)]
pub struct Faults {
    knobs: Arc<Mutex<Knobs>>,
    frozen: Arc<watch::Sender<bool>>,
    watches: Arc<watch::Sender<u64>>,
    unanswered: Arc<watch::Sender<u64>>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            knobs: Arc::default(),
            frozen: Arc::new(watch::channel(false).0),
            watches: Arc::new(watch::channel(0).0),
            unanswered: Arc::new(watch::channel(0).0),
        }
    }
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Knobs> {
        self.knobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next `count` requests of a scope fail.
    pub fn next(&self, count: u32, scope: Scope, fault: Fault) {
        self.lock().next.push((count, scope, fault));
    }

    /// The `nth` request of a scope fails, counted from 1 and from now; those before and after it do not.
    pub fn nth(&self, nth: u32, scope: Scope, fault: Fault) {
        self.lock().nth = Some((nth, scope, fault));
    }

    /// Wakes with every request that is held back for good ([`Fault::Freeze`], [`Fault::Swallow`]); the value
    /// counts them.
    pub fn unanswered(&self) -> watch::Receiver<u64> {
        self.unanswered.subscribe()
    }

    /// A request is held back for good.
    pub(super) fn holds_back(&self) {
        self.unanswered.send_modify(|held| *held += 1);
    }

    /// A share of the requests of a scope, 0.0..=1.0, fails at random.
    pub fn share(&self, share: f64, scope: Scope, fault: Fault) {
        self.lock().share.push((share.clamp(0.0, 1.0), scope, fault));
    }

    /// Every answer is this much later.
    pub fn latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// Requests are accepted and not answered, and watches are silent, until it is set back.
    pub fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    /// Ends every open watch, as a restarted server does.
    pub fn close_watches(&self) {
        self.watches.send_modify(|closed| *closed += 1);
    }

    /// No more failing or late answers; a frozen server stays frozen.
    pub fn calm(&self) {
        *self.lock() = Knobs::default();
    }

    /// Back to normal.
    pub fn clear(&self) {
        self.calm();
        self.freeze(false);
    }

    /// Wakes when all open watches are to end.
    pub(super) fn watch_closes(&self) -> watch::Receiver<u64> {
        self.watches.subscribe()
    }

    /// Returns once the server is not frozen.
    pub(super) async fn thawed(&self) {
        let mut frozen = self.frozen.subscribe();
        // The sender lives as long as `self`, so this only ends when thawed.
        let _ = frozen.wait_for(|frozen| !frozen).await;
    }

    /// Waits as long as answers are late.
    pub(super) async fn delay(&self) {
        let latency = self.lock().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }

    /// The fault that hits this request, if any.
    pub(super) fn strike(&self, write: bool) -> Option<Fault> {
        let hits = |scope: Scope| match scope {
            Scope::All => true,
            Scope::Reads => !write,
            Scope::Writes => write,
        };
        let mut knobs = self.lock();
        if let Some((left, scope, fault)) = &mut knobs.nth
            && hits(*scope)
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                let fault = *fault;
                knobs.nth = None;
                return Some(fault);
            }
        }
        if let Some(index) = knobs.next.iter().position(|(_, scope, _)| hits(*scope)) {
            let (left, _, fault) = knobs.next[index];
            if left <= 1 {
                knobs.next.remove(index);
            } else {
                knobs.next[index].0 = left - 1;
            }
            return (left > 0).then_some(fault);
        }
        let mut random = rand::rng();
        knobs
            .share
            .iter()
            .find(|(share, scope, _)| hits(*scope) && random.random_bool(*share))
            .map(|(.., fault)| *fault)
    }
}

impl Fault {
    /// The refusal this fault answers with, if it answers at all.
    pub(super) fn status(self, resource: &str, name: &str) -> Option<Status> {
        match self {
            Self::Conflict => {
                let why = "the object has been modified; please apply your changes to the latest version and try again";
                let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
                Some(Status::new(409, "Conflict", message))
            }
            Self::TooManyRequests(seconds) => Some(Status::too_many_requests(seconds)),
            Self::Internal => {
                let message = "Internal error occurred: etcdserver: request timed out";
                Some(Status::new(500, "InternalError", message))
            }
            Self::Invalid => {
                let message = format!(
                    "{resource} \"{name}\" is invalid: spec: Forbidden: a policy of this rehearsal refuses it"
                );
                Some(Status::new(422, "Invalid", message))
            }
            Self::Freeze | Self::Swallow | Self::Late(_) | Self::DropAnswer | Self::Refuse => None,
        }
    }
}
