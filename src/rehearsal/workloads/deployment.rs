//! The Deployment controller: from template and replicas to Pods, and back into the status.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use sha2::Digest as _;

use super::events::About;
use super::kubelet::text;
use super::objects::{ensure_as, merge, merge_status};
use super::pod::Pod;
use super::rollout::{Seen, step};
use super::world::World;
use crate::rehearsal::clock;

/// Name under which the controller writes.
const MANAGER: &str = "kube-controller-manager";

/// One Deployment and its Pods.
pub(super) struct Set {
    pub(super) name: String,
    pub(super) pods: Vec<Pod>,
    /// The last status written, without times.
    written: Value,
    replica_sets: Vec<ReplicaSetView>,
}

struct ReplicaSetView {
    name: String,
    uid: String,
    hash: String,
    written: usize,
}

impl Set {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), pods: Vec::new(), written: Value::Null, replica_sets: Vec::new() }
    }

    /// One step of the controller: forgets Pods that are gone, starts and stops others, writes the status.
    pub(super) async fn reconcile(
        &mut self,
        world: &Arc<World>,
        deployment: &Deployment,
    ) -> kube::Result<()> {
        self.pods.retain(|pod| !pod.view.borrow().gone);
        let Some(spec) = &deployment.spec else {
            return Ok(());
        };
        let desired = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or_default();
        let hash = hash(&spec.template);
        let next = step(desired, &self.seen(&hash));
        for index in &next.stop {
            if let Some(pod) = self.pods.get(*index) {
                pod.stop();
            }
        }
        if next.start > 0 {
            let owner = self.replica_set(world, deployment, &hash, desired).await?;
            for _ in 0..next.start {
                let name = format!("{}-{hash}-{}", self.name, suffix());
                self.pods.push(Pod::start(world, name, &hash, &spec.template, &owner));
            }
        }
        self.report(world, deployment, desired, &hash).await
    }

    /// Stops every Pod: the Deployment is gone.
    pub(super) fn stop(&self) {
        for pod in &self.pods {
            pod.stop();
        }
    }

    fn seen(&self, hash: &str) -> Vec<Seen> {
        self.pods
            .iter()
            .map(|pod| {
                let view = pod.view.borrow();
                Seen {
                    current: pod.template == hash,
                    ready: view.ready && !view.terminating,
                    terminating: view.terminating || pod.stopping(),
                }
            })
            .collect()
    }

    /// The `ReplicaSet` of the current template; an owner reference to it.
    async fn replica_set(
        &mut self,
        world: &World,
        deployment: &Deployment,
        hash: &str,
        desired: usize,
    ) -> kube::Result<Value> {
        let name = format!("{}-{hash}", self.name);
        let api: Api<ReplicaSet> = Api::namespaced(world.client.clone(), &world.namespace);
        if !self.replica_sets.iter().any(|set| set.hash == hash) {
            ensure_as(
                &api,
                replica_set(&name, deployment, hash, desired, self.replica_sets.len() + 1),
                MANAGER,
            )
            .await?;
            let uid = api.get(&name).await?.uid().unwrap_or_default();
            self.replica_sets.push(ReplicaSetView {
                name: name.clone(),
                uid,
                hash: hash.to_owned(),
                written: usize::MAX,
            });
            let message = format!("Scaled up replica set {name} to {desired}");
            world
                .recorder
                .record(&about(deployment), "deployment-controller", "Normal", "ScalingReplicaSet", &message)
                .await;
        }
        let uid = self.replica_sets.iter().find(|set| set.hash == hash).map(|set| set.uid.clone());
        Ok(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": uid,
                  "controller": true, "blockOwnerDeletion": true}))
    }

    async fn report(
        &mut self,
        world: &World,
        deployment: &Deployment,
        desired: usize,
        hash: &str,
    ) -> kube::Result<()> {
        let seen = self.seen(hash);
        let alive = seen.iter().filter(|pod| !pod.terminating).count();
        let ready = seen.iter().filter(|pod| pod.ready).count();
        let updated = seen.iter().filter(|pod| pod.current && !pod.terminating).count();
        let available = ready >= desired - desired / 4;
        let done = updated == desired && ready >= desired && alive == updated;
        let status = json!({
            "observedGeneration": deployment.metadata.generation,
            "replicas": alive,
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": desired.max(alive).saturating_sub(ready),
            "conditions": [available, done],
        });
        if status != self.written {
            self.write(world, &status, available, done, hash).await?;
            self.written = status;
        }
        self.report_replica_sets(world).await
    }

    async fn write(
        &self,
        world: &World,
        status: &Value,
        available: bool,
        done: bool,
        hash: &str,
    ) -> kube::Result<()> {
        let now = text(clock::now());
        let mut status = status.clone();
        let set = format!("{}-{hash}", self.name);
        let (reason, message) = if done {
            ("NewReplicaSetAvailable", format!("ReplicaSet \"{set}\" has successfully progressed."))
        } else {
            ("ReplicaSetUpdated", format!("ReplicaSet \"{set}\" is progressing."))
        };
        let availability = if available { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" };
        let has = if available { "has" } else { "does not have" };
        let condition = |kind: &str, met: bool, reason: &str, message: &str| {
            json!({"type": kind, "status": if met { "True" } else { "False" }, "reason": reason, "message": message,
                   "lastUpdateTime": now, "lastTransitionTime": now})
        };
        let conditions = json!([
            condition(
                "Available",
                available,
                availability,
                &format!("Deployment {has} minimum availability.")
            ),
            condition("Progressing", true, reason, &message),
        ]);
        if let Some(fields) = status.as_object_mut() {
            fields.insert("conditions".into(), conditions);
        }
        let api: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
        merge_status(&api, &self.name, status, MANAGER).await.map(drop)
    }

    async fn report_replica_sets(&mut self, world: &World) -> kube::Result<()> {
        let api: Api<ReplicaSet> = Api::namespaced(world.client.clone(), &world.namespace);
        for set in &mut self.replica_sets {
            let pods = self.pods.iter().filter(|pod| pod.template == set.hash && !pod.stopping());
            let ready = pods.clone().filter(|pod| pod.view.borrow().ready).count();
            let count = pods.count();
            if set.written != count * 1000 + ready {
                merge(&api, &set.name, json!({"spec": {"replicas": count}}), MANAGER).await?;
                let status = json!({"replicas": count, "readyReplicas": ready, "availableReplicas": ready});
                merge_status(&api, &set.name, status, MANAGER).await?;
                set.written = count * 1000 + ready;
            }
        }
        Ok(())
    }
}

