//! The entries of a jsonb object as a map of texts, without building the value.
//!
//! One rule: it gives what [`super::convert`] gives for metadata, or nothing: then the long way is taken.

use super::json::stringify;
use crate::data::cell::rowbinary;

/// Appends the map as `RowBinary`; `None`, and nothing appended, when the text is not an object or its keys would have
/// to be put in another order.
pub(super) fn encode(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let begun = out.len();
    let written = entries(text, out);
    if written.is_none() {
        out.truncate(begun);
    }
    written
}

fn entries(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let inside = text.strip_prefix('{')?.strip_suffix('}')?;
    // The count stands first, and is known last.
    let at = out.len();
    out.push(0);
    let (mut rest, mut count) = (inside.trim_start(), 0_u8);
    while !rest.is_empty() {
        let end = string_end(rest.as_bytes())?;
        let key = &rest[..end];
        // JavaScript puts keys that look like array indices first.
        if key.as_bytes().get(1).is_some_and(u8::is_ascii_digit) {
            return None;
        }
        rest = rest[end..].trim_start().strip_prefix(':')?.trim_start();
        let end = value_end(rest.as_bytes())?;
        put_string(key, out)?;
        put_value(&rest[..end], out)?;
        count = count.checked_add(1).filter(|count| *count < 0x80)?;
        rest = rest[end..].trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => break,
            None => return None,
        }
    }
    out[at] = count;
    Some(())
}

fn put_value(value: &str, out: &mut Vec<u8>) -> Option<()> {
    match value.as_bytes().first()? {
        b'"' => put_string(value, out)?,
        b'n' => put(&[], out),
        _ => match stringify(value).ok()?.as_str() {
            // A number beyond every double.
            "null" => put(&[], out),
            text => put(text.as_bytes(), out),
        },
    }
    Some(())
}

fn put_string(quoted: &str, out: &mut Vec<u8>) -> Option<()> {
    let plain = &quoted[1..quoted.len() - 1];
    if plain.contains('\\') {
        let text: String = serde_json::from_str(quoted).ok()?;
        put(text.as_bytes(), out);
    } else {
        put(plain.as_bytes(), out);
    }
    Some(())
}

fn put(bytes: &[u8], out: &mut Vec<u8>) {
    rowbinary::length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Where the string that `bytes` begin with ends.
fn string_end(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Where the value that `bytes` begin with ends: at the comma or the end that no bracket holds.
fn value_end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_u32);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += string_end(&bytes[at..])?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
    (depth == 0).then_some(bytes.len())
}
