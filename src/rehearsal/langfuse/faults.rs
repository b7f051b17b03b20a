//! The knobs a scenario turns while a process runs. Reading one costs an atomic load; none is ever set by the
//! stand-in itself, so a rehearsal without scenarios behaves like a healthy Langfuse.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// A cloneable handle on one pod's faults; several pods may share one.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Knobs>);

#[derive(Debug)]
struct Knobs {
    error_share: AtomicU64,
    throttle_share: AtomicU64,
    latency_ms: AtomicU64,
    frozen: watch::Sender<bool>,
    stalled: watch::Sender<bool>,
    crash: watch::Sender<()>,
    conflict: Fuse,
    die_in_batch: Fuse,
}

/// Something that happens once, in the next migration batch of one table or of any.
#[derive(Debug, Default)]
struct Fuse(Mutex<Option<Lit>>);

/// For this table, or for any.
#[derive(Debug)]
struct Lit(Option<String>);

impl Fuse {
    fn light(&self, table: Option<&str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Lit(table.map(str::to_owned)));
    }

    fn take(&self, table: &str) -> bool {
        let mut lit = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let meant =
            lit.as_ref().is_some_and(|Lit(wanted)| wanted.as_deref().is_none_or(|wanted| wanted == table));
        meant && lit.take().is_some()
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self(Arc::new(Knobs {
            error_share: AtomicU64::new(0),
            throttle_share: AtomicU64::new(0),
            latency_ms: AtomicU64::new(0),
            frozen: watch::Sender::new(false),
            stalled: watch::Sender::new(false),
            crash: watch::Sender::new(()),
            conflict: Fuse::default(),
            die_in_batch: Fuse::default(),
        }))
    }
}

impl Faults {
    /// No faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers this share (0.0..=1.0) of API requests with 500. Health and readiness are spared.
    pub fn set_error_share(&self, share: f64) {
        self.0.error_share.store(share.clamp(0.0, 1.0).to_bits(), Relaxed);
    }

    /// Answers this share (0.0..=1.0) of API requests with 429.
    pub fn set_throttle_share(&self, share: f64) {
        self.0.throttle_share.store(share.clamp(0.0, 1.0).to_bits(), Relaxed);
    }

    /// Adds this delay to every API request.
    pub fn set_latency(&self, extra: Duration) {
        self.0.latency_ms.store(u64::try_from(extra.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Holds every request, probes included, until it is lifted: a process that lives but does not answer.
    pub fn set_frozen(&self, frozen: bool) {
        self.0.frozen.send_replace(frozen);
    }

    /// Worker: stops fetching jobs while its connections stay open, so that the queues grow.
    pub fn set_queue_stalled(&self, stalled: bool) {
        self.0.stalled.send_replace(stalled);
    }

    /// Ends the process at once with code 137, as the OOM killer does: locks stay.
    pub fn crash_now(&self) {
        self.0.crash.send_replace(());
    }

    /// Worker: the next migration batch of this table, or of any, fails with PostgreSQL's write conflict.
    pub fn fail_next_batch(&self, table: Option<&str>) {
        self.0.conflict.light(table);
    }

    /// Worker: the process dies in its next migration batch of this table, or of any, after the insert and
    /// before the cursor moves.
    pub fn die_in_next_batch(&self, table: Option<&str>) {
        self.0.die_in_batch.light(table);
    }

    pub(crate) fn error_share(&self) -> f64 {
        f64::from_bits(self.0.error_share.load(Relaxed))
    }

    pub(crate) fn throttle_share(&self) -> f64 {
        f64::from_bits(self.0.throttle_share.load(Relaxed))
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.0.latency_ms.load(Relaxed))
    }

    pub(crate) async fn thawed(&self) {
        wait_for_false(self.0.frozen.subscribe()).await;
    }

    pub(crate) async fn flowing(&self) {
        wait_for_false(self.0.stalled.subscribe()).await;
        self.thawed().await;
    }

    /// The next crash from now on: from the call, not from the first poll.
    pub(crate) fn crash(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut crash = self.0.crash.subscribe();
        let faults = self.clone();
        async move {
            // The sender lives as long as `faults`: the wait cannot fail.
            let _ = crash.changed().await;
            drop(faults);
        }
    }

    pub(crate) fn take_conflict(&self, table: &str) -> bool {
        self.0.conflict.take(table)
    }

    pub(crate) fn take_death_in_batch(&self, table: &str) -> bool {
        self.0.die_in_batch.take(table)
    }
}

async fn wait_for_false(mut knob: watch::Receiver<bool>) {
    // The sender lives in the same Arc as the caller: it cannot be gone.
    let _ = knob.wait_for(|held| !held).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_crash_before_the_first_poll_counts() {
        let faults = Faults::new();
        let crash = faults.crash();
        faults.crash_now();
        tokio::time::timeout(Duration::from_secs(5), crash).await.unwrap();
    }
}
