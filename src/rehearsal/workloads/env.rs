//! A container's environment as the kubelet puts it together: values, references, `$(NAME)`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Secret};
use kube::{Api, Client};

use super::names::Env;
use super::objects::is_not_found;

/// Why a container cannot be configured: `CreateContainerConfigError` with the kubelet's sentence.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// The object of a reference could not be read.
    #[error("{kind} \"{name}\": {source}")]
    Object {
        /// `secret` or `configmap`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The API server's answer.
        source: Box<kube::Error>,
    },
    /// The object has no such key.
    #[error("couldn't find key {key} in {kind} {name}")]
    Key {
        /// `Secret` or `ConfigMap`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The key that is missing.
        key: String,
    },
}

impl EnvError {
    /// Whether the object or its key is not there.
    fn is_absence(&self) -> bool {
        match self {
            Self::Object { source, .. } => is_not_found(source),
            Self::Key { .. } => true,
        }
    }
}

/// The environment of `container`; later entries see earlier ones.
pub async fn resolve(client: &Client, namespace: &str, container: &Container) -> Result<Env, EnvError> {
    let mut env = Env::new();
    let mut cache = Cache::new(client, namespace);
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.clone().unwrap_or_default();
        let values = if let Some(secret) = &source.secret_ref {
            unless_optional(cache.secret(&secret.name).await, secret.optional)?
        } else if let Some(map) = &source.config_map_ref {
            unless_optional(cache.config_map(&map.name).await, map.optional)?
        } else {
            None
        };
        let values = values.unwrap_or_default();
        env.extend(values.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)));
    }
    for entry in container.env.iter().flatten() {
        let value = match &entry.value_from {
            None => Some(expand(entry.value.as_deref().unwrap_or_default(), &env)),
            // What a reference leads to is taken as it is: a password may have a `$` in it.
            Some(from) => cache.value(from).await?,
        };
        env.extend(value.map(|value| (entry.name.clone(), value)));
    }
    Ok(env)
}

struct Cache<'a> {
    client: &'a Client,
    namespace: &'a str,
    secrets: BTreeMap<String, Env>,
    config_maps: BTreeMap<String, Env>,
}

impl<'a> Cache<'a> {
    fn new(client: &'a Client, namespace: &'a str) -> Self {
        Self { client, namespace, secrets: BTreeMap::new(), config_maps: BTreeMap::new() }
    }

    async fn value(&mut self, from: &EnvVarSource) -> Result<Option<String>, EnvError> {
        if let Some(reference) = &from.secret_key_ref {
            let values = self.secret(&reference.name).await;
            return pick("Secret", values, &reference.name, &reference.key, reference.optional);
        }
        if let Some(reference) = &from.config_map_key_ref {
            let values = self.config_map(&reference.name).await;
            return pick("ConfigMap", values, &reference.name, &reference.key, reference.optional);
        }
        Ok(None)
    }

    async fn secret(&mut self, name: &str) -> Result<Env, EnvError> {
        if let Some(known) = self.secrets.get(name) {
            return Ok(known.clone());
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace);
        let secret = api.get(name).await.map_err(|source| object("secret", name, source))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let mut values: Env =
            secret.data.into_iter().flatten().map(|(key, value)| (key, text(value.0))).collect();
        values.extend(secret.string_data.into_iter().flatten());
        self.secrets.insert(name.to_owned(), values.clone());
        Ok(values)
    }

    async fn config_map(&mut self, name: &str) -> Result<Env, EnvError> {
        if let Some(known) = self.config_maps.get(name) {
            return Ok(known.clone());
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), self.namespace);
        let map = api.get(name).await.map_err(|source| object("configmap", name, source))?;
        let values: Env = map.data.into_iter().flatten().collect();
        self.config_maps.insert(name.to_owned(), values.clone());
        Ok(values)
    }
}

fn object(kind: &'static str, name: &str, source: kube::Error) -> EnvError {
    EnvError::Object { kind, name: name.to_owned(), source: Box::new(source) }
}

fn pick(
    kind: &'static str,
    values: Result<Env, EnvError>,
    name: &str,
    key: &str,
    optional: Option<bool>,
) -> Result<Option<String>, EnvError> {
    let found = values.and_then(|mut values| {
        values.remove(key).ok_or_else(|| EnvError::Key { kind, name: name.to_owned(), key: key.to_owned() })
    });
    unless_optional(found, optional)
}

/// None for what is not there and need not be; what could not be read may be there.
fn unless_optional<T>(found: Result<T, EnvError>, optional: Option<bool>) -> Result<Option<T>, EnvError> {
    match found {
        Ok(value) => Ok(Some(value)),
        Err(error) if optional == Some(true) && error.is_absence() => Ok(None),
        Err(error) => Err(error),
    }
}

/// `$(NAME)` of an earlier variable; `$$(NAME)` stays as `$(NAME)`, an unknown name as it is.
fn expand(value: &str, env: &Env) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(escaped) = from.strip_prefix("$$") {
            out.push('$');
            rest = escaped;
            continue;
        }
        let name = from.strip_prefix("$(").and_then(|tail| tail.split_once(')')).map(|(name, _)| name);
        let known = name.and_then(|name| Some((env.get(name)?.as_str(), name.len() + 3)));
        let (text, length) = known.unwrap_or(("$", 1));
        out.push_str(text);
        rest = from.get(length..).unwrap_or_default();
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("postgresql://u:$(PW)@h/db", "postgresql://u:s3cret@h/db")]
    #[case("$(NOBODY)", "$(NOBODY)")]
    #[case("$$(PW)", "$(PW)")]
    #[case("5$ and $(PW)$(PW)", "5$ and s3crets3cret")]
    fn references_expand_as_the_kubelet_does(#[case] value: &str, #[case] want: &str) {
        assert_eq!(expand(value, &[("PW".to_owned(), "s3cret".to_owned())].into()), want);
    }
}
