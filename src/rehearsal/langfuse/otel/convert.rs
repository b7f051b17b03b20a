//! What v3.22 to v3.107 make of a span: every span an observation, a root span a trace as well.

use serde_json::{Map, Value, json};

use super::super::js::hex;
use super::message::{Any, AnyValue, Export, KeyValue, Span, SpanEvent};
use crate::rehearsal::clock;
use crate::rehearsal::langfuse::js;

/// Attribute names that carry a user, a session, a model: the first that is set counts.
const USER: &[&str] = &["langfuse.user.id", "user.id"];
const SESSION: &[&str] = &["langfuse.session.id", "session.id"];
const MODEL: &[&str] = &["gen_ai.request.model", "gen_ai.response.model", "llm.model_name"];

/// Usage attributes that Langfuse renames.
const USAGE: &[(&str, &str)] = &[
    ("prompt_tokens", "input"),
    ("completion_tokens", "output"),
    ("total_tokens", "total"),
    ("input_tokens", "input"),
    ("output_tokens", "output"),
    ("prompt", "input"),
    ("completion", "output"),
];

/// Converts an export to ingestion events. An observation with a model becomes a generation.
pub(crate) fn events(export: &Export) -> Vec<Value> {
    let now = js::iso(clock::now_ms());
    let mut out = Vec::new();
    for resource_spans in &export.resource_spans {
        let resource =
            resource_spans.resource.as_ref().map(|it| attributes(&it.attributes)).unwrap_or_default();
        for scope_spans in &resource_spans.scope_spans {
            let scope = scope_spans.scope.as_ref().map_or(Value::Null, |scope| {
                json!({"name": scope.name, "version": scope.version, "attributes": attributes(&scope.attributes)})
            });
            for span in &scope_spans.spans {
                let found = attributes(&span.attributes);
                let metadata = json!({"attributes": found.clone(), "resourceAttributes": resource.clone(), "scope": scope.clone()});
                if span.parent_span_id.is_empty() {
                    out.push(event("trace-create", &now, &trace(span, &found, &resource, &metadata)));
                }
                let body = observation(span, &found, &metadata);
                let kind = if body["model"].is_string() { "generation-create" } else { "span-create" };
                out.push(event(kind, &now, &body));
            }
        }
    }
    out
}

fn event(kind: &str, now: &str, body: &Value) -> Value {
    json!({"id": uuid::Uuid::new_v4().to_string(), "type": kind, "timestamp": now, "body": body})
}

fn trace(span: &Span, found: &Map<String, Value>, resource: &Map<String, Value>, metadata: &Value) -> Value {
    let (input, output) = input_and_output(&span.events, found);
    let mut body = Map::new();
    body.insert("id".into(), hex(&span.trace_id).into());
    body.insert("timestamp".into(), date(span.start_time_unix_nano));
    body.insert("name".into(), span.name.clone().into());
    body.insert("metadata".into(), metadata.clone());
    body.insert("version".into(), resource.get("service.version").cloned().unwrap_or_default());
    body.insert("environment".into(), "default".into());
    for (key, names) in [("userId", USER), ("sessionId", SESSION)] {
        if let Some(value) = first(found, names) {
            body.insert(key.into(), value.into());
        }
    }
    body.insert("input".into(), input);
    body.insert("output".into(), output);
    body.into()
}

fn observation(span: &Span, found: &Map<String, Value>, metadata: &Value) -> Value {
    let (input, output) = input_and_output(&span.events, found);
    let parent = if span.parent_span_id.is_empty() { Value::Null } else { hex(&span.parent_span_id).into() };
    let level = if span.status.as_ref().is_some_and(|status| status.code == 2) { "ERROR" } else { "DEFAULT" };
    let mut body = json!({
        "id": hex(&span.span_id), "traceId": hex(&span.trace_id), "parentObservationId": parent,
        "name": span.name, "startTime": date(span.start_time_unix_nano), "endTime": date(span.end_time_unix_nano),
        "environment": "default", "metadata": metadata, "level": level,
        "modelParameters": model_parameters(found),
        "usageDetails": usage(found), "costDetails": cost(found), "input": input, "output": output,
    });
    if let Some(model) = first(found, MODEL) {
        body["model"] = model.into();
    }
    body
}

