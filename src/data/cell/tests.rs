//! Types by their names, and every kind of cell through its bytes and back.

use proptest::prelude::*;

use super::rowbinary::{RowError, read, replaced, write};
use super::{Cell, ChType, amount_text};

#[test]
fn types_as_the_server_names_them() {
    let nullable = |inner| ChType::Nullable(Box::new(inner));
    for (text, kind) in [
        ("LowCardinality(String)", ChType::String),
        ("LowCardinality(Nullable(String))", nullable(ChType::String)),
        ("Nullable(DateTime64(3))", nullable(ChType::Millis)),
        ("DateTime64(3, 'UTC')", ChType::Millis),
        ("Nullable(Decimal(18, 12))", nullable(ChType::Amount)),
        ("Map(LowCardinality(String), Decimal(18, 12))", ChType::Map(Box::new(ChType::Amount))),
        ("Map(LowCardinality(String), UInt64)", ChType::Map(Box::new(ChType::Int(8, false)))),
        ("Array(String)", ChType::Array(Box::new(ChType::String))),
    ] {
        assert_eq!(ChType::parse(text), kind, "{text}");
        assert!(kind.is_known());
    }
    assert!(!ChType::parse("DateTime64(6)").is_known());
    assert!(!ChType::parse("Array(Tuple(a String))").is_known());
    assert!(!ChType::parse("Map(UInt8, String)").is_known());
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut out = vec![];
    assert_eq!(write(&mut out, &Cell::Null, &ChType::String), Err(RowError::Null));
    assert_eq!(write(&mut out, &Cell::Int(65_536), &ChType::Int(2, false)), Err(RowError::Range(65_536)));
    assert_eq!(write(&mut out, &Cell::Int(-1), &ChType::Int(8, false)), Err(RowError::Range(-1)));
    assert!(matches!(write(&mut out, &Cell::Bool(true), &ChType::String), Err(RowError::Mismatch(_))));
}

/// Two texts, of which the first is not UTF-8.
#[test]
fn a_list_or_a_map_that_is_not_utf_8_keeps_its_bytes() {
    let texts = ChType::String;
    for (kind, whole) in [
        (ChType::Array(Box::new(texts.clone())), &[2, 1, 0xff, 1, b'b'][..]),
        (ChType::Map(Box::new(texts)), &[1, 1, 0xff, 1, b'b'][..]),
        (ChType::Map(Box::new(ChType::Int(8, false))), &[1, 1, 0xff, 7, 0, 0, 0, 0, 0, 0, 0][..]),
    ] {
        let mut from = whole;
        let cell = read(&mut from, &kind).unwrap();
        assert_eq!((&cell, from), (&Cell::Bytes(whole.to_vec()), &[][..]));
        let mut out = vec![];
        write(&mut out, &cell, &kind).unwrap();
        assert_eq!(out, whole, "{kind:?}");
        assert!(format!("{:?}", replaced(whole, &kind).unwrap()).contains('\u{fffd}'));
    }
}

#[test]
fn amounts_as_text() {
    for (amount, text) in
        [(0, "0"), (125_000_000, "0.000125"), (-1, "-0.000000000001"), (3 * super::SCALE, "3")]
    {
        assert_eq!(amount_text(amount), text);
    }
}

#[test]
fn zeros_are_nothing_and_a_number_is_something() {
    let counts = |of: &[u64]| Cell::Counts(of.iter().map(|n| ("input".to_owned(), *n)).collect());
    assert!(counts(&[0, 0]).is_nothing() && counts(&[]).is_nothing() && !counts(&[0, 3]).is_nothing());
    assert!(!counts(&[0]).is_empty());
    assert!(Cell::Amounts(vec![("total".into(), 0)]).is_nothing());
    assert!(Cell::Null.is_nothing() && !Cell::Int(0).is_nothing());
}

