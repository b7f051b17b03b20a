//! Who answers behind a Service port: its ready endpoints, as `getEndpointsFromSlices` finds them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::IngressServiceBackend;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
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
    if let Some(name) = external_name(service) {
        if is_loopback(name) {
            tracing::warn!(target: "ingress-nginx", "invalid attempt to use localhost name {name} in {}", backend.name);
            return Vec::new();
        }
        let address = format!("{name}:{}", target(&port).unwrap_or_default());
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

fn external_name(service: &Service) -> Option<&str> {
    let spec = service.spec.as_ref().filter(|spec| spec.type_.as_deref() == Some("ExternalName"))?;
    spec.external_name.as_deref()
}

/// The controller would lead to itself.
fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The Service's port of that number or name; the number it leads to will do as well.
fn port(service: &Service, backend: &IngressServiceBackend) -> Option<ServicePort> {
    let wanted = backend.port.as_ref()?;
    let ports = service.spec.as_ref()?.ports.as_deref().unwrap_or_default();
    let is_wanted = |port: &&ServicePort| {
        Some(port.port) == wanted.number
            || (wanted.number.is_some() && target(port) == wanted.number)
            || (port.name.is_some() && port.name == wanted.name)
    };
    ports.iter().find(is_wanted).cloned().or_else(|| {
        // An ExternalName Service needs no ports; the number of the Ingress is taken as it is.
        external_name(service)?;
        Some(ServicePort { port: wanted.number.unwrap_or(80), ..ServicePort::default() })
    })
}

/// `targetPort` where it is a number; the port itself where the API server's default was not filled in.
fn target(port: &ServicePort) -> Option<i32> {
    match &port.target_port {
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(_)) => None,
        None => Some(port.port),
    }
}

fn of_slice(slice: &EndpointSlice, port: &ServicePort) -> Vec<Endpoint> {
    let dials: BTreeMap<String, String> =
        slice.annotations().get(DIAL).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let numbers = numbers(slice, port);
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

/// Where a slice's addresses listen: a Service port without a name takes every port of the slice, one with a name
/// its namesake, and where there is none the number in `targetPort` (ingress-nginx#7390).
fn numbers(slice: &EndpointSlice, port: &ServicePort) -> Vec<i32> {
    let ports = slice.ports.as_deref().unwrap_or_default();
    if ports.is_empty() {
        return target(port).into_iter().collect();
    }
    let tcp = ports.iter().filter(|candidate| candidate.protocol.as_deref().unwrap_or("TCP") == "TCP");
    tcp.filter_map(|candidate| match port.name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) if candidate.name.as_deref() != Some(name) => target(port),
        _ => candidate.port,
    })
    .collect()
}
