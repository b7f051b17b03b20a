//! Langfuse's own objects, as chart 1.5.41 names and labels them (langfuse-k8s, `templates/`).

use serde_json::{Value, json};

/// Name and instance label of the release.
pub const RELEASE: &str = "langfuse";
/// Deployment and Service of v3 web.
pub const WEB: &str = "langfuse-web";
/// Deployment of the v3 worker; it has no Service.
pub const WORKER: &str = "langfuse-worker";
/// Service of v2, one container outside the cluster.
pub const V2: &str = "langfuse-v2";
/// Secret with every password.
pub const SECRETS: &str = "langfuse-secrets";

/// What differs between rehearsals.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether the worker starts with its background migrations on; `shift-first` starts with them off.
    pub backfill: bool,
    /// Replicas of v3 web.
    pub web_replicas: usize,
    /// Bucket of the events.
    pub bucket: String,
    /// Prefix of the events in the bucket.
    pub prefix: String,
    /// `ClickHouse`'s user.
    pub clickhouse_user: String,
    /// `ClickHouse`'s database.
    pub clickhouse_database: String,
    /// The address users know.
    pub public_url: String,
}

/// Labels of a component (`web` or `worker`).
fn labels(component: &str) -> Value {
    json!({"app.kubernetes.io/name": "langfuse", "app.kubernetes.io/instance": RELEASE, "app": component})
}

fn object_labels() -> Value {
    json!({"app.kubernetes.io/name": "langfuse", "app.kubernetes.io/instance": RELEASE,
           "app.kubernetes.io/version": "3.29.0", "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "langfuse-1.5.41"})
}

fn value(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

fn secret(name: &str, key: &str) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": SECRETS, "key": key}}})
}

/// Variables that web and worker share.
fn common_env(settings: &Settings) -> Vec<Value> {
    vec![
        value("NODE_ENV", "production"),
        value("HOSTNAME", "0.0.0.0"),
        secret("DATABASE_URL", "database-url"),
        secret("SALT", "salt"),
        secret("ENCRYPTION_KEY", "encryption-key"),
        value("TELEMETRY_ENABLED", "false"),
        value("CLICKHOUSE_URL", "http://langfuse-clickhouse:8123"),
        value("CLICKHOUSE_MIGRATION_URL", "clickhouse://langfuse-clickhouse:9000"),
        value("CLICKHOUSE_USER", &settings.clickhouse_user),
        secret("CLICKHOUSE_PASSWORD", "clickhouse-password"),
        value("CLICKHOUSE_DB", &settings.clickhouse_database),
        value("CLICKHOUSE_CLUSTER_ENABLED", "false"),
        value("REDIS_HOST", "langfuse-redis-primary"),
        value("REDIS_PORT", "6379"),
        secret("REDIS_AUTH", "redis-password"),
        value("LANGFUSE_S3_EVENT_UPLOAD_BUCKET", &settings.bucket),
        value("LANGFUSE_S3_EVENT_UPLOAD_PREFIX", &settings.prefix),
        value("LANGFUSE_S3_EVENT_UPLOAD_ENDPOINT", "http://langfuse-s3:9000"),
        value("LANGFUSE_S3_EVENT_UPLOAD_REGION", "us-east-1"),
        secret("LANGFUSE_S3_EVENT_UPLOAD_ACCESS_KEY_ID", "s3-access-key-id"),
        secret("LANGFUSE_S3_EVENT_UPLOAD_SECRET_ACCESS_KEY", "s3-secret-access-key"),
        value("LANGFUSE_S3_EVENT_UPLOAD_FORCE_PATH_STYLE", "true"),
    ]
}

/// v3 web. The chart's readiness probe starts after 20 s; a rehearsal does not wait for that.
pub fn web(settings: &Settings) -> Value {
    let mut env = common_env(settings);
    env.extend([
        value("NEXTAUTH_URL", &settings.public_url),
        secret("NEXTAUTH_SECRET", "nextauth-secret"),
        value("PORT", "3000"),
    ]);
    deployment(
        WEB,
        "web",
        settings.web_replicas,
        &json!({
            "name": "langfuse-web", "image": "docker.io/langfuse/langfuse:3.29.0", "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "http", "containerPort": 3000, "protocol": "TCP"}],
            "env": env,
            "livenessProbe": {"httpGet": {"path": "/api/public/health", "port": 3000}, "initialDelaySeconds": 20,
                              "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
            "readinessProbe": {"httpGet": {"path": "/api/public/ready", "port": 3000}, "initialDelaySeconds": 0,
                               "periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 3},
        }),
    )
}

/// The v3 worker: a liveness probe only, as in the chart.
pub fn worker(settings: &Settings) -> Value {
    let mut env = common_env(settings);
    env.push(value("PORT", "3030"));
    env.push(value(
        "LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS",
        if settings.backfill { "true" } else { "false" },
    ));
    deployment(
        WORKER,
        "worker",
        1,
        &json!({
            "name": "langfuse-worker", "image": "docker.io/langfuse/langfuse-worker:3.29.0",
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "http", "containerPort": 3030, "protocol": "TCP"}],
            "env": env,
            "livenessProbe": {"httpGet": {"path": "/api/health", "port": 3030}, "initialDelaySeconds": 20,
                              "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        }),
    )
}

fn deployment(name: &str, component: &str, replicas: usize, container: &Value) -> Value {
    let mut pod_labels = labels(component);
    if let Some(pod_labels) = pod_labels.as_object_mut() {
        pod_labels.insert("app.kubernetes.io/component".into(), component.into());
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "labels": object_labels()},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels(component)},
            "template": {"metadata": {"labels": pod_labels}, "spec": {"containers": [container]}},
        },
    })
}

/// The Service of v3 web.
pub fn web_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": WEB, "labels": object_labels()},
        "spec": {"type": "ClusterIP", "selector": labels("web"),
                 "ports": [{"name": "http", "port": 3000, "targetPort": "http", "protocol": "TCP"}]},
    })
}

/// The Secret: passwords and keys by name.
pub fn secrets(values: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<String, Value> =
        values.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRETS}, "type": "Opaque", "stringData": data})
}
