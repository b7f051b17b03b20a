//! `jsonb_hash_extended` of a JSON text, bit for bit (PostgreSQL source: `adt/jsonb_op.c`, `adt/jsonb_util.c`).
//!
//! One rule: the text is hashed as the jsonb that PostgreSQL would make of it, so key order, white space, escapes and
//! the spelling of numbers do not matter. The sign of a number does not matter to PostgreSQL's hash either, and an
//! empty object hashes as an empty array.

use std::borrow::Cow;

use super::lookup3::{hash_numeric, hashint4, hashtext};

/// Nesting beyond this is not followed: the text is hashed as a string, and the row is looked at closely.
const DEEPEST: usize = 256;
const ARRAY: u64 = 0x4000_0000;
const OBJECT: u64 = 0x2000_0000;

/// The hash of NULL, for which jsonb's `null` stands.
pub fn hash_null(seed: u64) -> u64 {
    let mut hash = ARRAY << 32 | ARRAY;
    scalar(&mut hash, seed.wrapping_add(1));
    hash
}

/// The hash of a JSON text. A text that is no JSON (what v3 itself stores for a plain string) hashes as that string.
pub fn hash_text(text: &[u8], seed: u64) -> u64 {
    let node = std::str::from_utf8(text).ok().and_then(parse);
    let node = node.unwrap_or(Node::Text(Cow::Borrowed(text)));
    match &node {
        Node::Array(items) if items.is_empty() => return seed,
        Node::Object(items) if items.is_empty() => return seed,
        _ if node.is_falsy() => return hash_null(seed),
        _ => {}
    }
    let mut hash = 0;
    if !matches!(node, Node::Array(_) | Node::Object(_)) {
        // A scalar is the only element of an array.
        hash = ARRAY << 32 | ARRAY;
    }
    walk(&node, &mut hash, seed);
    hash
}

/// The hash of an object or array inside metadata; nothing where the text is neither.
pub fn hash_container(text: &[u8], seed: u64) -> Option<u64> {
    if !matches!(text.first(), Some(b'{' | b'[')) {
        return None;
    }
    parse(std::str::from_utf8(text).ok()?)?;
    Some(hash_text(text, seed))
}

#[derive(Debug)]
enum Node<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(Cow<'a, [u8]>),
    Array(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, [u8]>, Node<'a>)>),
}

impl Node<'_> {
    fn is_falsy(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) => true,
            Self::Number(text) => text.parse::<f64>().is_ok_and(|n| n == 0.0),
            Self::Text(text) => text.is_empty(),
            _ => false,
        }
    }
}

fn scalar(hash: &mut u64, of: u64) {
    // ROTATE_HIGH_AND_LOW_32BITS: each half by itself.
    *hash = ((*hash << 1) & 0xffff_fffe_ffff_fffe) | ((*hash >> 31) & 0x0000_0001_0000_0001);
    *hash ^= of;
}

fn walk(node: &Node<'_>, hash: &mut u64, seed: u64) {
    match node {
        Node::Null => scalar(hash, seed.wrapping_add(1)),
        Node::Bool(value) if seed == 0 => scalar(hash, if *value { 2 } else { 4 }),
        Node::Bool(value) => scalar(hash, hashint4((*value).into(), seed)),
        Node::Number(text) => scalar(hash, hash_numeric(text, seed).unwrap_or(seed)),
        Node::Text(text) => scalar(hash, hashtext(text, seed)),
        Node::Array(items) => {
            *hash ^= ARRAY << 32 | ARRAY;
            for item in items {
                walk(item, hash, seed);
            }
        }
        Node::Object(items) => {
            *hash ^= OBJECT << 32 | OBJECT;
            for (key, item) in items {
                scalar(hash, hashtext(key, seed));
                walk(item, hash, seed);
            }
        }
    }
}

