//! The map of metadata as the text that PostgreSQL prints of its jsonb: the hash of that costs PostgreSQL less than a
//! third of what taking the entries apart in SQL does (`tests/bench/verify.sh`).
//!
//! One rule: v3 keeps texts and forgets what they were, a number or its text, `null` or an empty text, an object or a text
//! that holds one. What the values of each key are in v2 is learned from a sample; a row of which that is not true hashes
//! differently and is looked at closely, as is one whose numbers are not spelled as JavaScript does.

use std::collections::HashMap;

use super::json::{Node, parse};
use super::lookup3::{hash_numeric, hashtext};

/// Exponents beyond this are not written out: no double has them.
const LARGEST: i32 = 400;
/// Keys that are learned: more are names of something, and differ from row to row.
const KEYS: usize = 20_000;
/// The key under which v3's worker puts what is no object.
pub(super) const WRAPPED: &str = "metadata";

/// A column of PostgreSQL as that text; what is no object is the one entry that v3's worker makes of it.
pub fn sql(x: &str) -> String {
    let wrapped = format!("'{{\"{WRAPPED}\": ' || {x}::text || '}}'");
    format!(
        "CASE jsonb_typeof({x}) WHEN 'object' THEN {x}::text WHEN 'array' THEN {wrapped} \
         WHEN 'string' THEN {wrapped} ELSE '{{}}' END COLLATE \"C\""
    )
}

/// How often the values of a key were what.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Texts that look like something else, and the others.
    disguised: u32,
    texts: u32,
    /// Numbers, booleans, objects, arrays.
    others: u32,
    empty: u32,
    nulls: u32,
}

impl Seen {
    /// Whether what looks like something else is a text.
    const fn is_text(self) -> bool {
        self.disguised > self.others || (self.disguised == self.others && self.texts > self.others)
    }
}

/// What the values of each key are.
#[derive(Debug, Clone, Default)]
pub struct Kinds(HashMap<Box<[u8]>, Seen>);

impl Kinds {
    /// Learns from the text of one document of v2.
    pub fn learn(&mut self, text: &str) {
        match parse(text) {
            Some(Node::Object(entries)) => entries.iter().for_each(|(key, value)| self.note(key, value)),
            Some(value) => self.note(WRAPPED.as_bytes(), &value),
            None => {}
        }
    }

    fn note(&mut self, key: &[u8], value: &Node<'_>) {
        if self.0.len() >= KEYS && !self.0.contains_key(key) {
            return;
        }
        let seen = self.0.entry(key.into()).or_default();
        let count = match value {
            Node::Null => &mut seen.nulls,
            Node::Text(text) if text.is_empty() => &mut seen.empty,
            Node::Text(text) if disguise(text).is_some() => &mut seen.disguised,
            Node::Text(_) => &mut seen.texts,
            _ => &mut seen.others,
        };
        *count += 1;
    }

    /// `hashtextextended` of that text, from the entries of v3's map.
    pub fn hash(&self, mut entries: Vec<(&[u8], &[u8])>, seed: u64) -> u64 {
        // jsonb's order: by length, then by bytes.
        entries.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        let size = entries.iter().map(|(key, value)| key.len() + value.len() + 16).sum::<usize>();
        let mut out = Vec::with_capacity(size + size / 8 + 2);
        out.push(b'{');
        for (at, (key, value)) in entries.into_iter().enumerate() {
            separate(at, &mut out);
            string(key, &mut out);
            out.extend_from_slice(b": ");
            self.entry(key, value, &mut out);
        }
        out.push(b'}');
        hashtext(&out, seed)
    }

    fn entry(&self, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let seen = self.0.get(key).copied().unwrap_or_default();
        match disguise(value) {
            _ if value.is_empty() && seen.empty <= seen.nulls => out.extend_from_slice(b"null"),
            Some(node) if !seen.is_text() => write(&node, out),
            _ => string(value, out),
        }
    }
}

/// What a text may have been in v2 when it was no text.
fn disguise(text: &[u8]) -> Option<Node<'_>> {
    match text.first()? {
        b'{' | b'[' => parse(std::str::from_utf8(text).ok()?),
        b'-' | b'0'..=b'9' => {
            let text = std::str::from_utf8(text).ok()?;
            hash_numeric(text, 0).map(|_| Node::Number(text))
        }
        _ => match text {
            b"true" => Some(Node::Bool(true)),
            b"false" => Some(Node::Bool(false)),
            _ => None,
        },
    }
}

