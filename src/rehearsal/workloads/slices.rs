//! The `EndpointSlice` controller: one slice per Service with a selector, kept at what its Pods are.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::kubelet::NODE;
use super::objects::{ensure_as, merge};
use crate::rehearsal::gateway::endpoints::DIAL;

/// Name under which the controller writes.
const MANAGER: &str = "kube-controller-manager";

/// What the controller needs to know of a Pod.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) ip: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) ready: bool,
    pub(super) terminating: bool,
    /// Container port, its name, and where it really is.
    pub(super) ports: Vec<(u16, String, SocketAddr)>,
}

/// The slices written so far.
#[derive(Default)]
pub(super) struct Slices {
    written: BTreeMap<String, Value>,
}

impl Slices {
    /// Writes the slice of every Service that selects Pods, where it changed.
    pub(super) async fn reconcile(
        &mut self,
        client: &Client,
        namespace: &str,
        services: &[std::sync::Arc<Service>],
        members: &[Member],
    ) -> kube::Result<()> {
        let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
        for service in services {
            let Some(body) = body(service, members) else {
                continue;
            };
            let name = format!("{}-rehearsal", service.name_any());
            if self.written.get(&name) == Some(&body) {
                continue;
            }
            ensure_as(&api, whole(&name, service, &body), MANAGER).await?;
            merge(&api, &name, body.clone(), MANAGER).await?;
            self.written.insert(name, body);
        }
        Ok(())
    }
}

fn whole(name: &str, service: &Service, body: &Value) -> Value {
    let mut object = body.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("name".into(), name.into());
        metadata.insert(
            "labels".into(),
            json!({"kubernetes.io/service-name": service.name_any(),
                   "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}),
        );
        metadata.insert(
            "ownerReferences".into(),
            json!([{"apiVersion": "v1", "kind": "Service", "name": service.name_any(), "uid": service.uid(),
                    "controller": true, "blockOwnerDeletion": true}]),
        );
    }
    if let Some(fields) = object.as_object_mut() {
        fields.insert("apiVersion".into(), "discovery.k8s.io/v1".into());
        fields.insert("kind".into(), "EndpointSlice".into());
        fields.insert("addressType".into(), "IPv4".into());
    }
    object
}

/// What changes of a slice; `None` for a Service without a selector, whose slices are other people's.
fn body(service: &Service, members: &[Member]) -> Option<Value> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    let chosen: Vec<&Member> = members
        .iter()
        .filter(|member| selector.iter().all(|(key, value)| member.labels.get(key) == Some(value)))
        .collect();
    let (mut ports, mut dials) = (Vec::new(), BTreeMap::new());
    for port in spec.ports.iter().flatten() {
        let target = port.target_port.clone().unwrap_or(IntOrString::Int(port.port));
        let found: Vec<(&Member, &(u16, String, SocketAddr))> =
            chosen.iter().filter_map(|member| Some((*member, port_of(member, &target)?))).collect();
        let number = match (&target, found.first()) {
            (_, Some((_, (number, ..)))) => i32::from(*number),
            (IntOrString::Int(number), None) => *number,
            // No Pod says which port has that name, and 0 is none.
            (IntOrString::String(_), None) => continue,
        };
        ports.push(json!({"name": port.name.clone().unwrap_or_default(), "port": number, "protocol": "TCP"}));
        dials.extend(
            found.iter().map(|(member, (number, _, address))| {
                (format!("{}:{number}", member.ip), address.to_string())
            }),
        );
    }
    let endpoints: Vec<Value> =
        chosen.iter().filter(|member| !member.ports.is_empty()).map(|member| endpoint(member)).collect();
    Some(json!({
        "metadata": {"annotations": {DIAL: serde_json::to_string(&dials).unwrap_or_default()}},
        "ports": ports,
        "endpoints": endpoints,
    }))
}

fn port_of<'a>(member: &'a Member, target: &IntOrString) -> Option<&'a (u16, String, SocketAddr)> {
    member.ports.iter().find(|(number, name, _)| match target {
        IntOrString::Int(wanted) => i32::from(*number) == *wanted,
        IntOrString::String(wanted) => name == wanted,
    })
}

fn endpoint(member: &Member) -> Value {
    json!({
        "addresses": [member.ip],
        "conditions": {"ready": member.ready && !member.terminating, "serving": member.ready,
                       "terminating": member.terminating},
        "nodeName": NODE,
        "targetRef": {"kind": "Pod", "name": member.name, "uid": member.uid},
    })
}
