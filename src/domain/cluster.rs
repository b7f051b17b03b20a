//! Workloads of the namespace, folded from watches so that 5 000 pods cost a few hundred bytes here.

/// What a workload is to the migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Langfuse v3 web.
    Web,
    /// Langfuse v3 worker.
    Worker,
    /// Langfuse v2, where it runs in the cluster.
    V2,
    /// PostgreSQL, ClickHouse, Redis, S3.
    Store,
    /// The ingress controller.
    Controller,
    /// Anything else in the namespace.
    Other,
}

/// One Deployment or `StatefulSet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// `Deployment` or `StatefulSet`.
    pub kind: String,
    /// Its name, cleaned.
    pub name: String,
    /// What it is to us.
    pub role: Role,
    /// Pods that are ready.
    pub ready: u32,
    /// Pods asked for.
    pub desired: u32,
    /// Pods on the newest template.
    pub updated: u32,
    /// Container restarts over its pods.
    pub restarts: u32,
    /// The newest restart, with its reason ("`OOMKilled`, exit 137").
    pub last_restart: Option<Restart>,
    /// Image of the first container, cleaned.
    pub image: String,
    /// The image's tag ("3.29.0"); empty without one.
    pub tag: String,
    /// Why it is not ready, from pod conditions or waiting reasons ("`CrashLoopBackOff`").
    pub trouble: Option<String>,
    /// `LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS` as its template sets it.
    pub migrations_enabled: Option<bool>,
}

/// A container that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// Reason and exit code.
    pub reason: String,
    /// When it ended.
    pub at: Option<jiff::Timestamp>,
}

/// One Kubernetes Event of the namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterEvent {
    /// Last time seen.
    pub at: Option<jiff::Timestamp>,
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// "Pod/langfuse-worker-…".
    pub object: String,
    /// "`BackOff`", "Unhealthy", ...
    pub reason: String,
    /// The text, cleaned.
    pub message: String,
}

/// The namespace at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterFact {
    /// By role, then name.
    pub workloads: Vec<Workload>,
    /// All pods of the namespace.
    pub pods: u32,
    /// Those ready.
    pub pods_ready: u32,
    /// Newest first, at most 20.
    pub events: Vec<ClusterEvent>,
    /// The API server's version ("v1.36.2").
    pub server_version: String,
}

impl ClusterFact {
    /// The workload that speaks for a role: of several, the one with the most ready pods. A Deployment scaled
    /// to nothing beside it does not hide it.
    pub fn of(&self, role: Role) -> Option<&Workload> {
        let all = self.workloads.iter().rev().filter(|w| w.role == role);
        all.max_by_key(|w| (w.ready, w.desired))
    }
}
