//! The `/scale` subresource: the number of replicas of a workload as an object of its own.

use serde_json::{Value, json};

use super::objects::{at, map_at, meta, number};
use super::resources::Kind;
use super::status::{Cause, Status};

/// A workload's scale (`autoscaling/v1`).
pub(super) fn show(kind: &Kind, object: &Value) -> Value {
    debug_assert!(kind.scale, "only workloads have a scale");
    let mut scale =
        json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {}, "spec": {}, "status": {}});
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = at(object, &["metadata", key]) {
            scale["metadata"][key] = value.clone();
        }
    }
    // A scale to nothing says nothing: the field is left out at 0.
    let replicas = number(object, &["spec", "replicas"]);
    if replicas != 0 {
        scale["spec"]["replicas"] = json!(replicas);
    }
    scale["status"]["replicas"] = json!(number(object, &["status", "replicas"]));
    scale["status"]["selector"] = json!(selector(object));
    scale
}

fn selector(object: &Value) -> String {
    let labels = at(object, &["spec", "selector", "matchLabels"]).and_then(Value::as_object);
    let mut terms: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    terms.sort();
    terms.join(",")
}

/// Refuses a scale that is none.
///
/// # Errors
/// 422 for a number of replicas that is no number.
pub(super) fn check(scale: &Value) -> Result<(), Status> {
    match at(scale, &["spec", "replicas"]) {
        Some(replicas) if !replicas.is_i64() && !replicas.is_null() => {
            Err(Status::invalid_patch(scale, "it has the wrong type"))
        }
        _ => Ok(()),
    }
}

/// The workload with a changed scale.
///
/// # Errors
/// 422 for a negative number of replicas.
pub(super) fn onto(live: &Value, scale: &Value) -> Result<Value, Status> {
    let replicas = number(scale, &["spec", "replicas"]);
    if replicas < 0 {
        let causes = [Cause {
            reason: "FieldValueInvalid",
            field: "spec.replicas".into(),
            message: format!("Invalid value: {replicas}: must be greater than or equal to 0"),
        }];
        return Err(Status::invalid_scale(meta(live, "name"), &causes));
    }
    let mut object = live.clone();
    map_at(&mut object, &["spec"]).insert("replicas".into(), json!(replicas));
    let metadata = map_at(&mut object, &["metadata"]);
    for key in ["uid", "resourceVersion"] {
        if let Some(value) = at(scale, &["metadata", key]) {
            metadata.insert(key.into(), value.clone());
        }
    }
    Ok(object)
}