fn about(deployment: &Deployment) -> About {
    About {
        api_version: "apps/v1",
        kind: "Deployment",
        name: deployment.name_any(),
        uid: deployment.uid().unwrap_or_default(),
    }
}

fn replica_set(name: &str, deployment: &Deployment, hash: &str, desired: usize, revision: usize) -> Value {
    let spec = deployment.spec.as_ref();
    let mut template = serde_json::to_value(spec.map(|spec| &spec.template)).unwrap_or_default();
    let mut labels = template.pointer("/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        labels.insert("pod-template-hash".into(), hash.into());
    }
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("labels".into(), labels.clone());
    }
    let mut selector = serde_json::to_value(spec.map(|spec| &spec.selector)).unwrap_or_default();
    if let Some(matched) = selector.get_mut("matchLabels").and_then(Value::as_object_mut) {
        matched.insert("pod-template-hash".into(), hash.into());
    }
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": name, "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": revision.to_string(),
                            "deployment.kubernetes.io/desired-replicas": desired.to_string()},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment.name_any(),
                                 "uid": deployment.uid(), "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {"replicas": desired, "selector": selector, "template": template},
    })
}

/// Ten letters that stand for a template, out of the alphabet Kubernetes uses so that no words form.
fn hash(template: &PodTemplateSpec) -> String {
    letters(&sha2::Sha256::digest(serde_json::to_vec(template).unwrap_or_default()), 10)
}

/// The five random letters at the end of a Pod's name.
fn suffix() -> String {
    letters(uuid::Uuid::new_v4().as_bytes(), 5)
}

fn letters(bytes: &[u8], count: usize) -> String {
    const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    bytes
        .iter()
        .take(count)
        .filter_map(|byte| SAFE.get(usize::from(*byte) % SAFE.len()))
        .map(|byte| char::from(*byte))
        .collect()
}
