//! `kubectl apply --server-side` over an object that `kubectl apply` made: kubectl may take back what its own
//! annotation says it set, and the annotation is kept up to date.
//!
//! Source: `lastappliedmanager.go` and `lastappliedupdater.go` of k8s.io/apimachinery `managedfields`.

use serde_json::{Value, json};

use super::field_set::FieldSet;
use super::managed_fields::compare;
use super::objects::{at, map, map_at};
use super::schema::Place;

/// The annotation that client-side apply leaves.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The one manager all this is for; others opted out by another name.
const MANAGER: &str = "kubectl";

fn last_applied(object: &Value) -> Option<&str> {
    at(object, &["metadata", "annotations", ANNOTATION])?.as_str().filter(|text| !text.is_empty())
}

/// The fields that a manager may take without force: those the annotation has as they still are.
pub(super) fn excused(manager: &str, live: &Value, place: &Place) -> FieldSet {
    let last = last_applied(live).filter(|_| manager == MANAGER);
    let Some(Ok(last)) = last.map(serde_json::from_str::<Value>) else {
        return FieldSet::default();
    };
    let difference = compare(&last, live, place);
    let differing = difference.added.union(&difference.modified).union(&difference.removed);
    FieldSet::of(&last, place).difference(&differing)
}

/// Writes what was applied into the annotation, where there is one.
pub(super) fn sync(manager: &str, config: &Value, object: &mut Value) {
    if manager != MANAGER || last_applied(object).is_none() {
        return;
    }
    let mut applied = config.clone();
    applied.sort_all_objects();
    if let Some(annotations) = applied["metadata"].get_mut("annotations") {
        map(annotations).remove(ANNOTATION);
    }
    map_at(object, &["metadata", "annotations"]).insert(ANNOTATION.into(), json!(format!("{applied}\n")));
}
