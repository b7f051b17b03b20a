//! Rows that came back from v3, and what v2 says of them later.

use super::tests::{mapping, row, text};
use super::{Verdict, judge};
use crate::data::cell::{Cell, SCALE};
use crate::data::rows::Row;
use crate::domain::backfill::Table;

/// What the way back made of v3's own observation: v2 knows less of it.
fn observation(updated: i64, event_ts: i64, more: &[(&str, Cell)]) -> Row {
    let base = [
        ("start_time", Cell::Millis(1_000)),
        ("updated_at", Cell::Millis(updated)),
        ("event_ts", Cell::Millis(event_ts)),
        ("level", text("DEFAULT")),
    ];
    row(Table::Observations, &[more, &base].concat())
}

fn counts(parts: &[(&str, u64)]) -> Cell {
    Cell::Counts(parts.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect())
}

fn map(entries: &[(&str, &str)]) -> Cell {
    Cell::Map(entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

#[test]
fn what_the_way_back_made_of_it_is_no_word_of_v2() {
    let mapping = mapping(Table::Observations);
    let usage = [("input", 5), ("output", 2), ("total", 7), ("input_cached_tokens", 3)];
    let amounts =
        |total| Cell::Amounts(vec![("total".into(), total), ("input".into(), 0), ("cached".into(), 9)]);
    let v3 = |kind: &str, input: &str| {
        observation(
            3_600_000,
            3_600_000,
            &[
                ("type", text(kind)),
                ("input", text(input)),
                ("usage_details", counts(&usage)),
                ("cost_details", amounts(SCALE)),
                ("total_cost", Cell::Amount(SCALE)),
                ("metadata", map(&[("o", "{\"b\": 1, \"a\": 2}"), ("k", "v"), ("n", "5")])),
            ],
        )
    };
    let v2 = |kind: &str, input: &str, more: &[(&str, Cell)]| {
        let image = [
            ("type", text(kind)),
            ("input", text(input)),
            ("usage_details", counts(&usage[..3])),
            (
                "cost_details",
                Cell::Amounts(vec![("input".into(), 0), ("output".into(), 0), ("total".into(), SCALE + 1)]),
            ),
            ("total_cost", Cell::Amount(SCALE + 1)),
            ("metadata", map(&[("k", "v"), ("n", "5"), ("o", "{\"a\":2,\"b\":1}")])),
        ];
        observation(9_000_000, 1_000, &[more, &image].concat())
    };
    for (kind, mapped) in [("AGENT", "SPAN"), ("TOOL", "GENERATION")] {
        for (input, image) in [
            ("hi", "\"hi\""),
            ("0", "\"0\""),
            ("null", "\"null\""),
            ("5", "5"),
            ("{ \"a\": 1.50 }", "{\"a\":1.5}"),
            ("{half", "\"{half\""),
        ] {
            let (v2, v3) = (v2(mapped, image, &[]), v3(kind, input));
            assert_eq!(judge(&mapping, &v2, Some(&v3)), Verdict::Fine, "{kind} {input}");
        }
    }
    // What v2 did say is taken, and nothing else.
    let said = [
        ("name", text("renamed")),
        ("usage_details", counts(&[("input", 6), ("output", 2), ("total", 8)])),
        ("metadata", map(&[("k", "w"), ("n", "5"), ("o", "{\"a\":2,\"b\":1}")])),
    ];
    let (was, here) = (v2("SPAN", "\"ho\"", &said), v3("AGENT", "hi"));
    let Verdict::Merge(row, columns) = judge(&mapping, &was, Some(&here)) else { panic!("a merge") };
    assert_eq!(columns, ["name", "metadata", "input", "usage_details"]);
    assert_eq!((row.get(&mapping, "type"), row.get(&mapping, "input")), (&text("AGENT"), &text("\"ho\"")));
    let usage = [("input", 6), ("output", 2), ("total", 8), ("input_cached_tokens", 3)];
    assert_eq!(row.get(&mapping, "usage_details"), &counts(&usage));
    let spelt = map(&[("o", "{\"b\": 1, \"a\": 2}"), ("k", "w"), ("n", "5")]);
    assert_eq!(row.get(&mapping, "metadata"), &spelt);
    assert_eq!(judge(&mapping, &was, Some(&row)), Verdict::Fine);
    // Between types that both know, the newer one's word counts.
    let Verdict::Merge(row, _) = judge(&mapping, &v2("GENERATION", "\"hi\"", &[]), Some(&v3("SPAN", "hi")))
    else {
        panic!("a merge")
    };
    assert_eq!(row.get(&mapping, "type"), &text("GENERATION"));
}

/// A dump was restored, or a clock was set back: the copy is of a row that v2 has not got any more.
#[test]
fn counts_that_belong_together_stay_together() {
    let of_v3 = counts(&[("input", 5), ("output", 2), ("total", 7), ("cached", 3)]);
    let of_v2 = counts(&[("input", 5), ("output", 0), ("total", 5)]);
    let old = observation(3_600_001, 1_000, &[("usage_details", of_v2)]);
    let new = observation(3_600_000, 3_600_000, &[("usage_details", of_v3)]);
    let map = mapping(Table::Observations);
    let Verdict::Merge(row, _) = judge(&map, &old, Some(&new)) else { panic!("a merge") };
    let all = counts(&[("input", 5), ("output", 0), ("total", 5), ("cached", 3)]);
    assert_eq!(row.get(&map, "usage_details"), &all);
}
