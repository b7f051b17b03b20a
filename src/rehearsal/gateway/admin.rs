//! The controller's own two ports: `/metrics`, and nginx's status server with `/configuration/backends`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::State;
use super::metrics::backends;

/// Serves both until `cancel`.
pub(super) async fn serve(
    metrics: TcpListener,
    config: TcpListener,
    state: Arc<State>,
    cancel: CancellationToken,
) {
    let metrics_app = Router::new()
        .route("/metrics", get(text))
        .route("/healthz", get(async || "ok"))
        .with_state(Arc::clone(&state));
    let config_app = Router::new()
        .route("/configuration/backends", get(pushed))
        .route("/healthz", get(async || "ok"))
        .with_state(state);
    let metrics = axum::serve(metrics, metrics_app).with_graceful_shutdown(cancel.clone().cancelled_owned());
    let config = axum::serve(config, config_app).with_graceful_shutdown(cancel.clone().cancelled_owned());
    // A client that keeps its connection open must not keep the gateway from ending.
    let _ =
        cancel.run_until_cancelled(async { tokio::join!(metrics.into_future(), config.into_future()) }).await;
}

async fn text(Shared(state): Shared<Arc<State>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.text())
}

async fn pushed(Shared(state): Shared<Arc<State>>) -> impl IntoResponse {
    axum::Json(backends(&state.pushed()))
}
