//! The cost backfill: rewrites the calculated costs of every observation with a model or a cost, newest
//! `start_time` first. Its cursor lives in memory alone: a restart begins again.

use serde_json::Value;
use sqlx::{PgConnection, Row as _};

use super::super::{LangfuseError, js};
use super::{Args, Tools, manager};
use crate::rehearsal::clock;

/// `$1` cursor, `$2` batch size, `$3` batch size - 1. Answers the oldest time of a full batch.
const BATCH: &str = r"
WITH batch AS (
    SELECT o.id, o.start_time, o.prompt_tokens, o.completion_tokens, o.total_tokens, o.input_cost, o.output_cost,
           o.total_cost, m.id AS model_id, m.input_price, m.output_price, m.total_price
    FROM observations o
    LEFT JOIN LATERAL (
        SELECT id, input_price, output_price, total_price FROM models
        WHERE (project_id = o.project_id OR project_id IS NULL) AND model_name = o.internal_model
          AND (start_date < o.start_time OR start_date IS NULL) AND unit = o.unit
        ORDER BY project_id, start_date DESC NULLS LAST LIMIT 1
    ) m ON true
    WHERE o.start_time <= $1::timestamp(3)
      AND (o.internal_model IS NOT NULL OR o.input_cost IS NOT NULL OR o.output_cost IS NOT NULL
           OR o.total_cost IS NOT NULL)
    ORDER BY o.start_time DESC LIMIT $2
), updated AS (
    UPDATE observations o SET
        calculated_input_cost = CASE WHEN num_nonnulls(b.input_cost, b.output_cost, b.total_cost) = 0
            THEN b.prompt_tokens * b.input_price ELSE b.input_cost END,
        calculated_output_cost = CASE WHEN num_nonnulls(b.input_cost, b.output_cost, b.total_cost) = 0
            THEN b.completion_tokens * b.output_price ELSE b.output_cost END,
        calculated_total_cost = CASE WHEN num_nonnulls(b.input_cost, b.output_cost, b.total_cost) = 0
            THEN CASE WHEN b.total_price IS NOT NULL AND b.total_tokens IS NOT NULL
                 THEN b.total_price * b.total_tokens
                 ELSE b.prompt_tokens * b.input_price + b.completion_tokens * b.output_price END
            ELSE b.total_cost END,
        internal_model_id = b.model_id,
        tmp_has_calculated_cost = true
    FROM batch b WHERE o.id = b.id
)
SELECT (extract(epoch FROM start_time) * 1000)::int8 AS start_time FROM batch
ORDER BY start_time DESC LIMIT 1 OFFSET $3";

/// Recalculates the costs.
pub(super) async fn run(tools: &Tools, args: &Value) -> Result<(), LangfuseError> {
    tools.log.info(&format!("Running AddGenerationsCostBackfill migration with {args}"));
    let mut connection = tools.pool.acquire().await?;
    let previous = raise_timeout(tools, &mut connection).await?;
    let outcome = work(tools, &mut connection, &Args(args)).await;
    if let Err(error) = &outcome {
        tools.log.error(&format!("Error backfilling costs: {error}"));
    }
    set_timeout(&mut connection, &previous).await?;
    tools.log.info(&format!("Reset statement_timeout to {previous}"));
    outcome
}

/// What the cost backfill is called where a fault names a table.
const COST: &str = "costs";

async fn work(tools: &Tools, connection: &mut PgConnection, args: &Args<'_>) -> Result<(), LangfuseError> {
    let log = &tools.log;
    add_column(tools, connection).await?;
    let (batch_size, max_rows) = (args.batch_size(), args.max_rows());
    let mut cursor = args.max_date().and_then(js::millis).unwrap_or_else(clock::now_ms);
    let mut total = 0_i64;
    while !tools.is_aborted() && (total as f64) < max_rows {
        tools.faults.thawed().await;
        if tools.faults.take_conflict(COST) {
            return Err(manager::write_conflict());
        }
        let batch = sqlx::query(BATCH).bind(js::iso(cursor)).bind(batch_size).bind(batch_size - 1);
        let Some(row) = batch.fetch_optional(&mut *connection).await? else {
            log.info(&format!("No more rows to process, breaking loop after {total} rows processed."));
            break;
        };
        if tools.faults.take_death_in_batch(COST) {
            tools.crew.die(1, "Error").await;
        }
        cursor = row.try_get("start_time")?;
        total += batch_size;
        log.info(&format!("Total rows processed after increment: {total} rows"));
        if total as f64 >= max_rows {
            log.info(&format!("Max rows to process reached: {max_rows}, breaking loop."));
            break;
        }
    }
    if tools.is_aborted() {
        log.info(&format!("Backfill aborted after processing {total} rows. Skipping cleanup."));
        return Ok(());
    }
    sqlx::query("ALTER TABLE observations DROP COLUMN IF EXISTS tmp_has_calculated_cost")
        .execute(connection)
        .await?;
    log.info(&format!("Backfill completed after processing {total} rows"));
    Ok(())
}

async fn add_column(tools: &Tools, connection: &mut PgConnection) -> Result<(), LangfuseError> {
    let there = sqlx::query(
        "SELECT 1 FROM information_schema.columns \
         WHERE table_name = 'observations' AND column_name = 'tmp_has_calculated_cost'",
    )
    .fetch_optional(&mut *connection)
    .await?;
    if there.is_some() {
        tools.log.info("Temporary column tmp_has_calculated_cost already exists. Continuing...");
        return Ok(());
    }
    sqlx::query("ALTER TABLE observations ADD COLUMN tmp_has_calculated_cost BOOLEAN DEFAULT FALSE")
        .execute(connection)
        .await?;
    tools.log.info("Added temporary column tmp_has_calculated_cost");
    Ok(())
}

async fn raise_timeout(tools: &Tools, connection: &mut PgConnection) -> Result<String, LangfuseError> {
    let row = sqlx::query("SHOW statement_timeout").fetch_one(&mut *connection).await?;
    let previous: String = row.try_get(0)?;
    tools.log.info(&format!("Current statement_timeout {previous}"));
    set_timeout(connection, "19min").await?;
    tools.log.info("Updated statement_timeout to 19min");
    Ok(if previous == "19min" { "2min".into() } else { previous })
}

async fn set_timeout(connection: &mut PgConnection, value: &str) -> Result<(), LangfuseError> {
    sqlx::query("SELECT set_config('statement_timeout', $1, false)").bind(value).execute(connection).await?;
    Ok(())
}
