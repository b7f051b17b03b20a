//! The map of metadata as one text, the same from v2's jsonb and from v3's map of texts.
//!
//! One rule: what v3 forgot is forgotten on both sides. A map of texts does not know whether `5` was a number or a string,
//! nor whether an empty text was one or `null`; without quotes, and with nothing after the colon of a `null`, both sides
//! read alike. Another spelling of a number than JavaScript's makes another text: such a row is looked at closely. Two
//! maps that are not the same can read alike as well, `{"a": "1, b: 2"}` and `{"a": 1, "b": 2}`; no way of copying or of
//! losing rows makes the one of the other.
//!
//! One text costs PostgreSQL less than half of what taking the entries apart in SQL does (`tests/bench/verify.sh`).

use super::json::{Node, parse};
use super::lookup3::{hash_numeric, hashtext};

/// Exponents beyond this are not written out: no double has them.
const LARGEST: i32 = 400;
const NULL: &[u8] = b": null";

/// A column of PostgreSQL as that text; what is no object is the one entry that v3's worker makes of it.
pub fn sql(x: &str) -> String {
    let wrapped = format!("'{{\"metadata\": ' || {x}::text || '}}'");
    format!(
        "replace(replace(CASE jsonb_typeof({x}) WHEN 'object' THEN {x}::text WHEN 'array' THEN {wrapped} \
         WHEN 'string' THEN {wrapped} ELSE '{{}}' END COLLATE \"C\", '\"', ''), ': null', ': ')"
    )
}

/// `hashtextextended` of that text, from the entries of v3's map.
pub fn hash_map(mut entries: Vec<(&[u8], &[u8])>, seed: u64) -> u64 {
    // jsonb's order: by length, then by bytes.
    entries.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    let mut out = Vec::with_capacity(64 + entries.iter().map(|(k, v)| k.len() + v.len() + 8).sum::<usize>());
    out.push(b'{');
    for (at, (key, value)) in entries.into_iter().enumerate() {
        separate(at, &mut out);
        string(key, &mut out);
        out.extend_from_slice(b": ");
        entry(value, &mut out);
    }
    out.push(b'}');
    hashtext(&without_nulls(out), seed)
}

fn separate(at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.extend_from_slice(b", ");
    }
}

/// An object or array that v3 keeps as JSON; anything else as it is.
fn entry(value: &[u8], out: &mut Vec<u8>) {
    let text = || std::str::from_utf8(value).ok();
    match value.first() {
        Some(b'{' | b'[') => match text().and_then(parse) {
            Some(node) => write(&node, out),
            None => string(value, out),
        },
        Some(b'-' | b'0'..=b'9') => match text().filter(|text| hash_numeric(text, 0).is_some()) {
            Some(text) => number(text, out),
            None => string(value, out),
        },
        _ => string(value, out),
    }
}

fn write(node: &Node<'_>, out: &mut Vec<u8>) {
    match node {
        Node::Null => out.extend_from_slice(b"null"),
        Node::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Node::Number(text) => number(text, out),
        Node::Text(text) => string(text, out),
        Node::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                separate(at, out);
                write(item, out);
            }
            out.push(b']');
        }
        Node::Object(items) => {
            out.push(b'{');
            for (at, (key, item)) in items.iter().enumerate() {
                separate(at, out);
                string(key, out);
                out.extend_from_slice(b": ");
                write(item, out);
            }
            out.push(b'}');
        }
    }
}

/// PostgreSQL writes no exponents; JavaScript does, from 1e21 and below 1e-6.
fn number(text: &str, out: &mut Vec<u8>) {
    let written_out = text.split_once(['e', 'E']).and_then(|(mantissa, exponent)| {
        let exponent: i32 = exponent.trim_start_matches('+').parse().ok()?;
        let (sign, digits) = mantissa.strip_prefix('-').map_or(("", mantissa), |digits| ("-", digits));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let digits = format!("{whole}{part}");
        // Digits before the point.
        let point = i32::try_from(whole.len()).ok()? + exponent;
        let text = match usize::try_from(point) {
            _ if exponent.abs() > LARGEST => return None,
            Ok(0) | Err(_) => format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
            Ok(point) if point >= digits.len() => format!("{sign}{digits:0<point$}"),
            Ok(point) => format!("{sign}{}.{}", &digits[..point], &digits[point..]),
        };
        Some(text)
    });
    out.extend_from_slice(written_out.as_deref().unwrap_or(text).as_bytes());
}

/// Escaped as PostgreSQL escapes (`escape_json` in `adt/json.c`), without any quote.
fn string(text: &[u8], out: &mut Vec<u8>) {
    if !text.iter().any(|b| matches!(b, 0..0x20 | b'"' | b'\\')) {
        return out.extend_from_slice(text);
    }
    for byte in text {
        match byte {
            b'"' => out.push(b'\\'),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
}

/// PostgreSQL's `replace(text, ': null', ': ')`.
fn without_nulls(text: Vec<u8>) -> Vec<u8> {
    let mut rest = text.as_slice();
    let mut out: Option<Vec<u8>> = None;
    while let Some(at) = rest.windows(NULL.len()).position(|six| six == NULL) {
        out.get_or_insert_with(|| Vec::with_capacity(text.len())).extend_from_slice(&rest[..at + 2]);
        rest = &rest[at + NULL.len()..];
    }
    match out {
        None => text,
        Some(mut out) => {
            out.extend_from_slice(rest);
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> u64 {
        hash_map(entries.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect(), 3)
    }

    #[test]
    fn entries_read_as_postgresql_prints_them() {
        for (entries, text) in [
            (&[][..], "{}"),
            (&[("bb", "1"), ("a", "null"), ("c", "")], "{a: , c: , bb: 1}"),
            (
                &[("n", r#"{"zz":[1,"x",null,{}],"y":null,"a":1e21}"#)],
                "{n: {a: 1000000000000000000000, y: , zz: [1, x, null, {}]}}",
            ),
            (&[("t", "1.5e-7"), ("u", "-2.25e+3"), ("v", "1e5x")], "{t: 0.00000015, u: -2250, v: 1e5x}"),
            (&[("q", "a\"b\\\n\u{1}é")], "{q: a\\b\\\\\\n\\u0001é}"),
            (&[("broken", "{\"a\":")], "{broken: {\\a\\:}"),
        ] {
            assert_eq!(map(entries), hashtext(text.as_bytes(), 3), "{text}");
        }
    }

    #[test]
    fn what_is_not_the_same_is_another_text() {
        for (a, b) in [
            ([("a", "1"), ("b", "2")], [("a", "2"), ("b", "1")]),
            ([("a", "1"), ("b", "")], [("a", "1"), ("b", "x")]),
            ([("a", "[1,2]"), ("b", "")], [("a", "[2,1]"), ("b", "")]),
        ] {
            assert_ne!(map(&a), map(&b), "{a:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_a_hash(
            entries in proptest::collection::vec((".{0,6}", "[\\[{\"}\\]:,0-9eE.+\\-truefalsn\\\\u ]{0,40}"), 0..5),
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
        ) {
            let mut all: Vec<(&[u8], &[u8])> = entries.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
            all.push((b"bytes", &bytes));
            let mut turned = all.clone();
            turned.reverse();
            turned.dedup_by(|a, b| a.0 == b.0);
            all.dedup_by(|a, b| a.0 == b.0);
            assert_eq!(hash_map(all.clone(), 7), hash_map(all, 7));
            hash_map(turned, 7);
        }
    }
}
