//! ingress-nginx: a canary Ingress beside its main one, found among several by host, path and path type.
//!
//! One rule: the weight on screen is the one the controller reads, with every oddity of its parser.

mod owner;
mod pair;
mod traps;
mod weight;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::ListParams;
use kube::{Api, Client};

use super::Router;
use crate::clients::kube::call;
use crate::domain::traffic::{ObjectRef, Route, RouterKind};
use crate::domain::{Kind, Trouble};
use crate::shift::machine::ApplyError;
use crate::shift::patch::Patch;

pub use pair::routes;

/// The `spec.controller` of its `IngressClass`. Traefik's nginx provider claims the same name.
pub const CONTROLLER: &str = "k8s.io/ingress-nginx";

/// Everything in a namespace that bears on its routes. What could not be read is `None`.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// All Ingresses.
    pub ingresses: Vec<Ingress>,
    /// Ready endpoints by Service name.
    pub endpoints: Option<BTreeMap<String, u32>>,
    /// Services by name, and whether each is an `ExternalName`.
    pub services: Option<BTreeMap<String, bool>>,
    /// Controller by class name.
    pub classes: Option<BTreeMap<String, String>>,
    /// Why something is `None`.
    pub troubles: Vec<Trouble>,
}

/// The adapter.
#[derive(Debug, Clone, Copy)]
pub struct IngressNginx;

impl Router for IngressNginx {
    fn kind(&self) -> RouterKind {
        RouterKind::IngressNginx
    }

    fn discover<'a>(
        &'a self,
        client: &'a Client,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Route>, Trouble>> {
        Box::pin(async move { Ok(routes(&Box::pin(look(client, namespace)).await?)) })
    }

    fn read<'a>(
        &'a self,
        client: &'a Client,
        object: &'a ObjectRef,
    ) -> BoxFuture<'a, Result<Route, Trouble>> {
        Box::pin(async move {
            let found = routes(&Box::pin(look(client, &object.namespace)).await?);
            found.into_iter().find(|route| route.object == *object).ok_or_else(|| {
                Trouble::new(Kind::Missing, object.to_string(), "it is gone, or it is no canary any more")
                    .remedy("look at its annotations and at who changed it")
            })
        })
    }

    fn dry_run<'a>(&'a self, client: &'a Client, patch: &'a Patch) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(write::dry_run(client, patch))
    }

    fn apply<'a>(
        &'a self,
        client: &'a Client,
        patch: &'a Patch,
    ) -> BoxFuture<'a, Result<String, ApplyError>> {
        Box::pin(write::apply(client, patch))
    }
}

/// Reads a namespace. Only the Ingresses are indispensable; a denial of the rest is `None`.
pub async fn look(client: &Client, namespace: &str) -> Result<Seen, Trouble> {
    let all = ListParams::default();
    let ingresses: Api<Ingress> = Api::namespaced(client.clone(), namespace);
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let classes: Api<IngressClass> = Api::all(client.clone());
    let object = format!("Ingresses of namespace {namespace}");
    let tried = ["ingresses", "endpointslices", "services"].map(|kind| format!("list {kind} in {namespace}"));
    let (ingresses, slices, services, classes) = tokio::join!(
        call(&object, &tried[0], ingresses.list(&all)),
        call(&object, &tried[1], slices.list(&all)),
        call(&object, &tried[2], services.list(&all)),
        call(&object, "list ingressclasses", classes.list(&all)),
    );
    let mut troubles = Vec::new();
    Ok(Seen {
        ingresses: ingresses?.items,
        endpoints: or_trouble(slices, &mut troubles).map(|list| endpoints(list.items.iter())),
        services: or_trouble(services, &mut troubles).map(|list| external_names(list.items.iter())),
        classes: or_trouble(classes, &mut troubles).map(|list| controllers(list.items.iter())),
        troubles,
    })
}

fn or_trouble<T>(read: Result<T, Trouble>, troubles: &mut Vec<Trouble>) -> Option<T> {
    read.map_err(|trouble| troubles.push(trouble)).ok()
}

/// Ready addresses by Service. A slice without conditions counts as ready (`EndpointSlice` API, `conditions.ready`).
pub fn endpoints<'a>(slices: impl Iterator<Item = &'a EndpointSlice>) -> BTreeMap<String, u32> {
    let mut found: BTreeMap<String, std::collections::BTreeSet<&str>> = BTreeMap::new();
    for slice in slices {
        let labels = slice.metadata.labels.as_ref();
        let Some(service) = labels.and_then(|l| l.get("kubernetes.io/service-name")) else {
            continue;
        };
        let addresses = found.entry(service.clone()).or_default();
        for endpoint in &slice.endpoints {
            if endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true) {
                addresses.extend(endpoint.addresses.first().map(String::as_str));
            }
        }
    }
    found.into_iter().map(|(service, ips)| (service, u32::try_from(ips.len()).unwrap_or(u32::MAX))).collect()
}

/// Which Services are `ExternalNames`: those have no endpoints and still lead somewhere.
pub fn external_names<'a>(services: impl Iterator<Item = &'a Service>) -> BTreeMap<String, bool> {
    services
        .filter_map(|s| {
            let external = s.spec.as_ref().and_then(|s| s.type_.as_deref()) == Some("ExternalName");
            Some((s.metadata.name.clone()?, external))
        })
        .collect()
}

/// Controllers by class.
pub fn controllers<'a>(classes: impl Iterator<Item = &'a IngressClass>) -> BTreeMap<String, String> {
    classes.filter_map(|c| Some((c.metadata.name.clone()?, c.spec.as_ref()?.controller.clone()?))).collect()
}
