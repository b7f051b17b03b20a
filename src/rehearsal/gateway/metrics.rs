//! What the controller tells about itself: Prometheus counters and the backends it pushed to nginx.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::model::{Routing, Upstream};

/// Name of the controller's Pod; a label of every counter.
pub const POD: &str = "ingress-nginx-controller-6c8b7d9f5-r7x2q";
/// Namespace the controller runs in.
pub const NAMESPACE: &str = "ingress-nginx";

/// Labels of `nginx_ingress_controller_requests`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// Server name, `_` for the catch-all.
    pub host: String,
    /// Path of the location.
    pub path: String,
    /// Namespace of the Ingress.
    pub namespace: String,
    /// Name of the Ingress.
    pub ingress: String,
    /// Service of the main Ingress, also for canary requests.
    pub service: String,
    /// `<namespace>-<service>-<port>` of the canary when it answered, else empty.
    pub canary: String,
    /// HTTP method.
    pub method: String,
    /// HTTP status.
    pub status: u16,
}

/// Counters since the controller's start.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<Labels, u64>>,
}

impl Metrics {
    /// Counts one answered request.
    pub fn count(&self, labels: Labels) {
        let mut requests = self.requests.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *requests.entry(labels).or_default() += 1;
    }

    /// Requests to the upstreams of one Ingress so far: (all, canary).
    pub fn shares(&self, ingress: &str) -> (u64, u64) {
        let requests = self.requests.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut shares = (0, 0);
        for (labels, count) in requests.iter().filter(|(labels, _)| labels.ingress == ingress) {
            shares.0 += count;
            shares.1 += if labels.canary.is_empty() { 0 } else { *count };
        }
        shares
    }

    /// Requests answered with `status` so far.
    pub fn count_status(&self, status: u16) -> u64 {
        let requests = self.requests.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        requests.iter().filter(|(labels, _)| labels.status == status).map(|(_, count)| count).sum()
    }

    /// The Prometheus text exposition.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# HELP nginx_ingress_controller_config_last_reload_successful Whether the last configuration reload attempt was successful\n\
             # TYPE nginx_ingress_controller_config_last_reload_successful gauge\n",
        );
        let own = format!(
            "controller_class=\"k8s.io/ingress-nginx\",controller_namespace=\"{NAMESPACE}\",controller_pod=\"{POD}\""
        );
        let _ = writeln!(text, "nginx_ingress_controller_config_last_reload_successful{{{own}}} 1");
        text.push_str(
            "# HELP nginx_ingress_controller_requests The total number of client requests\n\
             # TYPE nginx_ingress_controller_requests counter\n",
        );
        let requests = self.requests.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (labels, count) in requests.iter() {
            let _ = writeln!(
                text,
                "nginx_ingress_controller_requests{{canary=\"{}\",{own},host=\"{}\",ingress=\"{}\",method=\"{}\",\
                 namespace=\"{}\",path=\"{}\",service=\"{}\",status=\"{}\"}} {count}",
                escape(&labels.canary),
                escape(&labels.host),
                escape(&labels.ingress),
                escape(&labels.method),
                escape(&labels.namespace),
                escape(&labels.path),
                escape(&labels.service),
                labels.status,
            );
        }
        text
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// `/configuration/backends`: what `kubectl ingress-nginx backends` shows.
pub fn backends(routing: &Routing) -> Value {
    routing.upstreams.values().map(backend).collect()
}

fn backend(upstream: &Upstream) -> Value {
    let endpoints: Vec<Value> = upstream
        .endpoints
        .iter()
        .filter_map(|endpoint| endpoint.address.rsplit_once(':'))
        .map(|(address, port)| json!({"address": address, "port": port}))
        .collect();
    let policy = &upstream.policy;
    json!({
        "name": upstream.name,
        "service": {"metadata": {"name": upstream.service, "namespace": upstream.namespace}},
        "port": upstream.port.parse::<i64>().map_or_else(|_| json!(upstream.port), Value::from),
        "sslPassthrough": false,
        "endpoints": endpoints,
        "sessionAffinityConfig": {
            "name": if upstream.affinity.is_some() { "cookie" } else { "" },
            "mode": "",
            "cookieSessionAffinity": {"name": upstream.affinity.clone().unwrap_or_default()},
        },
        "upstreamHashByConfig": {"upstream-hash-by-subset-size": 3},
        "noServer": upstream.no_server,
        "trafficShapingPolicy": {
            "weight": policy.weight,
            "weightTotal": if upstream.no_server { policy.weight_total } else { 0 },
            "header": policy.header,
            "headerValue": policy.header_value,
            "headerPattern": policy.header_pattern,
            "cookie": policy.cookie,
        },
        "alternativeBackends": upstream.alternatives,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canary_requests_are_told_apart() {
        let metrics = Metrics::default();
        for canary in ["", "langfuse-langfuse-web-3000", ""] {
            metrics.count(Labels {
                host: "langfuse.localhost".into(),
                path: "/".into(),
                namespace: "langfuse".into(),
                ingress: "langfuse".into(),
                service: "langfuse-v2".into(),
                canary: canary.into(),
                method: "POST".into(),
                status: 207,
            });
        }
        assert_eq!(metrics.shares("langfuse"), (3, 1));
        let text = metrics.text();
        let line = text.lines().find(|line| line.contains("canary=\"langfuse-langfuse-web-3000\"")).unwrap();
        assert!(line.contains("service=\"langfuse-v2\"") && line.ends_with(" 1"), "{line}");
    }
}
