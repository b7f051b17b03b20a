//! Rows of both sides, and what becomes of them.

use super::{Verdict, judge};
use crate::data::cell::{Cell, ChType, SCALE};
use crate::data::rows::{Key, Row};
use crate::data::tables::{Live, Mapping, spec};
use crate::domain::backfill::Table;

pub(super) fn mapping(table: Table) -> Mapping {
    let spec = spec(table);
    Live { columns: spec.columns.iter().map(|c| (c.ch.to_owned(), ChType::String)).collect() }.map(spec)
}

/// A row of traces with these cells; the rest is empty.
pub(super) fn row(table: Table, cells: &[(&str, Cell)]) -> Row {
    let mapping = mapping(table);
    let given = |name: &str| cells.iter().find(|(n, _)| *n == name).map(|(_, cell)| cell.clone());
    let cells = mapping.columns.iter().map(|m| given(m.column.ch).unwrap_or(Cell::Null)).collect();
    Row { key: Key { project: "p".into(), id: "i".into() }, cells }
}

pub(super) fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

fn v2(more: &[(&str, Cell)]) -> Row {
    let base = [
        ("timestamp", Cell::Millis(1_000)),
        ("created_at", Cell::Millis(1_000)),
        ("updated_at", Cell::Millis(2_000)),
        ("event_ts", Cell::Millis(1_000)),
        ("is_deleted", Cell::Int(0)),
        ("name", text("from v2")),
    ];
    row(Table::Traces, &[more, &base].concat())
}

/// Written by v3 an hour later.
fn v3(more: &[(&str, Cell)]) -> Row {
    let base = [
        ("timestamp", Cell::Millis(1_000)),
        ("created_at", Cell::Millis(1_000)),
        ("updated_at", Cell::Millis(3_600_000)),
        ("event_ts", Cell::Millis(3_600_000)),
        ("is_deleted", Cell::Int(0)),
    ];
    row(Table::Traces, &[more, &base].concat())
}

#[track_caller]
fn merged(v2: &Row, v3: &Row) -> (Row, Vec<&'static str>) {
    match judge(&mapping(Table::Traces), v2, Some(v3)) {
        Verdict::Merge(row, columns) => (row, columns),
        other => panic!("{other:?}"),
    }
}

#[test]
fn holes_are_filled_and_values_stay() {
    let map = mapping(Table::Traces);
    let entry = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let old = v2(&[
        ("user_id", text("u2")),
        ("input", text("{}")),
        ("tags", Cell::List(vec!["a".into(), "b".into()])),
        ("metadata", Cell::Map(vec![entry("x", "2"), entry("y", "2")])),
        ("public", Cell::Bool(true)),
    ]);
    let new = v3(&[
        ("name", text("")),
        ("user_id", text("u3")),
        ("tags", Cell::List(vec!["b".into(), "c".into()])),
        ("metadata", Cell::Map(vec![entry("x", "3"), entry("z", "")])),
        ("public", Cell::Bool(false)),
    ]);
    let (row, columns) = merged(&old, &new);
    assert_eq!(columns, ["name", "metadata", "public", "tags", "input"]);
    assert_eq!((row.get(&map, "name"), row.get(&map, "user_id")), (&text("from v2"), &text("u3")));
    assert_eq!(row.get(&map, "tags"), &Cell::List(vec!["b".into(), "c".into(), "a".into()]));
    let metadata = vec![entry("x", "3"), entry("z", ""), entry("y", "2")];
    assert_eq!(row.get(&map, "metadata"), &Cell::Map(metadata));
    assert_eq!(row.get(&map, "event_ts"), &Cell::Millis(3_600_001));
    // Once more: there is nothing left to do.
    assert_eq!(judge(&map, &old, Some(&row)), Verdict::Fine);
}

