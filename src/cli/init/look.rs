//! What stands in the namespace, as far as `init` needs it.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::env::{self, Found};
use crate::clients::kube::{Kube, call};
use crate::domain::Trouble;
use crate::domain::text::clean;

/// The namespace.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Deployments and `StatefulSets`.
    pub(super) workloads: Vec<Workload>,
    /// Services.
    pub(super) services: Vec<Service>,
    /// Ingresses.
    pub(super) ingresses: Vec<Ingress>,
    /// What could not be read.
    pub(super) notes: Vec<String>,
}

/// One Deployment or `StatefulSet`.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    /// "Deployment langfuse-web".
    pub(super) object: String,
    /// Image of its first container.
    pub(super) image: String,
    /// Labels of its pods.
    pub(super) labels: BTreeMap<String, String>,
    /// Environment of its first container.
    pub(super) env: BTreeMap<String, Found>,
}

/// Reads workloads (they must be readable), Services, Ingresses and the `ConfigMaps` that workloads name.
pub(super) async fn look(kube: &Kube) -> Result<Seen, Trouble> {
    let mut seen = Seen::default();
    let deployments: Vec<Deployment> = list(kube, "deployments").await?;
    let stateful: Vec<StatefulSet> = or_note(&mut seen, list(kube, "statefulsets").await);
    seen.services = or_note(&mut seen, list(kube, "services").await);
    seen.ingresses = or_note(&mut seen, list(kube, "ingresses").await);
    let deployments =
        deployments.into_iter().filter_map(|d| Some(("Deployment", d.name_any(), d.spec?.template)));
    let stateful = stateful.into_iter().filter_map(|s| Some(("StatefulSet", s.name_any(), s.spec?.template)));
    let all: Vec<_> = deployments.chain(stateful).collect();
    let maps = config_maps(kube, &mut seen, all.iter().map(|(.., t)| t)).await;
    for (kind, name, template) in all {
        seen.workloads.push(workload(kind, &name, &template, &maps));
    }
    Ok(seen)
}

async fn list<K>(kube: &Kube, plural: &str) -> Result<Vec<K>, Trouble>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(kube.client.clone(), &kube.namespace);
    let tried = format!("list {plural} in {}", kube.namespace);
    Ok(call(&kube.object, &tried, api.list(&ListParams::default())).await?.items)
}

fn or_note<T>(seen: &mut Seen, answer: Result<Vec<T>, Trouble>) -> Vec<T> {
    answer.unwrap_or_else(|trouble| {
        seen.notes.push(trouble.to_string());
        Vec::new()
    })
}

/// The `ConfigMaps` that environments refer to.
async fn config_maps<'a>(
    kube: &Kube,
    seen: &mut Seen,
    templates: impl Iterator<Item = &'a PodTemplateSpec>,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut names: Vec<_> = templates.flat_map(env::config_map_names).collect();
    names.sort();
    names.dedup();
    let api: Api<ConfigMap> = Api::namespaced(kube.client.clone(), &kube.namespace);
    let mut maps = BTreeMap::new();
    for name in names {
        let tried = format!("get configmaps/{name} in {}", kube.namespace);
        match call(&kube.object, &tried, api.get(&name)).await {
            Ok(map) => drop(maps.insert(name, map.data.unwrap_or_default())),
            Err(trouble) => seen.notes.push(trouble.to_string()),
        }
    }
    maps
}

fn workload(
    kind: &str,
    name: &str,
    template: &PodTemplateSpec,
    maps: &BTreeMap<String, BTreeMap<String, String>>,
) -> Workload {
    let labels = template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
    let container = template.spec.as_ref().and_then(|s| s.containers.first());
    Workload {
        object: format!("{kind} {}", clean(name)),
        image: clean(container.and_then(|c| c.image.as_deref()).unwrap_or_default()),
        env: container.map(|c| env::of(c, maps)).unwrap_or_default(),
        labels,
    }
}
