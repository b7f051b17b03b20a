//! Forward, back, and forward again: over whatever v2 can hold.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::back::{Loss, Text, back, spelt};
use super::{Field, convert};
use crate::data::cell::Cell;
use crate::data::tables::{Column, Rule, spec};
use crate::domain::backfill::Table;

fn column(table: Table, ch: &str) -> &'static Column {
    spec(table).column(ch).unwrap()
}

fn one(column: &Column, cell: &Cell) -> Text {
    back(column, cell, &mut vec![]).unwrap().remove(0)
}

fn jsonb(text: &str) -> Vec<u8> {
    [&[1], text.as_bytes()].concat()
}

/// The bytes that PostgreSQL would send of a text that went back.
fn sent(rule: Rule, text: &str) -> Vec<u8> {
    match rule {
        Rule::Json | Rule::Metadata => jsonb(text),
        Rule::Bool => vec![u8::from(text == "true")],
        Rule::Float | Rule::Cost | Rule::Costs => text.parse::<f64>().unwrap().to_be_bytes().into(),
        Rule::Counts => text.parse::<i32>().unwrap().to_be_bytes().into(),
        Rule::Time => {
            let at =
                text.parse::<jiff::civil::DateTime>().unwrap().to_zoned(jiff::tz::TimeZone::UTC).unwrap();
            (at.timestamp().as_microsecond() - 946_684_800_000_000).to_be_bytes().into()
        }
        Rule::Tags => list(text),
        _ => text.as_bytes().into(),
    }
}

/// An array literal as PostgreSQL reads it, in its binary form.
fn list(literal: &str) -> Vec<u8> {
    let (mut items, mut item, mut quoted, mut chars) = (vec![], String::new(), false, literal[1..].chars());
    while let Some(c) = chars.next() {
        match (c, quoted) {
            ('\\', true) => item.extend(chars.next()),
            ('"', false) => quoted = true,
            ('"', true) => {
                quoted = false;
                items.push(std::mem::take(&mut item));
            }
            (c, true) => item.push(c),
            (c, false) => assert!(matches!(c, ',' | '}'), "{literal}"),
        }
    }
    binary_list(&items)
}

fn binary_list(items: &[String]) -> Vec<u8> {
    let mut bytes = vec![];
    let words = if items.is_empty() { vec![0, 0, 25] } else { vec![1, 0, 25, items.len() as i32, 1] };
    for word in words {
        bytes.extend(word.to_be_bytes());
    }
    for item in items {
        bytes.extend((item.len() as i32).to_be_bytes());
        bytes.extend(item.as_bytes());
    }
    bytes
}

/// What v3 holds must be the same after the way back and the way forward again: nothing is lost on the way that was
/// not lost before it. Refused is only what holds an escaped NUL.
fn stays(
    column: &Column,
    fields: &[Option<Vec<u8>>],
    nullable: bool,
) -> Result<Option<Vec<Text>>, TestCaseError> {
    let fields: Vec<Field<'_>> = fields.iter().map(|f| Field(f.as_deref())).collect();
    let Ok(cell) = convert(column, &fields, nullable) else { return Ok(None) };
    let texts = match back(column, &cell, &mut vec![]) {
        Ok(texts) => texts,
        Err(refusal) => {
            prop_assert!(format!("{cell:?}").contains("u0000"), "{refusal}: {cell:?}");
            return Ok(None);
        }
    };
    let again: Vec<Option<Vec<u8>>> =
        texts.iter().map(|t| t.as_ref().map(|t| sent(column.rule, t))).collect();
    let again: Vec<Field<'_>> = again.iter().map(|f| Field(f.as_deref())).collect();
    prop_assert_eq!(&convert(column, &again, nullable).unwrap(), &cell, "{:?}", texts);
    Ok(Some(texts))
}

/// Strings that look like something else, and any other.
fn strings() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "",
            "5",
            "007",
            "1.0",
            "-0",
            "1e5",
            "1e+21",
            "true",
            "null",
            "NaN",
            "inf",
            "[1]",
            "{\"a\":1}",
            "[",
            "\"q\"",
            "\\",
            "\\u0000",
            "\"\\u0000\"",
            "{\"a\":\"\\ud800\"}",
            "a\"b\\c",
            "é日本😀",
            "\u{fffd}",
            "12345678901234567890",
            " 5 ",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,12}",
        "[ -~\n\t]{0,12}",
    ]
}

