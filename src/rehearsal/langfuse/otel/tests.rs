//! Both forms of OTLP must give the same events.

use prost::Message as _;
use serde_json::{Value, json};

use super::{events, from_json, from_protobuf};

fn sample() -> Value {
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.version", "value": {"stringValue": "1.2"}}]},
        "scopeSpans": [{"scope": {"name": "langfuse-sdk", "version": "3.0"}, "spans": [
            {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "root",
             "startTimeUnixNano": "1738317600123000000", "endTimeUnixNano": "1738317601000000000",
             "attributes": [{"key": "user.id", "value": {"stringValue": "u"}}, {"key": "input.value", "value": {"stringValue": "hi"}}]},
            {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00f067aa0ba902b7", "parentSpanId": "b7ad6b7169203331",
             "name": "llm", "startTimeUnixNano": "1738317600200000000", "endTimeUnixNano": "1738317600900000000",
             "status": {"code": 2},
             "attributes": [
                {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-4o"}},
                {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}},
                {"key": "gen_ai.usage.cost", "value": {"doubleValue": 0.5}},
                {"key": "gen_ai.prompt.0.role", "value": {"stringValue": "user"}},
                {"key": "gen_ai.prompt.0.content", "value": {"stringValue": "hello"}}]}
        ]}]
    }]})
}

#[test]
fn a_root_span_is_a_trace_and_a_model_makes_a_generation() {
    let found = events(&from_json(sample().to_string().as_bytes()).unwrap());
    let kinds: Vec<_> = found.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["trace-create", "span-create", "generation-create"]);
    let trace = &found[0]["body"];
    assert_eq!(trace["id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(trace["timestamp"], "2025-01-31T10:00:00.123Z");
    assert_eq!(
        (&trace["userId"], &trace["version"], &trace["input"]),
        (&json!("u"), &json!("1.2"), &json!("hi"))
    );
    let generation = &found[2]["body"];
    assert_eq!(generation["parentObservationId"], "b7ad6b7169203331");
    assert_eq!(generation["level"], "ERROR");
    assert_eq!(generation["usageDetails"], json!({"input": 12}));
    assert_eq!(generation["costDetails"], json!({"total": 0.5}));
    assert_eq!(generation["input"], json!([{"role": "user", "content": "hello"}]));
}

#[test]
fn protobuf_says_the_same_as_json() {
    let export = from_json(sample().to_string().as_bytes()).unwrap();
    let bytes = export.encode_to_vec();
    assert_eq!(from_protobuf(&bytes).unwrap(), export);
    assert!(from_protobuf(b"\xff\xff").is_err());
    assert!(from_json(b"{}").is_err());
}

#[test]
fn every_event_passes_the_schema() {
    for event in events(&from_json(sample().to_string().as_bytes()).unwrap()) {
        crate::rehearsal::langfuse::events::check(&event).unwrap();
    }
}
