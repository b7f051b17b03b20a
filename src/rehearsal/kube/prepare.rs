//! What a write may not decide for itself: identity, generation, and which half of the object it reaches.

use serde_json::{Value, json};

use super::clock_text;
use super::defaults;
use super::objects::{at, map, map_at, meta, number, set, set_meta, text};
use super::resources::Kind;

/// Letters of generated names: no vowels, no look-alikes (`k8s.io/apimachinery/pkg/util/rand`).
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Makes a new object complete, but for what is given to it only when it is stored ([`defaults::allocate`]).
pub(super) fn created(kind: &Kind, object: &mut Value) {
    set_meta(object, "resourceVersion", None);
    set_meta(object, "uid", Some(json!(uuid::Uuid::new_v4().to_string())));
    set_meta(object, "creationTimestamp", Some(json!(clock_text::now())));
    set_meta(object, "generation", kind.generation.then(|| json!(1)));
    for gone in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        set_meta(object, gone, None);
    }
    // Nodes are the one kind whose creator, the kubelet, reports its status at once.
    if kind.status && kind.kind != "Node" {
        map(object).remove("status");
    }
    defaults::fill_in(kind, object);
}

/// Makes a changed object keep what only the server decides, and only the half that the subresource reaches.
pub(super) fn updated(kind: &Kind, object: &mut Value, live: &Value, subresource: &str) {
    for key in ["uid", "creationTimestamp"] {
        if meta(object, key).is_empty() {
            set_meta(object, key, live["metadata"].get(key).cloned());
        }
    }
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion"] {
        set_meta(object, key, live["metadata"].get(key).cloned());
    }
    match subresource {
        "status" => {
            let fields: Vec<String> =
                live.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
            for key in fields.iter().filter(|key| !matches!(key.as_str(), "status" | "metadata")) {
                set(map(object), key, live.get(key).cloned());
            }
            if let Some(key) = out_of_reach_of_status(kind) {
                set_meta(object, key, at(live, &["metadata", key]).cloned());
            }
        }
        _ if kind.status => set(map(object), "status", live.get("status").cloned()),
        _ => {}
    }
    defaults::fill_in(kind, object);
    keep_addresses(kind, object, live);
    defaults::allocate(kind, object);
    if kind.generation && desired(object) != desired(live) {
        let next = number(live, &["metadata", "generation"]) + 1;
        set_meta(object, "generation", Some(json!(next)));
    }
}

/// Metadata that a write of the status leaves as it is (`PrepareForUpdate` of the kinds' status strategies).
fn out_of_reach_of_status(kind: &Kind) -> Option<&'static str> {
    match kind.kind {
        "Deployment" => Some("labels"),
        "Pod" => Some("ownerReferences"),
        _ => None,
    }
}

/// A Service keeps its address when an update leaves it out.
fn keep_addresses(kind: &Kind, object: &mut Value, live: &Value) {
    let external = text(object, &["spec", "type"]) == "ExternalName";
    if kind.kind != "Service" || external {
        return;
    }
    for key in ["clusterIP", "clusterIPs"] {
        if at(object, &["spec", key]).is_none() {
            set(map_at(object, &["spec"]), key, at(live, &["spec", key]).cloned());
        }
    }
}

/// What counts for the generation: everything but metadata and status.
fn desired(object: &Value) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !matches!(key.as_str(), "metadata" | "status"))
        .collect();
    fields.sort_by_key(|(key, _)| *key);
    fields
}

/// A name made of a prefix and five random letters.
pub(super) fn generated_name(prefix: &str) -> String {
    let mut random = rand::rng();
    let letters = (0..5).map(|_| char::from(LETTERS[rand::Rng::random_range(&mut random, 0..LETTERS.len())]));
    prefix.chars().chain(letters).collect()
}
