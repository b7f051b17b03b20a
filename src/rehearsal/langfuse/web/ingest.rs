//! Writing: an event is accepted when it is in S3 and its job is queued; it is visible seconds later.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::super::LangfuseError;
use super::super::events::{self, Entity, Event, Group};
use super::super::js;
use super::super::serving::answer::{Refusal, json_answer};
use super::super::serving::auth::Scope;
use super::super::serving::intake::{self, multi_status};
use super::super::v2::trace;
use super::Web;
use crate::rehearsal::clock;

/// The longest delay of a job outside of midnight.
const SHORT_DELAY: Duration = Duration::from_secs(5);

/// `POST /api/public/ingestion`.
pub(super) async fn ingestion(State(web): State<Web>, request: Request<Body>) -> Result<Response, Refusal> {
    let scope = web.scope(request.headers()).await?;
    let body = intake::read_json(&intake::read_body(request).await?)?;
    let intake = intake::sift(&body, &scope)?;
    accept(&web, &scope, &intake.events, None).await?;
    let taken: Vec<_> = intake.events.iter().map(|event| event.id.clone()).collect();
    Ok(multi_status(&taken, &intake.errors))
}

/// `POST /api/public/scores`: answers the id only.
pub(super) async fn scores(State(web): State<Web>, request: Request<Body>) -> Result<Response, Refusal> {
    let scope = web.scope(request.headers()).await?;
    let body = intake::read_json(&intake::read_body(request).await?)?;
    let event = intake::single("score-create", body)?;
    events::inflate(&event).map_err(|problem| Refusal::bad_request(&problem))?;
    accept(&web, &scope, std::slice::from_ref(&event), None).await?;
    Ok(json_answer(StatusCode::OK, &json!({"id": event.body_id()})))
}

/// The legacy `POST /api/public/traces`.
pub(super) async fn traces(State(web): State<Web>, request: Request<Body>) -> Result<Response, Refusal> {
    let scope = web.scope(request.headers()).await?;
    let body = intake::read_json(&intake::read_body(request).await?)?;
    let event = intake::single("trace-create", body)?;
    accept(&web, &scope, std::slice::from_ref(&event), None).await?;
    Ok(json_answer(StatusCode::OK, &json!({"id": event.body_id()})))
}

/// `DELETE /api/public/traces/{id}`: the rows go from PostgreSQL, then from ClickHouse by a lightweight delete, which
/// leaves no tombstone. The real one queues this for the worker, which empties the trace's folder in S3 as well. Later
/// versions leave PostgreSQL alone, and then nothing on either side says that a row was deleted.
pub(super) async fn delete_trace(
    State(web): State<Web>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    let scope = web.scope(request.headers()).await?;
    trace::delete(&web.pool, &scope.project, &id).await.map_err(|error| Refusal::internal(&error))?;
    for (table, column) in [("traces", "id"), ("observations", "trace_id"), ("scores", "trace_id")] {
        let sql = format!(
            "DELETE FROM {table} WHERE project_id = {{project: String}} AND {column} = {{id: String}}"
        );
        let done = web.clickhouse.execute(&sql, &[("project", &scope.project), ("id", &id)]).await;
        done.map_err(|error| Refusal::internal(&error))?;
    }
    Ok(json_answer(StatusCode::OK, &json!({"message": "Trace deleted successfully"})))
}

/// Stores and queues sorted events. `delay` overrides the usual one (OTLP: none).
///
/// # Errors
/// 500 when S3 refuses (nothing is queued then), or when Redis refuses after the objects were written.
pub(super) async fn accept(
    web: &Web,
    scope: &Scope,
    events: &[Event],
    delay: Option<Duration>,
) -> Result<(), Refusal> {
    let groups = events::group(events);
    let stored = futures::future::join_all(groups.iter().map(|group| upload(web, scope, group))).await;
    let mut failed = false;
    for error in stored.into_iter().filter_map(Result::err) {
        web.context.log.error(&format!("Failed to upload event to S3 {error}"));
        failed = true;
    }
    if failed {
        return Err(Refusal::internal(&"Failed to upload events to blob storage, aborting event processing"));
    }
    let delay = delay.unwrap_or_else(|| queue_delay(web.context.settings.queue_delay, clock::now_ms()));
    for group in &groups {
        web.ingestion.add("ingestion-job", &job(scope, group), delay).await.map_err(|error| {
            web.context.log.error(&format!("Failed to add job to ingestion-queue {error}"));
            Refusal::internal(&error)
        })?;
    }
    Ok(())
}

async fn upload(web: &Web, scope: &Scope, group: &Group) -> Result<(), LangfuseError> {
    let folder = web.bucket.folder(&scope.project, group.entity.folder(), &group.body_id);
    let content: Value = group.events.iter().map(Event::json).collect();
    web.bucket.put_json(&format!("{folder}{}.json", group.file_key()), &content).await
}

/// A job points at the stored events; it carries none.
fn job(scope: &Scope, group: &Group) -> Value {
    let kind = group.events.first().map_or("", |event| event.kind.as_str());
    debug_assert!(Entity::of(kind).is_some(), "groups hold only events of entities");
    json!({
        "id": uuid::Uuid::new_v4().to_string(),
        "timestamp": js::iso(clock::now_ms()),
        "name": "ingestion-job",
        "payload": {
            "data": {"type": kind, "eventBodyId": group.body_id, "fileKey": group.file_key()},
            "authCheck": {
                "validKey": true,
                "scope": {"projectId": scope.project, "accessLevel": if scope.scores_only { "scores" } else { "all" }},
            },
        },
    })
}

/// The full delay from 23:45 to 00:15 UTC, else at most 5 s (sheet 4.3).
fn queue_delay(full: Duration, now_ms: i64) -> Duration {
    let minute = now_ms.rem_euclid(86_400_000) / 60_000;
    if minute >= 23 * 60 + 45 || minute <= 15 { full } else { full.min(SHORT_DELAY) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_wait_longer_around_midnight() {
        let full = Duration::from_secs(15);
        let at = |text: &str| queue_delay(full, js::millis(text).unwrap());
        assert_eq!(at("2025-01-01T12:00:00Z"), SHORT_DELAY);
        assert_eq!(at("2025-01-01T23:44:59Z"), SHORT_DELAY);
        assert_eq!(at("2025-01-01T23:45:00Z"), full);
        assert_eq!(at("2025-01-01T00:15:59Z"), full);
        assert_eq!(queue_delay(Duration::from_secs(1), 43_200_000), Duration::from_secs(1));
    }
}
