//! What a value of PostgreSQL becomes on its way to ClickHouse (sheet 3.2).

use serde_json::{Value, json};

use super::super::js;
use super::super::stores::clickhouse::Row;

/// `input`, `output`, `model_parameters`: what JavaScript calls falsy becomes NULL, the rest JSON text; a JSON
/// string keeps its quotes.
pub(super) fn json_text(value: Option<Value>) -> Value {
    match value {
        Some(value) if js::truthy(Some(&value)) => js::stringify(&value).into(),
        _ => Value::Null,
    }
}

/// Strings and lists are wrapped; objects go as they are, and so do bare numbers and booleans, which the server
/// then refuses (code 27).
pub(super) fn metadata(value: Option<Value>) -> Value {
    match value {
        None | Some(Value::Null) => Value::Null,
        Some(Value::String(text)) => json!({"metadata": text}),
        Some(Value::Array(items)) => json!({"metadata": items}),
        Some(other) => other,
    }
}

/// Input, output, total: always three keys; a negative count becomes null, which is stored as 0.
pub(super) fn tokens(counts: [Option<i32>; 3]) -> Value {
    let [input, output, total] = counts.map(|count| count.filter(|count| *count >= 0));
    json!({"input": input, "output": output, "total": total})
}

/// Input, output, total: always three keys; NULL is stored as 0.
pub(super) fn costs(costs: [Option<f64>; 3]) -> Value {
    let [input, output, total] = costs;
    json!({"input": input, "output": output, "total": total})
}

/// A copied row's version is its own time, so that any row v3 wrote itself wins over it.
pub(super) fn mark_as_copied(mut row: Row, time: &str) -> Row {
    let at = row.get(time).cloned().unwrap_or_default();
    row.insert("event_ts".into(), at);
    row.insert("is_deleted".into(), 0.into());
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falsy_json_is_null() {
        for falsy in [json!(null), json!(0), json!(false), json!("")] {
            assert_eq!(json_text(Some(falsy)), Value::Null);
        }
        assert_eq!(json_text(Some(json!("hi"))), json!("\"hi\""));
        assert_eq!(json_text(Some(json!({"b": 1.0, "a": []}))), json!("{\"b\":1,\"a\":[]}"));
    }

    #[test]
    fn metadata_is_wrapped_or_left() {
        assert_eq!(metadata(Some(json!("x"))), json!({"metadata": "x"}));
        assert_eq!(metadata(Some(json!([1]))), json!({"metadata": [1]}));
        assert_eq!(metadata(Some(json!(7))), json!(7));
        assert_eq!(metadata(None), Value::Null);
    }

    #[test]
    fn counts_keep_their_keys() {
        assert_eq!(tokens([Some(-1), Some(2), None]), json!({"input": null, "output": 2, "total": null}));
        assert_eq!(costs([None, Some(0.5), None]), json!({"input": null, "output": 0.5, "total": null}));
    }
}
