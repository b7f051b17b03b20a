//! Reading a body into its published type: finds values of the wrong type and fields that do not exist.

use serde_json::{Map, Value};

use super::objects::{drop_nulls, meta};
use super::resources::Kind;
use super::status::Status;

/// What to do about unknown fields: `?fieldValidation=`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) enum Unknown {
    /// Drop them silently.
    Ignore,
    /// Drop them with a `Warning` header: the server's default.
    #[default]
    Warn,
    /// 400.
    Refuse,
}

/// Reads an object of a kind; unknown fields become warnings, or a refusal.
///
/// # Errors
/// The reason, for a value of the wrong type, and for unknown fields when they are refused.
pub(super) fn read(kind: &Kind, object: &Value, unknown: Unknown) -> Result<(Value, Vec<String>), String> {
    let (mut read, fields) = decode(kind, object).map_err(|error| error.to_string())?;
    let warnings: Vec<String> = fields.iter().map(|field| format!("unknown field \"{field}\"")).collect();
    if unknown == Unknown::Refuse && !warnings.is_empty() {
        return Err(format!("strict decoding error: {}", warnings.join(", ")));
    }
    drop_nulls(&mut read);
    let warnings = if unknown == Unknown::Warn { warnings } else { Vec::new() };
    Ok((read, warnings))
}

/// The refusal of a whole object that could not be read.
pub(super) fn refuse_object(kind: &Kind, why: &str) -> Status {
    let (name, version) = (kind.kind, kind.version);
    Status::bad_request(format!("{name} in version \"{version}\" cannot be handled as a {name}: {why}"))
}

/// Checks that a configuration for server-side apply fits the schema.
///
/// # Errors
/// 500 without reason, as a real server answers (`failed to create typed patch object`).
pub(super) fn check_apply(kind: &Kind, config: &Value) -> Result<(), Status> {
    let refuse = |why: String| {
        let (group, version) = (kind.group, kind.version);
        let gvk = if group.is_empty() { format!("/{version}") } else { format!("{group}/{version}") };
        let (namespace, name) = (meta(config, "namespace"), meta(config, "name"));
        let kind = kind.kind;
        let message =
            format!("failed to create typed patch object ({namespace}/{name}; {gvk}, Kind={kind}): {why}");
        Status::internal(message)
    };
    if let Some((field, value)) = not_text(config) {
        return Err(refuse(format!(
            ".{field}: expected string, got &value.valueUnstructured{{Value:{value}}}"
        )));
    }
    let (_, unknown) = decode(kind, config).map_err(|error| refuse(error.to_string()))?;
    // The walk over a map ends at the first one (`visitMapItems` of structured-merge-diff).
    unknown.first().map_or(Ok(()), |field| Err(refuse(format!(".{field}: field not declared in schema"))))
}

/// The object in its type, and the names of the fields the type does not have.
fn decode(kind: &Kind, object: &Value) -> Result<(Value, Vec<String>), serde_json::Error> {
    let mut clean = object.clone();
    drop_nulls(&mut clean);
    let read = (kind.round_trip)(clean.clone())?;
    let mut unknown = Vec::new();
    missing(&clean, &read, "", &mut unknown);
    Ok((read, unknown))
}

/// The first label or annotation that is no text: the mistake made most often, so it is named exactly.
fn not_text(config: &Value) -> Option<(String, String)> {
    ["annotations", "labels"].iter().find_map(|map| {
        let entries = config.get("metadata")?.get(*map)?.as_object()?;
        let (key, value) = entries.iter().find(|(_, value)| !value.is_string() && !value.is_null())?;
        Some((format!("metadata.{map}.{key}"), value.to_string()))
    })
}

fn missing(sent: &Value, read: &Value, path: &str, out: &mut Vec<String>) {
    match (sent, read) {
        (Value::Object(sent), Value::Object(read)) => {
            for (key, value) in sent {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match read.get(key) {
                    Some(kept) => missing(value, kept, &below, out),
                    None if value.as_object().is_some_and(Map::is_empty) && key == "status" => {}
                    None => out.push(below),
                }
            }
        }
        (Value::Array(sent), Value::Array(read)) => {
            for (index, (sent, read)) in sent.iter().zip(read).enumerate() {
                missing(sent, read, &format!("{path}[{index}]"), out);
            }
        }
        _ => {}
    }
}
