//! The public API that both versions have.
//!
//! One rule: a path that only one version answers stands in that version's own routes.

/// A router of the shared paths; whoever calls it has the handlers in modules `read` and `ingest` of its own.
macro_rules! public_api {
    ($version:expr) => {{
        use axum::routing::{get, post};
        let version = $version;
        axum::Router::new()
            .route("/", get(async move || $crate::rehearsal::langfuse::serving::answer::root_page(version)))
            .route("/api/public/health", get(read::health))
            .route("/api/public/ready", get(read::ready))
            .route("/api/public/ingestion", post(ingest::ingestion))
            .route("/api/public/scores", post(ingest::scores).get(read::scores))
            .route("/api/public/traces", get(read::traces).post(ingest::traces))
            .route("/api/public/traces/{id}", get(read::trace).delete(ingest::delete_trace))
            .route("/api/public/observations", get(read::observations))
            .route("/api/public/observations/{id}", get(read::observation))
            .route("/api/public/projects", get(read::projects))
            .fallback($crate::rehearsal::langfuse::serving::answer::not_found_page)
    }};
}
pub(crate) use public_api;
