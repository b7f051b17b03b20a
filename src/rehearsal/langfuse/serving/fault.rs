//! Where a scenario's HTTP faults strike: before the handler, health and readiness spared except by a freeze.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::super::process::Context;
use super::answer::Refusal;

pub(crate) async fn strike(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
    let faults = &context.faults;
    faults.thawed().await;
    let path = request.uri().path();
    if path.ends_with("/health") || path.ends_with("/ready") {
        return next.run(request).await;
    }
    let latency = faults.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let dice: f64 = rand::random();
    let errors = faults.error_share();
    if dice < errors {
        context.log.error("Internal Server Error");
        return Refusal::internal(&"Internal Server Error").into_response();
    }
    if dice < errors + faults.throttle_share() {
        return Refusal::new(StatusCode::TOO_MANY_REQUESTS, "RateLimitError", "Rate limit exceeded")
            .into_response();
    }
    next.run(request).await
}
