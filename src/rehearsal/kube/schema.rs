//! Which lists and maps are merged item by item, and which are replaced as a whole: one table for strategic
//! merge patch, server-side apply and field ownership.
//!
//! Source: `x-kubernetes-list-type`, `-list-map-keys`, `-map-type` and `-patch-merge-key` of Kubernetes'
//! published `OpenAPI` document.

use serde_json::Value;

/// How a list is put together from two writers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum List {
    /// Replaced and owned as a whole.
    Atomic,
    /// A set of scalars.
    Set,
    /// Items found by these keys; the first alone is the key of strategic merge patch.
    Keyed(&'static [&'static str]),
}

/// A place in an object: its kind, then the field names on the way, list items left out.
#[derive(Debug, Clone)]
pub(super) struct Place(Vec<String>);

/// Rows are matched against the end of a place; the first match counts.
const LISTS: &[(&[&str], List)] = &[
    (&["metadata", "finalizers"], List::Set),
    (&["metadata", "ownerReferences"], List::Keyed(&["uid"])),
    (&["Service", "spec", "ports"], List::Keyed(&["port", "protocol"])),
    (&["containers", "ports"], List::Keyed(&["containerPort", "protocol"])),
    (&["initContainers", "ports"], List::Keyed(&["containerPort", "protocol"])),
    (&["spec", "containers"], List::Keyed(&["name"])),
    (&["spec", "initContainers"], List::Keyed(&["name"])),
    (&["spec", "ephemeralContainers"], List::Keyed(&["name"])),
    (&["env"], List::Keyed(&["name"])),
    (&["volumeMounts"], List::Keyed(&["mountPath"])),
    (&["volumeDevices"], List::Keyed(&["devicePath"])),
    (&["volumes"], List::Keyed(&["name"])),
    (&["imagePullSecrets"], List::Keyed(&["name"])),
    (&["ServiceAccount", "secrets"], List::Keyed(&["name"])),
    (&["hostAliases"], List::Keyed(&["ip"])),
    (&["topologySpreadConstraints"], List::Keyed(&["topologyKey", "whenUnsatisfiable"])),
    (&["status", "conditions"], List::Keyed(&["type"])),
    (&["status", "podIPs"], List::Keyed(&["ip"])),
    (&["Node", "status", "addresses"], List::Keyed(&["type"])),
];

/// Maps that are replaced and owned as a whole.
const ATOMIC_MAPS: &[&[&str]] = &[
    &["spec", "selector"],
    &["labelSelector"],
    &["nodeSelector"],
    &["involvedObject"],
    &["regarding"],
    &["related"],
    &["fieldRef"],
    &["resourceFieldRef"],
    &["configMapKeyRef"],
    &["secretKeyRef"],
    &["secretRef"],
    &["targetRef"],
    &["service", "port"],
    &["ownerReferences"],
    &["imagePullSecrets"],
    &["resource"],
];

/// Values of keys that are filled in when an item leaves them out, as the schema's defaults do.
pub(super) fn key_default(key: &str) -> Option<Value> {
    (key == "protocol").then(|| Value::from("TCP"))
}

impl Place {
    /// The top of an object of a kind.
    pub(super) fn top(kind: &str) -> Self {
        Self(vec![kind.into()])
    }

    /// One field further down.
    pub(super) fn field(&self, name: &str) -> Self {
        let mut path = self.0.clone();
        path.push(name.into());
        Self(path)
    }

    fn ends_with(&self, suffix: &[&str]) -> bool {
        self.0.len() >= suffix.len()
            && self.0[self.0.len() - suffix.len()..].iter().zip(suffix).all(|(have, want)| have == want)
    }

    /// How the list at this place is merged.
    pub(super) fn list(&self) -> List {
        LISTS.iter().find(|(suffix, _)| self.ends_with(suffix)).map_or(List::Atomic, |(_, list)| *list)
    }

    /// Whether the map (or the list item that is one) at this place is one value.
    pub(super) fn is_atomic_map(&self) -> bool {
        ATOMIC_MAPS.iter().any(|suffix| self.ends_with(suffix))
    }
}

/// A list item's identity by keys, missing keys filled from the schema's defaults; none without all keys.
pub(super) fn item_key(item: &Value, keys: &[&str]) -> Option<Vec<(String, Value)>> {
    let mut found: Vec<(String, Value)> = keys
        .iter()
        .map(|key| Some(((*key).to_owned(), item.get(*key).cloned().or_else(|| key_default(key))?)))
        .collect::<Option<_>>()?;
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Some(found)
}