fn first(found: &Map<String, Value>, names: &[&str]) -> Option<String> {
    let value = names.iter().find_map(|name| found.get(*name).filter(|value| js::truthy(Some(value))))?;
    Some(value.as_str().map_or_else(|| js::stringify(value), str::to_owned))
}

fn model_parameters(found: &Map<String, Value>) -> Value {
    let given = found.get("llm.invocation_parameters").and_then(Value::as_str);
    if let Some(parsed) = given.and_then(|text| serde_json::from_str(text).ok()) {
        return parsed;
    }
    let named = found
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("gen_ai.request.")?.to_owned(), value.clone())));
    Value::Object(named.collect())
}

fn usage(found: &Map<String, Value>) -> Value {
    let counts = found.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix("gen_ai.usage.").filter(|name| *name != "cost");
        let name = name.or_else(|| key.strip_prefix("llm.token_count."))?;
        let renamed = USAGE.iter().find(|row| row.0 == name).map_or(name, |row| row.1);
        Some((renamed.to_owned(), value.clone()))
    });
    Value::Object(counts.collect())
}

fn cost(found: &Map<String, Value>) -> Value {
    found.get("gen_ai.usage.cost").map_or_else(|| json!({}), |cost| json!({"total": cost}))
}

/// Looks where `OpenLIT`, `OpenLLMetry` and `OpenInference` put them, in this order.
fn input_and_output(events: &[SpanEvent], found: &Map<String, Value>) -> (Value, Value) {
    let of_event = |name: &str| {
        let event = events.iter().find(|event| event.name == name);
        event.map_or(Value::Null, |event| Value::Object(attributes(&event.attributes)))
    };
    let pairs = [
        (of_event("gen_ai.content.prompt"), of_event("gen_ai.content.completion")),
        (attribute(found, "traceloop.entity.input"), attribute(found, "traceloop.entity.output")),
        (attribute(found, "input.value"), attribute(found, "output.value")),
        (nested(found, "gen_ai.prompt"), nested(found, "gen_ai.completion")),
    ];
    let set = pairs.into_iter().find(|(input, output)| js::truthy(Some(input)) || js::truthy(Some(output)));
    set.unwrap_or_default()
}

fn attribute(found: &Map<String, Value>, name: &str) -> Value {
    found.get(name).cloned().unwrap_or_default()
}

/// `prefix.0.role` and its sisters as an array of objects, `prefix.role` as an object, `prefix` as it is.
fn nested(found: &Map<String, Value>, prefix: &str) -> Value {
    if let Some(plain) = found.get(prefix) {
        return plain.clone();
    }
    let mut list: Vec<Value> = Vec::new();
    let mut object = Map::new();
    for (key, value) in found {
        let Some(rest) = key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) else {
            continue;
        };
        match rest.split_once('.').and_then(|(index, key)| Some((index.parse::<usize>().ok()?, key))) {
            Some((index, key)) if index < 1000 => {
                list.resize_with(list.len().max(index + 1), || json!({}));
                list[index][key] = value.clone();
            }
            _ => {
                object.insert(rest.to_owned(), value.clone());
            }
        }
    }
    match (list.is_empty(), object.is_empty()) {
        (false, _) => list.into(),
        (true, false) => object.into(),
        (true, true) => Value::Null,
    }
}

fn attributes(list: &[KeyValue]) -> Map<String, Value> {
    list.iter().map(|pair| (pair.key.clone(), pair.value.as_ref().map_or(Value::Null, plain))).collect()
}

fn plain(value: &AnyValue) -> Value {
    match &value.value {
        None => Value::Null,
        Some(Any::Text(text)) => text.clone().into(),
        Some(Any::Flag(flag)) => (*flag).into(),
        Some(Any::Integer(number)) => (*number).into(),
        Some(Any::Double(number)) => (*number).into(),
        Some(Any::Array(array)) => array.values.iter().map(plain).collect(),
        Some(Any::Map(map)) => attributes(&map.values).into(),
        Some(Any::Bytes(bytes)) => hex(bytes).into(),
    }
}

fn date(nanos: u64) -> Value {
    js::iso(i64::try_from(nanos / 1_000_000).unwrap_or_default()).into()
}
