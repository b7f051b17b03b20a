//! Who answers behind a Service port: its ready endpoints, as `getEndpointsFromSlices` finds them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{EndpointPort, EndpointSlice};
use k8s_openapi::api::networking::v1::IngressServiceBackend;
use kube::ResourceExt as _;

use super::model::Endpoint;

/// Annotation of an `EndpointSlice`, a JSON object `{"<address>:<port>": "<where to connect>"}`.
///
/// Kubernetes refuses loopback addresses in a slice, and everything in a rehearsal is on loopback: the slice
/// carries an address of the pod network, this annotation says where that really is.
pub const DIAL: &str = "rehearsal.cutover/dial";
/// Label that ties a slice to its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The ready endpoints of one backend.
pub fn endpoints(
    services: &[Arc<Service>],
    slices: &[Arc<EndpointSlice>],
    namespace: &str,
    backend: &IngressServiceBackend,
) -> Vec<Endpoint> {
    let service = services.iter().find(|service| {
        service.namespace().as_deref() == Some(namespace) && service.name_any() == backend.name
    });
    let Some((service, port)) = service.and_then(|service| Some((service, port(service, backend)?))) else {
        return Vec::new();
    };
    if let Some(name) = service.spec.as_ref().and_then(|spec| spec.external_name.as_ref()) {
        let address = format!("{name}:{}", port.port);
        return vec![Endpoint { dial: address.clone(), address }];
    }
    let mut found: Vec<Endpoint> = slices
        .iter()
        .filter(|slice| slice.namespace().as_deref() == Some(namespace))
        .filter(|slice| slice.labels().get(SERVICE_NAME) == Some(&backend.name))
        .flat_map(|slice| of_slice(slice, &port))
        .collect();
    found.sort_by(|a, b| a.address.cmp(&b.address));
    found.dedup();
    found
}

fn port(service: &Service, backend: &IngressServiceBackend) -> Option<ServicePort> {
    let wanted = backend.port.as_ref()?;
    let ports = service.spec.as_ref()?.ports.as_deref().unwrap_or_default();
    ports
        .iter()
        .find(|port| Some(port.port) == wanted.number || (port.name.is_some() && port.name == wanted.name))
        .cloned()
        .or_else(|| {
            // An ExternalName Service needs no ports; the number of the Ingress is taken as it is.
            let external = service.spec.as_ref()?.external_name.is_some();
            external.then(|| ServicePort { port: wanted.number.unwrap_or(80), ..ServicePort::default() })
        })
}

fn of_slice(slice: &EndpointSlice, port: &ServicePort) -> Vec<Endpoint> {
    let dials: BTreeMap<String, String> =
        slice.annotations().get(DIAL).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let numbers: Vec<i32> = slice
        .ports
        .as_deref()
        .unwrap_or_default()
        .iter()
        .filter(|candidate| same_port(candidate, port))
        .filter_map(|candidate| candidate.port)
        .collect();
    slice
        .endpoints
        .iter()
        .filter(|endpoint| {
            endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
        })
        .flat_map(|endpoint| &endpoint.addresses)
        .flat_map(|address| numbers.iter().map(move |number| format!("{address}:{number}")))
        .map(|address| Endpoint { dial: dials.get(&address).unwrap_or(&address).clone(), address })
        .collect()
}

/// A Service port without a name takes every port of the slice; one with a name only its namesake.
fn same_port(candidate: &EndpointPort, port: &ServicePort) -> bool {
    match port.name.as_deref().filter(|name| !name.is_empty()) {
        None => true,
        Some(name) => candidate.name.as_deref() == Some(name),
    }
}
