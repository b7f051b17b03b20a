//! Writing: each event is in PostgreSQL before the request is answered.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::super::LangfuseError;
use super::super::events::{self, Entity, Event};
use super::super::serving::answer::{Refusal, json_answer};
use super::super::serving::auth::Scope;
use super::super::serving::intake::{self, event_error, multi_status};
use super::{V2, observation, score, trace};

/// Why one event was not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum EventError {
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotFound(String),
    #[error(transparent)]
    Store(#[from] LangfuseError),
}

impl From<sqlx::Error> for EventError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// `POST /api/public/ingestion`.
pub(super) async fn ingestion(State(v2): State<V2>, request: Request<Body>) -> Result<Response, Refusal> {
    let scope = v2.scope(request.headers()).await?;
    let body = intake::read_json(&intake::read_body(request).await?)?;
    let mut intake = intake::sift(&body, &scope)?;
    upload(&v2, &scope, &intake.events).await;
    let mut taken = Vec::with_capacity(intake.events.len());
    for event in &intake.events {
        match store(&v2, &scope, event).await {
            Ok(()) => taken.push(event.id.clone()),
            Err(error) => {
                v2.context.log.error(&format!("Error processing event {}: {error}", event.id));
                intake.errors.push(answer(event, &error));
            }
        }
    }
    Ok(multi_status(&taken, &intake.errors))
}

/// `POST /api/public/scores`: answers the stored score.
pub(super) async fn scores(State(v2): State<V2>, request: Request<Body>) -> Result<Response, Refusal> {
    let scope = v2.scope(request.headers()).await?;
    let body = intake::read_json(&intake::read_body(request).await?)?;
    let event = intake::single("score-create", body)?;
    store_single(&v2, &scope, &event).await?;
    let stored = super::read::score(&v2.pool, event.body_id().unwrap_or_default(), &scope.project).await?;
    Ok(json_answer(StatusCode::OK, &stored))
}

/// The legacy `POST /api/public/traces`.
pub(super) async fn traces(State(v2): State<V2>, request: Request<Body>) -> Result<Response, Refusal> {
    let scope = v2.scope(request.headers()).await?;
    let body = intake::read_json(&intake::read_body(request).await?)?;
    let event = intake::single("trace-create", body)?;
    store_single(&v2, &scope, &event).await?;
    Ok(json_answer(StatusCode::OK, &json!({"id": event.body_id()})))
}

/// `DELETE /api/public/traces/{id}`: the trace with its observations and scores.
pub(super) async fn delete_trace(
    State(v2): State<V2>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    let scope = v2.scope(request.headers()).await?;
    let found =
        trace::delete(&v2.pool, &scope.project, &id).await.map_err(|error| Refusal::internal(&error))?;
    if found {
        Ok(json_answer(StatusCode::OK, &json!({"message": "Trace deleted successfully"})))
    } else {
        Err(Refusal::not_found("Trace not found"))
    }
}

async fn store_single(v2: &V2, scope: &Scope, event: &Event) -> Result<(), Refusal> {
    store(v2, scope, event).await.map_err(|error| match error {
        EventError::Invalid(problem) => Refusal::bad_request(&problem),
        EventError::NotFound(problem) => Refusal::not_found(&problem),
        EventError::Store(error) => Refusal::internal(&error),
    })
}

async fn store(v2: &V2, scope: &Scope, event: &Event) -> Result<(), EventError> {
    match event.entity() {
        Some(Entity::Trace) => trace::upsert(&v2.pool, &scope.project, event).await,
        Some(Entity::Observation) => observation::upsert(&v2.pool, &scope.project, event).await,
        Some(Entity::Score) => score::upsert(&v2.pool, &scope.project, event).await,
        None => Ok(()),
    }
}

fn answer(event: &Event, error: &EventError) -> Value {
    match error {
        EventError::Invalid(problem) => event_error(&event.id, 400, "Invalid request data", problem),
        EventError::NotFound(problem) => event_error(&event.id, 404, "Resource not found", problem),
        EventError::Store(_) => event_error(&event.id, 500, "Internal Server Error", "Internal Server Error"),
    }
}

/// Uploading is waited for, but its failure fails nothing.
async fn upload(v2: &V2, scope: &Scope, events: &[Event]) {
    let Some(bucket) = &v2.bucket else { return };
    let groups = events::group(events);
    let puts = groups.iter().map(async |group| {
        let folder = bucket.folder(&scope.project, group.entity.folder(), &group.body_id);
        let key = format!("{folder}{}.json", group.file_key());
        let content = group.events.iter().map(Event::json).collect();
        if let Err(error) = bucket.put_json(&key, &content).await {
            v2.context.log.error(&format!("Failed to upload event to S3: {error}"));
        }
    });
    futures::future::join_all(puts).await;
}
