//! Protobuf, where `kubectl` insists on it: `kubectl auth` and the generators of `kubectl create`.
//!
//! **Rule.** One table says which fields are read; a kind without a row is refused with 415, never half read.
//!
//! Source: `generated.proto` of k8s.io/apimachinery (`runtime`, `meta/v1`) and of k8s.io/api.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::status::Status;

/// The media type.
pub(super) const MEDIA: &str = "application/vnd.kubernetes.protobuf";

/// What a protobuf body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// How a length-delimited field is read.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    /// Shown in base64, as JSON has it.
    Bytes,
    Message(&'static [Row]),
    TextMap,
    BytesMap,
}

/// Field number, name in JSON, shape.
type Row = (u64, &'static str, Shape);

const UNKNOWN: &[Row] = &[(1, "typeMeta", Shape::Message(TYPE_META)), (2, "raw", Shape::Bytes)];
const TYPE_META: &[Row] = &[(1, "apiVersion", Shape::Text), (2, "kind", Shape::Text)];
const META: &[Row] = &[
    (1, "name", Shape::Text),
    (2, "generateName", Shape::Text),
    (3, "namespace", Shape::Text),
    (11, "labels", Shape::TextMap),
    (12, "annotations", Shape::TextMap),
];
const RESOURCE: &[Row] = &[
    (1, "namespace", Shape::Text),
    (2, "verb", Shape::Text),
    (3, "group", Shape::Text),
    (5, "resource", Shape::Text),
    (6, "subresource", Shape::Text),
    (7, "name", Shape::Text),
];
const PATH: &[Row] = &[(1, "path", Shape::Text), (2, "verb", Shape::Text)];
const ACCESS: &[Row] = &[
    (1, "resourceAttributes", Shape::Message(RESOURCE)),
    (2, "nonResourceAttributes", Shape::Message(PATH)),
];
const METADATA: Row = (1, "metadata", Shape::Message(META));

/// The kinds that can be read.
const KINDS: &[(&str, &[Row])] = &[
    ("SelfSubjectReview", &[]),
    ("SelfSubjectAccessReview", &[(2, "spec", Shape::Message(ACCESS))]),
    ("SelfSubjectRulesReview", &[(2, "spec", Shape::Message(&[(1, "namespace", Shape::Text)]))]),
    ("Namespace", &[METADATA]),
    ("ServiceAccount", &[METADATA]),
    ("ConfigMap", &[METADATA, (2, "data", Shape::TextMap), (3, "binaryData", Shape::BytesMap)]),
    ("Secret", &[METADATA, (2, "data", Shape::BytesMap), (3, "type", Shape::Text)]),
];

/// An object from its protobuf body; none when the body is no protobuf.
///
/// # Errors
/// 415 for a kind that is not in the table, 400 for a body that cannot be read.
pub(super) fn object(body: &[u8]) -> Option<Result<Value, Status>> {
    Some(read(body.strip_prefix(MAGIC)?))
}

fn read(body: &[u8]) -> Result<Value, Status> {
    let broken =
        || Status::bad_request("the object provided is unrecognized: the protobuf body cannot be read");
    let envelope = message(body, UNKNOWN).ok_or_else(broken)?;
    let kind = super::objects::text(&envelope, &["typeMeta", "kind"]);
    let Some((_, rows)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        return Err(Status::unsupported_media_type(&["application/json"]));
    };
    let raw = STANDARD.decode(super::objects::text(&envelope, &["raw"])).map_err(|_| broken())?;
    let mut object = message(&raw, rows).ok_or_else(broken)?;
    object["kind"] = json!(kind);
    object["apiVersion"] = envelope["typeMeta"]["apiVersion"].clone();
    Ok(object)
}

/// The fields of a message that its rows name.
fn message(mut bytes: &[u8], rows: &[Row]) -> Option<Value> {
    let mut fields = Map::new();
    while !bytes.is_empty() {
        let (number, content) = field(&mut bytes)?;
        let (Some(content), Some((_, name, shape))) = (content, rows.iter().find(|(n, ..)| *n == number))
        else {
            continue;
        };
        match shape {
            // An empty text is how protobuf writes that there is none.
            Shape::Text if content.is_empty() => {}
            Shape::Text => drop(fields.insert((*name).into(), text(content)?)),
            Shape::Bytes => drop(fields.insert((*name).into(), json!(STANDARD.encode(content)))),
            Shape::Message(rows) => drop(fields.insert((*name).into(), message(content, rows)?)),
            Shape::TextMap => entry(&mut fields, name, content, Shape::Text)?,
            Shape::BytesMap => entry(&mut fields, name, content, Shape::Bytes)?,
        }
    }
    Some(Value::Object(fields))
}

fn entry(fields: &mut Map<String, Value>, name: &str, content: &[u8], shape: Shape) -> Option<()> {
    let pair = message(content, &[(1, "key", Shape::Text), (2, "value", shape)])?;
    let value = pair.get("value").cloned().unwrap_or_else(|| json!(""));
    let map = super::objects::map(fields.entry(name).or_insert_with(|| json!({})));
    map.insert(super::objects::text(&pair, &["key"]).into(), value);
    Some(())
}

fn text(bytes: &[u8]) -> Option<Value> {
    Some(json!(std::str::from_utf8(bytes).ok()?))
}

/// The next field: its number, and its content when it is length-delimited.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let key = varint(bytes)?;
    let (length, delimited) = match key & 7 {
        0 => {
            varint(bytes)?;
            (0, false)
        }
        1 => (8, false),
        2 => (usize::try_from(varint(bytes)?).ok()?, true),
        5 => (4, false),
        _ => return None,
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some((key >> 3, delimited.then_some(content)))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = object(&[MAGIC, &bytes].concat());
            for (_, rows) in KINDS {
                let _ = message(&bytes, rows);
            }
        }
    }
}
