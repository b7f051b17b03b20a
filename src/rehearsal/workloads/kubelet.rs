//! The status a kubelet writes for a Pod with one container, rendered from what really happened to its process.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::rehearsal::clock;

/// Name under which Pod statuses are written.
pub const MANAGER: &str = "kubelet";
/// The node every Pod runs on.
pub const NODE: &str = "rehearsal";

/// What the container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Not running: a reason such as `CrashLoopBackOff` and a sentence.
    Waiting(&'static str, String),
    /// Running since then.
    Running(Timestamp),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code: 0, 1, 137 (SIGKILL), 143 (SIGTERM).
    pub code: i32,
    /// `Completed`, `Error` or `OOMKilled`.
    pub reason: String,
    /// Last words.
    pub message: String,
    /// When it had started.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

/// One container of one Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// What it is doing.
    pub phase: Phase,
    /// How it ended the last time.
    pub last: Option<Ended>,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether its readiness probe succeeds.
    pub ready: bool,
    /// Since when it has been ready or not.
    pub ready_since: Timestamp,
    /// When the Pod was scheduled.
    pub born: Timestamp,
}

impl Container {
    /// A container that has not been started yet.
    pub fn new(name: &str, image: &str) -> Self {
        let now = clock::now();
        Self {
            name: name.to_owned(),
            image: image.to_owned(),
            phase: Phase::Waiting("ContainerCreating", String::new()),
            last: None,
            restarts: 0,
            ready: false,
            ready_since: now,
            born: now,
        }
    }

    /// Notes a change of readiness; false when there was none.
    pub fn set_ready(&mut self, ready: bool) -> bool {
        let changed = self.ready != ready;
        if changed {
            self.ready = ready;
            self.ready_since = clock::now();
        }
        changed
    }

    /// The Pod's `.status`.
    pub fn status(&self, ip: &str) -> Value {
        let started = matches!(self.phase, Phase::Running(_));
        let condition = |kind: &str, met: bool, since: Timestamp| json!({"type": kind, "status": if met { "True" } else { "False" }, "lastTransitionTime": text(since)});
        json!({
            "phase": if started || self.restarts > 0 || self.last.is_some() { "Running" } else { "Pending" },
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "hostIP": "10.0.0.10",
            "startTime": text(self.born),
            "qosClass": "BestEffort",
            "conditions": [
                condition("PodScheduled", true, self.born),
                condition("Initialized", true, self.born),
                condition("ContainersReady", self.ready, self.ready_since),
                condition("Ready", self.ready, self.ready_since),
            ],
            "containerStatuses": [{
                "name": self.name,
                "image": self.image,
                "imageID": "",
                "ready": self.ready,
                "started": started,
                "restartCount": self.restarts,
                // `null` takes the other state away in a merge patch.
                "state": match &self.phase {
                    Phase::Waiting(reason, message) => {
                        json!({"waiting": {"reason": reason, "message": message}})
                    }
                    Phase::Running(since) => json!({"running": {"startedAt": text(*since)}}),
                },
                "lastState": self.last.as_ref().map_or(json!({}), |ended| json!({"terminated": terminated(ended)})),
            }],
        })
    }
}

fn terminated(ended: &Ended) -> Value {
    json!({
        "exitCode": ended.code,
        "reason": ended.reason,
        "message": ended.message,
        "startedAt": text(ended.started),
        "finishedAt": text(ended.finished),
    })
}

/// A time as Kubernetes writes it, in whole seconds.
pub fn text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_shows_its_last_state() {
        let mut container = Container::new("langfuse-worker", "image");
        container.restarts = 1;
        container.last = Some(Ended {
            code: 137,
            reason: "OOMKilled".into(),
            message: String::new(),
            started: Timestamp::UNIX_EPOCH,
            finished: Timestamp::UNIX_EPOCH,
        });
        container.phase = Phase::Waiting("CrashLoopBackOff", "back-off 10s".into());
        let status = container.status("10.244.0.9");
        let of = &status["containerStatuses"][0];
        assert_eq!(of["lastState"]["terminated"]["reason"], "OOMKilled");
        assert_eq!(of["state"]["waiting"]["reason"], "CrashLoopBackOff");
        assert_eq!((&status["phase"], &of["restartCount"]), (&json!("Running"), &json!(1)));
    }
}