/// A merge for another column's sake does not rewrite what is not UTF-8, nor leave it out.
#[test]
fn bytes_stay_bytes() {
    let map = mapping(Table::Traces);
    let [tags, metadata] = [vec![1, 1, 0xff], vec![1, 1, 0xff, 1, b'b']].map(Cell::Bytes);
    let old = v2(&[("tags", Cell::List(vec!["a".into()])), ("metadata", Cell::Map(vec![]))]);
    let new = v3(&[("name", text("")), ("tags", tags.clone()), ("metadata", metadata.clone())]);
    let (row, columns) = merged(&old, &new);
    assert_eq!(columns, ["name"]);
    assert_eq!((row.get(&map, "tags"), row.get(&map, "metadata")), (&tags, &metadata));
}

#[test]
fn a_decision_in_v3_is_no_hole() {
    let whole = [("name", text("from v2")), ("public", Cell::Bool(false))];
    let old = v2(&[("public", Cell::Bool(true))]);
    assert_eq!(judge(&mapping(Table::Traces), &old, Some(&v3(&whole))), Verdict::Fine);
}

/// v2 changed the name after the copy, and then somebody made the trace private in v3, whose screens leave `updated_at`.
#[test]
fn a_decision_of_a_screen_goes_by_its_version() {
    let map = mapping(Table::Traces);
    let place = |row: &mut Row, column: &str, cell: Cell| {
        let at = map.columns.iter().position(|m| m.column.ch == column).unwrap();
        row.cells[at] = cell;
    };
    let old = v2(&[("public", Cell::Bool(true))]);
    let mut private = v3(&[("name", text("before")), ("public", Cell::Bool(false))]);
    place(&mut private, "updated_at", Cell::Millis(1_500));
    let (row, columns) = merged(&old, &private);
    assert_eq!(columns, ["name"]);
    assert_eq!((row.get(&map, "name"), row.get(&map, "public")), (&text("from v2"), &Cell::Bool(false)));
    // v2 made it public again, later still.
    let mut again = old.clone();
    place(&mut again, "updated_at", Cell::Millis(9_000_000));
    assert_eq!(merged(&again, &private).0.get(&map, "public"), &Cell::Bool(true));
}

#[test]
fn what_v2_wrote_later_wins() {
    let map = mapping(Table::Traces);
    let mut old = v2(&[("user_id", text("u2"))]);
    let at = map.columns.iter().position(|m| m.column.ch == "updated_at").unwrap();
    old.cells[at] = Cell::Millis(9_000_000);
    let (row, columns) = merged(&old, &v3(&[("user_id", text("u3")), ("session_id", text("s3"))]));
    assert_eq!(columns, ["name", "user_id"]);
    assert_eq!((row.get(&map, "user_id"), row.get(&map, "session_id")), (&text("u2"), &text("s3")));
    assert_eq!(row.get(&map, "updated_at"), &Cell::Millis(9_000_000));
}

#[test]
fn what_it_was_created_with_stays() {
    let map = mapping(Table::Traces);
    let mut late = v3(&[("name", text("n3"))]);
    let at = map.columns.iter().position(|m| m.column.ch == "timestamp").unwrap();
    late.cells[at] = Cell::Millis(90_000_000);
    let (row, columns) = merged(&v2(&[]), &late);
    assert_eq!((columns.as_slice(), row.get(&map, "timestamp")), (&["timestamp"][..], &Cell::Millis(1_000)));
}

