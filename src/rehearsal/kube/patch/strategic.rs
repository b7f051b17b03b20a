//! Strategic merge patch: a merge patch that knows which lists are merged item by item.
//!
//! Source: k8s.io/apimachinery `strategicpatch`; directives `$patch`, `$retainKeys`, `$deleteFromPrimitiveList/…`,
//! `$setElementOrder/…`.

use serde_json::{Map, Value};

use super::super::schema::{List, Place};

/// Merges `patch` into `target`.
pub(in super::super) fn merge(target: &mut Value, patch: &Value, place: &Place) {
    let (Value::Object(map), Value::Object(changes)) = (&mut *target, patch) else {
        *target = without_directives(patch);
        return;
    };
    match changes.get("$patch").and_then(Value::as_str) {
        Some("delete") => return map.clear(),
        Some("replace") => {
            *target = without_directives(patch);
            return;
        }
        _ => {}
    }
    if let Some(keep) = changes.get("$retainKeys").and_then(Value::as_array) {
        map.retain(|key, _| keep.iter().any(|kept| kept == key));
    }
    for (key, change) in changes.iter().filter(|(key, _)| !key.starts_with('$')) {
        merge_field(map, key, change, &place.field(key));
    }
    for (key, change) in changes {
        if let Some(name) = key.strip_prefix("$deleteFromPrimitiveList/") {
            delete_primitives(map.get_mut(name), change);
        }
    }
    for (key, order) in changes {
        if let Some(name) = key.strip_prefix("$setElementOrder/") {
            set_order(map.get_mut(name), order, place.field(name).list());
        }
    }
}

fn merge_field(map: &mut Map<String, Value>, key: &str, change: &Value, place: &Place) {
    match change {
        Value::Null => {
            map.shift_remove(key);
        }
        Value::Object(_) => {
            let target = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
            merge(target, change, place);
        }
        Value::Array(items) => {
            let target = map.entry(key).or_insert_with(|| Value::Array(Vec::new()));
            match (target, place.list()) {
                (Value::Array(list), List::Keyed(keys)) => merge_items(list, items, keys[0], place),
                (Value::Array(list), List::Set) => {
                    list.extend(
                        items.iter().filter(|item| !list.contains(item)).cloned().collect::<Vec<_>>(),
                    );
                }
                (target, _) => *target = without_directives(change),
            }
        }
        _ => {
            map.insert(key.into(), change.clone());
        }
    }
}

fn merge_items(list: &mut Vec<Value>, changes: &[Value], key: &str, place: &Place) {
    if changes.iter().any(|item| item.get("$patch").is_some_and(|d| d == "replace")) {
        *list = changes.iter().filter(|item| item.get("$patch").is_none()).map(without_directives).collect();
        return;
    }
    for change in changes {
        let same = |item: &Value| item.get(key).is_some() && item.get(key) == change.get(key);
        if change.get("$patch").is_some_and(|directive| directive == "delete") {
            list.retain(|item| !same(item));
        } else if let Some(item) = list.iter_mut().find(|item| same(item)) {
            merge(item, change, place);
        } else {
            list.push(without_directives(change));
        }
    }
}

fn delete_primitives(list: Option<&mut Value>, gone: &Value) {
    if let (Some(Value::Array(list)), Value::Array(gone)) = (list, gone) {
        list.retain(|item| !gone.contains(item));
    }
}

/// Puts the items that the order names into that order; the others keep their place after them.
fn set_order(list: Option<&mut Value>, order: &Value, kind: List) {
    let (Some(Value::Array(list)), Value::Array(order)) = (list, order) else {
        return;
    };
    list.sort_by_key(|item| {
        order
            .iter()
            .position(|wanted| match kind {
                List::Keyed(keys) => wanted.get(keys[0]) == item.get(keys[0]),
                _ => wanted == item,
            })
            .unwrap_or(usize::MAX)
    });
}

fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, value)| !key.starts_with('$') && !value.is_null())
            .map(|(key, value)| (key.clone(), without_directives(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(list) => list
            .iter()
            .filter(|item| item.get("$patch").is_none_or(|directive| directive != "delete"))
            .map(without_directives)
            .collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(mut object: Value, patch: &Value) -> Value {
        merge(&mut object, patch, &Place::top("Pod"));
        object
    }

    #[test]
    fn containers_and_env_are_merged_by_name() {
        let object = json!({"spec": {"containers": [
            {"name": "web", "image": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}]}});
        let patch = json!({"spec": {"containers": [
            {"name": "web", "env": [{"name": "X", "value": "3"}, {"name": "Y", "$patch": "delete"}]},
            {"name": "side", "image": "b"}]}});
        assert_eq!(
            patched(object, &patch),
            json!({"spec": {"containers": [
                {"name": "web", "image": "a", "env": [{"name": "X", "value": "3"}]},
                {"name": "side", "image": "b"}]}})
        );
    }

    #[test]
    fn the_element_order_is_kept() {
        let object = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        let patch = json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}});
        assert_eq!(patched(object, &patch), json!({"spec": {"containers": [{"name": "b"}, {"name": "a"}]}}));
    }

    #[test]
    fn a_list_without_merge_key_is_replaced() {
        let object = json!({"spec": {"tolerations": [{"key": "a"}]}});
        let patch = json!({"spec": {"tolerations": [{"key": "b"}]}});
        assert_eq!(patched(object, &patch), patch);
    }

    #[test]
    fn replace_and_retain_keys_drop_what_is_not_named() {
        let object =
            json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
        let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
        assert_eq!(patched(object.clone(), &patch), json!({"spec": {"strategy": {"type": "Recreate"}}}));
        let patch = json!({"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}});
        assert_eq!(patched(object, &patch), json!({"spec": {"strategy": {"type": "Recreate"}}}));
    }
}
