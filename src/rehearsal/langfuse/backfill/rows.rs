//! The three sources: which rows are read, in which order, and what becomes of one.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::super::LangfuseError;
use super::super::stores::clickhouse::Row;
use super::convert;

/// One table's copy.
pub(super) struct Source {
    /// The table on both sides, and its name in log lines.
    pub(super) table: &'static str,
    /// The row of `background_migrations`, fixed in Langfuse's scripts.
    pub(super) migration: &'static str,
    /// Reads at most `$2` rows with `created_at <= $1`, newest first; times in epoch milliseconds.
    pub(super) select: &'static str,
    pub(super) convert: fn(&PgRow) -> Result<Row, LangfuseError>,
    /// Whether several runs with suffixes share the state.
    pub(super) shares_state: bool,
}

impl Source {
    /// Where the cursor stands in `state`.
    pub(super) fn state_key(&self, suffix: &str) -> String {
        if self.shares_state { format!("maxDate{suffix}") } else { "maxDate".into() }
    }
}

pub(super) static TRACES: Source = Source {
    table: "traces",
    migration: "5960f22a-748f-480c-b2f3-bc4f9d5d84bc",
    shares_state: false,
    convert: trace,
    select: "SELECT id, (extract(epoch FROM timestamp) * 1000)::int8 AS timestamp, name, user_id, metadata, \
        release, version, project_id, public, bookmarked, tags, input, output, session_id, \
        (extract(epoch FROM created_at) * 1000)::int8 AS created_at, \
        (extract(epoch FROM updated_at) * 1000)::int8 AS updated_at \
        FROM traces t WHERE t.created_at <= $1::timestamp(3) ORDER BY t.created_at DESC LIMIT $2",
};

pub(super) static OBSERVATIONS: Source = Source {
    table: "observations",
    migration: "7526e7c9-0026-4595-af2c-369dfd9176ec",
    shares_state: true,
    convert: observation,
    select: r#"SELECT o.id, o.trace_id, o.project_id, o.type::text AS type, o.parent_observation_id,
        (extract(epoch FROM o.start_time) * 1000)::int8 AS start_time,
        (extract(epoch FROM o.end_time) * 1000)::int8 AS end_time,
        (extract(epoch FROM o.completion_start_time) * 1000)::int8 AS completion_start_time,
        o.name, o.metadata, o.level::text AS level, o.status_message, o.version, o.input, o.output, o.model,
        o.internal_model_id, o."modelParameters" AS model_parameters, o.prompt_tokens, o.completion_tokens,
        o.total_tokens, o.input_cost::float8 AS input_cost, o.output_cost::float8 AS output_cost,
        o.total_cost::float8 AS total_cost, o.calculated_input_cost::float8 AS calculated_input_cost,
        o.calculated_output_cost::float8 AS calculated_output_cost,
        o.calculated_total_cost::float8 AS calculated_total_cost,
        o.prompt_id, p.name AS prompt_name, p.version AS prompt_version,
        (extract(epoch FROM o.created_at) * 1000)::int8 AS created_at,
        (extract(epoch FROM o.updated_at) * 1000)::int8 AS updated_at
        FROM observations o LEFT JOIN prompts p ON p.id = o.prompt_id
        WHERE o.created_at <= $1::timestamp(3) ORDER BY o.created_at DESC LIMIT $2"#,
};

pub(super) static SCORES: Source = Source {
    table: "scores",
    migration: "94e50334-50d3-4e49-ad2e-9f6d92c85ef7",
    shares_state: false,
    convert: score,
    select: "SELECT id, (extract(epoch FROM timestamp) * 1000)::int8 AS timestamp, project_id, trace_id, \
        observation_id, name, value, source::text AS source, comment, author_user_id, config_id, \
        data_type::text AS data_type, string_value, queue_id, \
        (extract(epoch FROM created_at) * 1000)::int8 AS created_at, \
        (extract(epoch FROM updated_at) * 1000)::int8 AS updated_at \
        FROM scores s WHERE s.created_at <= $1::timestamp(3) ORDER BY s.created_at DESC LIMIT $2",
};

