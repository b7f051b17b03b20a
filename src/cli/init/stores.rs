//! The four stores, as Langfuse's own environment names them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use super::draft::{Draft, Sure, quoted};
use super::env::Found;
use super::look::{Seen, Workload};
use crate::config::SecretKey;

/// One workload's environment, and the Services that its hosts may be.
pub(super) struct Stores<'a> {
    workload: &'a Workload,
    services: &'a [Service],
    namespace: &'a str,
}

/// A store in the terms of our sections.
struct Store {
    section: &'static str,
    /// Variable with a URL.
    url: Option<&'static str>,
    /// Variables with host and port.
    host: Option<(&'static str, &'static str)>,
    /// Its usual port, and what the names of its Services contain.
    port: i32,
    words: &'static [&'static str],
    /// Our key, Langfuse's variable, whether it is a secret.
    keys: &'static [(&'static str, &'static str)],
}

/// The stores (langfuse.com, self-hosting, "Environment variables"; ports as the Helm chart 1.x sets them).
const STORES: [Store; 4] = [
    Store {
        section: "postgres",
        url: Some("DATABASE_URL"),
        host: Some(("DATABASE_HOST", "DATABASE_PORT")),
        port: 5432,
        words: &["postgres", "pg"],
        keys: &[
            ("user", "DATABASE_USERNAME"),
            ("password", "DATABASE_PASSWORD"),
            ("database", "DATABASE_NAME"),
        ],
    },
    Store {
        section: "clickhouse",
        url: Some("CLICKHOUSE_URL"),
        host: None,
        port: 8123,
        words: &["clickhouse"],
        keys: &[
            ("user", "CLICKHOUSE_USER"),
            ("password", "CLICKHOUSE_PASSWORD"),
            ("database", "CLICKHOUSE_DB"),
        ],
    },
    Store {
        section: "redis",
        url: Some("REDIS_CONNECTION_STRING"),
        host: Some(("REDIS_HOST", "REDIS_PORT")),
        port: 6379,
        words: &["redis", "valkey"],
        keys: &[("user", "REDIS_USERNAME"), ("password", "REDIS_AUTH"), ("prefix", "REDIS_KEY_PREFIX")],
    },
    Store {
        section: "s3",
        url: Some("LANGFUSE_S3_EVENT_UPLOAD_ENDPOINT"),
        host: None,
        port: 9000,
        words: &["s3", "minio"],
        keys: &[
            ("bucket", "LANGFUSE_S3_EVENT_UPLOAD_BUCKET"),
            ("prefix", "LANGFUSE_S3_EVENT_UPLOAD_PREFIX"),
            ("region", "LANGFUSE_S3_EVENT_UPLOAD_REGION"),
            ("access_key", "LANGFUSE_S3_EVENT_UPLOAD_ACCESS_KEY_ID"),
            ("secret_key", "LANGFUSE_S3_EVENT_UPLOAD_SECRET_ACCESS_KEY"),
        ],
    },
];

/// Keys that take `{ secret = … }`.
const REFERABLE: [&str; 4] = ["url", "password", "access_key", "secret_key"];

impl<'a> Stores<'a> {
    /// Of this workload.
    pub(super) fn new(workload: &'a Workload, seen: &'a Seen, namespace: &'a str) -> Self {
        Self { workload, services: &seen.services, namespace }
    }

    /// Writes the four sections.
    pub(super) fn draft(&self, draft: &mut Draft) {
        for store in &STORES {
            draft.section(store.section);
            if self.address(draft, store) {
                self.keys(draft, store);
            }
        }
    }

    fn from(&self, variable: &str) -> String {
        format!("{variable} of {}", self.workload.object)
    }

    /// Where it is; false when nothing says so.
    fn address(&self, draft: &mut Draft, store: &Store) -> bool {
        let env = &self.workload.env;
        let url = store.url.and_then(|v| Some((v, env.get(v)?)));
        match url {
            Some((variable, Found::Text(url))) => {
                self.url(draft, store, variable, url);
                return true;
            }
            Some((variable, Found::Secret(key))) => {
                draft.raw("url", reference(key), Sure::Found, self.from(variable));
                self.by_port(draft, store);
                return true;
            }
            _ => {}
        }
        if let Some((host, port)) = store.host
            && let Some(Found::Text(name)) = env.get(host)
        {
            let number = match env.get(port) {
                Some(Found::Text(text)) => text.parse().unwrap_or(store.port),
                _ => store.port,
            };
            self.host(draft, store, name, number, None, &self.from(host));
            return true;
        }
        if let Some((variable, Found::Maybe(secret))) = url {
            let key = SecretKey { name: secret.clone(), key: variable.to_owned() };
            let from = format!(
                "Secret {secret} is the environment of {}; its keys were not read",
                self.workload.object
            );
            draft.raw("url", reference(&key), Sure::Guessed, from);
            self.by_port(draft, store);
            return true;
        }
        if store.section == "s3" && env.contains_key("LANGFUSE_S3_EVENT_UPLOAD_BUCKET") {
            draft.missing("url", "no endpoint is set: AWS's own; write its regional endpoint");
            return false;
        }
        let variables = [store.url, store.host.map(|(h, _)| h)];
        let names: Vec<_> = variables.into_iter().flatten().collect();
        draft.missing("url", format!("{} has no {}", self.workload.object, names.join(" or ")));
        false
    }

