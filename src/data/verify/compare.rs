//! Two cells of one column held against each other, as the column is compared.
//!
//! One rule: this is the last word; the hashes only say where to look.

use serde_json::Value;

use super::json::{Node, parse};
use super::json_hash::{hash_node, hash_text};
use super::json_text::WRAPPED;
use crate::data::cell::{Cell, SCALE, amount_text};
use crate::data::tables::{Column, Compare};

/// Whether both cells mean the same.
pub fn same(column: &Column, v2: &Cell, v3: &Cell) -> bool {
    match column.compare {
        Compare::Not(_) => true,
        Compare::Exact => v2 == v3,
        Compare::Json => v2 == v3 || json(v2) == json(v3),
        Compare::Map => v2 == v3 || entries(v2) == entries(v3),
        Compare::Amount => amounts(v2, v3),
    }
}

/// Whether a JSON column only lost digits: its numbers differ, and are the same doubles. `raw` is PostgreSQL's text.
pub fn lost_digits(raw: &str, v3: &Cell) -> bool {
    match v3 {
        Cell::Map(map) => parse(raw).is_some_and(|raw| lost_in_entries(&raw, map)),
        _ => v3.text().is_some_and(|text| hash_text(raw.as_bytes(), 1) != hash_text(text.as_bytes(), 1)),
    }
}

/// The same of metadata: numbers lose digits, alone and inside of something; texts do not.
fn lost_in_entries(raw: &Node<'_>, map: &[(String, String)]) -> bool {
    let lost = |key: &[u8], value: &Node<'_>| {
        let kept = map.iter().find(|(k, _)| k.as_bytes() == key);
        let has_numbers = matches!(value, Node::Number(_) | Node::Array(_) | Node::Object(_));
        has_numbers && kept.is_some_and(|(_, text)| hash_node(value, 1) != hash_text(text.as_bytes(), 1))
    };
    match raw {
        Node::Object(entries) => entries.iter().any(|(key, value)| lost(key, value)),
        value => lost(WRAPPED.as_bytes(), value),
    }
}

/// NULL and what JavaScript calls falsy are one; numbers are doubles, as in JavaScript.
fn json(cell: &Cell) -> Value {
    match cell.text() {
        Some(text) => {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
            let value = doubles(value);
            let falsy = match &value {
                Value::Bool(value) => !value,
                Value::Number(n) => n.as_f64() == Some(0.0),
                Value::String(text) => text.is_empty(),
                _ => false,
            };
            if falsy { Value::Null } else { value }
        }
        None => Value::Null,
    }
}

fn doubles(value: Value) -> Value {
    match value {
        Value::Number(n) => n.as_f64().map_or(Value::Number(n), |double| {
            serde_json::Number::from_f64(double).map_or(Value::Null, Value::Number)
        }),
        Value::Array(items) => Value::Array(items.into_iter().map(doubles).collect()),
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, doubles(v))).collect()),
        other => other,
    }
}

/// Entries by key; values that are JSON containers as JSON, anything else as text: both copies spell a number as
/// JavaScript does, and "1.10" is the text of a user, a version or an account, that is not "1.1".
fn entries(cell: &Cell) -> std::collections::BTreeMap<&str, Value> {
    let Cell::Map(map) = cell else { return std::collections::BTreeMap::default() };
    let value = |text: &str| match serde_json::from_str(text) {
        Ok(value @ (Value::Array(_) | Value::Object(_))) => doubles(value),
        _ => Value::String(text.to_owned()),
    };
    map.iter().map(|(key, text)| (key.as_str(), value(text))).collect()
}

fn amounts(v2: &Cell, v3: &Cell) -> bool {
    match (v2, v3) {
        (Cell::Amount(a), Cell::Amount(b)) => near(*a, *b),
        (Cell::Amounts(a), Cell::Amounts(b)) => {
            let get =
                |map: &[(String, i64)], key: &str| map.iter().find(|(k, _)| k == key).map_or(0, |(_, v)| *v);
            a.iter().chain(b).all(|(key, _)| near(get(a, key), get(b, key)))
        }
        (a, b) => a == b,
    }
}

/// Within 1e-12 + 1e-15 of the amount.
fn near(a: i64, b: i64) -> bool {
    let slack = 1 + a.unsigned_abs().max(b.unsigned_abs()) / 1_000_000_000_000_000;
    debug_assert_eq!(SCALE, 1_000_000_000_000);
    a.abs_diff(b) <= slack
}

/// A cell as text for people.
pub fn text(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".into(),
        Cell::Text(text) => text.clone(),
        Cell::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Cell::Bool(value) => value.to_string(),
        Cell::Int(value) => value.to_string(),
        Cell::Float(value) => value.to_string(),
        Cell::Millis(at) => {
            jiff::Timestamp::from_millisecond(*at).map_or_else(|_| at.to_string(), |t| t.to_string())
        }
        Cell::Amount(value) => amount_text(*value),
        Cell::List(list) => serde_json::to_string(list).unwrap_or_default(),
        Cell::Map(map) => {
            Value::Object(map.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect()).to_string()
        }
        Cell::Counts(map) => {
            Value::Object(map.iter().map(|(k, v)| (k.clone(), (*v).into())).collect()).to_string()
        }
        Cell::Amounts(map) => {
            Value::Object(map.iter().map(|(k, v)| (k.clone(), amount_text(*v).into())).collect()).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tables::spec;
    use crate::domain::backfill::Table;

    fn map(entries: &[(&str, &str)]) -> Cell {
        Cell::Map(entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn numbers_of_metadata_are_texts() {
        let column = spec(Table::Traces).column("metadata").unwrap();
        let alike = |v2: &str, v3: &str| same(column, &map(&[("k", v2)]), &map(&[("k", v3)]));
        for (v2, v3) in
            [("1.10", "1.1"), ("1e5", "100000"), ("9007199254740993", "9007199254740992"), ("007", "7")]
        {
            assert!(!alike(v2, v3), "{v2} {v3}");
        }
        assert!(alike("1.10", "1.10"));
        assert!(alike(r#"{"a":1,"b":[2.0]}"#, r#"{"b": [2], "a": 1.0}"#));
        assert!(!alike(r#"{"a":1}"#, r#"{"a":2}"#) && !alike("", "null"));
    }

    #[test]
    fn digits_of_metadata_are_lost_where_they_were_numbers() {
        let lost = |raw: &str, v3: &[(&str, &str)]| lost_digits(raw, &map(v3));
        assert!(lost(r#"{"k": 12345678901234567890}"#, &[("k", "12345678901234567000")]));
        assert!(lost(r#"{"k": {"n": [9007199254740993]}}"#, &[("k", r#"{"n":[9007199254740992]}"#)]));
        assert!(lost("[9007199254740993]", &[("metadata", "[9007199254740992]")]));
        for (raw, v3) in [
            (
                r#"{"k": 1.10, "z": 0, "b": true, "n": null}"#,
                &[("k", "1.1"), ("z", "0"), ("b", "true"), ("n", "")][..],
            ),
            (
                r#"{"k": "12345678901234567890", "j": [1, 2.0], "e": {}}"#,
                &[("k", "12345678901234567890"), ("j", "[1,2]"), ("e", "{}")],
            ),
            (r#""text""#, &[("metadata", "text")]),
        ] {
            assert!(!lost(raw, v3), "{raw}");
        }
    }
}
