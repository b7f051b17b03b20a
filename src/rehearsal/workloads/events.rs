//! Kubernetes Events, as kubelet and controllers record them.

use k8s_openapi::api::core::v1::Event;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::kubelet::text;
use super::objects::ensure_as;
use crate::rehearsal::clock;

/// What an Event is about.
#[derive(Debug, Clone)]
pub struct About {
    /// `apiVersion` of the object.
    pub api_version: &'static str,
    /// Kind of the object.
    pub kind: &'static str,
    /// Name of the object.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// Records Events in one namespace.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    namespace: String,
}

impl Recorder {
    /// A recorder for `namespace`.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    /// Records one Event (`kind` is `Normal` or `Warning`); a failure is only logged, as in Kubernetes.
    pub async fn record(&self, about: &About, component: &str, kind: &str, reason: &str, message: &str) {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        if let Err(error) =
            ensure_as(&api, self.event(about, component, kind, reason, message), component).await
        {
            tracing::debug!("Event {reason} for {} {}: {error}", about.kind, about.name);
        }
    }

    fn event(&self, about: &About, component: &str, kind: &str, reason: &str, message: &str) -> Value {
        let now = clock::now();
        json!({
            "metadata": {"name": format!("{}.{:x}", about.name, now.as_nanosecond()), "namespace": self.namespace},
            "involvedObject": {"apiVersion": about.api_version, "kind": about.kind, "name": about.name,
                               "namespace": self.namespace, "uid": about.uid},
            "reason": reason,
            "message": message,
            "type": kind,
            "source": {"component": component},
            "reportingComponent": component,
            "reportingInstance": "",
            "firstTimestamp": text(now),
            "lastTimestamp": text(now),
            "count": 1,
        })
    }
}
