//! The one table of kinds the server knows. A kind is added by one row here (and, where `kubectl get` shall show
//! more than name and age, one in `columns`).

use k8s_openapi::api;
use k8s_openapi::serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// How an object of a kind is read into its published type and back, which drops unknown fields.
pub(super) type RoundTrip = fn(Value) -> Result<Value, serde_json::Error>;

/// One kind of object, with everything the server must know of it.
#[derive(Debug)]
#[expect(
    clippy::struct_field_names,
    clippy::struct_excessive_bools,
    reason = "a row of a table, with the names and switches that Kubernetes itself has"
)]
pub(super) struct Kind {
    /// API group, empty for core.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Lower case plural, as in the path.
    pub plural: &'static str,
    /// Lower case singular, as kubectl accepts it.
    pub singular: &'static str,
    /// CamelCase kind.
    pub kind: &'static str,
    /// Short names for kubectl.
    pub short: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether it is one of kubectl's `all`.
    pub in_all: bool,
    /// Whether there is a `/status` subresource, which alone writes `.status`.
    pub status: bool,
    /// Whether there is a `/scale` subresource.
    pub scale: bool,
    /// Whether `metadata.generation` counts changes of the spec.
    pub generation: bool,
    /// The kind under which objects are stored, when this row is only another view of it.
    pub stored_as: Option<View>,
    /// Reads the object into its type and back.
    pub round_trip: RoundTrip,
}

/// Another API's view of stored objects: top-level fields are renamed, nothing else.
#[derive(Debug)]
pub(super) struct View {
    /// Group of the stored kind.
    pub group: &'static str,
    /// Pairs of stored name and name in the view.
    pub rename: &'static [(&'static str, &'static str)],
}

fn round_trip<T: Serialize + DeserializeOwned>(value: Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(value)?)
}

impl Kind {
    /// `group/version`, or `version` alone for core.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.into() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `plural.group`, or `plural` alone for core: how error messages name the resource.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.into() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether a replacement of an object that is not there makes it (`AllowCreateOnUpdate` of the kind's strategy).
    pub(super) fn is_made_by_put(&self) -> bool {
        matches!(self.kind, "Event" | "Lease" | "Service")
    }

