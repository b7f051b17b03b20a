//! The schema of an event, as a table of fields. The sentences are not zod's, but they name the same fields.

use serde_json::Value;

use super::{TYPES, js};

/// What a field must be when it is there. `null` is allowed wherever the field is not required.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    /// At most 1000 characters.
    Name,
    Date,
    Number,
    Integer,
    Flag,
    Texts,
    Level,
    Record,
    NumberOrText,
    ScoreType,
    ObservationType,
}

type Field = (&'static str, bool, Shape);

const TRACE: &[Field] = &[
    ("id", false, Shape::Text),
    ("timestamp", false, Shape::Date),
    ("name", false, Shape::Name),
    ("userId", false, Shape::Text),
    ("sessionId", false, Shape::Text),
    ("externalId", false, Shape::Text),
    ("release", false, Shape::Text),
    ("version", false, Shape::Text),
    ("environment", false, Shape::Text),
    ("public", false, Shape::Flag),
    ("tags", false, Shape::Texts),
];
const OBSERVATION: &[Field] = &[
    ("id", false, Shape::Text),
    ("traceId", false, Shape::Text),
    ("name", false, Shape::Text),
    ("startTime", false, Shape::Date),
    ("endTime", false, Shape::Date),
    ("completionStartTime", false, Shape::Date),
    ("level", false, Shape::Level),
    ("statusMessage", false, Shape::Text),
    ("parentObservationId", false, Shape::Text),
    ("version", false, Shape::Text),
    ("environment", false, Shape::Text),
    ("model", false, Shape::Text),
    ("modelParameters", false, Shape::Record),
    ("usage", false, Shape::Record),
    ("usageDetails", false, Shape::Record),
    ("costDetails", false, Shape::Record),
    ("promptName", false, Shape::Text),
    ("promptVersion", false, Shape::Integer),
];
const UPDATE: &[Field] = &[("id", true, Shape::Text)];
const LEGACY: &[Field] = &[("type", true, Shape::ObservationType)];
const SCORE: &[Field] = &[
    ("id", false, Shape::Text),
    ("name", true, Shape::Text),
    ("value", true, Shape::NumberOrText),
    ("traceId", true, Shape::Text),
    ("observationId", false, Shape::Text),
    ("comment", false, Shape::Text),
    ("configId", false, Shape::Text),
    ("environment", false, Shape::Text),
    ("dataType", false, Shape::ScoreType),
];
const ENVELOPE: &[Field] =
    &[("id", true, Shape::Text), ("type", true, Shape::Text), ("timestamp", true, Shape::Date)];

/// Checks one event; `Err` is the text of the per-event 400.
pub(crate) fn check(event: &Value) -> Result<(), String> {
    let mut problems = Vec::new();
    check_fields(event, ENVELOPE, "", &mut problems);
    let kind = event["type"].as_str().unwrap_or_default();
    let body = &event["body"];
    if !TYPES.iter().any(|row| row.0 == kind) {
        problems.push(format!("type: Invalid discriminator value, got {kind:?}"));
    } else if !body.is_object() {
        problems.push("body: Expected object".into());
    } else {
        for table in tables(kind) {
            check_fields(body, table, "body.", &mut problems);
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

fn tables(kind: &str) -> &'static [&'static [Field]] {
    match kind {
        "trace-create" => &[TRACE],
        "score-create" => &[SCORE],
        "sdk-log" => &[],
        "span-update" | "generation-update" => &[OBSERVATION, UPDATE],
        "observation-create" => &[OBSERVATION, LEGACY],
        "observation-update" => &[OBSERVATION, UPDATE, LEGACY],
        _ => &[OBSERVATION],
    }
}

fn check_fields(value: &Value, fields: &[Field], path: &str, problems: &mut Vec<String>) {
    for (name, required, shape) in fields {
        match value.get(name) {
            None | Some(Value::Null) if !required => {}
            None => problems.push(format!("{path}{name}: Required")),
            Some(found) if fits(found, *shape) => {}
            Some(_) => problems.push(format!("{path}{name}: Expected {}", expected(*shape))),
        }
    }
}

fn fits(value: &Value, shape: Shape) -> bool {
    let one_of = |names: &[&str]| value.as_str().is_some_and(|text| names.contains(&text));
    match shape {
        Shape::Text => value.is_string(),
        Shape::Name => value.as_str().is_some_and(|name| name.chars().count() <= 1000),
        Shape::Date => value.as_str().is_some_and(|text| text.contains('T') && js::millis(text).is_some()),
        Shape::Number => value.is_number(),
        Shape::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Shape::Flag => value.is_boolean(),
        Shape::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
        Shape::Level => one_of(&["DEBUG", "DEFAULT", "WARNING", "ERROR"]),
        Shape::Record => value.is_object(),
        Shape::NumberOrText => fits(value, Shape::Number) || value.is_string(),
        Shape::ScoreType => one_of(&["NUMERIC", "CATEGORICAL", "BOOLEAN"]),
        Shape::ObservationType => one_of(&["SPAN", "EVENT", "GENERATION"]),
    }
}

fn expected(shape: Shape) -> &'static str {
    match shape {
        Shape::Text => "string",
        Shape::Name => "string of at most 1000 characters",
        Shape::Date => "ISO 8601 datetime",
        Shape::Number | Shape::Integer => "number",
        Shape::Flag => "boolean",
        Shape::Texts => "array of strings",
        Shape::Level => "DEBUG, DEFAULT, WARNING or ERROR",
        Shape::Record => "object",
        Shape::NumberOrText => "number or string",
        Shape::ScoreType => "NUMERIC, CATEGORICAL or BOOLEAN",
        Shape::ObservationType => "SPAN, EVENT or GENERATION",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[allow(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn event(kind: &str, body: Value) -> Value {
        json!({"id": "e", "type": kind, "timestamp": "2025-01-01T00:00:00.000Z", "body": body})
    }

    #[rstest]
    #[case("trace-create", json!({}))]
    #[case("trace-create", json!({"id": "t", "tags": ["a"], "metadata": 3, "name": null}))]
    #[case("span-create", json!({"traceId": "t", "startTime": "2025-01-01T01:00:00+01:00"}))]
    #[case("score-create", json!({"name": "n", "value": 0.5, "traceId": "t"}))]
    #[case("sdk-log", json!({"log": "x"}))]
    fn takes(#[case] kind: &str, #[case] body: Value) {
        assert_eq!(check(&event(kind, body)), Ok(()));
    }

    #[rstest]
    #[case("agent-create", json!({}), "type")]
    #[case("score-create", json!({"name": "n", "value": 1}), "traceId")]
    #[case("span-update", json!({"traceId": "t"}), "body.id")]
    #[case("span-create", json!({"startTime": "yesterday"}), "startTime")]
    #[case("generation-create", json!({"level": "LOUD"}), "level")]
    #[case("trace-create", json!(null), "body")]
    fn refuses(#[case] kind: &str, #[case] body: Value, #[case] names: &str) {
        let problem = check(&event(kind, body)).unwrap_err();
        assert!(problem.contains(names), "{problem}");
    }
}