/// JSON as jsonb holds it: numbers of any size and scale.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1_000_000..1_000_000_i32).prop_map(|n| json!(f64::from(n) / 1000.0)),
        prop::num::f64::NORMAL.prop_map(Value::from),
        strings().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((strings(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Equal as JSON, numbers as the doubles that Langfuse's own copy makes of them. (The exact digits are held by
/// [`stays`]; `serde_json` itself reads a double to within its last digit.)
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-15 * a.abs()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn json_is_the_same_but_for_falsy_values(value in values()) {
        let column = column(Table::Traces, "input");
        if let Some(texts) = stays(column, &[Some(jsonb(&value.to_string()))], true)? {
            match &texts[0] {
                Some(text) => prop_assert!(same(&value, &serde_json::from_str(text).unwrap()), "{text}"),
                // v3 keeps none of these: they come back as NULL.
                None => prop_assert!(matches!(value.to_string().as_str(), "null" | "false" | "\"\"" | "0" | "0.0" | "-0.0"), "{value}"),
            }
        }
    }

    #[test]
    fn metadata_is_the_same_but_for_texts_that_read_as_json(value in values()) {
        let column = column(Table::Traces, "metadata");
        let Some(texts) = stays(column, &[Some(jsonb(&value.to_string()))], false)? else { return Ok(()) };
        let Some(text) = &texts[0] else {
            prop_assert!(matches!(value.to_string().as_str(), "null" | "{}"), "{value}");
            return Ok(());
        };
        let found: Value = serde_json::from_str(text).unwrap();
        // Both as the map that v3 makes of them; entry by entry.
        let map = |value: &Value| match value {
            Value::Object(map) => map.clone(),
            other => [("metadata".to_owned(), other.clone())].into_iter().collect(),
        };
        let (was, is) = (map(&value), map(&found));
        prop_assert_eq!(was.len(), is.len());
        for (key, was) in &was {
            let is = &is[key];
            let read = was.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
            let alike = same(was, is) || read.is_some_and(|read| same(&read, is)) || (was.is_null() && is == "");
            // A list or object that held such a text deeper is not touched.
            prop_assert!(alike, "{}: {} became {}", key, was, is);
        }
    }

    #[test]
    fn plain_columns_are_the_same(text in strings(), tags in prop::collection::vec(strings(), 0..4),
                                  millis in -2_208_988_800_000_i64..10_413_791_999_999, float in any::<f64>(), flag in any::<bool>()) {
        let text = text.replace('\0', "");
        let found = stays(column(Table::Traces, "user_id"), &[Some(text.clone().into_bytes())], true)?;
        prop_assert_eq!(found, Some(vec![Some(text)]));
        stays(column(Table::Traces, "tags"), &[Some(binary_list(&tags))], false)?.unwrap();
        let micros = millis * 1000 - 946_684_800_000_000;
        stays(column(Table::Traces, "timestamp"), &[Some(micros.to_be_bytes().into())], false)?.unwrap();
        stays(column(Table::Traces, "public"), &[Some(vec![u8::from(flag)])], false)?.unwrap();
        if !float.is_nan() {
            stays(column(Table::Scores, "value"), &[Some(float.to_be_bytes().into())], false)?.unwrap();
        }
    }

    #[test]
    fn counts_and_amounts_are_the_same_but_for_null(counts in prop::array::uniform3(prop::option::of(any::<i32>())),
                                                    costs in prop::array::uniform3(prop::option::of(0.0..999_999.0_f64))) {
        let bytes = counts.map(|count| count.map(|count| count.to_be_bytes().to_vec()));
        let texts = stays(column(Table::Observations, "usage_details"), &bytes, false)?.unwrap();
        for (was, is) in counts.iter().zip(&texts) {
            // NULL and less than nothing are nothing in v3.
            prop_assert_eq!(is, &Some(was.unwrap_or(0).max(0).to_string()));
        }
        let bytes = costs.map(|cost| cost.map(|cost| cost.to_be_bytes().to_vec()));
        let texts = stays(column(Table::Observations, "cost_details"), &bytes, false)?.unwrap();
        for (was, is) in costs.iter().zip(&texts) {
            let is: f64 = is.as_ref().unwrap().parse().unwrap();
            // NULL is 0 in v3, and twelve decimals are kept.
            prop_assert!((was.unwrap_or(0.0) - is).abs() <= 1e-12 + 1e-15 * is.abs(), "{was:?} {is}");
        }
    }
}

#[test]
fn what_v3_wrote_itself() {
    let input = column(Table::Traces, "input");
    let text = |text: &str| Cell::Text(text.into());
    for (v3, v2) in [
        ("plain text", "\"plain text\""),
        ("{\"a\": [1.50, 12345678901234567890.123]}", "{\"a\": [1.50, 12345678901234567890.123]}"),
        ("line\nbreak", "\"line\\nbreak\""),
        ("null", "\"null\""),
        ("0", "\"0\""),
        ("{broken", "\"{broken\""),
        ("{\"half\":\"\\ud800\"}", "\"{\\\"half\\\":\\\"\\\\ud800\\\"}\""),
    ] {
        assert_eq!(one(input, &text(v3)).as_deref(), Some(v2));
    }
    assert_eq!(one(input, &text("")), None);
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(one(input, &text(&deep)), Some(deep), "depth does not make it a string");
    let mut losses = vec![];
    assert_eq!(back(input, &text("5"), &mut losses).unwrap(), [Some("5".to_owned())]);
    assert_eq!(losses, [Loss::JsonScalar]);
}

#[test]
fn nul_and_broken_text_are_refused_by_name() {
    let name = column(Table::Traces, "name");
    let refused = |column: &Column, cell: &Cell| back(column, cell, &mut vec![]).unwrap_err().to_string();
    assert!(refused(name, &Cell::Text("a\0b".into())).starts_with("name: the text holds NUL"));
    assert!(refused(name, &Cell::Bytes(vec![0xff])).contains("not UTF-8"));
    let input = column(Table::Traces, "input");
    assert!(refused(input, &Cell::Text("{\"a\":\"\\u0000\"}".into())).contains("NUL"));
    assert!(back(input, &Cell::Text("{\"a\":\"\\\\u0000\"}".into()), &mut vec![]).is_ok());
    let metadata = column(Table::Traces, "metadata");
    assert!(refused(metadata, &Cell::Map(vec![("k".into(), "\0".into())])).contains("NUL"));
    let at = column(Table::Traces, "timestamp");
    assert!(refused(at, &Cell::Millis(1_763_800_000_000_000)).contains("a thousand times too large"));
    let usage = column(Table::Observations, "usage_details");
    assert!(refused(usage, &Cell::Counts(vec![("input".into(), 3_000_000_000)])).contains("2147483647"));
}

#[test]
fn metadata_as_v2_would_have_stored_it() {
    let metadata = column(Table::Traces, "metadata");
    let map = |entries: &[(&str, &str)]| {
        Cell::Map(entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    };
    for (v3, v2) in [
        (vec![("metadata", "bare")], json!("bare")),
        (vec![("metadata", "[1,\"x\"]")], json!([1, "x"])),
        (vec![("metadata", "{\"a\":1}")], json!({"metadata": {"a": 1}})),
        (vec![("metadata", "bare"), ("k", "v")], json!({"metadata": "bare", "k": "v"})),
        (
            vec![
                ("n", "1.5"),
                ("z", "007"),
                ("u", "null"),
                ("e", ""),
                ("t", "true"),
                ("b", "12345678901234567890"),
                ("o", "{\"x\":[1.0]}"),
            ],
            json!({"n": 1.5, "z": "007", "u": "null", "e": "", "t": true, "b": "12345678901234567890", "o": {"x": [1.0]}}),
        ),
    ] {
        let text = one(metadata, &map(&v3)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), v2, "{text}");
    }
    assert_eq!(one(metadata, &map(&[])), None);
}

#[test]
fn a_value_that_may_have_been_another_is_named_once_and_its_text_is_kept() {
    let metadata = column(Table::Traces, "metadata");
    let map = |entries: &[(&str, &str)]| {
        Cell::Map(entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    };
    for (entries, wanted, texts) in [
        (vec![("k", "v"), ("t", "007")], vec![], None),
        (vec![("e", "")], vec![Loss::MetadataText], None),
        (vec![("n", "5")], vec![Loss::MetadataScalar], None),
        (vec![("o", "{\"b\": 1}"), ("k", "v")], vec![Loss::MetadataText], Some(json!({"o": "{\"b\": 1}"}))),
        (vec![("metadata", "[1, 2]")], vec![Loss::MetadataText], Some(json!({"metadata": "[1, 2]"}))),
        (vec![("metadata", "bare")], vec![], None),
        (vec![("half", "{\"a\":\"\\ud800\"}"), ("b", "{broken")], vec![], None),
    ] {
        let (cell, mut losses) = (map(&entries), vec![]);
        back(metadata, &cell, &mut losses).unwrap();
        assert_eq!(losses, wanted, "{entries:?}");
        let spelt = spelt(&cell).map(|texts| serde_json::from_str::<Value>(&texts).unwrap());
        assert_eq!(spelt, texts, "{entries:?}");
    }
}