#[test]
fn copies_are_refreshed_when_v2_changed() {
    let map = mapping(Table::Traces);
    let mut copy = v2(&[("name", text("before"))]);
    let set = |row: &mut Row, column: &str, cell: Cell| {
        let at = map.columns.iter().position(|m| m.column.ch == column).unwrap();
        row.cells[at] = cell;
    };
    set(&mut copy, "name", text("before"));
    assert_eq!(judge(&map, &v2(&[]), Some(&copy)), Verdict::Fine, "not changed since");
    set(&mut copy, "updated_at", Cell::Millis(1_500));
    let Verdict::Refresh(row, columns) = judge(&map, &v2(&[]), Some(&copy)) else { panic!("a refresh") };
    assert_eq!((columns.as_slice(), row.get(&map, "event_ts")), (&["name"][..], &Cell::Millis(1_001)));
    assert_eq!(judge(&map, &v2(&[]), Some(&row)), Verdict::Fine);
    // The same written again: only its time is another, and the copy takes it.
    let mut same = v2(&[]);
    set(&mut same, "updated_at", Cell::Millis(4_000));
    let Verdict::Refresh(touched, columns) = judge(&map, &same, Some(&row)) else { panic!("a refresh") };
    assert_eq!(columns, ["updated_at"]);
    assert_eq!(judge(&map, &same, Some(&touched)), Verdict::Fine);
    // Changed again, a field emptied: a refreshed copy is still a copy.
    let mut emptied = v2(&[]);
    set(&mut emptied, "name", text(""));
    set(&mut emptied, "updated_at", Cell::Millis(5_000));
    let Verdict::Refresh(row, _) = judge(&map, &emptied, Some(&row)) else { panic!("a refresh") };
    assert_eq!((row.get(&map, "name"), row.get(&map, "event_ts")), (&text(""), &Cell::Millis(1_002)));
}

/// The client's clock is ahead by nearly as long as v3's queue takes: its row's version is nearly its time.
#[test]
fn a_clock_that_is_ahead_makes_no_copy() {
    let map = mapping(Table::Traces);
    let at = |millis: i64| {
        [
            ("timestamp", Cell::Millis(1_000)),
            ("created_at", Cell::Millis(millis)),
            ("updated_at", Cell::Millis(millis)),
            ("event_ts", Cell::Millis(millis)),
            ("is_deleted", Cell::Int(0)),
        ]
    };
    for millis in [1_001, 1_100, 1_250] {
        let said = [("user_id", text("u3")), ("tags", Cell::List(vec!["v3".into()]))];
        let partial = row(Table::Traces, &[&at(millis)[..], &said].concat());
        // v2 wrote before v3 did, and after.
        for updated in [900, 5_000] {
            let old = row(
                Table::Traces,
                &[&[("updated_at", Cell::Millis(updated)), ("name", text("n2"))], &at(1_000)[..]].concat(),
            );
            let (both, _) = merged(&old, &partial);
            assert_eq!((both.get(&map, "name"), both.get(&map, "user_id")), (&text("n2"), &text("u3")));
            assert_eq!(judge(&map, &old, Some(&both)), Verdict::Fine);
            // And it stays v3's when v2 writes once more.
            let mut again = old.clone();
            let place = map.columns.iter().position(|m| m.column.ch == "updated_at").unwrap();
            again.cells[place] = Cell::Millis(9_000);
            let place = map.columns.iter().position(|m| m.column.ch == "name").unwrap();
            again.cells[place] = text("n4");
            assert_eq!(merged(&again, &both).0.get(&map, "user_id"), &text("u3"));
        }
    }
}

#[test]
fn deleted_stays_deleted_and_absent_is_inserted() {
    let map = mapping(Table::Traces);
    let mut gone = v3(&[]);
    let at = map.columns.iter().position(|m| m.column.ch == "is_deleted").unwrap();
    gone.cells[at] = Cell::Int(1);
    assert_eq!(judge(&map, &v2(&[]), Some(&gone)), Verdict::Deleted);
    assert_eq!(judge(&map, &v2(&[]), None), Verdict::Insert);
}

#[test]
fn counts_of_nothing_are_no_hole() {
    let map = mapping(Table::Observations);
    let counts = |n| Cell::Counts(vec![("input".into(), n), ("output".into(), 0), ("total".into(), n)]);
    let of = |event_ts, more: &[(&str, Cell)]| {
        let base = [
            ("start_time", Cell::Millis(1_000)),
            ("event_ts", Cell::Millis(event_ts)),
            ("updated_at", Cell::Millis(event_ts)),
            ("level", text("DEFAULT")),
        ];
        row(Table::Observations, &[more, &base].concat())
    };
    let partial =
        of(3_600_000, &[("usage_details", Cell::Counts(vec![])), ("cost_details", Cell::Amounts(vec![]))]);
    let zeros = of(
        1_000,
        &[("usage_details", counts(0)), ("cost_details", Cell::Amounts(vec![("total".into(), 0)]))],
    );
    assert_eq!(judge(&map, &zeros, Some(&partial)), Verdict::Fine);
    let cost = Cell::Amounts(vec![("total".into(), SCALE)]);
    let mut full = of(1_000, &[("usage_details", counts(7)), ("cost_details", cost)]);
    let level = map.columns.iter().position(|m| m.column.ch == "level").unwrap();
    full.cells[level] = text("ERROR");
    let Verdict::Merge(row, columns) = judge(&map, &full, Some(&partial)) else { panic!("a merge") };
    assert_eq!(columns, ["level", "usage_details", "cost_details"]);
    assert_eq!(row.get(&map, "usage_details"), &counts(7));
}