fn parse(text: &str) -> Option<Node<'_>> {
    let mut parser = Parser { text, at: 0 };
    let node = parser.value(0)?;
    parser.blank();
    (parser.at == text.len()).then_some(node)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.blank();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Option<Node<'a>> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())?;
        Some(node)
    }

    fn value(&mut self, depth: usize) -> Option<Node<'a>> {
        if depth > DEEPEST {
            return None;
        }
        self.blank();
        match self.peek()? {
            b'n' => self.word("null", Node::Null),
            b't' => self.word("true", Node::Bool(true)),
            b'f' => self.word("false", Node::Bool(false)),
            b'"' => self.string().map(Node::Text),
            b'[' => self.array(depth),
            b'{' => self.object(depth),
            b'-' | b'0'..=b'9' => {
                let rest = &self.text[self.at..];
                let more = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
                let end = rest.bytes().position(|b| !more(b)).unwrap_or(rest.len());
                self.at += end;
                hash_numeric(&rest[..end], 0)?;
                Some(Node::Number(&rest[..end]))
            }
            _ => None,
        }
    }

    fn array(&mut self, depth: usize) -> Option<Node<'a>> {
        self.eat(b'[')?;
        let mut items = vec![];
        if self.eat(b']').is_some() {
            return Some(Node::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.eat(b',').is_none() {
                return self.eat(b']').map(|()| Node::Array(items));
            }
        }
    }

    /// Keys in jsonb's order: by length, then by bytes; of equal keys the last.
    fn object(&mut self, depth: usize) -> Option<Node<'a>> {
        self.eat(b'{')?;
        let mut items: Vec<(Cow<'a, [u8]>, Node<'a>)> = vec![];
        if self.eat(b'}').is_some() {
            return Some(Node::Object(items));
        }
        loop {
            self.blank();
            let key = self.string()?;
            self.eat(b':')?;
            items.push((key, self.value(depth + 1)?));
            if self.eat(b',').is_none() {
                self.eat(b'}')?;
                break;
            }
        }
        items.reverse();
        items.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        items.dedup_by(|(later, _), (first, _)| later == first);
        Some(Node::Object(items))
    }

    fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let end = rest.iter().position(|b| matches!(b, b'"' | b'\\'))?;
        if rest[end] == b'"' {
            self.at = start + end + 1;
            return Some(Cow::Borrowed(&rest[..end]));
        }
        self.escaped(start).map(Cow::Owned)
    }

    /// From the opening quote to its end, which `serde_json` unescapes.
    fn escaped(&mut self, start: usize) -> Option<Vec<u8>> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let text: String = serde_json::from_str(&self.text[start - 1..self.at]).ok()?;
        Some(text.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_hashes_alike() {
        for (a, b) in [
            (r#"{"a":1,"bb":[true,null]}"#, r#"{ "bb" : [ true, null ], "a" : 1.0 }"#),
            (r#""\u00e9\n""#, "\"é\\n\""),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            ("0", "null"),
            ("1e2", "100.00"),
        ] {
            assert_eq!(hash_text(a.as_bytes(), 5), hash_text(b.as_bytes(), 5), "{a} {b}");
        }
    }

    #[test]
    fn what_does_not_mean_the_same_does_not() {
        for (a, b) in [("[1,2]", "[2,1]"), (r#"{"a":1}"#, r#"{"a":2}"#), ("\"1\"", "1"), ("true", "\"true\"")]
        {
            assert_ne!(hash_text(a.as_bytes(), 5), hash_text(b.as_bytes(), 5), "{a} {b}");
        }
    }

    #[test]
    fn plain_text_is_a_string() {
        assert_eq!(hash_text(b"hi", 9), hash_text(b"\"hi\"", 9));
        assert_eq!(hash_text(b"[1,", 9), hash_text(b"\"[1,\"", 9));
        let deep = "[".repeat(5000);
        assert_ne!(hash_text(deep.as_bytes(), 9), 0);
        assert_eq!(hash_container(b"plain", 9), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_hash(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
            text in "[\\[{\"}\\]:,0-9eE.+\\-truefalsn\\\\u ]{0,60}", seed: u64,
        ) {
            for bytes in [&bytes[..], text.as_bytes()] {
                assert_eq!(hash_text(bytes, seed), hash_text(bytes, seed));
                let _ = hash_container(bytes, seed);
            }
        }
    }

    #[test]
    fn nesting_without_end_costs_no_stack() {
        for open in ["[", "{\"a\":"] {
            hash_text(open.repeat(100_000).as_bytes(), 1);
        }
    }
}
