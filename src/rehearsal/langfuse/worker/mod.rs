//! Langfuse v3.29.0's worker container: works the queues, writes ClickHouse in batches, runs the background
//! migrations. Its port answers health pages only.

mod ingestion;
mod merge;
mod pricing;
mod record;
mod usage;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::LangfuseError;
use super::backfill::Manager;
use super::bullmq::{INGESTION, Job, Pace, Queue, TRACE_UPSERT, Worker};
use super::process::Context;
use super::serving::answer::json_answer;
use super::serving::listener;
use super::stores::clickhouse::ClickHouse;
use super::stores::postgres;
use super::stores::redis::Redis;
use super::stores::s3::EventBucket;
use writer::Writer;

/// How long after its merge a trace is looked at for evaluations.
const TRACE_UPSERT_DELAY: Duration = Duration::from_secs(30);

/// What the worker's parts share.
#[derive(Clone)]
struct Services {
    context: Arc<Context>,
    pool: PgPool,
    clickhouse: ClickHouse,
    redis: Redis,
    bucket: EventBucket,
    writer: Writer,
    trace_upsert: Queue,
}

impl Services {
    fn open(context: Arc<Context>) -> Result<Self, LangfuseError> {
        let settings = &context.settings;
        let missing = || LangfuseError::refused("the worker needs ClickHouse, Redis and S3");
        let redis = Redis::open(settings.redis_url.as_ref().ok_or_else(missing)?)?;
        let clickhouse = ClickHouse::open(settings.clickhouse.as_ref().ok_or_else(missing)?)?;
        Ok(Self {
            pool: postgres::open(&settings.database_url, "langfuse-worker")?,
            bucket: EventBucket::open(settings.s3.as_ref().ok_or_else(missing)?)?,
            writer: Writer::new(clickhouse.clone(), settings, context.log.clone()),
            trace_upsert: Queue::new(TRACE_UPSERT, redis.commands()),
            clickhouse,
            redis,
            context,
        })
    }
}

/// Works until the process is told to stop; then closes the queues, gives the migration lock back, writes what
/// is in memory, in this order.
pub(crate) async fn run(context: Arc<Context>, socket: TcpListener) -> Result<(), LangfuseError> {
    let services = Services::open(context.clone())?;
    services.writer.start(&context.crew);
    let server = listener::serve(context.clone(), socket, routes(services.clone()));
    context.crew.spawn(server);
    let manager = Manager::new(&context, services.pool.clone(), services.clickhouse.clone());
    if context.settings.background_migrations {
        manager.start(&context.crew);
    }
    // SIGTERM stops the fetching; the queues end when their open jobs are done.
    let closing = async {
        context.crew.term().cancelled().await;
        context.log.info("Received SIGTERM, closing server...");
    };
    tokio::join!(work_queues(&services, context.crew.term()), closing);
    manager.close().await?;
    services.writer.shutdown().await;
    context.log.info("Shutdown complete, exiting process...");
    Ok(())
}

async fn work_queues(services: &Services, stop: &CancellationToken) {
    let settings = &services.context.settings;
    let worker = |queue, concurrency| Worker {
        queue,
        concurrency,
        pace: Pace::default(),
        redis: services.redis.clone(),
        faults: services.context.faults.clone(),
    };
    let ingestion = async {
        if settings.ingestion_consumer {
            let worker = worker(INGESTION, settings.ingestion_concurrency.max(1));
            worker.run(stop.clone(), |job| ingest(services, job)).await;
        }
    };
    let trace_upsert = async {
        if settings.trace_upsert_consumer {
            let worker = worker(TRACE_UPSERT, settings.trace_upsert_concurrency.max(1));
            // Evaluations start here; a project without evaluators has nothing to do.
            worker.run(stop.clone(), async |_: Job| Ok(())).await;
        }
    };
    tokio::join!(ingestion, trace_upsert);
}

async fn ingest(services: &Services, job: Job) -> Result<(), String> {
    ingestion::process(services, &job).await.map_err(|error| {
        let project = job.data["payload"]["authCheck"]["scope"]["projectId"].as_str().unwrap_or_default();
        let log = &services.context.log;
        log.error(&format!("Failed job ingestion processing for {project} {error}"));
        log.error(&format!("Queue job {} with id {} in {INGESTION} failed {error}", job.name, job.id));
        error.to_string()
    })
}

fn routes(services: Services) -> Router {
    Router::new().route("/api/health", get(health)).route("/api/ready", get(ready)).with_state(services)
}

/// PostgreSQL and Redis only: a green page says nothing of ClickHouse or S3.
async fn health(State(services): State<Services>) -> Response {
    let (database, redis) = tokio::join!(postgres::ping(&services.pool), services.redis.ping());
    if database && redis {
        json_answer(StatusCode::OK, &json!({"status": "ok"}))
    } else {
        services.context.log.error("Health check failed");
        json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({"status": "error"}))
    }
}

async fn ready(State(services): State<Services>) -> Response {
    if services.context.crew.term().is_cancelled() {
        let status = "SIGTERM / SIGINT received, shutting down";
        return json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({"status": status}));
    }
    json_answer(StatusCode::OK, &json!({"status": "ok"}))
}
