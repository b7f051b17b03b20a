//! Events as rows of ClickHouse: what a body does not say is left out, so that the merge keeps what was known.

use serde_json::{Map, Value, json};

use super::super::events::{self, Event};
use super::super::js;
use super::super::stores::clickhouse::Row;
use super::pricing::Prompt;
use crate::rehearsal::clock;

/// Body field -> column.
const TRACE: &[(&str, &str)] = &[
    ("name", "name"),
    ("userId", "user_id"),
    ("release", "release"),
    ("version", "version"),
    ("sessionId", "session_id"),
];
const OBSERVATION: &[(&str, &str)] =
    &[("name", "name"), ("model", "provided_model_name"), ("level", "level")];
/// These are left out when they are null.
const OBSERVATION_SET: &[(&str, &str)] = &[
    ("statusMessage", "status_message"),
    ("parentObservationId", "parent_observation_id"),
    ("version", "version"),
];

/// A trace event as a row.
pub(super) fn trace(project: &str, id: &str, event: &Event) -> Row {
    let mut row = start(project, id, event);
    row.insert("timestamp".into(), event.millis("timestamp").unwrap_or(event.timestamp_ms).into());
    copy(&mut row, event, TRACE, true);
    let public = event.body.get("public").and_then(Value::as_bool).unwrap_or(false);
    row.insert("public".into(), public.into());
    row.insert("bookmarked".into(), false.into());
    let tags = event.body.get("tags").filter(|tags| tags.is_array()).cloned();
    row.insert("tags".into(), tags.unwrap_or_else(|| json!([])));
    row
}

/// An observation event as a row.
pub(super) fn observation(project: &str, id: &str, event: &Event, prompt: Option<&Prompt>) -> Row {
    let mut row = start(project, id, event);
    row.insert("type".into(), event.observation_type().into());
    row.insert("start_time".into(), event.millis("startTime").unwrap_or(event.timestamp_ms).into());
    copy(&mut row, event, OBSERVATION, true);
    copy(&mut row, event, OBSERVATION_SET, false);
    if let Some(trace_id) = event.text("traceId") {
        row.insert("trace_id".into(), trace_id.into());
    }
    for (field, column) in [("endTime", "end_time"), ("completionStartTime", "completion_start_time")] {
        if let Some(ms) = event.millis(field) {
            row.insert(column.into(), ms.into());
        }
    }
    let parameters = event.body.get("modelParameters").filter(|value| js::truthy(Some(value)));
    if let Some(parameters) = parameters {
        row.insert("model_parameters".into(), js::stringify(parameters).into());
    }
    let (usage, cost) = (usage_details(event), cost_details(event));
    row.insert("usage_details".into(), usage.clone());
    row.insert("provided_usage_details".into(), usage);
    row.insert("cost_details".into(), cost.clone());
    row.insert("provided_cost_details".into(), cost);
    if let Some(prompt) = prompt {
        row.insert("prompt_id".into(), prompt.id.clone().into());
        row.insert("prompt_name".into(), prompt.name.clone().into());
        row.insert("prompt_version".into(), prompt.version.into());
    }
    row
}

/// A score event as a row.
///
/// # Errors
/// When value and type do not fit together: the job fails.
pub(super) fn score(project: &str, id: &str, event: &Event) -> Result<Row, String> {
    let inflated = events::inflate(event)?;
    let mut row = start(project, id, event);
    row.remove("metadata"); // scores have none before v3.49
    row.insert("timestamp".into(), event.timestamp_ms.into());
    row.insert("name".into(), event.text("name").into());
    row.insert("value".into(), inflated.value.map_or(Value::Null, Value::from));
    row.insert("string_value".into(), inflated.string_value.into());
    row.insert("data_type".into(), inflated.data_type.into());
    row.insert("source".into(), "API".into());
    row.insert("trace_id".into(), event.text("traceId").into());
    copy(
        &mut row,
        event,
        &[("observationId", "observation_id"), ("comment", "comment"), ("configId", "config_id")],
        true,
    );
    Ok(row)
}

/// The trace of an observation that names none (SDKs before 2.0): it has the observation's id.
pub(super) fn wrapper_trace(project: &str, id: &str, observation: &Row) -> Row {
    let now = clock::now_ms();
    let row = json!({
        "id": id, "timestamp": observation["start_time"], "project_id": project,
        "environment": observation["environment"], "created_at": now, "updated_at": now, "metadata": {},
        "tags": [], "bookmarked": false, "public": false, "event_ts": now, "is_deleted": 0,
    });
    match row {
        Value::Object(row) => row,
        _ => Row::new(),
    }
}

/// `input` and `output`: the last truthy one of the events, else what ClickHouse has. Text is stored as it is.
pub(super) fn input_and_output(row: &mut Row, events: &[Event], known: Option<&Row>) {
    for column in ["input", "output"] {
        let sent = events
            .iter()
            .rev()
            .filter_map(|event| event.body.get(column))
            .find(|value| js::truthy(Some(value)));
        let value = match sent.or_else(|| known.and_then(|row| row.get(column))) {
            None | Some(Value::Null) => Value::Null,
            Some(Value::String(text)) => text.clone().into(),
            Some(other) => js::stringify(other).into(),
        };
        row.insert(column.into(), value);
    }
}