fn separate(at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.extend_from_slice(b", ");
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
        let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
        match usize::try_from(point) {
            _ if exponent.checked_abs()? > LARGEST => None,
            Ok(0) | Err(_) => Some(format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))),
            Ok(point) if point >= digits.len() => Some(format!("{sign}{digits:0<point$}")),
            Ok(point) => Some(format!("{sign}{}.{}", &digits[..point], &digits[point..])),
        }
    });
    out.extend_from_slice(written_out.as_deref().unwrap_or(text).as_bytes());
}

/// Escaped as PostgreSQL escapes (`escape_json` in `adt/json.c`).
fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if text.iter().any(|b| matches!(b, 0..0x20 | b'"' | b'\\')) {
        for byte in text {
            escaped(*byte, out);
        }
    } else {
        out.extend_from_slice(text);
    }
    out.push(b'"');
}

fn escaped(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        _ => out.push(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(kinds: &Kinds, entries: &[(&str, &str)]) -> u64 {
        kinds.hash(entries.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect(), 3)
    }

    /// With nothing learned, what looks like a value is one.
    #[test]
    fn entries_read_as_postgresql_prints_them() {
        for (entries, text) in [
            (&[][..], "{}"),
            (&[("bb", "1"), ("a", "null"), ("c", "")], r#"{"a": "null", "c": null, "bb": 1}"#),
            (
                &[("n", r#"{"zz":[1,"x",null,{}],"y":null,"a":1e21}"#)],
                r#"{"n": {"a": 1000000000000000000000, "y": null, "zz": [1, "x", null, {}]}}"#,
            ),
            (
                &[("t", "1.5e-7"), ("u", "-2.25e+3"), ("v", "1e5x"), ("w", "true")],
                r#"{"t": 0.00000015, "u": -2250, "v": "1e5x", "w": true}"#,
            ),
            (&[("q", "a\"b\\\n\u{1}é")], r#"{"q": "a\"b\\\n\u0001é"}"#),
            (&[("broken", "{\"a\":")], r#"{"broken": "{\"a\":"}"#),
        ] {
            assert_eq!(hash(&Kinds::default(), entries), hashtext(text.as_bytes(), 3), "{text}");
        }
    }

    #[test]
    fn what_a_key_held_in_v2_it_holds_in_v3() {
        let mut kinds = Kinds::default();
        for text in [
            r#"{"id": "12345", "n": 5, "attributes": "{\"b\":1,\"a\":2}", "none": "", "mixed": "word", "hex": "abc"}"#,
            r#"{"id": "678", "n": null, "mixed": 7, "hex": "def"}"#,
        ] {
            kinds.learn(text);
        }
        let map = [
            ("id", "9"),
            ("n", "8"),
            ("attributes", r#"{"b":1,"a":2}"#),
            ("none", ""),
            ("mixed", "6"),
            ("hex", "12345e67"),
        ];
        let text = r#"{"n": 8, "id": "9", "hex": "12345e67", "none": "", "mixed": 6, "attributes": "{\"b\":1,\"a\":2}"}"#;
        assert_eq!(hash(&kinds, &map), hashtext(text.as_bytes(), 3));
        kinds.learn("[1]");
        assert_eq!(hash(&kinds, &[("metadata", "[2]")]), hashtext(br#"{"metadata": [2]}"#, 3));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_a_hash(
            entries in proptest::collection::vec((".{0,6}", "[\\[{\"}\\]:,0-9eE.+\\-truefalsn\\\\u ]{0,40}"), 0..5),
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
            learned in "[\\[{\"}\\]:,0-9eE.+\\-truefalsn\\\\u ]{0,40}",
        ) {
            let mut kinds = Kinds::default();
            kinds.learn(&learned);
            let mut all: Vec<(&[u8], &[u8])> = entries.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
            all.push((b"bytes", &bytes));
            assert_eq!(kinds.hash(all.clone(), 7), kinds.hash(all, 7));
        }
    }
}
