//! Tokens and money of an observation: what the client sent, else what the model's prices make of it.

use serde_json::Value;
use sqlx::{PgPool, Row as _};

use super::super::LangfuseError;
use super::super::events::Event;

/// PostgreSQL's code for a table that is not there.
const UNDEFINED_TABLE: &str = "42P01";

/// A row of `models`.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) unit: Option<String>,
    input_price: Option<f64>,
    output_price: Option<f64>,
    total_price: Option<f64>,
}

/// Token counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) input: Option<i32>,
    pub(super) output: Option<i32>,
    pub(super) total: Option<i32>,
}

/// Money in dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Costs {
    pub(super) input: Option<f64>,
    pub(super) output: Option<f64>,
    pub(super) total: Option<f64>,
}

/// Finds the model whose pattern matches `name`; the project's own before Langfuse's, the newest first. A
/// database without the table has no models.
pub(super) async fn find(
    pool: &PgPool,
    project: &str,
    name: Option<&str>,
    unit: Option<&str>,
) -> Result<Option<Model>, LangfuseError> {
    let Some(name) = name else { return Ok(None) };
    let found = sqlx::query(
        "SELECT id, model_name, unit, input_price::float8 AS i, output_price::float8 AS o, total_price::float8 AS t \
         FROM models WHERE (project_id = $1 OR project_id IS NULL) AND $2 ~ match_pattern \
         AND ($3::text IS NULL OR unit = $3) \
         ORDER BY project_id NULLS LAST, start_date DESC NULLS LAST LIMIT 1",
    )
    .bind(project)
    .bind(name)
    .bind(unit)
    .fetch_optional(pool)
    .await;
    match found {
        Ok(None) => Ok(None),
        Ok(Some(row)) => Ok(Some(Model {
            id: row.try_get("id")?,
            name: row.try_get("model_name")?,
            unit: row.try_get("unit")?,
            input_price: row.try_get("i")?,
            output_price: row.try_get("o")?,
            total_price: row.try_get("t")?,
        })),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Usage {
    /// Reads `usage` in either of its forms, else `usageDetails`.
    pub(super) fn read(event: &Event) -> Self {
        let usage = event.body.get("usage").or_else(|| event.body.get("usageDetails"));
        let count = |names: [&str; 2]| {
            names.into_iter().find_map(|name| usage?.get(name)?.as_i64()).and_then(|n| i32::try_from(n).ok())
        };
        let (input, output) = (count(["input", "promptTokens"]), count(["output", "completionTokens"]));
        let sum = match (input, output) {
            (Some(input), Some(output)) => input.checked_add(output),
            (one, other) => one.or(other),
        };
        Self { input, output, total: count(["total", "totalTokens"]).filter(|total| *total != 0).or(sum) }
    }

    pub(super) fn or(self, known: Self) -> Self {
        Self {
            input: self.input.or(known.input),
            output: self.output.or(known.output),
            total: self.total.or(known.total),
        }
    }
}

impl Costs {
    /// Reads the costs the client sent.
    pub(super) fn read(event: &Event) -> Self {
        let usage = event.body.get("usage");
        let details = event.body.get("costDetails");
        let cost = |old: &str, new: &str| {
            usage.and_then(|usage| usage[old].as_f64()).or_else(|| details?.get(new).and_then(Value::as_f64))
        };
        Self {
            input: cost("inputCost", "input"),
            output: cost("outputCost", "output"),
            total: cost("totalCost", "total"),
        }
    }

    /// The calculated columns: the client's costs if it sent any, else tokens times prices.
    pub(super) fn or_calculate(self, model: Option<&Model>, usage: Usage) -> Self {
        if self.input.is_some() || self.output.is_some() || self.total.is_some() {
            let sum = self.input.unwrap_or_default() + self.output.unwrap_or_default();
            return Self { total: self.total.or(Some(sum)), ..self };
        }
        let Some(model) = model else {
            return Self::default();
        };
        let times = |price: Option<f64>, count: Option<i32>| Some(price? * f64::from(count?));
        let input = times(model.input_price, usage.input);
        let output = times(model.output_price, usage.output);
        let total = times(model.total_price, usage.total)
            .or_else(|| input.or(output).map(|_| input.unwrap_or_default() + output.unwrap_or_default()));
        Self { input, output, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[allow(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn event(body: Value) -> Event {
        let value = json!({"id": "e", "type": "generation-create", "timestamp": "2025-01-01T00:00:00Z", "body": body});
        Event::read(&value).unwrap()
    }

    #[test]
    fn adds_up_tokens_and_prices() {
        let usage = Usage::read(&event(json!({"usage": {"promptTokens": 10, "completionTokens": 5}})));
        assert_eq!(usage, Usage { input: Some(10), output: Some(5), total: Some(15) });
        let model = Model {
            id: "m".into(),
            name: "gpt".into(),
            unit: None,
            input_price: Some(0.5),
            output_price: Some(1.0),
            total_price: None,
        };
        let costs = Costs::default().or_calculate(Some(&model), usage);
        assert_eq!(costs, Costs { input: Some(5.0), output: Some(5.0), total: Some(10.0) });
        let sent = Costs::read(&event(json!({"usage": {"inputCost": 2}})));
        assert_eq!(sent.or_calculate(Some(&model), usage).total, Some(2.0));
    }
}
