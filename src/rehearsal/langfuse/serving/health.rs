//! `GET /api/public/health` and `/ready`: what they check, and what they do not (sheet 5.1).

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;
use sqlx::PgPool;

use super::super::process::Context;
use super::super::stores::postgres;
use super::answer::json_answer;
use super::query;

/// Answers the health page. `recent` tells whether a trace and an observation arrived in the last 3 minutes; it
/// is asked only when the query wants it.
pub(crate) async fn health(
    context: &Context,
    pool: &PgPool,
    uri: &Uri,
    recent: impl Future<Output = bool>,
) -> Response {
    let version = context.kind.version();
    let wants = |name| query::parameter(uri, name).is_some_and(|value| value == "true");
    let refuse = |status: &str| {
        json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": status, "version": version}))
    };
    if wants("failIfDatabaseUnavailable") && !postgres::ping(pool).await {
        return refuse("Database not available");
    }
    if wants("failIfNoRecentEvents") && !recent.await {
        return refuse("No recent events");
    }
    json_answer(StatusCode::OK, &json!({"status": "OK", "version": version}))
}

/// Answers the readiness page: only SIGTERM turns it.
pub(crate) fn ready(context: &Context) -> Response {
    if context.crew.term().is_cancelled() {
        let status = "SIGTERM / SIGINT received, shutting down";
        return json_answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            &json!({"status": status, "version": context.kind.version()}),
        );
    }
    json_answer(StatusCode::OK, &json!({"status": "OK", "version": context.kind.version()}))
}
