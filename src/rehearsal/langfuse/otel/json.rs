//! OTLP's JSON form: ids in hex, 64-bit numbers as text or number, both spellings of field names.

use base64::Engine as _;
use serde_json::Value;

use super::message::{
    Any, AnyValue, ArrayValue, Export, KeyValue, KeyValueList, Resource, ResourceSpans, Scope, ScopeSpans,
    Span, SpanEvent, Status,
};

/// Reads a JSON body.
///
/// # Errors
/// A sentence when it is not JSON or has no `resourceSpans`.
pub(crate) fn from_json(bytes: &[u8]) -> Result<Export, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if !value["resourceSpans"].is_array() {
        return Err("resourceSpans: Required".into());
    }
    Ok(Export { resource_spans: each(&value["resourceSpans"], resource_spans) })
}

fn each<T>(value: &Value, read: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().map(|items| items.iter().map(read).collect()).unwrap_or_default()
}

fn resource_spans(value: &Value) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource { attributes: attributes(&value["resource"]) }),
        scope_spans: each(&value["scopeSpans"], |spans| ScopeSpans {
            scope: spans.get("scope").map(|scope| Scope {
                name: text(&scope["name"]),
                version: text(&scope["version"]),
                attributes: attributes(scope),
            }),
            spans: each(&spans["spans"], span),
        }),
    }
}

fn span(value: &Value) -> Span {
    Span {
        trace_id: id(&value["traceId"]),
        span_id: id(&value["spanId"]),
        parent_span_id: id(&value["parentSpanId"]),
        name: text(&value["name"]),
        start_time_unix_nano: nanos(&value["startTimeUnixNano"]),
        end_time_unix_nano: nanos(&value["endTimeUnixNano"]),
        attributes: attributes(value),
        events: each(&value["events"], |event| SpanEvent {
            name: text(&event["name"]),
            attributes: attributes(event),
        }),
        status: value.get("status").map(|status| Status {
            message: text(&status["message"]),
            code: match &status["code"] {
                Value::String(name) => i32::from(name == "STATUS_CODE_ERROR") * 2,
                code => code.as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or(0),
            },
        }),
    }
}

fn attributes(owner: &Value) -> Vec<KeyValue> {
    each(&owner["attributes"], key_value)
}

fn key_value(value: &Value) -> KeyValue {
    KeyValue { key: text(&value["key"]), value: Some(any_value(&value["value"])) }
}

fn any_value(value: &Value) -> AnyValue {
    let found = value.as_object().and_then(|map| map.iter().next());
    let any = found.and_then(|(kind, inner)| match kind.as_str() {
        "stringValue" => Some(Any::Text(text(inner))),
        "boolValue" => Some(Any::Flag(inner.as_bool().unwrap_or(false))),
        "intValue" => integer(inner).map(Any::Integer),
        "doubleValue" => inner.as_f64().map(Any::Double),
        "arrayValue" => Some(Any::Array(ArrayValue { values: each(&inner["values"], any_value) })),
        "kvlistValue" => Some(Any::Map(KeyValueList { values: each(&inner["values"], key_value) })),
        "bytesValue" => Some(Any::Bytes(
            base64::engine::general_purpose::STANDARD.decode(text(inner)).unwrap_or_default(),
        )),
        _ => None,
    });
    AnyValue { value: any }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn nanos(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

/// Ids are hex text in OTLP's JSON.
fn id(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    let byte = |index: usize| text.get(index..index + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).map(byte).collect::<Option<_>>().unwrap_or_default()
}