fn cell() -> impl Strategy<Value = (Cell, ChType)> {
    let text = ".{0,40}";
    let of = |kind: ChType| move |cell: Cell| (cell, kind.clone());
    prop_oneof![
        text.prop_map(Cell::Text).prop_map(of(ChType::String)),
        Just((Cell::Bytes(vec![0xff, 0, 7]), ChType::String)),
        any::<bool>().prop_map(Cell::Bool).prop_map(of(ChType::Bool)),
        any::<u16>().prop_map(|n| Cell::Int(n.into())).prop_map(of(ChType::Int(2, false))),
        any::<i32>().prop_map(|n| Cell::Int(n.into())).prop_map(of(ChType::Int(4, true))),
        any::<f64>()
            .prop_filter("NaN is unlike itself", |f| !f.is_nan())
            .prop_map(Cell::Float)
            .prop_map(of(ChType::Float64)),
        any::<i64>().prop_map(Cell::Millis).prop_map(of(ChType::Millis)),
        any::<i64>().prop_map(Cell::Amount).prop_map(of(ChType::Nullable(Box::new(ChType::Amount)))),
        Just((Cell::Null, ChType::Nullable(Box::new(ChType::String)))),
        prop::collection::vec(text, 0..5)
            .prop_map(Cell::List)
            .prop_map(of(ChType::Array(Box::new(ChType::String)))),
        prop::collection::vec((text, text), 0..5)
            .prop_map(Cell::Map)
            .prop_map(of(ChType::Map(Box::new(ChType::String)))),
        prop::collection::vec((text, any::<u64>()), 0..5)
            .prop_map(Cell::Counts)
            .prop_map(of(ChType::Map(Box::new(ChType::Int(8, false))))),
        prop::collection::vec((text, any::<i64>()), 0..5)
            .prop_map(Cell::Amounts)
            .prop_map(of(ChType::Map(Box::new(ChType::Amount)))),
    ]
}

proptest! {
    #[test]
    fn rows_survive_their_bytes(row in prop::collection::vec(cell(), 1..6), cut in any::<prop::sample::Index>()) {
        let mut out = vec![];
        for (cell, kind) in &row {
            write(&mut out, cell, kind).unwrap();
        }
        let mut from = out.as_slice();
        for (cell, kind) in &row {
            prop_assert_eq!(&read(&mut from, kind).unwrap(), cell);
        }
        prop_assert!(from.is_empty());
        // Cut anywhere, it is short and nothing else.
        let mut short = &out[..cut.index(out.len())];
        let failed = row.iter().find_map(|(_, kind)| read(&mut short, kind).err());
        prop_assert_eq!(failed, Some(RowError::Short));
    }
}

#[test]
fn a_type_of_many_brackets_is_not_taken_apart() {
    for name in ["Nullable", "LowCardinality", "Array", "Map(String, Array"] {
        let text = format!("{}String{}", format!("{name}(").repeat(100_000), ")".repeat(100_000));
        assert!(!ChType::parse(&text).is_known());
    }
}

proptest! {
    /// Bytes of a stranger: read, or told; never more of them than there are.
    #[test]
    fn whatever_comes_is_read_or_told(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        kind in "(Nullable|Array|LowCardinality)?[(]?(String|Bool|UInt8|UInt64|Int64|Float64|DateTime64[(]3[)]|Decimal64[(]12[)]|Map[(]String, (String|UInt64|Decimal64[(]12[)])[)])[)]?",
        name in any::<String>(),
    ) {
        for kind in [ChType::parse(&kind), ChType::parse(&name)] {
            let mut rest = &bytes[..];
            while let Ok(cell) = read(&mut rest, &kind) {
                let before = rest.len();
                let mut out = Vec::new();
                let _ = write(&mut out, &cell, &kind);
                prop_assert!(before <= bytes.len());
                if before == 0 {
                    break;
                }
            }
            prop_assert!(rest.len() <= bytes.len());
        }
    }
}