    /// The row whose table in the store holds the objects: itself, unless it is a view.
    pub(super) fn stored(&'static self) -> &'static Self {
        self.stored_as.as_ref().and_then(|view| by_plural(view.group, self.plural)).unwrap_or(self)
    }
}

const fn kind<T: Serialize + DeserializeOwned>(
    group: &'static str,
    version: &'static str,
    names: (&'static str, &'static str, &'static str),
    short: &'static [&'static str],
) -> Kind {
    Kind {
        group,
        version,
        plural: names.0,
        singular: names.1,
        kind: names.2,
        short,
        namespaced: true,
        in_all: false,
        status: false,
        scale: false,
        generation: false,
        stored_as: None,
        round_trip: round_trip::<T>,
    }
}

/// A kind that controllers work on: it has a status and counts generations of its spec.
const fn worked<T: Serialize + DeserializeOwned>(
    group: &'static str,
    version: &'static str,
    names: (&'static str, &'static str, &'static str),
    short: &'static [&'static str],
) -> Kind {
    Kind { status: true, generation: true, ..kind::<T>(group, version, names, short) }
}

/// `events.k8s.io/v1` shows the events of the core group under other field names (Event v1 API reference).
const EVENT_VIEW: View = View {
    group: "",
    rename: &[
        ("involvedObject", "regarding"),
        ("message", "note"),
        ("source", "deprecatedSource"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("count", "deprecatedCount"),
        ("reportingComponent", "reportingController"),
    ],
};

/// Every kind, in the order discovery lists them.
pub(super) static KINDS: &[Kind] = &[
    kind::<api::core::v1::ConfigMap>("", "v1", ("configmaps", "configmap", "ConfigMap"), &["cm"]),
    kind::<api::core::v1::Event>("", "v1", ("events", "event", "Event"), &["ev"]),
    Kind {
        namespaced: false,
        status: true,
        ..kind::<api::core::v1::Namespace>("", "v1", ("namespaces", "namespace", "Namespace"), &["ns"])
    },
    Kind {
        namespaced: false,
        status: true,
        ..kind::<api::core::v1::Node>("", "v1", ("nodes", "node", "Node"), &["no"])
    },
    Kind {
        status: true,
        ..kind::<api::core::v1::PersistentVolumeClaim>(
            "",
            "v1",
            ("persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim"),
            &["pvc"],
        )
    },
    Kind {
        status: true,
        in_all: true,
        generation: true,
        ..kind::<api::core::v1::Pod>("", "v1", ("pods", "pod", "Pod"), &["po"])
    },
    kind::<api::core::v1::Secret>("", "v1", ("secrets", "secret", "Secret"), &[]),
    kind::<api::core::v1::ServiceAccount>(
        "",
        "v1",
        ("serviceaccounts", "serviceaccount", "ServiceAccount"),
        &["sa"],
    ),
    Kind {
        status: true,
        in_all: true,
        ..kind::<api::core::v1::Service>("", "v1", ("services", "service", "Service"), &["svc"])
    },
    Kind {
        scale: true,
        in_all: true,
        ..worked::<api::apps::v1::Deployment>(
            "apps",
            "v1",
            ("deployments", "deployment", "Deployment"),
            &["deploy"],
        )
    },
    Kind {
        scale: true,
        in_all: true,
        ..worked::<api::apps::v1::ReplicaSet>(
            "apps",
            "v1",
            ("replicasets", "replicaset", "ReplicaSet"),
            &["rs"],
        )
    },
    Kind {
        scale: true,
        in_all: true,
        ..worked::<api::apps::v1::StatefulSet>(
            "apps",
            "v1",
            ("statefulsets", "statefulset", "StatefulSet"),
            &["sts"],
        )
    },
    kind::<api::coordination::v1::Lease>("coordination.k8s.io", "v1", ("leases", "lease", "Lease"), &[]),
    Kind {
        generation: true,
        ..kind::<api::discovery::v1::EndpointSlice>(
            "discovery.k8s.io",
            "v1",
            ("endpointslices", "endpointslice", "EndpointSlice"),
            &[],
        )
    },
    Kind {
        stored_as: Some(EVENT_VIEW),
        ..kind::<api::events::v1::Event>("events.k8s.io", "v1", ("events", "event", "Event"), &["ev"])
    },
    worked::<api::networking::v1::Ingress>(
        "networking.k8s.io",
        "v1",
        ("ingresses", "ingress", "Ingress"),
        &["ing"],
    ),
    Kind {
        namespaced: false,
        generation: true,
        ..kind::<api::networking::v1::IngressClass>(
            "networking.k8s.io",
            "v1",
            ("ingressclasses", "ingressclass", "IngressClass"),
            &[],
        )
    },
];

/// The row for a resource of a path.
pub(super) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
}

/// The row for a resource of a group, whatever its version.
pub(super) fn by_plural(group: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.group == group && kind.plural == plural)
}

/// The row for an object's own `apiVersion` and `kind`.
pub(super) fn of_object(object: &Value) -> Option<&'static Kind> {
    let api_version = object.get("apiVersion")?.as_str()?;
    let name = object.get("kind")?.as_str()?;
    KINDS.iter().find(|kind| kind.kind == name && kind.api_version() == api_version)
}

/// `(group, version)` of every API, core first, each once.
pub(super) fn group_versions() -> Vec<(&'static str, &'static str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for kind in KINDS {
        if !found.contains(&(kind.group, kind.version)) {
            found.push((kind.group, kind.version));
        }
    }
    found.extend([("authentication.k8s.io", "v1"), ("authorization.k8s.io", "v1")]);
    found
}
