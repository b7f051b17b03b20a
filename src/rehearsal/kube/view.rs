//! Kinds that show stored objects under other names: `events.k8s.io/v1` over the core group's events.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::resources::Kind;

/// An object as a kind shows it.
pub(super) fn show(kind: &Kind, object: &Arc<Value>) -> Arc<Value> {
    match &kind.stored_as {
        None => Arc::clone(object),
        Some(view) => Arc::new(rename(object, kind, |key| {
            view.rename.iter().find(|(stored, _)| *stored == key).map_or(key, |(_, shown)| shown)
        })),
    }
}

/// An object as it is stored, from how a kind shows it.
pub(super) fn store(kind: &'static Kind, object: Value) -> Value {
    match &kind.stored_as {
        None => object,
        Some(view) => rename(&object, kind.stored(), |key| {
            view.rename.iter().find(|(_, shown)| *shown == key).map_or(key, |(stored, _)| stored)
        }),
    }
}

fn rename<'a>(object: &'a Value, kind: &Kind, name: impl Fn(&'a str) -> &'a str) -> Value {
    let fields = object.as_object().into_iter().flatten();
    let mut renamed: Map<String, Value> = fields.map(|(key, v)| (name(key).to_owned(), v.clone())).collect();
    renamed.insert("apiVersion".into(), json!(kind.api_version()));
    Value::Object(renamed)
}
