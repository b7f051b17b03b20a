//! JSON merge patch (RFC 7386): members are set, `null` removes, everything that is no map is replaced.

use serde_json::{Map, Value};

/// Merges `patch` into `target`.
pub(in super::super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(map) = target.as_object_mut() else { return };
    for (key, change) in changes {
        if change.is_null() {
            map.shift_remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn null_removes_and_lists_are_replaced() {
        let mut object = json!({"a": {"b": 1, "c": 2}, "list": [1, 2]});
        super::merge(&mut object, &json!({"a": {"b": null, "d": {"x": null}}, "list": [3]}));
        assert_eq!(object, json!({"a": {"c": 2, "d": {}}, "list": [3]}));
    }
}
