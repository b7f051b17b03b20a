//! The stores as the cluster shows them: a `StatefulSet`, a Pod and a Service each, with readiness by real probes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::sync::watch;

use super::events::About;
use super::kubelet::{Container, Ended, MANAGER, NODE, Phase};
use super::manifests::stores::{StoreSpec, labels, stateful_set};
use super::objects::{ensure, ensure_as, merge_status, ports_annotation};
use super::probe::Outcome;
use super::slices::Member;
use super::world::World;
use crate::rehearsal::clock;

/// Between two probes of a store.
const PERIOD: Duration = Duration::from_secs(2);
/// Failures in a row that make a store unready.
const THRESHOLD: u32 = 2;

/// One store and where it really is.
#[derive(Debug, Clone)]
pub struct Store {
    /// Names, image, ports and probe.
    pub spec: StoreSpec,
    /// Where the ports of the specification are, in the same order.
    pub addresses: Vec<SocketAddr>,
}

/// A controller's handle on a store's Pod.
pub(super) struct StorePod {
    store: Store,
    ip: String,
    uid: watch::Receiver<String>,
    ready: watch::Receiver<bool>,
}

impl StorePod {
    pub(super) fn start(world: &Arc<World>, store: Store) -> Self {
        for (port, address) in store.spec.ports.iter().zip(&store.addresses) {
            world.names.set(store.spec.service, port.0, *address);
        }
        let (ready, readiness) = watch::channel(false);
        let (uid, uids) = watch::channel(String::new());
        let ip = world.next_ip();
        let keeper = Keeper {
            status: Container::new(store.spec.container, store.spec.image),
            world: Arc::clone(world),
            store: store.clone(),
            ip: ip.clone(),
            ready,
            uid,
        };
        let cancel = world.cancel.clone();
        world.tasks.spawn(async move { cancel.run_until_cancelled(keeper.run()).await });
        Self { store, ip, uid: uids, ready: readiness }
    }

    pub(super) fn member(&self) -> Member {
        let ports = self.store.spec.ports.iter().zip(&self.store.addresses);
        Member {
            name: format!("{}-0", self.store.spec.workload),
            uid: self.uid.borrow().clone(),
            ip: self.ip.clone(),
            labels: labels(&self.store.spec),
            ready: *self.ready.borrow(),
            terminating: false,
            ports: ports.map(|((number, name), address)| (*number, (*name).to_owned(), *address)).collect(),
        }
    }
}

struct Keeper {
    world: Arc<World>,
    store: Store,
    status: Container,
    ip: String,
    ready: watch::Sender<bool>,
    uid: watch::Sender<String>,
}

impl Keeper {
    async fn run(mut self) {
        while let Err(error) = self.create().await {
            tracing::debug!("{}: {error}", self.store.spec.workload);
            tokio::time::sleep(PERIOD).await;
        }
        let (mut failures, mut written) = (0, None);
        loop {
            if let Some(address) = self.store.addresses.first() {
                let outcome = self.store.spec.probe.ask(*address, Duration::from_secs(1)).await;
                failures = if outcome == Outcome::Healthy { 0 } else { failures + 1 };
                self.note(outcome, failures).await;
            }
            if written.as_ref() != Some(&self.status) && self.publish().await.is_ok() {
                written = Some(self.status.clone());
            }
            let wait = if *self.ready.borrow() { PERIOD } else { PERIOD / 4 };
            tokio::time::sleep(wait).await;
        }
    }

    async fn create(&self) -> kube::Result<()> {
        let (client, namespace) = (self.world.client.clone(), &self.world.namespace);
        let sets: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
        ensure(&sets, stateful_set(&self.store.spec)).await?;
        let owner = sets.get(self.store.spec.workload).await?.uid();
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let name = self.pod_name();
        let ports: Vec<(u16, SocketAddr)> = self
            .store
            .spec
            .ports
            .iter()
            .zip(&self.store.addresses)
            .map(|(port, address)| (port.0, *address))
            .collect();
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "labels": labels(&self.store.spec), "annotations": ports_annotation(&ports),
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": self.store.spec.workload,
                                     "uid": owner, "controller": true, "blockOwnerDeletion": true}],
            },
            "spec": {"nodeName": NODE, "containers": [super::manifests::stores::container(&self.store.spec)]},
        });
        ensure_as(&pods, pod, "kube-controller-manager").await?;
        self.uid.send_replace(pods.get(&name).await?.uid().unwrap_or_default());
        Ok(())
    }

    fn pod_name(&self) -> String {
        format!("{}-0", self.store.spec.workload)
    }

    /// Refused means that the process is gone; silence only that it is not ready.
    async fn note(&mut self, outcome: Outcome, failures: u32) {
        let running = matches!(self.status.phase, Phase::Running(_));
        match outcome {
            Outcome::Healthy => {
                if !running {
                    self.status.restarts += u32::from(self.status.last.is_some());
                    self.status.phase = Phase::Running(clock::now());
                    self.event(
                        "Normal",
                        "Started",
                        &format!("Started container {}", self.store.spec.container),
                    )
                    .await;
                }
                self.set_ready(true);
            }
            Outcome::Refused if running => {
                let Phase::Running(started) = self.status.phase else {
                    return;
                };
                let message = "the process ended".to_owned();
                self.status.last = Some(Ended {
                    code: 137,
                    reason: "Error".into(),
                    message,
                    started,
                    finished: clock::now(),
                });
                self.status.phase = Phase::Waiting("CrashLoopBackOff", "restarting failed container".into());
                self.set_ready(false);
                self.event("Warning", "BackOff", "Back-off restarting failed container").await;
            }
            Outcome::Unhealthy(why) if failures >= THRESHOLD && *self.ready.borrow() => {
                self.set_ready(false);
                self.event("Warning", "Unhealthy", &format!("Readiness probe failed: {why}")).await;
            }
            Outcome::Refused | Outcome::Unhealthy(_) => {}
        }
    }

    fn set_ready(&mut self, ready: bool) {
        if self.status.set_ready(ready) {
            self.ready.send_replace(ready);
            self.world.changed.notify_one();
        }
    }

    async fn publish(&self) -> kube::Result<()> {
        let (client, namespace) = (self.world.client.clone(), &self.world.namespace);
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        merge_status(&pods, &self.pod_name(), self.status.status(&self.ip), MANAGER).await?;
        let sets: Api<StatefulSet> = Api::namespaced(client, namespace);
        let ready = u8::from(self.status.ready);
        let status = json!({"replicas": 1, "readyReplicas": ready, "availableReplicas": ready, "currentReplicas": 1,
                            "updatedReplicas": 1, "observedGeneration": 1});
        merge_status(&sets, self.store.spec.workload, status, "kube-controller-manager").await.map(drop)
    }

    async fn event(&self, kind: &str, reason: &str, message: &str) {
        let about =
            About { api_version: "v1", kind: "Pod", name: self.pod_name(), uid: self.uid.borrow().clone() };
        self.world.recorder.record(&about, MANAGER, kind, reason, message).await;
    }
}
