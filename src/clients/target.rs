//! What is to be reached, and how: plain values that the configuration builds and the clients consume.
//!
//! One rule: nothing here opens anything, and every password, key or URL that can carry one is a [`Secret`].

use std::path::PathBuf;

use crate::domain::Secret;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A URL as the server's own tools take it; it may carry user and password, so it is secret.
    Url(Secret),
    /// A Kubernetes Service, reached through a port-forward of our own.
    Service {
        /// Namespace of the Service; `None` means the one of [`KubeTarget`].
        namespace: Option<String>,
        /// Name of the Service.
        service: String,
        /// Port of the Service: a number or a port's name.
        port: String,
    },
}

impl Address {
    /// The address of a URL.
    pub fn url(url: impl Into<String>) -> Self {
        Self::Url(Secret::new(url))
    }
}

/// How TLS is done. The default follows the address: TLS for `https`, `rediss`, `sslmode`, none otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Whether TLS is used; `None` follows the URL's scheme, and means no TLS for a Service.
    pub enabled: Option<bool>,
    /// Certificates (PEM) to trust besides the system's roots.
    pub ca_file: Option<PathBuf>,
    /// Our certificate (PEM), with `client_key`.
    pub client_cert: Option<PathBuf>,
    /// Its private key (PEM).
    pub client_key: Option<PathBuf>,
    /// Accept any certificate. Only when the operator says so.
    pub insecure: bool,
}

/// The API server, as kubectl would find it where a field is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KubeTarget {
    /// Kubeconfig file; `None`: `KUBECONFIG`, then `~/.kube/config`, then the pod's own account.
    pub kubeconfig: Option<PathBuf>,
    /// Context in it; `None`: its current context.
    pub context: Option<String>,
    /// Namespace of the migration; `None`: the context's.
    pub namespace: Option<String>,
}

/// PostgreSQL, shared by v2 and v3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresTarget {
    /// `postgres://user:password@host:5432/database?sslmode=require`, or a Service.
    pub address: Address,
    /// Overrides the URL's user; needed with a Service.
    pub user: Option<String>,
    /// Overrides the URL's password.
    pub password: Option<Secret>,
    /// Overrides the URL's database.
    pub database: Option<String>,
    /// TLS.
    pub tls: TlsOptions,
}

/// ClickHouse's HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickhouseTarget {
    /// `http(s)://host:8123`, or a Service.
    pub address: Address,
    /// User; `None` means `default`, or the URL's.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Database; `None` means `default`.
    pub database: Option<String>,
    /// Whether answers and rows travel compressed.
    pub compression: bool,
    /// TLS.
    pub tls: TlsOptions,
}

/// Redis or Valkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisTarget {
    /// `redis[s]://[user[:password]@]host[:6379][/db]`, or a Service.
    pub address: Address,
    /// Overrides the URL's user.
    pub user: Option<String>,
    /// Overrides the URL's password.
    pub password: Option<Secret>,
    /// Database number; `None`: the URL's, or 0.
    pub database: Option<i64>,
    /// Only queues below this prefix (Langfuse's `REDIS_KEY_PREFIX`); `None`: every BullMQ queue found.
    pub prefix: Option<String>,
    /// TLS.
    pub tls: TlsOptions,
}

/// The bucket of ingestion events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Target {
    /// `http(s)://host[:port]`, or a Service.
    pub endpoint: Address,
    /// Bucket.
    pub bucket: String,
    /// Key prefix; empty, or ending in `/`.
    pub prefix: String,
    /// Region; anything for stores that do not care.
    pub region: String,
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: Secret,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
    /// Whether a small object may be written, read, listed and deleted to prove that it works.
    pub probe_writes: bool,
    /// TLS.
    pub tls: TlsOptions,
}

/// Key of the canary project: a project of its own, so that canaries never stand among real traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeKey {
    /// `pk-lf-…`.
    pub public: String,
    /// `sk-lf-…`.
    pub secret: Secret,
}

/// One address of Langfuse: v2 by itself, v3 by itself, or the public one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LangfuseTarget {
    /// `http(s)://host[:port]`, or a Service.
    pub address: Address,
    /// `Host` to send when it differs from the address (a public name reached at the controller's address).
    pub host_header: Option<String>,
    /// With it, a canary trace is written and read back each round; without it, only health is probed.
    pub probe_key: Option<ProbeKey>,
    /// TLS.
    pub tls: TlsOptions,
}

/// The ingress controller's metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControllerTarget {
    /// URLs of `/metrics`, one per replica.
    Urls(Vec<String>),
    /// Its pods, found by label and reached by port-forward.
    Pods {
        /// Namespace of the controller.
        namespace: String,
        /// Label selector ("app.kubernetes.io/component=controller").
        selector: String,
        /// Metrics port (10254).
        port: u16,
    },
}

/// Everything the sources may look at. What is `None` is not configured, and said to be so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Kubernetes.
    pub kube: Option<KubeTarget>,
    /// v2 by itself.
    pub v2: Option<LangfuseTarget>,
    /// v3 by itself.
    pub v3: Option<LangfuseTarget>,
    /// The public address.
    pub public: Option<LangfuseTarget>,
    /// PostgreSQL.
    pub postgres: Option<PostgresTarget>,
    /// ClickHouse.
    pub clickhouse: Option<ClickhouseTarget>,
    /// Redis.
    pub redis: Option<RedisTarget>,
    /// S3.
    pub s3: Option<S3Target>,
    /// The ingress controller; `None`: looked for in namespace `ingress-nginx`.
    pub controller: Option<ControllerTarget>,
    /// Names of the Ingresses whose weights move; empty: every canary pair of the namespace.
    pub ingresses: Vec<String>,
    /// File that remembers what was counted; `None`: nothing is remembered across starts.
    pub state_file: Option<PathBuf>,
}
