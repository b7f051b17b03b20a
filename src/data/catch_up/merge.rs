//! One row of both sides made one: pure.
//!
//! One rule: whichever side wrote last keeps what it says; what it leaves empty is taken from the other. Langfuse's own
//! merge does the same, and keeps what an entity was created with (`immutableEntityKeys` of its ingestion service). What the
//! way back made of v3's own value is no word of v2: see `image`.

mod image;

use crate::data::cell::Cell;
use crate::data::copied::{REFRESHED_MS, is_copy};
use crate::data::rows::Row;
use crate::data::tables::{Column, Compare, Mapping, Rule};

/// The year 2300 in milliseconds: what is of a later time was stored or read wrong (langfuse#16858).
pub const BEYOND: i64 = 10_413_792_000_000;

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing: it is as it should be.
    Fine,
    /// Nothing: v3 has deleted it.
    Deleted,
    /// v2's row as it is, as the backfill would have written it.
    Insert,
    /// v2's row, newer than the copy; the columns that differ.
    Refresh(Row, Vec<&'static str>),
    /// Both made one, newer than v3's; the columns that were filled.
    Merge(Row, Vec<&'static str>),
}

/// Judges v2's row against the winning row of v3.
pub fn judge(mapping: &Mapping, v2: &Row, v3: Option<&Row>) -> Verdict {
    let Some(v3) = v3 else { return Verdict::Insert };
    if matches!(v3.get(mapping, "is_deleted"), Cell::Int(1..)) {
        return Verdict::Deleted;
    }
    let [in_v2, in_v3] = [v2, v3].map(|row| millis(mapping, row, "updated_at"));
    let newer = in_v2 > in_v3;
    if is_copy(mapping, v3) {
        // Run items that v3 wrote itself have all their times alike, as copies do, but not v2's.
        let [of_v2, of_v3] = [v2, v3].map(|row| millis(mapping, row, mapping.spec.time));
        if !is_old(in_v3, in_v2) || (!newer && of_v2 != of_v3) {
            return Verdict::Fine;
        }
        let mut columns = differing(mapping, v2, v3);
        if columns.is_empty() {
            // v2 wrote the same again. As long as the copy does not say so, it looks like an old one.
            columns.push("updated_at");
        }
        return Verdict::Refresh(refreshed(mapping, v2, v3), columns);
    }
    let merged = merge(mapping, v2, v3, newer);
    let columns = differing(mapping, &merged, v3);
    if columns.is_empty() {
        return Verdict::Fine;
    }
    Verdict::Merge(not_a_copy(mapping, versioned(mapping, merged, v3)), columns)
}

/// Whether a copy with this `updated_at` is not of v2's row as it is now, both in milliseconds. A copy holds it as it was:
/// an earlier one in v2 tells of a change as well, by a clock that was set back or a dump that was restored. What is
/// beyond `DateTime64(3)` was stored wrong, and a newer version of that would win for ever.
pub const fn is_old(copy: i64, v2: i64) -> bool {
    copy < v2 || (copy > v2 && copy < BEYOND)
}

/// A moment of a row; 0 where it has none.
pub fn millis(mapping: &Mapping, row: &Row, column: &str) -> i64 {
    match row.get(mapping, column) {
        Cell::Millis(at) => *at,
        _ => 0,
    }
}

/// A millisecond newer than what it replaces. Not the present: v3 may be merging the same entity now, and its row, made
/// without ours, would be older than ours and lost.
fn versioned(mapping: &Mapping, mut row: Row, over: &Row) -> Row {
    let version = millis(mapping, over, "event_ts").max(millis(mapping, &row, "event_ts")) + 1;
    set_version(mapping, &mut row, version);
    row
}

/// A copy stays one. Where the client's clock was ahead of v2's, a millisecond more would make it v3's own: of two rows of
/// one version the engine keeps the one that came last, as it does when a worker copies a row again. Not where v2's clock
/// was set back: who reads before the engine has merged takes the later `updated_at`.
fn refreshed(mapping: &Mapping, v2: &Row, v3: &Row) -> Row {
    let newer = versioned(mapping, v2.clone(), v3);
    let mut alike = newer.clone();
    set_version(mapping, &mut alike, millis(mapping, &newer, "event_ts") - 1);
    let back = millis(mapping, v2, "updated_at") < millis(mapping, v3, "updated_at");
    if back || is_copy(mapping, &newer) || !is_copy(mapping, &alike) { newer } else { alike }
}

/// A client whose clock is ahead gives v3's rows times that are nearly their versions: with the `updated_at` of v2 such a
/// row would look like a copy, and the next change in v2 would take v3's values from it.
fn not_a_copy(mapping: &Mapping, mut row: Row) -> Row {
    if is_copy(mapping, &row) {
        let version = millis(mapping, &row, mapping.spec.time) + REFRESHED_MS + 1;
        set_version(mapping, &mut row, version);
    }
    row
}

fn set_version(mapping: &Mapping, row: &mut Row, version: i64) {
    if let Some(at) = mapping.columns.iter().position(|m| m.column.ch == "event_ts") {
        row.cells[at] = Cell::Millis(version);
    }
}

/// Columns whose values differ, as far as they say what the row is.
fn differing(mapping: &Mapping, a: &Row, b: &Row) -> Vec<&'static str> {
    let pairs = mapping.columns.iter().zip(a.cells.iter().zip(&b.cells));
    let differ = pairs.filter(|(m, (a, b))| is_told(m.column) && a != b);
    differ.map(|(m, _)| m.column.ch).collect()
}

