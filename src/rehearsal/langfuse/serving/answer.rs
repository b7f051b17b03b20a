//! Answers in Langfuse's shapes.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};

/// An error answer: `{"message": ..., "error": ...}` with a status.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: &str, message: impl Into<String>) -> Self {
        Self { status, body: json!({"message": message.into(), "error": error}) }
    }

    pub(crate) fn bad_request(problems: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            body: json!({"message": "Invalid request data", "errors": [problems]}),
        }
    }

    pub(crate) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UnauthorizedError", message)
    }

    pub(crate) fn not_found(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "LangfuseNotFoundError", message)
    }

    /// 500 with the error's text, as Langfuse answers what it did not expect.
    pub(crate) fn internal(error: &impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

/// Next.js's page for what does not exist: HTML, also below `/api`.
pub(crate) async fn not_found_page() -> Response {
    (StatusCode::NOT_FOUND, Html("<!DOCTYPE html><title>404: This page could not be found</title>"))
        .into_response()
}

/// A JSON answer with a status.
pub(crate) fn json_answer(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// A page of a list with its `meta`.
pub(crate) fn list(data: &[Value], page: i64, limit: i64, total: i64) -> Response {
    let pages = (total + limit - 1) / limit.max(1);
    let meta = json!({"page": page, "limit": limit, "totalItems": total, "totalPages": pages});
    json_answer(StatusCode::OK, &json!({"data": data, "meta": meta}))
}

/// The root page: enough for a browser and a load balancer to see which version answers.
pub(crate) fn root_page(version: &str) -> Html<String> {
    Html(format!("<!DOCTYPE html><title>Langfuse</title><h1>Langfuse v{version}</h1>"))
}
