//! How JavaScript writes what Langfuse stores: `JSON.stringify`, truthiness and `toISOString`.
//! Rows are compared byte by byte later, so the differences to Rust's own JSON matter.

use serde_json::{Map, Number, Value};

/// `JSON.stringify(value)`: compact, numbers as doubles, integer-like object keys first in rising order.
pub(crate) fn stringify(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

/// JavaScript's truthiness of a JSON value; a missing value counts as null.
pub(crate) fn truthy(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Number(number)) => number.as_f64().is_some_and(|n| n != 0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    }
}

/// Milliseconds since the epoch as `2025-01-31T10:00:00.000Z`.
pub(crate) fn iso(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| "Invalid Date".into(), |at| format!("{at:.3}"))
}

/// `new Date(text).getTime()`; `None` where JavaScript says `Invalid Date`. Text without a zone means UTC.
pub(crate) fn millis(text: &str) -> Option<i64> {
    let parsed = text.parse::<jiff::Timestamp>().or_else(|_| format!("{text}Z").parse());
    parsed.ok().map(jiff::Timestamp::as_millisecond)
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => write_object(out, map),
        other => out.push_str(&other.to_string()),
    }
}

fn write_object(out: &mut String, map: &Map<String, Value>) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| array_index(key).unwrap_or(u64::MAX));
    out.push('{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&Value::from(key.as_str()).to_string());
        out.push(':');
        write_value(out, value);
    }
    out.push('}');
}

/// The keys JavaScript orders by value: canonical integers below 2^32 - 1.
fn array_index(key: &str) -> Option<u64> {
    let index: u64 = key.parse().ok()?;
    (index < 4_294_967_295 && index.to_string() == key).then_some(index)
}

/// A JavaScript number's text: a double, without `.0`, with `e+` from 1e21.
pub(crate) fn number_text(number: &Number) -> String {
    let Some(double) = number.as_f64() else {
        return number.to_string();
    };
    if double == 0.0 {
        return "0".into();
    }
    let size = double.abs();
    if (1e-6..1e21).contains(&size) {
        return format!("{double}");
    }
    let text = format!("{double:e}");
    if size >= 1.0 { text.replace('e', "e+") } else { text }
}

/// Objects merge key by key, all the way down; anything else is replaced.
pub(crate) fn merge(old: Option<Value>, new: Option<Value>) -> Option<Value> {
    match (old, new) {
        (Some(Value::Object(mut old)), Some(Value::Object(new))) => {
            merge_objects(&mut old, new);
            Some(Value::Object(old))
        }
        (old, None) => old,
        (_, new) => new,
    }
}

fn merge_objects(old: &mut Map<String, Value>, new: Map<String, Value>) {
    for (key, value) in new {
        let merged = merge(old.remove(&key), Some(value)).unwrap_or_default();
        old.insert(key, merged);
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn writes_as_javascript_does() {
        let value = json!({"b": 1.0, "2": 1.10, "1": null, "a": [1e21, 1e-7, 0.000_001, -0.0, 9_007_199_254_740_993_i64]});
        assert_eq!(
            stringify(&value),
            r#"{"1":null,"2":1.1,"b":1,"a":[1e+21,1e-7,0.000001,0,9007199254740992]}"#
        );
        assert_eq!(stringify(&json!("ü\n")), "\"ü\\n\"");
    }

    #[test]
    fn reads_dates_and_truth() {
        assert_eq!(millis("2025-01-31T10:00:00.123Z"), Some(1_738_317_600_123));
        assert_eq!(millis("2025-01-31T11:00:00.123+01:00"), Some(1_738_317_600_123));
        assert_eq!(iso(1_738_317_600_120), "2025-01-31T10:00:00.120Z");
        assert_eq!(millis("yesterday"), None);
        assert!(!truthy(Some(&json!(0))) && !truthy(Some(&json!(""))) && truthy(Some(&json!([]))));
    }

    #[test]
    fn objects_merge_deeply() {
        let merged = merge(Some(json!({"a": {"x": 1}, "b": 1})), Some(json!({"a": {"y": 2}, "b": [2]})));
        assert_eq!(merged, Some(json!({"a": {"x": 1, "y": 2}, "b": [2]})));
        assert_eq!(merge(Some(json!(1)), None), Some(json!(1)));
        assert_eq!(merge(Some(json!({"a": 1})), Some(json!("text"))), Some(json!("text")));
    }
}
