//! Routes: weighted mechanisms in the cluster, as they stand there.

use super::Weight;

/// Routes that must move together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathGroup {
    /// `/api/public` and below, OTLP excepted where it has routes of its own.
    Api,
    /// `/api/public/otel`.
    Otel,
    /// Everything a browser loads.
    Ui,
    /// One route for every path.
    All,
}

impl PathGroup {
    /// The word on screen.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Otel => "otel",
            Self::Ui => "ui",
            Self::All => "all",
        }
    }
}

/// Our adapter for one mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouterKind {
    /// A canary Ingress beside its main one (`nginx.ingress.kubernetes.io/canary-weight`).
    IngressNginx,
}

impl RouterKind {
    /// The name on screen and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IngressNginx => "ingress-nginx",
        }
    }
}

/// The object that stores a weight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// "Ingress".
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// One side of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Service name.
    pub service: String,
    /// Port name or number.
    pub port: String,
    /// Ready endpoints; `None` when they could not be read.
    pub endpoints: Option<u32>,
}

/// Whether the controller says that it programmed what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// This mechanism has no such report: never a green tick.
    NotReported,
    /// It says so for the newest generation.
    Yes,
    /// It says something else.
    No(String),
}

/// Who last wrote the weight, from `managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The field manager ("argocd-controller").
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// When.
    pub at: Option<jiff::Timestamp>,
}

/// A configuration that makes the weight mean something else than it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// Stable id ("canary-no-endpoints").
    pub id: &'static str,
    /// What happens, and what to do.
    pub text: String,
    /// Whether a forward shift must not start over it.
    pub blocks: bool,
}

/// Id of the trap that every random split has and no operator can mend: not a reason to stop.
pub const RANDOM_PER_REQUEST: &str = "random-per-request";

/// One weighted route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The object whose weight moves.
    pub object: ObjectRef,
    /// Its adapter.
    pub router: RouterKind,
    /// What it carries.
    pub group: PathGroup,
    /// "host/path" of each rule, cleaned.
    pub rules: Vec<String>,
    /// The v2 side.
    pub primary: Backend,
    /// The v3 side.
    pub canary: Backend,
    /// The weight as the controller reads it.
    pub stored: Weight,
    /// The text in the object; differs from `stored` when it is invalid (read as 0) or clamped.
    pub raw: Option<String>,
    /// The controller's own report.
    pub accepted: Accepted,
    /// What the weight can come to with the endpoints there are: 0 without any on the v3 side.
    pub effective: Weight,
    /// Who wrote the weight last.
    pub owner: Option<Owner>,
    /// For conditional writes.
    pub resource_version: String,
    /// Against an object that was deleted and made anew.
    pub uid: String,
    /// Header or cookie rules that beat the weight, in words.
    pub pins: Vec<String>,
    /// What else is wrong with it.
    pub traps: Vec<Trap>,
}
