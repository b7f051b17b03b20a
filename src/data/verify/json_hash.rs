//! `jsonb_hash_extended` of a JSON text, bit for bit (PostgreSQL source: `adt/jsonb_op.c`, `adt/jsonb_util.c`).
//!
//! One rule: the text is hashed as the jsonb that PostgreSQL would make of it, so key order, white space, escapes and
//! the spelling of numbers do not matter. The sign of a number does not matter to PostgreSQL's hash either, and an
//! empty object hashes as an empty array.

use std::borrow::Cow;

use super::json::{Node, parse};
use super::lookup3::{hash_numeric, hashint4, hashtext};

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
    hash_node(&node.unwrap_or(Node::Text(Cow::Borrowed(text))), seed)
}

/// The same of a value that was read already.
pub(super) fn hash_node(node: &Node<'_>, seed: u64) -> u64 {
    match node {
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
    walk(node, &mut hash, seed);
    hash
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
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_hash(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
            text in "[\\[{\"}\\]:,0-9eE.+\\-truefalsn\\\\u ]{0,60}", seed: u64,
        ) {
            for bytes in [&bytes[..], text.as_bytes()] {
                assert_eq!(hash_text(bytes, seed), hash_text(bytes, seed));
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
