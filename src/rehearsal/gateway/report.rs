//! What the controller writes back: the address in each Ingress's status, and a `Sync` Event.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use crate::rehearsal::clock;
use crate::rehearsal::workloads::objects::{is_not_found, merge, merge_status};

/// Name under which the controller writes.
const MANAGER: &str = "nginx-ingress-controller";

/// Remembers which version of each Ingress was reported, and the Event that counts them.
#[derive(Default)]
pub(super) struct Reporter {
    seen: BTreeMap<String, Seen>,
}

struct Seen {
    version: String,
    event: String,
    count: i32,
}

impl Reporter {
    /// Writes status and Event for every Ingress that changed since the last call; failures are only logged.
    pub(super) async fn report(&mut self, client: &Client, ingresses: &[&Arc<Ingress>]) {
        for ingress in ingresses {
            let version = ingress.resource_version().unwrap_or_default();
            let key = ingress.uid().unwrap_or_else(|| ingress.name_any());
            if self.seen.get(&key).is_some_and(|seen| seen.version == version) {
                continue;
            }
            if let Err(error) = self.event(client, ingress, key, version).await {
                tracing::debug!(target: MANAGER, "Event for Ingress {}: {error}", ingress.name_any());
            }
            if !has_address(ingress)
                && let Err(error) = set_address(client, ingress).await
            {
                tracing::debug!(target: MANAGER, "status of Ingress {}: {error}", ingress.name_any());
            }
        }
    }

    async fn event(
        &mut self,
        client: &Client,
        ingress: &Ingress,
        key: String,
        version: String,
    ) -> kube::Result<()> {
        let namespace = ingress.namespace().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let now = clock::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.version.clone_from(&version);
            seen.count += 1;
            let patch = json!({"count": seen.count, "lastTimestamp": now});
            match merge(&api, &seen.event, patch, MANAGER).await {
                // The API server keeps Events for an hour only.
                Err(gone) if is_not_found(&gone) => {}
                patched => return patched.map(drop),
            }
        }
        let name = format!("{}.{:x}", ingress.name_any(), clock::now().as_nanosecond());
        let event = json!({
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": ingress.name_any(),
                "namespace": namespace, "uid": ingress.uid(), "resourceVersion": version,
            },
            "reason": "Sync",
            "message": "Scheduled for sync",
            "type": "Normal",
            "source": {"component": MANAGER},
            "reportingComponent": MANAGER,
            "reportingInstance": "",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        });
        let event = serde_json::from_value(event).map_err(kube::Error::SerdeError)?;
        let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        api.create(&params, &event).await?;
        self.seen.insert(key, Seen { version, event: name, count: 1 });
        Ok(())
    }
}

fn has_address(ingress: &Ingress) -> bool {
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_ref()).is_some_and(|addresses| !addresses.is_empty())
}

async fn set_address(client: &Client, ingress: &Ingress) -> kube::Result<()> {
    let api: Api<Ingress> = Api::namespaced(client.clone(), &ingress.namespace().unwrap_or_default());
    let status = json!({"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}});
    merge_status(&api, &ingress.name_any(), status, MANAGER).await.map(drop)
}
