//! The cluster's DNS: which loopback address a Service name and port really is.
//!
//! Environment variables of a Deployment name Services, as they do in a cluster; a process of the rehearsal runs
//! outside one, so the names are resolved when it is started.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// Environment variables of one container.
pub type Env = BTreeMap<String, String>;

/// Known Service ports, shared by everybody who starts processes.
#[derive(Debug, Clone, Default)]
pub struct Names {
    namespace: String,
    known: Arc<RwLock<BTreeMap<(String, u16), SocketAddr>>>,
}

impl Names {
    /// No names yet, of Services in `namespace`.
    pub fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), known: Arc::default() }
    }

    /// Makes `service:port` mean `address`.
    pub fn set(&self, service: &str, port: u16, address: SocketAddr) {
        self.known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((service.to_owned(), port), address);
    }

    /// The environment with every `service:port` replaced, also where host and port are two variables
    /// (`REDIS_HOST` and `REDIS_PORT`).
    pub fn translate(&self, env: &Env) -> Env {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut env = env.clone();
        for ((service, port), address) in known.iter() {
            for name in self.spellings(service) {
                for value in env.values_mut() {
                    *value = replace_host(value, &format!("{name}:{port}"), &address.to_string());
                }
                split_pair(&mut env, &name, *port, *address);
            }
        }
        env
    }

    /// Longest first, so that a long name is not taken for a short one with a tail.
    fn spellings(&self, service: &str) -> [String; 4] {
        let namespace = &self.namespace;
        [
            format!("{service}.{namespace}.svc.cluster.local"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}"),
            service.to_owned(),
        ]
    }
}

/// Replaces `name:port` where it stands as a whole host and port.
fn replace_host(value: &str, name: &str, address: &str) -> String {
    let part_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '.';
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find(name) {
        let (before, after) =
            (rest.get(..at).unwrap_or_default(), rest.get(at + name.len()..).unwrap_or_default());
        let whole = !before.ends_with(part_of_name) && !after.starts_with(|next: char| next.is_ascii_digit());
        out.push_str(before);
        out.push_str(if whole { address } else { name });
        rest = after;
    }
    out + rest
}

fn split_pair(env: &mut Env, name: &str, port: u16, address: SocketAddr) {
    let hosts: Vec<String> = env
        .iter()
        .filter(|(key, value)| key.ends_with("_HOST") && *value == name)
        .map(|(key, _)| key.clone())
        .collect();
    for host in hosts {
        let port_key = format!("{}_PORT", host.trim_end_matches("_HOST"));
        if env.get(&port_key).is_none_or(|value| *value == port.to_string()) {
            env.insert(host, address.ip().to_string());
            env.insert(port_key, address.port().to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translate(key: &str, value: &str) -> String {
        let names = Names::new("langfuse");
        names.set("langfuse-clickhouse", 8123, "127.0.0.1:40001".parse().unwrap());
        names.set("langfuse-clickhouse", 9000, "127.0.0.1:40002".parse().unwrap());
        names.translate(&[(key.to_owned(), value.to_owned())].into())[key].clone()
    }

    #[rstest::rstest]
    #[case("http://langfuse-clickhouse:8123", "http://127.0.0.1:40001")]
    #[case("clickhouse://langfuse-clickhouse:9000", "clickhouse://127.0.0.1:40002")]
    #[case("http://langfuse-clickhouse.langfuse.svc.cluster.local:8123/x", "http://127.0.0.1:40001/x")]
    #[case("http://my-langfuse-clickhouse:8123", "http://my-langfuse-clickhouse:8123")]
    #[case("http://langfuse-clickhouse:81234", "http://langfuse-clickhouse:81234")]
    #[case("http://langfuse-clickhouse:8443", "http://langfuse-clickhouse:8443")]
    fn service_names_resolve(#[case] value: &str, #[case] want: &str) {
        assert_eq!(translate("CLICKHOUSE_URL", value), want);
    }

    #[test]
    fn host_and_port_may_be_two_variables() {
        let names = Names::new("langfuse");
        names.set("langfuse-redis-primary", 6379, "127.0.0.1:40003".parse().unwrap());
        let env = names.translate(&[("REDIS_HOST".to_owned(), "langfuse-redis-primary".to_owned())].into());
        assert_eq!((env["REDIS_HOST"].as_str(), env["REDIS_PORT"].as_str()), ("127.0.0.1", "40003"));
    }
}