/// `updated_at` says when, not what; and what v2 does not know is no difference.
fn is_told(column: &Column) -> bool {
    column.ch != "updated_at" && !matches!(column.rule, Rule::Version | Rule::Alive | Rule::Fixed(_))
}

/// What an entity was created with stays as it was first written: v2 had it first.
fn is_birth(mapping: &Mapping, column: &Column) -> bool {
    column.ch == "created_at"
        || column.ch == mapping.spec.time
        || (column.ch == "trace_id" && mapping.spec.sorted_by.contains(&"type"))
}

fn merge(mapping: &Mapping, v2: &Row, v3: &Row, v2_is_newer: bool) -> Row {
    let partial = is_partial(mapping, v2, v3);
    // v3's screens make a trace private and leave `updated_at` as it was: the version says when.
    let touched = millis(mapping, v3, "event_ts").max(millis(mapping, v3, "updated_at"));
    let decided_later = !partial && millis(mapping, v2, "updated_at") <= touched;
    let mut cells = Vec::with_capacity(v3.cells.len());
    for (at, mapped) in mapping.columns.iter().enumerate() {
        let (old, new) = (&v2.cells[at], &v3.cells[at]);
        let column = mapped.column;
        cells.push(match (column.rule, old, new) {
            (Rule::Version | Rule::Alive | Rule::Fixed(_), ..) => new.clone(),
            _ if matches!(column.compare, Compare::Not(_)) && !new.is_empty() => new.clone(),
            _ if column.ch == "updated_at" => latest(old, new),
            // Not taken apart: nothing of it would be the same.
            (_, _, Cell::Bytes(_)) if !matches!(column.rule, Rule::Text | Rule::Json) => new.clone(),
            _ if is_birth(mapping, column) && !old.is_empty() => old.clone(),
            _ if v2_is_newer && image::is_of(column, old, new) => new.clone(),
            (_, Cell::Map(old), Cell::Map(new)) if v2_is_newer => Cell::Map(image::entries(column, old, new)),
            (_, Cell::Counts(old), Cell::Counts(new)) if v2_is_newer && !new.is_empty() => {
                Cell::Counts(image::parts(column, old, new, Cell::Counts))
            }
            (_, Cell::Amounts(old), Cell::Amounts(new)) if v2_is_newer && !new.is_empty() => {
                Cell::Amounts(image::parts(column, old, new, Cell::Amounts))
            }
            (_, Cell::Map(old), Cell::Map(new)) => Cell::Map(entries(new, old)),
            (_, Cell::List(old), Cell::List(new)) => Cell::List(united(new, old)),
            (Rule::Bool, _, new) if decided_later => new.clone(),
            (_, old, new) if is_default(new) && (partial || new.is_empty()) => or(old, new),
            (_, old, new) if v2_is_newer => or(old, new),
            (_, old, new) => or(new, old),
        });
    }
    Row { key: v3.key.clone(), cells }
}

/// Whether v3 wrote without knowing what v2 has: then its booleans and levels are defaults and no decisions. A trace
/// that somebody made private in v3 was whole, and stays private.
fn is_partial(mapping: &Mapping, v2: &Row, v3: &Row) -> bool {
    let pairs = mapping.columns.iter().zip(v2.cells.iter().zip(&v3.cells));
    pairs.into_iter().any(|(m, (old, new))| is_told(m.column) && new.is_empty() && !old.is_nothing())
}

/// What v3 writes where nobody said anything.
fn is_default(cell: &Cell) -> bool {
    match cell {
        Cell::Bool(value) => !value,
        Cell::Text(text) => text.is_empty() || text == "DEFAULT",
        cell => cell.is_nothing(),
    }
}

fn or(first: &Cell, second: &Cell) -> Cell {
    // Counts of 0 in place of no counts at all would be a difference without a meaning.
    if first.is_nothing() { second.clone() } else { first.clone() }
}

fn latest(a: &Cell, b: &Cell) -> Cell {
    match (a, b) {
        (Cell::Millis(a), Cell::Millis(b)) => Cell::Millis(*a.max(b)),
        _ => or(b, a),
    }
}

/// The entries of `first`, and those of `second` that it does not have or has empty.
fn entries(first: &[(String, String)], second: &[(String, String)]) -> Vec<(String, String)> {
    let mut out = first.to_vec();
    for (key, value) in second {
        match out.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) if known.is_empty() => known.clone_from(value),
            Some(_) => {}
            None => out.push((key.clone(), value.clone())),
        }
    }
    out
}

fn united(first: &[String], second: &[String]) -> Vec<String> {
    let mut out = first.to_vec();
    let more = second.iter().filter(|tag| !first.contains(tag));
    out.extend(more.cloned());
    out
}

#[cfg(test)]
mod image_tests;
#[cfg(test)]
mod tests;
