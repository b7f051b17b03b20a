//! The probes of one container, each on its own clock, so that a slow one never delays the other.

use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe as Spec};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::probe::{Outcome, Probe};

/// What a probe changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Readiness changed; the sentence says why it failed.
    Ready(bool, String),
    /// Liveness failed as often as it may.
    Dead(String),
}

/// Both probes of a running container; dropping it ends them.
pub(super) struct Probing {
    verdicts: mpsc::Receiver<Verdict>,
    _probes: JoinSet<()>,
}

impl Probing {
    pub(super) fn new(container: &Container, address: SocketAddr) -> Self {
        let (sender, verdicts) = mpsc::channel(4);
        let mut probes = JoinSet::new();
        if let Some(timer) = container.readiness_probe.as_ref().and_then(Timer::new) {
            probes.spawn(timer.watch_readiness(address, sender.clone()));
        }
        if let Some(timer) = container.liveness_probe.as_ref().and_then(Timer::new) {
            probes.spawn(timer.watch_liveness(address, sender));
        }
        Self { verdicts, _probes: probes }
    }

    /// Waits for the next verdict; for ever when there is no probe that could give one.
    pub(super) async fn next(&mut self) -> Verdict {
        match self.verdicts.recv().await {
            Some(verdict) => verdict,
            None => std::future::pending().await,
        }
    }
}

struct Timer {
    probe: Probe,
    delay: Duration,
    period: Duration,
    timeout: Duration,
    threshold: i32,
}

impl Timer {
    /// Kubernetes' defaults: period 10 s, timeout 1 s, three failures.
    fn new(spec: &Spec) -> Option<Self> {
        let seconds = |value: Option<i32>, default: i32| {
            Duration::from_secs(u64::try_from(value.unwrap_or(default)).unwrap_or_default())
        };
        let path = spec.http_get.as_ref()?.path.clone().unwrap_or_else(|| "/".into());
        Some(Self {
            probe: Probe::Http(path),
            delay: seconds(spec.initial_delay_seconds, 0),
            period: seconds(spec.period_seconds, 10).max(Duration::from_millis(200)),
            timeout: seconds(spec.timeout_seconds, 1),
            threshold: spec.failure_threshold.unwrap_or(3),
        })
    }

    async fn watch_readiness(self, address: SocketAddr, verdicts: mpsc::Sender<Verdict>) {
        let (mut ready, mut failures) = (false, 0);
        tokio::time::sleep(self.delay).await;
        loop {
            let outcome = self.probe.ask(address, self.timeout).await;
            failures = if outcome == Outcome::Healthy { 0 } else { failures + 1 };
            let now = outcome == Outcome::Healthy || (ready && failures < self.threshold);
            if now != ready {
                ready = now;
                if verdicts.send(Verdict::Ready(ready, words(outcome))).await.is_err() {
                    return;
                }
            }
            // Until the first success the kubelet's period only makes a start slow to watch.
            let wait = if ready { self.period } else { self.period.min(Duration::from_millis(500)) };
            tokio::time::sleep(wait).await;
        }
    }

    async fn watch_liveness(self, address: SocketAddr, verdicts: mpsc::Sender<Verdict>) {
        let mut failures = 0;
        tokio::time::sleep(self.delay).await;
        loop {
            let outcome = self.probe.ask(address, self.timeout).await;
            failures = if outcome == Outcome::Healthy { 0 } else { failures + 1 };
            if failures >= self.threshold {
                let _ = verdicts.send(Verdict::Dead(words(outcome))).await;
                return;
            }
            tokio::time::sleep(self.period).await;
        }
    }
}

fn words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Healthy => String::new(),
        Outcome::Unhealthy(why) => why,
        Outcome::Refused => "connect: connection refused".into(),
    }
}
