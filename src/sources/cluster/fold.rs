//! What is kept of thousands of objects: a few words per pod, a row per workload.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Event};
use kube::ResourceExt as _;

use super::events::Events;
use super::pod::Pod;
use super::workload::{Counts, workload};
use crate::domain::Trouble;
use crate::domain::cluster::{ClusterEvent, ClusterFact, Restart, Workload};
use crate::domain::text::clean;

/// The namespace as far as the watches told.
#[derive(Debug, Default)]
pub struct Fold {
    workloads: BTreeMap<(String, String), Workload>,
    pods: BTreeMap<String, PodFold>,
    events: Events,
}

/// What is kept of one pod.
#[derive(Debug)]
struct PodFold {
    /// Kind and name of the workload it belongs to.
    owner: Option<(String, String)>,
    ready: bool,
    finished: bool,
    restarts: u32,
    last_restart: Option<Restart>,
    trouble: Option<String>,
}

impl Fold {
    /// A Deployment, new or changed.
    pub fn deployment(&mut self, d: &Deployment) {
        let (spec, status) = (d.spec.as_ref(), d.status.as_ref());
        let counts = Counts {
            ready: status.and_then(|s| s.ready_replicas),
            desired: spec.and_then(|s| s.replicas),
            updated: status.and_then(|s| s.updated_replicas),
        };
        self.set("Deployment", workload("Deployment", &d.name_any(), spec.map(|s| &s.template), &counts));
    }

    /// A `StatefulSet`, new or changed.
    pub fn stateful_set(&mut self, s: &StatefulSet) {
        let (spec, status) = (s.spec.as_ref(), s.status.as_ref());
        let counts = Counts {
            ready: status.and_then(|s| s.ready_replicas),
            desired: spec.and_then(|s| s.replicas),
            updated: status.and_then(|s| s.updated_replicas),
        };
        self.set("StatefulSet", workload("StatefulSet", &s.name_any(), spec.map(|s| &s.template), &counts));
    }

    fn set(&mut self, kind: &str, workload: Workload) {
        self.workloads.insert((kind.to_owned(), workload.name.clone()), workload);
    }

    /// A workload was deleted.
    pub fn workload_gone(&mut self, kind: &str, name: &str) {
        self.workloads.remove(&(kind.to_owned(), clean(name)));
    }

    /// A pod, new or changed.
    pub fn pod(&mut self, pod: &Pod) {
        let status = pod.status.as_ref();
        let containers: Vec<&ContainerStatus> =
            status.into_iter().flat_map(|s| s.container_statuses.iter().flatten()).collect();
        let condition = |name: &str| {
            status
                .and_then(|s| s.conditions.as_ref())
                .and_then(|c| c.iter().find(|c| c.type_ == name).cloned())
        };
        let phase = status.and_then(|s| s.phase.as_deref()).unwrap_or_default();
        let ready = condition("Ready").is_some_and(|c| c.status == "True");
        let unscheduled = condition("PodScheduled").filter(|c| c.status == "False").and_then(|c| c.message);
        let trouble = waiting(&containers).or(unscheduled).filter(|_| !ready);
        let fold = PodFold {
            owner: owner(pod),
            ready,
            finished: matches!(phase, "Succeeded" | "Failed"),
            restarts: containers.iter().map(|c| u32::try_from(c.restart_count).unwrap_or(0)).sum(),
            last_restart: containers.iter().filter_map(|c| restart(c)).max_by_key(|r| r.at),
            trouble: trouble.map(|text| clean(&text)),
        };
        self.pods.insert(pod.name_any(), fold);
    }

    /// A pod was deleted.
    pub fn pod_gone(&mut self, name: &str) {
        self.pods.remove(name);
    }

    /// An Event, new or repeated.
    pub fn event(&mut self, event: &Event) {
        self.events.set(&event.name_any(), event);
    }

    /// An Event expired.
    pub fn event_gone(&mut self, name: &str) {
        self.events.gone(name);
    }

    /// The namespace now. What could not be watched is said first among the events.
    pub fn fact(&self, troubles: &[Trouble]) -> ClusterFact {
        let mut by_key = self.workloads.clone();
        for pod in self.pods.values() {
            let Some(workload) = pod.owner.as_ref().and_then(|key| by_key.get_mut(key)) else {
                continue;
            };
            workload.restarts += pod.restarts;
            if pod.last_restart.as_ref().map(|r| r.at) > workload.last_restart.as_ref().map(|r| r.at) {
                workload.last_restart.clone_from(&pod.last_restart);
            }
            if workload.trouble.is_none() {
                workload.trouble.clone_from(&pod.trouble);
            }
        }
        let mut workloads: Vec<Workload> = by_key.into_values().collect();
        workloads.sort_by(|a, b| (a.role, &a.name, &a.kind).cmp(&(b.role, &b.name, &b.kind)));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        ClusterFact {
            workloads,
            pods: count(self.pods.values().filter(|p| !p.finished).count()),
            pods_ready: count(self.pods.values().filter(|p| p.ready).count()),
            events: troubles.iter().map(unreadable).chain(self.events.newest()).take(20).collect(),
            server_version: String::new(),
        }
    }
}

/// A kind that could not be watched, among the events where it is read.
fn unreadable(trouble: &Trouble) -> ClusterEvent {
    ClusterEvent {
        at: None,
        warning: true,
        object: "cutover".into(),
        reason: trouble.kind.word().into(),
        message: format!("{} {}", trouble.detail, trouble.remedy).trim().to_owned(),
    }
}

/// The workload a pod belongs to. A `ReplicaSet` is named after its Deployment and the template's hash, so that
/// `ReplicaSets` need not be watched.
fn owner(pod: &Pod) -> Option<(String, String)> {
    let owner = pod.metadata.owner_references.iter().flatten().find(|o| o.controller == Some(true))?;
    match owner.kind.as_str() {
        "ReplicaSet" => {
            let hash = pod.metadata.labels.as_ref().and_then(|l| l.get("pod-template-hash"));
            let deployment = match hash {
                Some(hash) => owner.name.strip_suffix(hash)?.strip_suffix('-')?,
                None => owner.name.rsplit_once('-')?.0,
            };
            Some(("Deployment".to_owned(), clean(deployment)))
        }
        kind => Some((kind.to_owned(), clean(&owner.name))),
    }
}

/// Why a container waits or has ended: `CrashLoopBackOff`, `ImagePullBackOff`.
fn waiting(containers: &[&ContainerStatus]) -> Option<String> {
    containers.iter().find_map(|c| {
        let state = c.state.as_ref()?;
        let waiting = state.waiting.as_ref().and_then(|w| w.reason.clone());
        waiting.or_else(|| state.terminated.as_ref().and_then(|t| t.reason.clone()))
    })
}

/// The last end of a container that runs again.
fn restart(container: &ContainerStatus) -> Option<Restart> {
    let ended = container.last_state.as_ref()?.terminated.as_ref()?;
    let reason = ended.reason.as_deref().unwrap_or("ended");
    Some(Restart {
        reason: clean(&format!("{reason}, exit {}", ended.exit_code)),
        at: ended.finished_at.as_ref().map(|t| t.0),
    })
}
