//! Observations: upsert by id alone, with model match and costs worked out inside the request.

use serde_json::Value;
use sqlx::{PgPool, Row as _};

use super::super::events::Event;
use super::super::js;
use super::ingest::EventError;
use super::model::{self, Costs, Usage};
use super::trace::{self, present};
use crate::rehearsal::clock;

const UPSERT: &str = r#"
INSERT INTO observations (id, trace_id, project_id, type, start_time, end_time, name, metadata,
    parent_observation_id, level, status_message, version, model, internal_model, internal_model_id,
    "modelParameters", input, output, prompt_tokens, completion_tokens, total_tokens, unit,
    input_cost, output_cost, total_cost, calculated_input_cost, calculated_output_cost, calculated_total_cost,
    completion_start_time, prompt_id, created_at, updated_at)
VALUES ($1, $2, $3, $4::"ObservationType", coalesce($5, $31)::timestamp(3), $6::timestamp(3), $7, $8,
    $9, coalesce($10, 'DEFAULT')::"ObservationLevel", $11, $12, $13, $14, $15,
    $16, $17, $18, coalesce($19, 0), coalesce($20, 0), coalesce($21, 0), $22,
    $23::numeric, $24::numeric, $25::numeric, $26::numeric, $27::numeric, $28::numeric,
    $29::timestamp(3), $30, $31::timestamp(3), $31::timestamp(3))
ON CONFLICT (id) DO UPDATE SET
    start_time = coalesce($5::timestamp(3), observations.start_time),
    end_time = coalesce($6::timestamp(3), observations.end_time),
    type = excluded.type, name = coalesce($7, observations.name),
    metadata = coalesce($8, observations.metadata),
    parent_observation_id = coalesce($9, observations.parent_observation_id),
    level = coalesce($10::"ObservationLevel", observations.level),
    status_message = coalesce($11, observations.status_message),
    version = coalesce($12, observations.version), model = coalesce($13, observations.model),
    internal_model = coalesce($14, observations.internal_model),
    internal_model_id = coalesce($15, observations.internal_model_id),
    "modelParameters" = coalesce($16, observations."modelParameters"),
    input = coalesce($17, observations.input), output = coalesce($18, observations.output),
    prompt_tokens = coalesce($19, observations.prompt_tokens),
    completion_tokens = coalesce($20, observations.completion_tokens),
    total_tokens = coalesce($21, observations.total_tokens), unit = coalesce($22, observations.unit),
    input_cost = coalesce($23::numeric, observations.input_cost),
    output_cost = coalesce($24::numeric, observations.output_cost),
    total_cost = coalesce($25::numeric, observations.total_cost),
    calculated_input_cost = coalesce($26::numeric, observations.calculated_input_cost),
    calculated_output_cost = coalesce($27::numeric, observations.calculated_output_cost),
    calculated_total_cost = coalesce($28::numeric, observations.calculated_total_cost),
    completion_start_time = coalesce($29::timestamp(3), observations.completion_start_time),
    prompt_id = coalesce($30, observations.prompt_id), updated_at = $31::timestamp(3)
WHERE observations.project_id = $3"#;

/// What is already stored of an observation.
struct Known {
    metadata: Option<Value>,
    model: Option<String>,
    usage: Usage,
}

/// Creates or updates an observation; only the legacy `observation-update` demands that it exists.
pub(super) async fn upsert(pool: &PgPool, project: &str, event: &Event) -> Result<(), EventError> {
    let id = event.body_id().map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
    let known = find(pool, project, &id).await?;
    if known.is_none() && event.kind == "observation-update" {
        return Err(EventError::NotFound(format!("Observation with id {id} not found")));
    }
    let trace_id = trace_of(pool, project, event, known.is_some()).await?;
    let known = known.unwrap_or(Known { metadata: None, model: None, usage: Usage::default() });
    let name = event.text("model").map(str::to_owned).or(known.model);
    let model = model::find(pool, project, name.as_deref(), usage_unit(event)).await?;
    let usage = Usage::read(event);
    let costs = Costs::read(event);
    let calculated = costs.or_calculate(model.as_ref(), usage.or(known.usage));
    let done = sqlx::query(UPSERT)
        .bind(&id)
        .bind(trace_id)
        .bind(project)
        .bind(event.observation_type())
        .bind(event.millis("startTime").map(js::iso))
        .bind(event.millis("endTime").map(js::iso))
        .bind(event.text("name"))
        .bind(js::merge(known.metadata, present(event, "metadata")))
        .bind(event.text("parentObservationId"))
        .bind(event.text("level"))
        .bind(event.text("statusMessage"))
        .bind(event.text("version"))
        .bind(event.text("model"))
        .bind(model.as_ref().map(|model| model.name.as_str()))
        .bind(model.as_ref().map(|model| model.id.as_str()))
        .bind(present(event, "modelParameters"))
        .bind(present(event, "input"))
        .bind(present(event, "output"))
        .bind(usage.input)
        .bind(usage.output)
        .bind(usage.total)
        .bind(usage_unit(event).or(model.as_ref().and_then(|model| model.unit.as_deref())))
        .bind(costs.input)
        .bind(costs.output)
        .bind(costs.total)
        .bind(calculated.input)
        .bind(calculated.output)
        .bind(calculated.total)
        .bind(event.millis("completionStartTime").map(js::iso))
        .bind(prompt_id(pool, project, event).await?)
        .bind(js::iso(clock::now_ms()))
        .execute(pool)
        .await?;
    if done.rows_affected() == 0 { Err(trace::foreign("Observation", &id).into()) } else { Ok(()) }
}

/// The trace of an observation: a new one is never without, a known one keeps its own.
async fn trace_of(
    pool: &PgPool,
    project: &str,
    event: &Event,
    is_known: bool,
) -> Result<Option<String>, EventError> {
    Ok(match event.text("traceId") {
        Some(trace_id) => Some(trace_id.to_owned()),
        None if is_known => None,
        None => Some(trace::create_for(pool, project, event.text("name")).await?),
    })
}

async fn find(pool: &PgPool, project: &str, id: &str) -> Result<Option<Known>, EventError> {
    let row = sqlx::query(
        "SELECT project_id, metadata, model, prompt_tokens, completion_tokens, total_tokens \
         FROM observations WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    trace::check_owner(&row.try_get::<String, _>("project_id")?, project, "Observation", id)?;
    Ok(Some(Known {
        metadata: row.try_get("metadata")?,
        model: row.try_get("model")?,
        usage: Usage {
            input: row.try_get("prompt_tokens")?,
            output: row.try_get("completion_tokens")?,
            total: row.try_get("total_tokens")?,
        },
    }))
}

fn usage_unit(event: &Event) -> Option<&str> {
    event.body.get("usage").and_then(|usage| usage["unit"].as_str())
}

async fn prompt_id(pool: &PgPool, project: &str, event: &Event) -> Result<Option<String>, EventError> {
    let (Some(name), Some(version)) =
        (event.text("promptName"), event.body.get("promptVersion").and_then(Value::as_i64))
    else {
        return Ok(None);
    };
    let found = sqlx::query("SELECT id FROM prompts WHERE project_id = $1 AND name = $2 AND version = $3")
        .bind(project)
        .bind(name)
        .bind(i32::try_from(version).unwrap_or_default())
        .fetch_optional(pool)
        .await?;
    Ok(found.map(|row| row.try_get("id")).transpose()?)
}
