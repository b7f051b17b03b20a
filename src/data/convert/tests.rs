//! The coercions of the mapping, value by value (each as Langfuse 3.29's worker stores it).

use super::json::{double_text, is_falsy, stringify};
use super::rule::amount;
use super::{Field, convert};
use crate::data::cell::{Cell, SCALE};
use crate::data::tables::spec;
use crate::domain::backfill::Table;

fn jsonb(text: &str) -> Vec<u8> {
    [&[1], text.as_bytes()].concat()
}

fn of(column: &str, table: Table, bytes: Option<&[u8]>) -> Result<Cell, String> {
    convert(spec(table).column(column).unwrap(), &[Field(bytes)], false).map_err(|r| r.to_string())
}

#[test]
fn json_as_javascript_writes_it() {
    for (jsonb, text) in [
        (r#"{"a": 1.0, "b": [1, 2.50, -0]}"#, r#"{"a":1,"b":[1,2.5,0]}"#),
        (r#"{"b": 1, "10": 2, "9": 3}"#, r#"{"9":3,"10":2,"b":1}"#),
        (r#"{"01": 1, "1": 2}"#, r#"{"1":2,"01":1}"#),
        (r#""he said \"1.0\" \\""#, r#""he said \"1.0\" \\""#),
        ("1e400", "null"),
        ("123456789012345678901234567890", "1.2345678901234568e+29"),
        ("0.0000001", "1e-7"),
        (r#"{"a b": {"c": null, "d": true}}"#, r#"{"a b":{"c":null,"d":true}}"#),
        (r#"{"1": 3.1255503723487074e-90}"#, r#"{"1":3.1255503723487074e-90}"#),
        (r#"["x: 1.0", "2: "]"#, r#"["x: 1.0","2: "]"#),
    ] {
        assert_eq!(stringify(jsonb).unwrap(), text, "{jsonb}");
    }
    assert_eq!(double_text(9_007_199_254_740_993.0), "9007199254740992");
    for falsy in ["null", "0", "-0.0", "0.00", "false", "\"\""] {
        assert!(is_falsy(falsy), "{falsy}");
    }
    assert!(!is_falsy("\"0\"") && !is_falsy("[]") && !is_falsy("{}"));
}

#[test]
fn input_keeps_quotes_and_loses_falsy_values() {
    let column = spec(Table::Traces).column("input").unwrap();
    let cell = |text: &str| convert(column, &[Field(Some(&jsonb(text)))], true).unwrap();
    assert_eq!(cell("\"hi\""), Cell::Text("\"hi\"".into()));
    assert_eq!(cell("0"), Cell::Null);
    assert_eq!(convert(column, &[Field(None)], true).unwrap(), Cell::Null);
}

#[test]
fn metadata_of_every_kind() {
    let cell = |text: &str| of("metadata", Table::Traces, Some(&jsonb(text)));
    let map = |entries: &[(&str, &str)]| {
        Ok(Cell::Map(entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()))
    };
    assert_eq!(cell(r#""text""#), map(&[("metadata", "text")]));
    assert_eq!(cell("[1, 2.0]"), map(&[("metadata", "[1,2]")]));
    assert_eq!(cell("null"), map(&[]));
    assert_eq!(of("metadata", Table::Traces, None), map(&[]));
    assert_eq!(
        cell(r#"{"s": "a\"b", "n": 1.50, "t": true, "z": null, "o": {"x": [1.0]}}"#),
        map(&[("s", "a\"b"), ("n", "1.5"), ("t", "true"), ("z", ""), ("o", r#"{"x":[1]}"#)])
    );
    assert!(cell("7").unwrap_err().contains("bare value 7"));
    assert!(cell("true").is_err());
}

#[test]
fn null_where_the_target_cannot_be_null() {
    assert_eq!(of("name", Table::Traces, None), Ok(Cell::Text(String::new())));
    assert_eq!(of("value", Table::Scores, None), Ok(Cell::Float(0.0)));
    assert_eq!(of("tags", Table::Traces, None), Ok(Cell::List(vec![])));
}

#[test]
fn amounts_are_cut_and_limited() {
    assert_eq!(amount(0.1), Ok(SCALE / 10));
    assert_eq!(amount(0.123_456_789_012_99), Ok(123_456_789_012));
    assert_eq!(amount(-1.5e-7), Ok(-150_000));
    assert_eq!(amount(1e-13), Ok(0));
    assert_eq!(amount(999_999.25), Ok(999_999 * SCALE + SCALE / 4));
    assert!(amount(1e6).is_err() && amount(f64::NAN).is_err());
}

#[test]
fn times_within_clickhouse_s_range() {
    let micros = |ms: i64| ((ms * 1000) - 946_684_800_000_000).to_be_bytes();
    let time = |ms: i64| of("created_at", Table::Traces, Some(&micros(ms)));
    assert_eq!(time(1_700_000_000_123), Ok(Cell::Millis(1_700_000_000_123)));
    assert_eq!(time(-1), Ok(Cell::Millis(-1)));
    assert!(time(-3_000_000_000_000).is_err());
    assert!(of("created_at", Table::Traces, Some(&i64::MAX.to_be_bytes())).is_err());
}

#[test]
fn counts_wrap_nothing_and_versions_do() {
    let column = spec(Table::Observations).column("usage_details").unwrap();
    let five = 5_i32.to_be_bytes();
    let minus = (-1_i32).to_be_bytes();
    let cell = convert(column, &[Field(Some(&five)), Field(Some(&minus)), Field(None)], false).unwrap();
    let counts = [("input", 5), ("output", 0), ("total", 0)].map(|(key, count)| (key.to_owned(), count));
    assert_eq!(cell, Cell::Counts(counts.into()));
    let wraps = of("prompt_version", Table::Observations, Some(&70_000_i32.to_be_bytes()));
    assert_eq!(wraps, Ok(Cell::Int(4464)));
}

#[test]
fn lists_of_texts() {
    let mut bytes = vec![];
    for word in [1_i32, 0, 25, 2, 1] {
        bytes.extend(word.to_be_bytes());
    }
    for item in ["a", "é,\"b"] {
        bytes.extend((item.len() as i32).to_be_bytes());
        bytes.extend(item.as_bytes());
    }
    assert_eq!(of("tags", Table::Traces, Some(&bytes)), Ok(Cell::List(vec!["a".into(), "é,\"b".into()])));
    assert!(of("tags", Table::Traces, Some(&bytes[..bytes.len() - 1])).is_err());
}

mod direct {
    use proptest::prelude::*;

    use super::super::direct::encode;
    use super::super::{Field, convert};
    use super::jsonb;
    use crate::data::cell::{ChType, rowbinary};
    use crate::data::tables::{Mapped, Rule, spec};
    use crate::domain::backfill::Table;

    fn columns() -> Vec<Mapped> {
        let nullable = |kind: ChType| ChType::Nullable(Box::new(kind));
        let text = |rule| matches!(rule, Rule::Text | Rule::Json | Rule::Fixed(_));
        let all = Table::ALL.into_iter().flat_map(|table| spec(table).columns).filter(|c| text(c.rule));
        all.flat_map(|column| [ChType::String, nullable(ChType::String)].map(|kind| Mapped { column, kind }))
            .collect()
    }

    fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
        let json = prop_oneof![
            Just("null".to_owned()),
            Just("0".to_owned()),
            Just("\"\"".to_owned()),
            Just(r#"{"b": [1.50, "é\n"], "10": null, "9": 1e30}"#.to_owned()),
            Just(r#"{"huge": 1e400, "x": [1e400], "-": -0.0, "": ""}"#.to_owned()),
            ".{0,30}".prop_map(|text| serde_json::Value::from(text).to_string()),
            prop::collection::vec((".{0,8}", ".{0,30}"), 0..5).prop_map(|entries| {
                let entry = |(at, (key, text)): (usize, (String, String))| {
                    let value = match at % 4 {
                        0 => serde_json::Value::from(text),
                        1 => serde_json::json!({"in, side]": [text, 1.50, null], "n": true}),
                        2 => serde_json::Value::Null,
                        _ => serde_json::json!(text.len() as f64 * 1.25),
                    };
                    (key, value)
                };
                let map: serde_json::Map<_, _> = entries.into_iter().enumerate().map(entry).collect();
                serde_json::to_string(&map).unwrap().replace("\":", "\": ")
            }),
        ];
        prop_oneof![
            Just(None),
            ".{0,200}".prop_map(|text| Some(text.into_bytes())),
            json.prop_map(|text| Some(jsonb(&text))),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Some),
        ]
    }

    proptest! {
        /// The short way and the long way write the same bytes, and refuse the same values.
        #[test]
        fn writes_what_cells_would(value in value()) {
            for mapped in columns() {
                let fields = [Field(value.as_deref())];
                let fields = &fields[..mapped.column.pg.len()];
                let mut short = b"before".to_vec();
                let direct = encode(std::slice::from_ref(&mapped), fields, &mut short);
                let mut long = b"before".to_vec();
                let cells = convert(mapped.column, fields, mapped.kind.is_nullable())
                    .map_err(|refusal| refusal.reason)
                    .and_then(|cell| rowbinary::write(&mut long, &cell, &mapped.kind).map_err(|e| e.to_string()));
                prop_assert_eq!(direct.map_err(|refusal| refusal.reason), cells, "{}", mapped.column.ch);
                prop_assert_eq!(short, long, "{}", mapped.column.ch);
            }
        }
    }
}

proptest::proptest! {
    /// Values of a stranger in the place of PostgreSQL's: converted, or refused with a reason.
    #[test]
    fn whatever_comes_is_converted_or_refused(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60), text in ".{0,60}",
        json in "[\\[{\"}\\]:,0-9eE.+\\-truefalsn\\\\u ]{0,40}", null: bool,
    ) {
        for table in Table::ALL {
            for column in spec(table).columns {
                for bytes in [bytes.clone(), text.clone().into_bytes(), jsonb(&json), jsonb(&text)] {
                    let fields = vec![Field((!null).then_some(&bytes[..])); column.pg.len()];
                    for nullable in [false, true] {
                        let _ = convert(column, &fields, nullable);
                    }
                }
            }
        }
        let _ = stringify(&json);
    }
}
