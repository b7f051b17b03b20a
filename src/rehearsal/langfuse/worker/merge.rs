//! How v3 folds events into one row: the row in ClickHouse first, then the events by time; what a later one says
//! wins, except for the columns an entity is found by.

use serde_json::Value;

use super::super::js;
use super::super::stores::clickhouse::Row;

/// Columns the first record decides.
pub(super) const TRACE_FIXED: &[&str] = &["id", "project_id", "timestamp", "created_at", "environment"];
pub(super) const OBSERVATION_FIXED: &[&str] =
    &["id", "project_id", "trace_id", "start_time", "created_at", "environment"];
pub(super) const SCORE_FIXED: &[&str] =
    &["id", "project_id", "timestamp", "trace_id", "created_at", "environment"];

/// Folds `known` and then `records`; metadata ends as a map of texts.
pub(super) fn records(known: Option<Row>, records: impl IntoIterator<Item = Row>, fixed: &[&str]) -> Row {
    let mut result = known.unwrap_or_default();
    for record in records {
        result = overwrite(result, record, fixed);
    }
    if let Some(Value::Object(metadata)) = result.get_mut("metadata") {
        for value in metadata.values_mut() {
            if !value.is_string() {
                *value = js::stringify(value).into();
            }
        }
    }
    result
}

/// A missing field changes nothing, an explicit null does; an empty object or list never replaces a value.
fn overwrite(old: Row, new: Row, fixed: &[&str]) -> Row {
    let metadata = merge_metadata(old.get("metadata"), new.get("metadata"));
    let tags = unite(old.get("tags"), new.get("tags"));
    let mut result = old;
    for (key, value) in new {
        let keeps = fixed.contains(&key.as_str()) || is_empty(&value);
        if !(keeps && result.contains_key(&key)) {
            result.insert(key, value);
        }
    }
    if let Some(metadata) = metadata {
        result.insert("metadata".into(), metadata);
    }
    if let Some(tags) = tags {
        result.insert("tags".into(), tags);
    }
    result
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn merge_metadata(old: Option<&Value>, new: Option<&Value>) -> Option<Value> {
    js::merge(old.filter(|value| !value.is_null()).cloned(), new.filter(|value| !value.is_null()).cloned())
}

fn unite(old: Option<&Value>, new: Option<&Value>) -> Option<Value> {
    if old.is_none() && new.is_none() {
        return None;
    }
    let texts = |tags: Option<&Value>| tags.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut all: Vec<String> =
        texts(old).into_iter().chain(texts(new)).filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
    all.sort();
    all.dedup();
    Some(all.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(value: Value) -> Row {
        match value {
            Value::Object(row) => row,
            other => panic!("{other} is no row"),
        }
    }

    #[test]
    fn later_events_win_but_not_for_fixed_columns() {
        let known = row(json!({"id": "t", "timestamp": 1, "name": "a", "user_id": "u", "tags": ["b"],
            "metadata": {"k": "1"}, "usage_details": {"input": 3}}));
        let event = row(json!({"id": "t", "timestamp": 2, "name": "c", "user_id": null, "tags": ["a"],
            "metadata": {"l": {"x": 1.0}}, "usage_details": {}, "session_id": "s"}));
        let merged = Value::Object(records(Some(known), [event], TRACE_FIXED));
        assert_eq!(
            merged,
            json!({"id": "t", "timestamp": 1, "name": "c", "user_id": null, "tags": ["a", "b"],
                "metadata": {"k": "1", "l": "{\"x\":1}"}, "usage_details": {"input": 3}, "session_id": "s"})
        );
    }

    #[test]
    fn fixed_columns_are_set_by_the_first_that_has_them() {
        let first = row(json!({"id": "o"}));
        let second = row(json!({"id": "o", "trace_id": "t", "start_time": 5}));
        let third = row(json!({"id": "o", "trace_id": "x", "start_time": 9}));
        let merged = records(None, [first, second, third], OBSERVATION_FIXED);
        assert_eq!((&merged["trace_id"], &merged["start_time"]), (&json!("t"), &json!(5)));
    }
}
