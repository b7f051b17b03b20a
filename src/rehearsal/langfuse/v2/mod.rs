//! Langfuse v2.95.12: one container, everything in PostgreSQL, written inside the request.

mod ingest;
mod model;
mod observation;
mod read;
mod score;
pub(crate) mod trace;

use std::sync::Arc;

use axum::Router;
use sqlx::PgPool;
use tokio::net::TcpListener;

use super::LangfuseError;
use super::process::Context;
use super::serving::api::public_api;
use super::serving::{answer, auth, listener};
use super::stores::postgres;
use super::stores::s3::EventBucket;

pub(crate) use read::{camel, project_page};

/// What v2's handlers share.
#[derive(Clone)]
pub(crate) struct V2 {
    context: Arc<Context>,
    pool: PgPool,
    /// Set with `LANGFUSE_S3_EVENT_UPLOAD_ENABLED=true`: events are stored in v3's layout as well.
    bucket: Option<EventBucket>,
}

impl V2 {
    async fn scope(&self, headers: &axum::http::HeaderMap) -> Result<auth::Scope, answer::Refusal> {
        auth::authorize(headers, &self.pool, self.context.settings.salt.expose()).await
    }
}

/// Serves until the process is told to stop.
pub(crate) async fn run(context: Arc<Context>, socket: TcpListener) -> Result<(), LangfuseError> {
    let pool = postgres::open(&context.settings.database_url, "langfuse-v2-web")?;
    let bucket = context.settings.s3.as_ref().map(EventBucket::open).transpose()?;
    let state = V2 { context: context.clone(), pool: pool.clone(), bucket };
    context.log.info("✓ Ready");
    listener::serve(context, socket, routes(state)).await;
    pool.close().await;
    Ok(())
}

/// `/api/public/otel` is not among the routes: v2 answers 404 there, whatever the method.
fn routes(state: V2) -> Router {
    public_api!(state.context.kind.version()).with_state(state)
}
