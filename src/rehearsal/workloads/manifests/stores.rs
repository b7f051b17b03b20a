//! The in-cluster stores of chart 1.5.41: names, images and ports (langfuse-k8s, `values.yaml` and subcharts).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::rehearsal::workloads::probe::{POSTGRES, Probe, REDIS};

/// One store of the chart.
#[derive(Debug, Clone)]
pub struct StoreSpec {
    /// Name of the `StatefulSet`; its Pod is `<name>-0`.
    pub workload: &'static str,
    /// Name of the Service.
    pub service: &'static str,
    /// `app.kubernetes.io/name` and name of the container.
    pub container: &'static str,
    /// Image of the chart.
    pub image: &'static str,
    /// Number and name of each port.
    pub ports: Vec<(u16, &'static str)>,
    /// How readiness is asked, on the first port.
    pub probe: Probe,
}

/// `PostgreSQL`, which v2 uses, too.
pub fn postgres() -> StoreSpec {
    StoreSpec {
        workload: "langfuse-postgresql",
        service: "langfuse-postgresql",
        container: "postgresql",
        image: "docker.io/bitnamilegacy/postgresql:17.3.0",
        ports: vec![(5432, "tcp-postgresql")],
        probe: POSTGRES,
    }
}

/// `ClickHouse`: HTTP first; the native port only where there is one.
pub fn clickhouse(native: bool) -> StoreSpec {
    let mut ports = vec![(8123, "http")];
    if native {
        ports.push((9000, "tcp"));
    }
    StoreSpec {
        workload: "langfuse-clickhouse-shard0",
        service: "langfuse-clickhouse",
        container: "clickhouse",
        image: "docker.io/bitnamilegacy/clickhouse:25.2.1",
        ports,
        probe: Probe::Http("/ping".into()),
    }
}

/// Valkey.
pub fn redis() -> StoreSpec {
    StoreSpec {
        workload: "langfuse-redis-primary",
        service: "langfuse-redis-primary",
        container: "valkey",
        image: "docker.io/bitnamilegacy/valkey:8.0.2",
        ports: vec![(6379, "tcp-redis")],
        probe: REDIS,
    }
}

/// `MinIO`. Any answer proves that it listens: an S3 server without `MinIO`'s health paths refuses with 403.
pub fn s3() -> StoreSpec {
    StoreSpec {
        workload: "langfuse-s3",
        service: "langfuse-s3",
        container: "minio",
        image: "docker.io/bitnamilegacy/minio:2024.12.18",
        ports: vec![(9000, "minio-api")],
        probe: Probe::Tcp(b"GET / HTTP/1.0\r\n\r\n"),
    }
}

/// Labels of Pod, `StatefulSet` and Service.
pub fn labels(store: &StoreSpec) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", store.container),
        ("app.kubernetes.io/instance", "langfuse"),
        ("app.kubernetes.io/managed-by", "Helm"),
        ("app.kubernetes.io/component", store.workload),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// The container of the Pod.
pub fn container(store: &StoreSpec) -> Value {
    let ports: Vec<Value> =
        store.ports.iter().map(|(number, name)| json!({"name": name, "containerPort": number})).collect();
    json!({"name": store.container, "image": store.image, "ports": ports})
}

/// The `StatefulSet`.
pub fn stateful_set(store: &StoreSpec) -> Value {
    let labels = labels(store);
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": store.workload, "labels": labels},
        "spec": {
            "replicas": 1, "serviceName": store.service, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container(store)]}},
        },
    })
}

/// The Service.
pub fn service(store: &StoreSpec) -> Value {
    let ports: Vec<Value> = store
        .ports
        .iter()
        .map(|(number, name)| json!({"name": name, "port": number, "targetPort": name, "protocol": "TCP"}))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": store.service, "labels": labels(store)},
        "spec": {"selector": labels(store), "ports": ports},
    })
}
