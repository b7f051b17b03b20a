//! From Kubernetes objects to [`Routing`], in the order and with the silences of ingress-nginx's
//! `createUpstreams`, `getBackendServers` and `mergeAlternativeBackends`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressClass, IngressServiceBackend};
use kube::ResourceExt as _;

use super::annotations;
use super::endpoints::endpoints;
use super::model::{CATCH_ALL, Location, PathType, Policy, Routing, Upstream};

/// `spec.controller` of the `IngressClass` objects this controller answers to.
pub const CONTROLLER: &str = "k8s.io/ingress-nginx";

/// What the controller's informers hold at one moment.
#[derive(Debug, Default)]
pub struct Objects {
    /// Every `IngressClass` of the cluster.
    pub classes: Vec<Arc<IngressClass>>,
    /// Every Ingress of the watched namespace.
    pub ingresses: Vec<Arc<Ingress>>,
    /// Every Service of the watched namespace.
    pub services: Vec<Arc<Service>>,
    /// Every `EndpointSlice` of the watched namespace.
    pub slices: Vec<Arc<EndpointSlice>>,
}

/// The routing nginx would load for these objects.
pub fn build(objects: &Objects) -> Routing {
    let ours = ours(objects);
    let mut routing = Routing::default();
    for ingress in &ours {
        add_upstreams(&mut routing, objects, ingress);
    }
    add_servers(&mut routing, &ours);
    for ingress in &ours {
        add_locations(&mut routing, ingress);
    }
    for ingress in ours.iter().filter(|ingress| annotations::is_canary(ingress.annotations())) {
        merge_canary(&mut routing, ingress);
    }
    routing
}

/// Our Ingresses, oldest first: where two claim the same, the older wins. Of two of one second the one whose name
/// comes last is taken for the older, as the controller does.
pub fn ours(objects: &Objects) -> Vec<&Arc<Ingress>> {
    let mut ours: Vec<_> =
        objects.ingresses.iter().filter(|ingress| is_ours(ingress, &objects.classes)).collect();
    ours.sort_by_key(|ingress| {
        let name = format!("{}/{}", ingress.namespace().unwrap_or_default(), ingress.name_any());
        (ingress.creation_timestamp().map(|time| time.0), Reverse(name))
    });
    ours
}

fn is_ours(ingress: &Ingress, classes: &[Arc<IngressClass>]) -> bool {
    let class = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
    match class {
        Some(name) => classes.iter().any(|class| {
            class.name_any() == name
                && class.spec.as_ref().and_then(|spec| spec.controller.as_deref()) == Some(CONTROLLER)
        }),
        None => ingress.annotations().get("kubernetes.io/ingress.class").is_some_and(|name| name == "nginx"),
    }
}

/// Every path of an Ingress with its host (`_` where none is given).
fn paths(ingress: &Ingress) -> Vec<(String, &HTTPIngressPath)> {
    let rules = ingress.spec.as_ref().and_then(|spec| spec.rules.as_deref()).unwrap_or_default();
    rules
        .iter()
        .flat_map(|rule| {
            let host =
                rule.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| CATCH_ALL.to_owned());
            let paths = rule.http.as_ref().map(|http| http.paths.as_slice()).unwrap_or_default();
            paths.iter().map(move |path| (host.clone(), path))
        })
        .collect()
}

fn upstream_name(namespace: &str, backend: &IngressServiceBackend) -> String {
    format!("{namespace}-{}-{}", backend.name, port_text(backend))
}

fn port_text(backend: &IngressServiceBackend) -> String {
    let port = backend.port.as_ref();
    port.and_then(|port| port.name.clone().filter(|name| !name.is_empty()))
        .or_else(|| port.and_then(|port| port.number.map(|number| number.to_string())))
        .unwrap_or_default()
}

/// The first Ingress that names a Service decides whether its upstream is a canary (trap 2).
fn add_upstreams(routing: &mut Routing, objects: &Objects, ingress: &Ingress) {
    let namespace = ingress.namespace().unwrap_or_default();
    let canary = annotations::is_canary(ingress.annotations());
    for (_, path) in paths(ingress) {
        let Some(backend) = &path.backend.service else {
            continue;
        };
        let name = upstream_name(&namespace, backend);
        routing.upstreams.entry(name.clone()).or_insert_with(|| Upstream {
            name,
            namespace: namespace.clone(),
            service: backend.name.clone(),
            port: port_text(backend),
            endpoints: endpoints(&objects.services, &objects.slices, &namespace, backend),
            no_server: canary,
            policy: if canary { annotations::policy(ingress.annotations()) } else { Policy::default() },
            alternatives: Vec::new(),
            affinity: None,
        });
    }
}

