//! What the way back ([`crate::data::restore`]) made of v3's values in v2, which v2 knows less of than v3 does.
//!
//! One rule: where v2 has no more than an image of v3's value, v2 did not say anything: v3's stays, whoever wrote last.

use crate::data::cell::Cell;
use crate::data::convert::back::back;
use crate::data::convert::{Field, convert};
use crate::data::tables::{Column, Compare, Rule};
use crate::data::verify::compare::same;

/// The types of observations that v2 knows; the way back writes any other as the first or the last.
const TYPES: [&str; 3] = ["SPAN", "EVENT", "GENERATION"];

/// Whether v2's cell is an image of v3's.
pub(super) fn is_of(column: &Column, v2: &Cell, v3: &Cell) -> bool {
    if v2.is_empty() || v3.is_empty() {
        return false;
    }
    match (column.ch, column.rule) {
        ("type", _) => match (v2.text(), v3.text()) {
            (Some(v2), Some(v3)) => matches!(v2, "SPAN" | "GENERATION") && !TYPES.contains(&v3),
            _ => false,
        },
        (_, Rule::Json) => same(column, v2, v3) || again(column, v3).is_some_and(|v3| same(column, v2, &v3)),
        _ => column.compare == Compare::Amount && same(column, v2, v3),
    }
}

/// JSON as it is when it came back and was copied again.
fn again(column: &Column, v3: &Cell) -> Option<Cell> {
    let text = back(column, v3, &mut vec![]).ok()?.pop()??;
    let jsonb = [&[1], text.as_bytes()].concat();
    convert(column, &[Field(Some(&jsonb))], true).ok()
}

/// v3's entries, with those that v2 has otherwise; what v2 has empty v3's fills.
pub(super) fn entries(
    column: &Column,
    v2: &[(String, String)],
    v3: &[(String, String)],
) -> Vec<(String, String)> {
    let mut out = v3.to_vec();
    let alone = |key: &str, text: &str| Cell::Map(vec![(key.to_owned(), text.to_owned())]);
    for (key, text) in v2 {
        match out.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) if text.is_empty() || same(column, &alone(key, text), &alone(key, known)) => {}
            Some((_, known)) => known.clone_from(text),
            None => out.push((key.clone(), text.clone())),
        }
    }
    out
}

/// v3's parts, with all of v2's where one of them is not v3's: they add up with each other. 0 is what v2 has where nobody
/// counted.
pub(super) fn parts<T: Copy + Default + PartialEq>(
    column: &Column,
    v2: &[(String, T)],
    v3: &[(String, T)],
    cell: fn(Vec<(String, T)>) -> Cell,
) -> Vec<(String, T)> {
    let mut out = v3.to_vec();
    let alone = |key: &str, count: T| cell(vec![(key.to_owned(), count)]);
    let known = |key: &str| v3.iter().find(|(known, _)| known == key).map(|(_, count)| *count);
    let differs = v2.iter().any(|(key, count)| {
        let alike = known(key).is_some_and(|known| same(column, &alone(key, *count), &alone(key, known)));
        *count != T::default() && !alike
    });
    for (key, count) in v2.iter().filter(|_| differs) {
        match out.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = *count,
            None if *count != T::default() => out.push((key.clone(), *count)),
            None => {}
        }
    }
    out
}
