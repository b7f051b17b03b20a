//! jsonb as JavaScript's `JSON.stringify` writes it, without building the value.
//!
//! One rule: strings are copied as they are, since PostgreSQL and JavaScript escape them alike; only white space,
//! the spelling of numbers and the order of integer-like keys differ.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Levels of JSON that are put in order; each costs a bit of the stack.
const DEEPEST: u32 = 128;

/// The entries of an object in its order, values as their text: read as numbers they would lose their last digit.
pub(super) struct Entries<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = vec![];
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        from.deserialize_map(Reader)
    }
}

/// Whether JavaScript calls the JSON value falsy: `null`, `false`, `0`, `""`.
pub fn is_falsy(text: &str) -> bool {
    match text.trim() {
        "null" | "false" | "\"\"" => true,
        text => text.parse::<f64>().is_ok_and(|n| n == 0.0),
    }
}

/// `JSON.stringify` of a jsonb text: compact; numbers as the shortest double; keys that are array indices first, in
/// rising order.
///
/// # Errors
/// The text is not JSON: jsonb never is.
pub fn stringify(jsonb: &str) -> Result<String, String> {
    let mut out = String::with_capacity(jsonb.len());
    let reorder = compact(jsonb, &mut out)?;
    if !reorder {
        return Ok(out);
    }
    let mut sorted = String::with_capacity(out.len());
    write_sorted(&out, &mut sorted, DEEPEST)?;
    Ok(sorted)
}

/// Copies without white space; tells whether a key looks like an array index, which JavaScript moves to the front.
fn compact(text: &str, out: &mut String) -> Result<bool, String> {
    let bytes = text.as_bytes();
    let (mut at, mut reorder) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\n' | b'\t' | b'\r' => at += 1,
            b'"' => {
                let end = string_end(bytes, at).ok_or("a string without an end")?;
                let is_key = bytes[end..].iter().find(|b| !b.is_ascii_whitespace()) == Some(&b':');
                reorder |= is_key && bytes[at + 1].is_ascii_digit() && is_index(&text[at + 1..end - 1]);
                out.push_str(&text[at..end]);
                at = end;
            }
            b'-' | b'0'..=b'9' => {
                let more = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
                let end = at + bytes[at..].iter().take_while(|b| more(b)).count();
                match &text[at..end] {
                    plain if is_plain(plain) => out.push_str(plain),
                    other => out.push_str(&number(other)?),
                }
                at = end;
            }
            _ => {
                let end = at
                    + bytes[at..]
                        .iter()
                        .take_while(|b| !matches!(b, b'"' | b' ' | b'-' | b'0'..=b'9'))
                        .count();
                out.push_str(&text[at..end]);
                at = end;
            }
        }
    }
    Ok(reorder)
}

/// The position after the closing quote of the string that opens at `from`.
fn string_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// A JSON number as JavaScript writes the double it becomes: shortest digits, exponents from 1e21 and below 1e-6.
///
/// # Errors
/// The text is not a number.
pub fn number(text: &str) -> Result<String, String> {
    if is_plain(text) {
        return Ok(text.to_owned());
    }
    let double: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    Ok(double_text(double))
}

/// A whole number that every double holds and that is spelled as JavaScript does.
fn is_plain(text: &str) -> bool {
    text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

/// A double as JavaScript's `Number::toString` writes it (ECMA-262, 6.1.6.1.20); infinity becomes `null`, as JSON has
/// no word for it.
pub fn double_text(double: f64) -> String {
    if !double.is_finite() {
        return "null".into();
    }
    if double == 0.0 {
        return "0".into();
    }
    let size = double.abs();
    if (1e-6..1e21).contains(&size) {
        return format!("{double}");
    }
    let text = format!("{double:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

/// Canonical integers below 2^32 - 1: the keys that JavaScript orders by value.
fn is_index(key: &str) -> bool {
    index(key).is_some()
}

fn index(key: &str) -> Option<u64> {
    let index: u64 = key.parse().ok()?;
    (index < 4_294_967_295 && (key == "0" || !key.starts_with('0')) && !key.starts_with('+')).then_some(index)
}

/// Compact text again, keys in JavaScript's order; everything else as it stands there.
fn write_sorted(compact: &str, out: &mut String, deeper: u32) -> Result<(), String> {
    let deeper =
        deeper.checked_sub(1).ok_or("it is nested too deep to put its keys in JavaScript's order")?;
    let broken = |e: serde_json::Error| e.to_string();
    match compact.as_bytes().first() {
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(compact).map_err(broken)?;
            out.push('[');
            for (at, item) in items.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_sorted(item.get(), out, deeper)?;
            }
            out.push(']');
        }
        Some(b'{') => {
            let Entries(mut entries) = serde_json::from_str(compact).map_err(broken)?;
            entries.sort_by_key(|(key, _)| index(key).unwrap_or(u64::MAX));
            out.push('{');
            for (at, (key, item)) in entries.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key).to_string());
                out.push(':');
                write_sorted(item.get(), out, deeper)?;
            }
            out.push('}');
        }
        _ => out.push_str(compact),
    }
    Ok(())
}
