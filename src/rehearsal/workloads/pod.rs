//! One Pod with one container: its object, its process, its probes, its restarts.
//!
//! Rule: what the Pod's status says is what happened to the process, never what was meant to happen.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::Api;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::keeper::Keeper;
use super::kubelet::{Container, NODE};
use super::world::World;

/// `terminationGracePeriodSeconds` when the template has none.
const GRACE: i64 = 30;

/// What controllers know of a Pod.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    pub(super) uid: String,
    pub(super) ready: bool,
    pub(super) terminating: bool,
    pub(super) gone: bool,
    /// Where its process listens.
    pub(super) address: Option<SocketAddr>,
}

/// A controller's handle on a Pod.
pub(super) struct Pod {
    pub(super) name: String,
    /// Hash of the template it was made from.
    pub(super) template: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) ip: String,
    pub(super) port: u16,
    pub(super) view: watch::Receiver<View>,
    stop: CancellationToken,
}

impl Pod {
    /// Creates the Pod's object and runs its process until [`Pod::stop`].
    pub(super) fn start(
        world: &Arc<World>,
        name: String,
        hash: &str,
        template: &PodTemplateSpec,
        owner: &Value,
    ) -> Self {
        let (sender, view) = watch::channel(View::default());
        let container =
            template.spec.as_ref().and_then(|spec| spec.containers.first()).cloned().unwrap_or_default();
        let mut labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
        labels.insert("pod-template-hash".into(), hash.to_owned());
        let port =
            container.ports.iter().flatten().next().and_then(|port| u16::try_from(port.container_port).ok());
        let pod = Self {
            name: name.clone(),
            template: hash.to_owned(),
            labels: labels.clone(),
            ip: world.next_ip(),
            port: port.unwrap_or_default(),
            view,
            stop: CancellationToken::new(),
        };
        let keeper = Keeper {
            world: Arc::clone(world),
            api: Api::namespaced(world.client.clone(), &world.namespace),
            object: object(&name, &labels, template, owner),
            status: Container::new(&container.name, container.image.as_deref().unwrap_or_default()),
            grace: template
                .spec
                .as_ref()
                .and_then(|spec| spec.termination_grace_period_seconds)
                .unwrap_or(GRACE),
            container,
            name,
            ip: pod.ip.clone(),
            port: pod.port,
            unwritten: false,
            view: sender,
            stop: pod.stop.clone(),
        };
        world.tasks.spawn(keeper.run());
        pod
    }

    /// Begins the graceful end.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether its end was asked for.
    pub(super) fn stopping(&self) -> bool {
        self.stop.is_cancelled()
    }
}

fn object(name: &str, labels: &BTreeMap<String, String>, template: &PodTemplateSpec, owner: &Value) -> Value {
    let mut spec = serde_json::to_value(&template.spec).unwrap_or_default();
    if let Some(spec) = spec.as_object_mut() {
        spec.insert("nodeName".into(), NODE.into());
    }
    let annotations = template.metadata.as_ref().and_then(|meta| meta.annotations.clone());
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": labels, "annotations": annotations, "ownerReferences": [owner]},
        "spec": spec,
    })
}