    /// A URL that stands in the template. A password in it that is a variable becomes a reference.
    fn url(&self, draft: &mut Draft, store: &Store, variable: &str, url: &str) {
        let from = self.from(variable);
        let Some((host, port)) = host_of(url) else {
            draft.text("url", url, Sure::Guessed, format!("{from}, which could not be read as a URL"));
            return;
        };
        let port = port.unwrap_or(store.port);
        if let Some(key) = self.password_variable(url) {
            self.host(draft, store, &host, port, tls_of(url), &from);
            let login = url.split_once("://").map_or("", |(_, rest)| rest);
            if let Some((user, _)) = login.split_once(':') {
                draft.text("user", user, Sure::Found, from.clone());
            }
            draft.raw("password", reference(&key), Sure::Found, from.clone());
            if let Some(database) =
                login.split_once('/').map(|(_, db)| db.split('?').next().unwrap_or_default())
            {
                draft.text("database", database, Sure::Found, from);
            }
            return;
        }
        draft.text("url", url, Sure::Found, from.clone());
        if let Some(service) = self.service(&host, port) {
            draft.text("service", &service, Sure::Found, format!("its host is a Service; {from}"));
        }
    }

    /// `scheme://user:$(PASSWORD)@host/…`, where the variable is in a Secret.
    fn password_variable(&self, url: &str) -> Option<SecretKey> {
        let (_, rest) = url.split_once(":$(")?;
        let (name, _) = rest.split_once(")@")?;
        match self.workload.env.get(name)? {
            Found::Secret(key) => Some(key.clone()),
            _ => None,
        }
    }

    /// A host and port: a Service of this namespace, or an address of its own; `tls` as [`tls_of`] found it.
    fn host(&self, draft: &mut Draft, store: &Store, host: &str, port: i32, tls: Option<&str>, from: &str) {
        if let Some(service) = self.service(host, port) {
            draft.text("service", &service, Sure::Found, from);
            if tls.is_some() {
                draft.raw("tls.enabled", "true".into(), Sure::Found, from);
            }
            return;
        }
        let url = match (store.section, tls) {
            ("postgres", None) => format!("postgresql://{host}:{port}"),
            ("postgres", Some(mode)) => format!("postgresql://{host}:{port}?sslmode={mode}"),
            ("redis", None) => format!("redis://{host}:{port}"),
            ("redis", Some(_)) => format!("rediss://{host}:{port}"),
            (_, None) => format!("http://{host}:{port}"),
            (_, Some(_)) => format!("https://{host}:{port}"),
        };
        draft.text("url", &url, Sure::Guessed, from);
    }

    /// A Service by the usual port and name: where only a Secret knows the host.
    fn by_port(&self, draft: &mut Draft, store: &Store) {
        let found = self.services.iter().find(|s| {
            let name = s.name_any();
            has_port(s, store.port)
                && store.words.iter().any(|w| name.contains(w))
                && !name.contains("headless")
        });
        match found {
            Some(service) => {
                let name = service.name_any();
                draft.text(
                    "service",
                    &format!("{name}:{}", store.port),
                    Sure::Guessed,
                    format!("Service {name} by its port"),
                );
            }
            None => draft.missing(
                "service",
                format!("no Service with port {} is in the namespace; the url's host is used", store.port),
            ),
        }
    }

    /// `service:port` when this host is a Service here or in another namespace of the cluster.
    fn service(&self, host: &str, port: i32) -> Option<String> {
        let mut parts = host.split('.');
        let (name, namespace, rest) = (parts.next()?, parts.next(), parts.next());
        match (namespace, rest) {
            (None, _) => self.services.iter().any(|s| s.name_any() == name).then(|| format!("{name}:{port}")),
            (Some(namespace), None | Some("svc")) if namespace == self.namespace => {
                Some(format!("{name}:{port}"))
            }
            (Some(namespace), Some("svc")) => Some(format!("{namespace}/{name}:{port}")),
            _ => None,
        }
    }

