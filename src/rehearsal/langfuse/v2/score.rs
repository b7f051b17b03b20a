//! Scores: upsert by id and project.

use sqlx::PgPool;

use super::super::events::{self, Event};
use super::super::js;
use super::ingest::EventError;
use crate::rehearsal::clock;

const UPSERT: &str = r#"
INSERT INTO scores (id, timestamp, project_id, name, value, source, comment, trace_id, observation_id, config_id,
                    string_value, data_type, created_at, updated_at)
VALUES ($1, $2::timestamp(3), $3, $4, $5, 'API'::"ScoreSource", $6, $7, $8, $9, $10, $11::"ScoreDataType",
        $12::timestamp(3), $12::timestamp(3))
ON CONFLICT (id, project_id) DO UPDATE SET
    name = excluded.name, value = excluded.value, string_value = excluded.string_value,
    data_type = excluded.data_type, comment = coalesce(excluded.comment, scores.comment),
    trace_id = excluded.trace_id, observation_id = coalesce(excluded.observation_id, scores.observation_id),
    config_id = coalesce(excluded.config_id, scores.config_id), updated_at = excluded.updated_at"#;

/// Creates or updates a score.
pub(super) async fn upsert(pool: &PgPool, project: &str, event: &Event) -> Result<(), EventError> {
    let inflated = events::inflate(event).map_err(EventError::Invalid)?;
    let id = event.body_id().map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
    sqlx::query(UPSERT)
        .bind(id)
        .bind(js::iso(event.timestamp_ms))
        .bind(project)
        .bind(event.text("name"))
        .bind(inflated.value)
        .bind(event.text("comment"))
        .bind(event.text("traceId"))
        .bind(event.text("observationId"))
        .bind(event.text("configId"))
        .bind(inflated.string_value)
        .bind(inflated.data_type)
        .bind(js::iso(clock::now_ms()))
        .execute(pool)
        .await?;
    Ok(())
}
