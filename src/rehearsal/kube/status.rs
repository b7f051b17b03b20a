//! Error bodies: the one place that words refusals as a real API server words them.

use serde_json::{Map, Value, json};

use super::resources::Kind;

/// A refusal: what becomes the body of kind `Status` and the HTTP status code.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code} {reason}: {message}")]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine readable reason, for example `Conflict`; may be empty.
    pub reason: &'static str,
    /// The sentence for people.
    pub message: String,
    /// `details`: name, group, kind, causes, retryAfterSeconds, uid.
    pub details: Option<Box<Value>>,
    /// `metadata.continue` of an expired list, with which the client can go on.
    pub resume: Option<String>,
}

/// One cause of an invalid object: type, field and message.
pub(super) struct Cause {
    pub reason: &'static str,
    pub field: String,
    pub message: String,
}

impl Status {
    /// A refusal without details.
    pub(super) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None, resume: None }
    }

    /// The same refusal with details.
    pub(super) fn with(mut self, details: Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.details = Some(Box::new(details(kind.group, kind.plural, name)));
        self
    }

    /// 400.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401, for a token nobody knows.
    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403; `message` is who cannot do what.
    pub(super) fn forbidden(group: &str, resource: &str, name: &str, message: &str) -> Self {
        let qualified = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        let text = match (resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {message}"),
            (_, true) => format!("{qualified} is forbidden: {message}"),
            _ => format!("{qualified} \"{name}\" is forbidden: {message}"),
        };
        Self::new(403, "Forbidden", text).with(details(group, resource, name))
    }

    /// 404 for an object.
    pub(super) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} \"{name}\" not found", kind.qualified())).about(kind, name)
    }

    /// 405.
    pub(super) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message).with(json!({}))
    }

    /// 406: nothing that the client accepts can be had.
    pub(super) fn not_acceptable(representations: &[&str]) -> Self {
        let there = representations.join(", ");
        let message = format!("406: Not Acceptable\n\nAvailable representations: {there}");
        Self::new(406, "NotAcceptable", message).with(json!({}))
    }

    /// 404 for a resource, or a version of it, that a group does not have.
    pub(super) fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(404, "NotFound", message).with(json!({}))
    }

    /// 409: created already.
    pub(super) fn already_exists(kind: &Kind, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", kind.qualified()))
            .about(kind, name)
    }

    /// 409: the write was made against another state than the stored one.
    pub(super) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified());
        Self::new(409, "Conflict", message).about(kind, name)
    }

    /// 409: a stale `resourceVersion`.
    pub(super) fn stale(kind: &Kind, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409: an object other than the one that a deletion was meant for; it names the kind, not the resource.
    pub(super) fn unmet(kind: &Kind, name: &str, why: &str) -> Self {
        let shown = if kind.group.is_empty() {
            kind.kind.to_owned()
        } else {
            format!("{}.{}", kind.kind, kind.group)
        };
        let message = format!("Operation cannot be fulfilled on {shown} \"{name}\": {why}");
        Self::new(409, "Conflict", message).with(details(kind.group, kind.kind, name))
    }

    /// 410: the history needed is gone.
    pub(super) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 415 for a patch in a language nobody speaks.
    pub(super) fn unsupported_patch() -> Self {
        Self::new(415, "UnsupportedMediaType", "415: Unsupported Media Type").with(json!({}))
    }

    /// 415 for an object.
    pub(super) fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422 for an object that breaks a rule of its kind.
    pub(super) fn invalid(kind: &Kind, name: &str, causes: &[Cause]) -> Self {
        Self::invalid_of(kind.group, kind.kind, name, causes)
    }

    /// 422 for a question about rights that asks nothing.
    pub(super) fn invalid_review(causes: &[Cause]) -> Self {
        Self::invalid_of("authorization.k8s.io", "", "", causes)
    }

    /// 422 for options of a request.
    pub(super) fn invalid_options(kind: &str, causes: &[Cause]) -> Self {
        Self::invalid_of("meta.k8s.io", kind, "", causes)
    }

    /// 422 for a write without a version to a kind that must have one; it names the resource, not the kind.
    pub(super) fn version_required(kind: &Kind, name: &str) -> Self {
        let cause = Cause {
            reason: "FieldValueInvalid",
            field: "metadata.resourceVersion".into(),
            message: "Invalid value: 0: must be specified for an update".into(),
        };
        Self::invalid_of(kind.group, kind.plural, name, &[cause])
    }

    /// 422 for a scale that breaks a rule.
    pub(super) fn invalid_scale(name: &str, causes: &[Cause]) -> Self {
        Self::invalid_of("autoscaling", "Scale", name, causes)
    }

    /// 422 for a patch whose outcome cannot be read as an object of its kind.
    pub(super) fn invalid_patch(outcome: &Value, why: &str) -> Self {
        let shown = Value::from(outcome.to_string());
        let message = format!("Invalid value: {shown}: {why}");
        let cause = Cause { reason: "FieldValueInvalid", field: "patch".into(), message };
        Self::invalid_of("", "", "", &[cause])
    }

    fn invalid_of(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let mut bodies: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        // What is wrong twice is one sentence, though two causes.
        bodies.dedup();
        let joined = if bodies.len() == 1 { bodies.concat() } else { format!("[{}]", bodies.join(", ")) };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let message = format!("{qualified} \"{name}\" is invalid: {joined}");
        let mut details = details(group, kind, name);
        details["causes"] = causes
            .iter()
            .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
            .collect();
        Self::new(422, "Invalid", message).with(details)
    }

    /// 422 for a JSON patch that did not fit the object, a failing `test` included.
    pub(super) fn unprocessable_patch() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::new(422, "Invalid", message).with(json!({}))
    }

    /// 429 with `Retry-After`.
    pub(super) fn too_many_requests(retry_after_seconds: u32) -> Self {
        let message = "the server has received too many requests and has asked us to try again later";
        let details = json!({"retryAfterSeconds": retry_after_seconds});
        Self::new(429, "TooManyRequests", message).with(details)
    }

    /// 500 with no reason, as a real server answers for errors it did not foresee.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// Seconds for the `Retry-After` header, when the refusal asks to wait.
    pub(super) fn retry_after(&self) -> Option<u64> {
        self.details.as_ref()?.get("retryAfterSeconds")?.as_u64()
    }

    /// The body.
    pub(super) fn to_value(&self) -> Value {
        let mut body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"});
        if let Some(resume) = &self.resume {
            body["metadata"]["continue"] = json!(resume);
        }
        body["message"] = json!(self.message);
        if !self.reason.is_empty() {
            body["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            body["details"] = (**details).clone();
        }
        body["code"] = json!(self.code);
        body
    }
}

/// `details` with only what is known.
pub(super) fn details(group: &str, resource: &str, name: &str) -> Value {
    let mut map = Map::new();
    for (key, value) in [("name", name), ("group", group), ("kind", resource)] {
        if !value.is_empty() {
            map.insert(key.into(), json!(value));
        }
    }
    Value::Object(map)
}
