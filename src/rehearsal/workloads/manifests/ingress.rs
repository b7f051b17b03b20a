//! How requests come in: the pair of Ingresses, v2 as a Service without a selector, and an Ingress that has
//! nothing to do with any of it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::langfuse::{V2, WEB};
use crate::rehearsal::gateway::endpoints::DIAL;

/// Main Ingress.
pub const MAIN: &str = "langfuse";
/// Canary Ingress.
pub const CANARY: &str = "langfuse-canary";
/// The host in the Ingresses' first rule.
pub const HOST: &str = "langfuse.localhost";
/// The host that resolves everywhere; the rehearsal's public address uses it.
pub const LOCAL: &str = "localhost";
/// Address of the Docker host of v2 (RFC 5737; slices may not carry loopback addresses).
const V2_ADDRESS: &str = "192.0.2.10";

/// Service `langfuse-v2`: no selector, because v2 is a container outside the cluster.
pub fn v2_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": V2, "labels": {"app": "langfuse-v2"}},
        "spec": {"ports": [{"name": "http", "port": 3000, "targetPort": 3000, "protocol": "TCP"}]},
    })
}

/// The slice that an operator wrote for v2 by hand.
pub fn v2_slice(address: SocketAddr) -> Value {
    let dial = json!({format!("{V2_ADDRESS}:3000"): address.to_string()}).to_string();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "langfuse-v2-docker-host", "annotations": {DIAL: dial},
            "labels": {"kubernetes.io/service-name": V2, "endpointslice.kubernetes.io/managed-by": "platform-team"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 3000, "protocol": "TCP"}],
        "endpoints": [{"addresses": [V2_ADDRESS], "conditions": {"ready": true}}],
    })
}

/// The main Ingress: everything goes to v2. Bodies up to 5 MB, because Langfuse's batches exceed nginx's 1 MB.
pub fn main() -> Value {
    ingress(MAIN, &json!({"nginx.ingress.kubernetes.io/proxy-body-size": "5m"}), &[HOST, LOCAL], V2, 3000)
}

/// The canary Ingress with its first weight.
pub fn canary(weight: u8) -> Value {
    let annotations = json!({
        "nginx.ingress.kubernetes.io/canary": "true",
        "nginx.ingress.kubernetes.io/canary-weight": weight.to_string(),
    });
    ingress(CANARY, &annotations, &[HOST, LOCAL], WEB, 3000)
}

/// A neighbour in the namespace, so that finding the pair is real.
pub fn docs() -> Value {
    ingress("docs", &json!({}), &["docs.localhost"], "docs", 80)
}

/// The neighbour's Service; nobody is behind it.
pub fn docs_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "docs", "labels": {"app": "docs"}},
        "spec": {"selector": {"app": "docs"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    })
}

/// An Ingress as `kubectl apply` leaves it, with the manifest in its own annotation.
fn ingress(name: &str, annotations: &Value, hosts: &[&str], service: &str, port: u16) -> Value {
    let rules: Vec<Value> = hosts
        .iter()
        .map(|host| {
            json!({"host": host, "http": {"paths": [{
                "path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": service, "port": {"number": port}}},
            }]}})
        })
        .collect();
    let mut object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"annotations": annotations, "name": name},
        "spec": {"ingressClassName": "nginx", "rules": rules},
    });
    let applied = format!("{object}\n");
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert("kubectl.kubernetes.io/last-applied-configuration".into(), applied.into());
    }
    object
}
