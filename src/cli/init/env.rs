//! The environment of a container, as its template spells it: values, `ConfigMaps`, and Secrets by name.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, PodTemplateSpec};

use crate::config::SecretKey;

/// One variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Its value.
    Text(String),
    /// The Kubernetes Secret that has it.
    Secret(SecretKey),
    /// A Secret that may have it: the whole Secret is in the environment, and which keys it has was not read.
    Maybe(String),
}

/// Names of the `ConfigMaps` that a template's first container refers to.
pub(super) fn config_map_names(template: &PodTemplateSpec) -> Vec<String> {
    let container = template.spec.as_ref().and_then(|s| s.containers.first());
    let Some(container) = container else {
        return Vec::new();
    };
    let single = container
        .env
        .iter()
        .flatten()
        .filter_map(|e| Some(e.value_from.as_ref()?.config_map_key_ref.as_ref()?.name.clone()));
    let whole =
        container.env_from.iter().flatten().filter_map(|e| Some(e.config_map_ref.as_ref()?.name.clone()));
    single.chain(whole).collect()
}

/// The variables; `env` wins over `envFrom`, as in a pod.
pub(super) fn of(
    container: &Container,
    maps: &BTreeMap<String, BTreeMap<String, String>>,
) -> BTreeMap<String, Found> {
    let mut out = BTreeMap::new();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.clone().unwrap_or_default();
        if let Some(map) = from.config_map_ref.as_ref().and_then(|r| maps.get(&r.name)) {
            out.extend(map.iter().map(|(k, v)| (format!("{prefix}{k}"), Found::Text(v.clone()))));
        }
        if let Some(secret) = &from.secret_ref {
            let unknown = KNOWN.iter().filter_map(|k| k.strip_prefix(prefix.as_str()));
            out.extend(unknown.map(|k| (format!("{prefix}{k}"), Found::Maybe(secret.name.clone()))));
        }
    }
    for var in container.env.iter().flatten() {
        if let Some(found) = value(var, maps) {
            out.insert(var.name.clone(), found);
        }
    }
    out
}

fn value(var: &EnvVar, maps: &BTreeMap<String, BTreeMap<String, String>>) -> Option<Found> {
    if let Some(value) = &var.value {
        return Some(Found::Text(value.clone()));
    }
    let from = var.value_from.as_ref()?;
    if let Some(key) = &from.secret_key_ref {
        return Some(Found::Secret(SecretKey { name: key.name.clone(), key: key.key.clone() }));
    }
    let key = from.config_map_key_ref.as_ref()?;
    Some(Found::Text(maps.get(&key.name)?.get(&key.key)?.clone()))
}

/// Variables of Langfuse that say where its stores are (langfuse.com, self-hosting, "Environment variables").
pub(super) const KNOWN: &[&str] = &[
    "DATABASE_URL",
    "DATABASE_HOST",
    "DATABASE_USERNAME",
    "DATABASE_PASSWORD",
    "DATABASE_NAME",
    "CLICKHOUSE_URL",
    "CLICKHOUSE_USER",
    "CLICKHOUSE_PASSWORD",
    "CLICKHOUSE_DB",
    "REDIS_CONNECTION_STRING",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_AUTH",
    "REDIS_USERNAME",
    "REDIS_KEY_PREFIX",
    "REDIS_TLS_ENABLED",
    "LANGFUSE_S3_EVENT_UPLOAD_BUCKET",
    "LANGFUSE_S3_EVENT_UPLOAD_PREFIX",
    "LANGFUSE_S3_EVENT_UPLOAD_REGION",
    "LANGFUSE_S3_EVENT_UPLOAD_ENDPOINT",
    "LANGFUSE_S3_EVENT_UPLOAD_ACCESS_KEY_ID",
    "LANGFUSE_S3_EVENT_UPLOAD_SECRET_ACCESS_KEY",
    "LANGFUSE_S3_EVENT_UPLOAD_FORCE_PATH_STYLE",
];
