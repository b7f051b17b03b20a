//! Langfuse v3.29.0's web container: migrates, then accepts events, stores them in S3 and queues them.

mod admin;
mod ingest;
mod migrate;
mod otel;
mod read;
mod read_rows;

pub(crate) use read_rows::insertable;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use sqlx::PgPool;
use tokio::net::TcpListener;

use super::LangfuseError;
use super::bullmq::{INGESTION, Queue};
use super::process::Context;
use super::serving::api::public_api;
use super::serving::{answer, auth, listener};
use super::stores::clickhouse::ClickHouse;
use super::stores::postgres;
use super::stores::redis::Redis;
use super::stores::s3::EventBucket;

/// What v3 web's handlers share.
#[derive(Clone)]
pub(crate) struct Web {
    context: Arc<Context>,
    pool: PgPool,
    clickhouse: ClickHouse,
    redis: Redis,
    bucket: EventBucket,
    ingestion: Queue,
}

impl Web {
    fn open(context: Arc<Context>) -> Result<Self, LangfuseError> {
        let settings = &context.settings;
        let missing = || LangfuseError::refused("v3 web needs ClickHouse, Redis and S3");
        let redis = Redis::open(settings.redis_url.as_ref().ok_or_else(missing)?)?;
        Ok(Self {
            pool: postgres::open(&settings.database_url, "langfuse-web")?,
            clickhouse: ClickHouse::open(settings.clickhouse.as_ref().ok_or_else(missing)?)?,
            bucket: EventBucket::open(settings.s3.as_ref().ok_or_else(missing)?)?,
            ingestion: Queue::new(INGESTION, redis.commands()),
            redis,
            context,
        })
    }

    async fn scope(&self, headers: &axum::http::HeaderMap) -> Result<auth::Scope, answer::Refusal> {
        auth::authorize(headers, &self.pool, self.context.settings.salt.expose()).await
    }
}

/// Migrates both databases, then serves until the process is told to stop.
///
/// # Errors
/// When a migration fails: the entrypoint exits and the port never answers.
pub(crate) async fn run(context: Arc<Context>, socket: TcpListener) -> Result<(), LangfuseError> {
    let web = Web::open(context.clone())?;
    migrate::run(&context, &web.pool, &web.clickhouse).await?;
    context.log.info("✓ Ready");
    let pool = web.pool.clone();
    listener::serve(context, socket, routes(web)).await;
    let _ = tokio::time::timeout(Duration::from_secs(5), pool.close()).await;
    Ok(())
}

fn routes(web: Web) -> Router {
    public_api!(web.context.kind.version())
        .route("/api/public/otel/v1/traces", post(otel::traces))
        .route("/api/admin/bullmq", get(admin::queues).post(admin::manage))
        .with_state(web)
}