/// The client's clock was ahead of v2's: a version of a millisecond more would be newer than v2's change.
#[test]
fn a_copy_whose_client_was_ahead_stays_a_copy() {
    let map = mapping(Table::Traces);
    let ahead =
        [("timestamp", Cell::Millis(9_000)), ("event_ts", Cell::Millis(9_000)), ("public", Cell::Bool(true))];
    let copy =
        v2(&[&ahead[..2], &[("updated_at", Cell::Millis(1_500)), ("public", Cell::Bool(false))]].concat());
    let Verdict::Refresh(row, columns) = judge(&map, &v2(&ahead), Some(&copy)) else {
        panic!("not refreshed")
    };
    assert_eq!((columns, row.get(&map, "event_ts")), (vec!["public"], &Cell::Millis(9_000)));
    // It is taken back in v2, and v3 does not say otherwise.
    let back =
        v2(&[&ahead[..2], &[("updated_at", Cell::Millis(2_500)), ("public", Cell::Bool(false))]].concat());
    let Verdict::Refresh(row, _) = judge(&map, &back, Some(&row)) else { panic!("not refreshed again") };
    assert_eq!(row.get(&map, "public"), &Cell::Bool(false));
}

#[test]
fn a_copy_of_a_later_row_is_refreshed() {
    let map = mapping(Table::Traces);
    let set = |row: &mut Row, column: &str, cell: Cell| {
        let at = map.columns.iter().position(|m| m.column.ch == column).unwrap();
        row.cells[at] = cell;
    };
    let mut copy = v2(&[]);
    set(&mut copy, "name", text("later"));
    set(&mut copy, "updated_at", Cell::Millis(2_001));
    let Verdict::Refresh(row, columns) = judge(&map, &v2(&[]), Some(&copy)) else { panic!("a refresh") };
    assert_eq!((columns.as_slice(), row.get(&map, "updated_at")), (&["name"][..], &Cell::Millis(2_000)));
    assert_eq!(judge(&map, &v2(&[]), Some(&row)), Verdict::Fine);
    // langfuse#16858: no moment of v2's.
    set(&mut copy, "updated_at", Cell::Millis(1_763_800_000_000_000));
    assert_eq!(judge(&map, &v2(&[]), Some(&copy)), Verdict::Fine);
}

#[test]
fn a_refresh_to_an_earlier_change_wins_at_once() {
    let at = |updated| [("timestamp", 9_000), ("event_ts", 9_000), ("updated_at", updated)];
    let of = |updated| v2(&at(updated).map(|(column, at)| (column, Cell::Millis(at))));
    let map = mapping(Table::Traces);
    let Verdict::Refresh(row, _) = judge(&map, &of(8_500), Some(&of(10_000))) else { panic!("a refresh") };
    assert_eq!(row.get(&map, "event_ts"), &Cell::Millis(9_001));
}

#[test]
fn run_items_of_v3s_own_are_no_old_copies() {
    let map = mapping(Table::DatasetRunItems);
    let times = ["created_at", "updated_at", "event_ts"];
    let of = |at| row(Table::DatasetRunItems, &times.map(|column| (column, Cell::Millis(at))));
    assert_eq!(judge(&map, &of(1_000), Some(&of(1_004))), Verdict::Fine);
}
