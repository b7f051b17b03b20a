//! Whether the namespace exists: an empty list does not tell a wrong name from an empty namespace.
//!
//! One rule: an account that may not ask is not troubled with it.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};

use super::kube::{Kube, call};
use crate::domain::text::{clean, likely};
use crate::domain::{Kind, Trouble};

/// `Missing`, with the names that exist, when the server says that there is no such namespace; fine when it exists
/// or cannot be asked.
pub async fn exists(kube: &Kube) -> Result<(), Trouble> {
    let api: Api<Namespace> = Api::all(kube.client.clone());
    let object = format!("namespace {}", kube.namespace);
    match call(&object, "get namespaces", api.get(&kube.namespace)).await {
        Err(trouble) if trouble.kind == Kind::Missing => {}
        _ => return Ok(()),
    }
    let listed = call(&object, "list namespaces", api.list(&ListParams::default())).await;
    let names: Vec<String> = listed
        .map(|list| list.items.into_iter().filter_map(|n| n.metadata.name).map(|n| clean(&n)).collect())
        .unwrap_or_default();
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|n| !n.starts_with("kube-")).collect();
    Err(Trouble::new(Kind::Missing, object, "there is no such namespace in this cluster").remedy(likely(
        &kube.namespace,
        &names,
        "a namespace",
    )))
}
