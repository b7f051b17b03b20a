//! Traces: upsert by id alone, non-null fields win, metadata deep-merged, tags united and sorted.

use serde_json::Value;
use sqlx::{PgPool, Row as _};

use super::super::events::Event;
use super::super::{LangfuseError, js};
use super::ingest::EventError;
use crate::rehearsal::clock;

const UPSERT: &str = r"
INSERT INTO traces (id, timestamp, name, user_id, metadata, release, version, project_id, public, bookmarked,
                    tags, input, output, session_id, external_id, created_at, updated_at)
VALUES ($1, coalesce($2, $14)::timestamp(3), $3, $4, $5, $6, $7, $8, coalesce($9, false), false,
        $10, $11, $12, $13, $15, $14::timestamp(3), $14::timestamp(3))
ON CONFLICT (id) DO UPDATE SET
    timestamp = coalesce($2::timestamp(3), traces.timestamp),
    name = coalesce($3, traces.name), user_id = coalesce($4, traces.user_id),
    metadata = coalesce($5, traces.metadata), release = coalesce($6, traces.release),
    version = coalesce($7, traces.version), public = coalesce($9, traces.public), tags = $10,
    input = coalesce($11, traces.input), output = coalesce($12, traces.output),
    session_id = coalesce($13, traces.session_id), external_id = coalesce($15, traces.external_id),
    updated_at = $14::timestamp(3)
WHERE traces.project_id = $8";

/// Creates or updates a trace.
pub(super) async fn upsert(pool: &PgPool, project: &str, event: &Event) -> Result<(), EventError> {
    let id = event.body_id().map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
    let known = sqlx::query("SELECT project_id, metadata, tags FROM traces WHERE id = $1")
        .bind(&id)
        .fetch_optional(pool)
        .await?;
    let (mut metadata, mut tags) = (None, Vec::new());
    if let Some(row) = known {
        check_owner(&row.try_get::<String, _>("project_id")?, project, "Trace", &id)?;
        metadata = row.try_get::<Option<Value>, _>("metadata")?;
        tags = row.try_get::<Option<Vec<String>>, _>("tags")?.unwrap_or_default();
    }
    if let Some(session) = event.text("sessionId") {
        upsert_session(pool, project, session).await?;
    }
    let sent = event.body.get("tags").and_then(Value::as_array);
    tags.extend(sent.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    tags.sort();
    tags.dedup();
    let done = sqlx::query(UPSERT)
        .bind(&id)
        .bind(event.millis("timestamp").map(js::iso))
        .bind(event.text("name"))
        .bind(event.text("userId"))
        .bind(js::merge(metadata, present(event, "metadata")))
        .bind(event.text("release"))
        .bind(event.text("version"))
        .bind(project)
        .bind(event.body.get("public").and_then(Value::as_bool))
        .bind(tags)
        .bind(present(event, "input"))
        .bind(present(event, "output"))
        .bind(event.text("sessionId"))
        .bind(js::iso(clock::now_ms()))
        .bind(event.text("externalId"))
        .execute(pool)
        .await?;
    if done.rows_affected() == 0 { Err(foreign("Trace", &id).into()) } else { Ok(()) }
}

/// Makes the trace that SDKs before 2.0 leave out. Returns its id.
pub(super) async fn create_for(
    pool: &PgPool,
    project: &str,
    name: Option<&str>,
) -> Result<String, EventError> {
    let id = uuid::Uuid::new_v4().to_string();
    let now = js::iso(clock::now_ms());
    sqlx::query(
        "INSERT INTO traces (id, timestamp, name, project_id, created_at, updated_at) \
         VALUES ($1, $2::timestamp(3), $3, $4, $2::timestamp(3), $2::timestamp(3))",
    )
    .bind(&id)
    .bind(now)
    .bind(name)
    .bind(project)
    .execute(pool)
    .await?;
    Ok(id)
}

/// Deletes a trace with its observations and scores; false when there is none.
pub(crate) async fn delete(pool: &PgPool, project: &str, id: &str) -> Result<bool, LangfuseError> {
    let mut transaction = pool.begin().await?;
    for sql in [
        "DELETE FROM scores WHERE trace_id = $1 AND project_id = $2",
        "DELETE FROM observations WHERE trace_id = $1 AND project_id = $2",
    ] {
        sqlx::query(sql).bind(id).bind(project).execute(&mut *transaction).await?;
    }
    let done = sqlx::query("DELETE FROM traces WHERE id = $1 AND project_id = $2")
        .bind(id)
        .bind(project)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(done.rows_affected() > 0)
}

async fn upsert_session(pool: &PgPool, project: &str, session: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO trace_sessions (id, project_id, created_at, updated_at) \
         VALUES ($1, $2, $3::timestamp(3), $3::timestamp(3)) ON CONFLICT (id, project_id) DO NOTHING",
    )
    .bind(session)
    .bind(project)
    .bind(js::iso(clock::now_ms()))
    .execute(pool)
    .await
    .map(drop)
}

/// A field of the body unless it is absent or null.
pub(super) fn present(event: &Event, key: &str) -> Option<Value> {
    event.body.get(key).filter(|value| !value.is_null()).cloned()
}

/// Ids are global in v2: one that another project owns is an error.
pub(super) fn check_owner(owner: &str, project: &str, what: &str, id: &str) -> Result<(), LangfuseError> {
    if owner == project { Ok(()) } else { Err(foreign(what, id)) }
}

pub(super) fn foreign(what: &str, id: &str) -> LangfuseError {
    LangfuseError::refused(format!("{what} with id {id} already exists in another project"))
}