    fn keys(&self, draft: &mut Draft, store: &Store) {
        for (key, variable) in store.keys {
            match self.workload.env.get(*variable) {
                Some(Found::Text(text)) if text.is_empty() => {}
                Some(Found::Text(text)) => draft.text(key, text, Sure::Found, self.from(variable)),
                Some(Found::Secret(secret)) if REFERABLE.contains(key) => {
                    draft.raw(key, reference(secret), Sure::Found, self.from(variable));
                }
                Some(Found::Secret(secret)) => {
                    draft.missing(
                        key,
                        format!("it is in the Secret {secret}, which is not read; write it here"),
                    );
                }
                Some(Found::Maybe(secret))
                    if *key == "password" || store.section == "s3" && REFERABLE.contains(key) =>
                {
                    let guess = SecretKey { name: secret.clone(), key: (*variable).to_owned() };
                    let from = format!("Secret {secret}; its keys were not read");
                    draft.raw(key, reference(&guess), Sure::Guessed, from);
                }
                _ => {}
            }
        }
        if store.section == "s3" {
            path_style(draft, &self.workload.env);
            let needed = ["LANGFUSE_S3_EVENT_UPLOAD_BUCKET", "LANGFUSE_S3_EVENT_UPLOAD_ACCESS_KEY_ID"];
            if let Some(missing) = needed.into_iter().find(|v| !self.workload.env.contains_key(*v)) {
                draft.off(format!(
                    "{} has no {missing}; write a bucket, an access_key and a secret_key",
                    self.workload.object
                ));
            }
        }
    }
}

fn path_style(draft: &mut Draft, env: &BTreeMap<String, Found>) {
    if let Some(Found::Text(text)) = env.get("LANGFUSE_S3_EVENT_UPLOAD_FORCE_PATH_STYLE")
        && matches!(text.as_str(), "true" | "false")
    {
        draft.raw("path_style", text.clone(), Sure::Found, "LANGFUSE_S3_EVENT_UPLOAD_FORCE_PATH_STYLE");
    }
}

fn has_port(service: &Service, port: i32) -> bool {
    let ports = service.spec.as_ref().and_then(|s| s.ports.as_ref());
    ports.into_iter().flatten().any(|p| p.port == port)
}

/// `{ secret = "name/key" }`.
fn reference(key: &SecretKey) -> String {
    format!("{{ secret = {} }}", quoted(&key.to_string()))
}

/// How a URL asks for TLS: PostgreSQL's `sslmode`, or "require" where the scheme does.
fn tls_of(url: &str) -> Option<&str> {
    if let Some((_, mode)) = url.split_once("sslmode=") {
        let mode = mode.split('&').next()?;
        return ["require", "verify-ca", "verify-full"].contains(&mode).then_some(mode);
    }
    ["rediss://", "https://"].iter().any(|scheme| url.starts_with(scheme)).then_some("require")
}

/// Host and port of a URL, also with `$(…)` in its password.
fn host_of(url: &str) -> Option<(String, Option<i32>)> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    match host.rsplit_once(':') {
        Some((name, port)) => Some((name.to_owned(), port.parse().ok())),
        None if host.is_empty() => None,
        None => Some((host.to_owned(), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_taken_apart_keeps_its_tls() {
        let secret = SecretKey { name: "lf".into(), key: "pw".into() };
        let env = [
            ("PW", Found::Secret(secret)),
            ("DATABASE_URL", Found::Text("postgresql://lf:$(PW)@pg:5432/lf?a=b&sslmode=verify-full".into())),
            ("REDIS_CONNECTION_STRING", Found::Text("rediss://x:$(PW)@cache:6380/0".into())),
        ];
        let workload = Workload {
            object: "Deployment lf".into(),
            image: String::new(),
            labels: BTreeMap::new(),
            env: env.into_iter().map(|(name, found)| (name.to_owned(), found)).collect(),
        };
        let drawn = |services: &[&str]| {
            let mut seen = Seen::default();
            for name in services {
                let mut service = Service::default();
                service.metadata.name = Some((*name).to_owned());
                seen.services.push(service);
            }
            let mut draft = Draft::default();
            Stores::new(&workload, &seen, "lf").draft(&mut draft);
            draft.text_of()
        };
        let text = drawn(&["pg", "cache"]);
        assert_eq!(text.matches("tls.enabled = true").count(), 2, "{text}");
        let text = drawn(&[]);
        assert!(text.contains("\"postgresql://pg:5432?sslmode=verify-full\""), "{text}");
        assert!(text.contains("\"rediss://cache:6380\""), "{text}");
        assert_eq!(tls_of("postgresql://x@y/z?sslmode=disable"), None);
    }
}
