//! Writing objects as somebody: create what is missing, patch what changed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::SocketAddr;

use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::rehearsal::kube::PORTS;

/// The [`PORTS`] annotation of a Pod for these container ports.
pub fn ports_annotation(ports: &[(u16, SocketAddr)]) -> Value {
    let map: BTreeMap<String, String> =
        ports.iter().map(|(port, address)| (port.to_string(), address.to_string())).collect();
    json!({PORTS: serde_json::to_string(&map).unwrap_or_default()})
}

/// Creates an object as Helm would; one that exists is left as it is.
pub async fn ensure<K>(api: &Api<K>, object: Value) -> kube::Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize,
{
    ensure_as(api, object, "helm").await
}

/// Creates an object under the name `manager`; one that exists is left as it is.
pub async fn ensure_as<K>(api: &Api<K>, object: Value, manager: &str) -> kube::Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize,
{
    let object: K = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    let params = PostParams { field_manager: Some(manager.into()), ..PostParams::default() };
    match api.create(&params, &object).await {
        // A conflict is a 409 as well, and creates nothing.
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        other => other.map(drop),
    }
}

/// A merge patch of an object under the name `manager`.
pub async fn merge<K>(api: &Api<K>, name: &str, patch: Value, manager: &str) -> kube::Result<K>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let params = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
    api.patch(name, &params, &Patch::Merge(patch)).await
}

/// A merge patch of an object's status under the name `manager`.
pub async fn merge_status<K>(api: &Api<K>, name: &str, status: Value, manager: &str) -> kube::Result<K>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let params = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
    api.patch_status(name, &params, &Patch::Merge(json!({"status": status}))).await
}

/// Whether an answer says that the object is not there.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