/// The catch-all, and the hosts of all Ingresses that are no canaries.
fn add_servers(routing: &mut Routing, ours: &[&Arc<Ingress>]) {
    let mains = ours.iter().filter(|ingress| !annotations::is_canary(ingress.annotations()));
    let hosts = mains.flat_map(|ingress| paths(ingress)).map(|(host, _)| host);
    routing.servers.extend(hosts.chain([CATCH_ALL.to_owned()]).map(|host| (host, Vec::new())));
}

/// Every path of an Ingress whose upstream is no canary's, whatever the Ingress calls itself (trap 2): a Service
/// that a canary introduced gets no location, and a canary of a Service that was known before gets one.
fn add_locations(routing: &mut Routing, ingress: &Ingress) {
    let namespace = ingress.namespace().unwrap_or_default();
    for (host, path) in paths(ingress) {
        let Some(backend) = &path.backend.service else {
            continue;
        };
        let name = upstream_name(&namespace, backend);
        let Some(upstream) = routing.upstreams.get_mut(&name).filter(|upstream| !upstream.no_server) else {
            continue;
        };
        if let Some(cookie) = annotations::affinity(ingress.annotations()) {
            upstream.affinity = Some(cookie);
        }
        let location = Location {
            path: path.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned()),
            kind: kind(path),
            upstream: name,
            namespace: namespace.clone(),
            ingress: ingress.name_any(),
            service: backend.name.clone(),
            body_limit: annotations::body_limit(ingress.annotations()),
        };
        let server = if routing.servers.contains_key(&host) { &host } else { CATCH_ALL };
        let Some(locations) = routing.servers.get_mut(server) else {
            continue;
        };
        if !locations.iter().any(|old| old.path == location.path && old.kind == location.kind) {
            locations.push(location);
        }
    }
}

fn kind(path: &HTTPIngressPath) -> PathType {
    match path.path_type.as_str() {
        "Exact" => PathType::Exact,
        "Prefix" => PathType::Prefix,
        _ => PathType::ImplementationSpecific,
    }
}

/// Hangs a canary upstream on the primary of the same host, path and path type. One path that no primary has
/// takes the upstream away from all of them, as in the controller.
fn merge_canary(routing: &mut Routing, ingress: &Ingress) {
    let namespace = ingress.namespace().unwrap_or_default();
    for (host, path) in paths(ingress) {
        let Some(backend) = &path.backend.service else {
            continue;
        };
        let alternative = upstream_name(&namespace, backend);
        let Some(locations) =
            routing.servers.get(&host).filter(|_| routing.upstreams.contains_key(&alternative))
        else {
            tracing::warn!(target: "ingress-nginx", "no server {host}, or no upstream {alternative} any more");
            continue;
        };
        let (mut merged, mut is_primary) = (false, false);
        for location in locations {
            is_primary = location.upstream == alternative;
            if is_primary {
                tracing::warn!(target: "ingress-nginx", "alternative upstream {alternative} is primary upstream in Ingress");
                break;
            }
            // Not defaulted to `/`, as that of a location is.
            if path.path.as_deref().unwrap_or_default() == location.path && location.kind == kind(path) {
                merged = hang(&mut routing.upstreams, &location.upstream, &alternative, ingress);
            }
        }
        if !is_primary && !merged {
            tracing::warn!(target: "ingress-nginx", "no matching primary for {alternative} of {}", ingress.name_any());
            routing.upstreams.remove(&alternative);
        }
    }
}

fn hang(
    upstreams: &mut BTreeMap<String, Upstream>,
    primary: &str,
    alternative: &str,
    ingress: &Ingress,
) -> bool {
    let Some(primary) = upstreams.get_mut(primary).filter(|primary| !primary.no_server) else {
        return false;
    };
    if primary.alternatives.iter().any(|known| known == alternative) {
        return true;
    }
    primary.alternatives.push(alternative.to_owned());
    let affinity = primary.affinity.clone();
    if let Some(canary) = upstreams.get_mut(alternative)
        && annotations::keeps_sessions(ingress.annotations())
    {
        canary.affinity = affinity;
    }
    true
}

#[cfg(test)]
mod tests;
