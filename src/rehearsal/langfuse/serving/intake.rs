//! The ingestion request up to the point where v2 and v3 part: size, JSON, schema, scope, order.

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::super::events::{self, Event};
use super::answer::{Refusal, json_answer};
use super::auth::Scope;
use crate::rehearsal::upload;

/// The largest body of an API route, bytes: 4.5 MB as Next.js counts.
const BODY_LIMIT: usize = 4_718_592;

/// A request's events after the checks, and the answers of those that failed them.
pub(crate) struct Intake {
    pub(crate) events: Vec<Event>,
    pub(crate) errors: Vec<Value>,
}

/// Reads a body of at most 4.5 MB.
pub(crate) async fn read_body(request: Request<Body>) -> Result<Bytes, Refusal> {
    upload::read(request.into_body(), BODY_LIMIT).await.map_err(|_| {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge", "Body exceeded 4.5mb limit")
    })
}

/// Reads a JSON body.
pub(crate) fn read_json(bytes: &Bytes) -> Result<Value, Refusal> {
    serde_json::from_slice(bytes).map_err(|_| Refusal::bad_request("Invalid JSON"))
}

/// Checks every event of `{"batch": [...]}` and sorts those that pass.
///
/// # Errors
/// 400 when the body as a whole has another shape.
pub(crate) fn sift(body: &Value, scope: &Scope) -> Result<Intake, Refusal> {
    let batch = body.get("batch").and_then(Value::as_array);
    let batch = batch.ok_or_else(|| Refusal::bad_request("batch: Required"))?;
    let mut intake = Intake { events: Vec::with_capacity(batch.len()), errors: Vec::new() };
    for value in batch {
        let id = value["id"].as_str().unwrap_or("unknown");
        match events::check(value) {
            Err(problem) => {
                intake.errors.push(event_error(id, 400, "Invalid request data", &problem));
            }
            Ok(()) => match Event::read(value) {
                Some(event) if event.kind == "sdk-log" => {}
                Some(event) if scope.scores_only && event.kind != "score-create" => {
                    intake.errors.push(event_error(id, 401, "Authentication error", "Access Scope Denied"));
                }
                Some(event) => intake.events.push(event),
                None => intake.errors.push(event_error(id, 400, "Invalid request data", "Expected object")),
            },
        }
    }
    events::sort(&mut intake.events);
    Ok(intake)
}

/// One entry of `errors`.
pub(crate) fn event_error(id: &str, status: u16, message: &str, error: &str) -> Value {
    json!({"id": id, "status": status, "message": message, "error": error})
}

/// 207 with the ids that were taken and the errors.
pub(crate) fn multi_status(taken: &[String], errors: &[Value]) -> Response {
    let successes: Vec<_> = taken.iter().map(|id| json!({"id": id, "status": 201})).collect();
    json_answer(StatusCode::MULTI_STATUS, &json!({"successes": successes, "errors": errors}))
}

/// The body of `POST /api/public/scores` or of the legacy `POST /api/public/traces` as an event of `kind`; what has
/// no id is given one.
///
/// # Errors
/// 400 when it is not what such an event says.
pub(crate) fn single(kind: &str, mut body: Value) -> Result<Event, Refusal> {
    let wrong = || Refusal::bad_request("Expected object");
    let object = body.as_object_mut().ok_or_else(wrong)?;
    if !object.get("id").is_some_and(Value::is_string) {
        object.insert("id".into(), uuid::Uuid::new_v4().to_string().into());
    }
    let now = super::super::js::iso(crate::rehearsal::clock::now_ms());
    let event = json!({"id": uuid::Uuid::new_v4().to_string(), "type": kind, "timestamp": now, "body": body});
    events::check(&event).map_err(|problem| Refusal::bad_request(&problem))?;
    Event::read(&event).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_the_good_from_the_bad() {
        let now = "2025-01-01T00:00:00Z";
        let body = json!({"batch": [
            {"id": "1", "type": "trace-create", "timestamp": now, "body": {"id": "t"}},
            {"id": "2", "type": "agent-create", "timestamp": now, "body": {}},
            {"id": "3", "type": "sdk-log", "timestamp": now, "body": {"log": 1}},
        ]});
        let scope = Scope { project: "p".into(), scores_only: false };
        let intake = sift(&body, &scope).ok().unwrap();
        assert_eq!(intake.events.len(), 1);
        assert_eq!(intake.errors[0]["status"], 400);
        let scope = Scope { scores_only: true, ..scope };
        assert_eq!(sift(&body, &scope).ok().unwrap().errors[0]["status"], 401);
        assert!(sift(&json!({"events": []}), &scope).is_err());
    }

    #[test]
    fn a_single_body_becomes_an_event_with_an_id() {
        let event = single("trace-create", json!({"name": "one"})).ok().unwrap();
        assert_eq!((event.kind.as_str(), event.text("name")), ("trace-create", Some("one")));
        assert!(event.body_id().is_some_and(|id| !id.is_empty()));
        assert_eq!(single("trace-create", json!({"id": "t"})).ok().unwrap().body_id(), Some("t"));
        for wrong in [json!([]), json!("text"), json!(1)] {
            assert!(single("trace-create", wrong).is_err());
        }
    }
}