fn start(project: &str, id: &str, event: &Event) -> Row {
    let now = clock::now_ms();
    let mut row = Row::new();
    row.insert("id".into(), id.into());
    row.insert("project_id".into(), project.into());
    row.insert("environment".into(), event.text("environment").unwrap_or("default").into());
    row.insert("metadata".into(), metadata(event.body.get("metadata")));
    row.insert("created_at".into(), now.into());
    row.insert("updated_at".into(), now.into());
    row.insert("event_ts".into(), event.timestamp_ms.into());
    row.insert("is_deleted".into(), 0.into());
    row
}

/// Objects stay, a list or a single value is wrapped as `{"metadata": ...}`.
fn metadata(value: Option<&Value>) -> Value {
    match value.filter(|value| js::truthy(Some(value))) {
        None => json!({}),
        Some(Value::Object(map)) => map.clone().into(),
        Some(Value::String(text)) => json!({"metadata": text}),
        Some(other) => json!({"metadata": js::stringify(other)}),
    }
}

fn copy(row: &mut Row, event: &Event, fields: &[(&str, &str)], nulls: bool) {
    for (field, column) in fields {
        if let Some(value) = event.body.get(*field).filter(|value| nulls || !value.is_null()) {
            row.insert((*column).into(), value.clone());
        }
    }
}

/// `usage` in both of its forms, overlaid by `usageDetails`; the total is worked out where it is missing.
fn usage_details(event: &Event) -> Value {
    let mut out = Map::new();
    let usage = event.body.get("usage");
    let details = event.body.get("usageDetails").and_then(Value::as_object);
    let count = |names: [&str; 2]| names.into_iter().find_map(|name| usage?.get(name)?.as_i64());
    let (input, output) = (count(["input", "promptTokens"]), count(["output", "completionTokens"]));
    let sum = match (input.filter(|n| *n != 0), output.filter(|n| *n != 0)) {
        (Some(input), Some(output)) => Some(input + output),
        _ => input.or(output),
    };
    let given = count(["total", "totalTokens"]).filter(|n| *n != 0);
    let total = given.or(sum.filter(|_| details.is_none_or(Map::is_empty)));
    for (key, value) in [("input", input), ("output", output), ("total", total)] {
        if let Some(value) = value {
            out.insert(key.into(), value.into());
        }
    }
    overlay(&mut out, details);
    out.into()
}

fn cost_details(event: &Event) -> Value {
    let mut out = Map::new();
    let usage = event.body.get("usage");
    for (field, key) in [("inputCost", "input"), ("outputCost", "output"), ("totalCost", "total")] {
        if let Some(cost) = usage.and_then(|usage| usage.get(field)).filter(|cost| cost.is_number()) {
            out.insert(key.into(), cost.clone());
        }
    }
    overlay(&mut out, event.body.get("costDetails").and_then(Value::as_object));
    out.into()
}

fn overlay(out: &mut Map<String, Value>, details: Option<&Map<String, Value>>) {
    for (key, value) in details.into_iter().flatten().filter(|(_, value)| value.is_number()) {
        out.insert(key.clone(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn event(kind: &str, body: Value) -> Event {
        let value = json!({"id": "e", "type": kind, "timestamp": "2025-01-01T00:00:01.000Z", "body": body});
        Event::read(&value).unwrap()
    }

    #[test]
    fn an_update_says_only_what_it_knows() {
        let row = observation(
            "p",
            "o",
            &event("span-update", json!({"id": "o", "endTime": "2025-01-01T00:00:02Z"})),
            None,
        );
        assert!(!row.contains_key("name") && !row.contains_key("trace_id"));
        assert_eq!(row["end_time"], 1_735_689_602_000_i64);
        assert_eq!(row["start_time"], 1_735_689_601_000_i64);
        assert_eq!((&row["usage_details"], &row["metadata"]), (&json!({}), &json!({})));
    }

    #[test]
    fn usage_comes_in_two_forms() {
        let body = json!({"usage": {"promptTokens": 3, "completionTokens": 4, "totalCost": 0.5}});
        let row = observation("p", "o", &event("generation-create", body), None);
        assert_eq!(row["usage_details"], json!({"input": 3, "output": 4, "total": 7}));
        assert_eq!(row["cost_details"], json!({"total": 0.5}));
    }

    #[test]
    fn the_last_truthy_output_counts() {
        let events =
            [event("span-create", json!({"output": {"a": 1}})), event("span-update", json!({"output": ""}))];
        let mut row = Row::new();
        input_and_output(&mut row, &events, None);
        assert_eq!((&row["input"], &row["output"]), (&Value::Null, &json!("{\"a\":1}")));
    }

    #[test]
    fn metadata_is_wrapped() {
        assert_eq!(metadata(Some(&json!([1]))), json!({"metadata": "[1]"}));
        assert_eq!(metadata(Some(&json!("x"))), json!({"metadata": "x"}));
        assert_eq!(metadata(Some(&json!(0))), json!({}));
    }
}
