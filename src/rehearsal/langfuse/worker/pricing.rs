//! What v3 still asks PostgreSQL for while it merges: models with their prices, and prompts.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::{PgPool, Row as _};

use super::super::LangfuseError;
use super::super::events::Event;

/// PostgreSQL's code for a table that is not there: such a database has no models.
const UNDEFINED_TABLE: &str = "42P01";

/// A model and its prices per usage type.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) id: String,
    pub(super) prices: BTreeMap<String, f64>,
}

/// A prompt an observation was made with.
#[derive(Debug, Clone)]
pub(super) struct Prompt {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: i32,
}

/// Finds the model whose pattern matches; the project's own first.
pub(super) async fn find(
    pool: &PgPool,
    project: &str,
    name: Option<&str>,
) -> Result<Option<Model>, LangfuseError> {
    let Some(name) = name else { return Ok(None) };
    let found = sqlx::query(
        "SELECT id FROM models WHERE (project_id = $1 OR project_id IS NULL) AND $2 ~ match_pattern \
         ORDER BY project_id ASC NULLS LAST, start_date DESC NULLS LAST LIMIT 1",
    )
    .bind(project)
    .bind(name)
    .fetch_optional(pool)
    .await;
    let Some(row) = found.or_else(without_table)? else {
        return Ok(None);
    };
    let id: String = row.try_get("id")?;
    let rows = sqlx::query("SELECT usage_type, price::float8 AS price FROM prices WHERE model_id = $1")
        .bind(&id)
        .fetch_all(pool)
        .await
        .or_else(without_table)?;
    let prices = rows.iter().map(|row| Ok((row.try_get("usage_type")?, row.try_get("price")?)));
    Ok(Some(Model { id, prices: prices.collect::<Result<_, sqlx::Error>>()? }))
}

/// The prompt the last event with prompt information names.
pub(super) async fn prompt(
    pool: &PgPool,
    project: &str,
    events: &[Event],
) -> Result<Option<Prompt>, LangfuseError> {
    let named = events.iter().rev().find_map(|event| {
        let version = event.body.get("promptVersion").and_then(Value::as_i64)?;
        Some((event.text("promptName")?, i32::try_from(version).ok()?))
    });
    let Some((name, version)) = named else {
        return Ok(None);
    };
    let row = sqlx::query("SELECT id FROM prompts WHERE project_id = $1 AND name = $2 AND version = $3")
        .bind(project)
        .bind(name)
        .bind(version)
        .fetch_optional(pool)
        .await
        .or_else(without_table)?;
    row.map(|row| Ok(Prompt { id: row.try_get("id")?, name: name.to_owned(), version })).transpose()
}

fn without_table<T: Default>(error: sqlx::Error) -> Result<T, sqlx::Error> {
    match &error {
        sqlx::Error::Database(inner) if inner.code().as_deref() == Some(UNDEFINED_TABLE) => Ok(T::default()),
        _ => Err(error),
    }
}