fn trace(row: &PgRow) -> Result<Row, LangfuseError> {
    let mut out = Row::new();
    texts(&mut out, row, &["id", "name", "user_id", "release", "version", "project_id", "session_id"])?;
    millis(&mut out, row, &["timestamp", "created_at", "updated_at"])?;
    for column in ["public", "bookmarked"] {
        out.insert(column.into(), row.try_get::<bool, _>(column)?.into());
    }
    out.insert("tags".into(), row.try_get::<Option<Vec<String>>, _>("tags")?.unwrap_or_default().into());
    out.insert("metadata".into(), convert::metadata(row.try_get("metadata")?));
    for column in ["input", "output"] {
        out.insert(column.into(), convert::json_text(row.try_get(column)?));
    }
    Ok(convert::mark_as_copied(out, "timestamp"))
}

fn observation(row: &PgRow) -> Result<Row, LangfuseError> {
    let mut out = Row::new();
    let verbatim = [
        "id",
        "trace_id",
        "project_id",
        "type",
        "parent_observation_id",
        "name",
        "level",
        "status_message",
        "version",
        "internal_model_id",
        "prompt_id",
        "prompt_name",
    ];
    texts(&mut out, row, &verbatim)?;
    out.insert("provided_model_name".into(), row.try_get::<Option<String>, _>("model")?.into());
    out.insert("prompt_version".into(), row.try_get::<Option<i32>, _>("prompt_version")?.into());
    millis(&mut out, row, &["start_time", "end_time", "completion_start_time", "created_at", "updated_at"])?;
    out.insert("metadata".into(), convert::metadata(row.try_get("metadata")?));
    for column in ["input", "output", "model_parameters"] {
        out.insert(column.into(), convert::json_text(row.try_get(column)?));
    }
    let tokens =
        [row.try_get("prompt_tokens")?, row.try_get("completion_tokens")?, row.try_get("total_tokens")?];
    out.insert("provided_usage_details".into(), serde_json::json!({}));
    out.insert("usage_details".into(), convert::tokens(tokens));
    let costs = |prefix: &str| -> Result<[Option<f64>; 3], LangfuseError> {
        let cost = |part: &str| row.try_get(format!("{prefix}{part}_cost").as_str());
        Ok([cost("input")?, cost("output")?, cost("total")?])
    };
    out.insert("provided_cost_details".into(), convert::costs(costs("")?));
    let calculated = costs("calculated_")?;
    out.insert("cost_details".into(), convert::costs(calculated));
    out.insert("total_cost".into(), calculated[2].into());
    Ok(convert::mark_as_copied(out, "start_time"))
}

fn score(row: &PgRow) -> Result<Row, LangfuseError> {
    let mut out = Row::new();
    let verbatim = [
        "id",
        "project_id",
        "trace_id",
        "observation_id",
        "name",
        "source",
        "comment",
        "author_user_id",
        "config_id",
        "data_type",
        "string_value",
        "queue_id",
    ];
    texts(&mut out, row, &verbatim)?;
    millis(&mut out, row, &["timestamp", "created_at", "updated_at"])?;
    out.insert("value".into(), row.try_get::<Option<f64>, _>("value")?.into());
    Ok(convert::mark_as_copied(out, "timestamp"))
}

fn texts(out: &mut Row, row: &PgRow, columns: &[&str]) -> Result<(), LangfuseError> {
    for column in columns {
        out.insert((*column).into(), row.try_get::<Option<String>, _>(*column)?.into());
    }
    Ok(())
}

fn millis(out: &mut Row, row: &PgRow, columns: &[&str]) -> Result<(), LangfuseError> {
    for column in columns {
        out.insert((*column).into(), row.try_get::<Option<i64>, _>(*column)?.into());
    }
    Ok(())
}
