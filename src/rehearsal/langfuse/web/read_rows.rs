//! Reading entities out of ClickHouse as Langfuse does: the row with the newest `event_ts` per id wins, and it
//! is left out when it is a tombstone.

use serde_json::{Map, Value};

use super::super::LangfuseError;
use super::super::js;
use super::super::stores::clickhouse::{self, ClickHouse, Row};
use crate::rehearsal::langfuse::v2::camel;

/// The newest row per id where `column` is `value`; columns as ClickHouse names them, dates as milliseconds.
pub(super) async fn newest(
    server: &ClickHouse,
    table: &str,
    column: &str,
    value: &str,
    project: &str,
) -> Result<Vec<Row>, LangfuseError> {
    let sql = format!(
        "SELECT * FROM (SELECT * FROM {table} WHERE project_id = {{project: String}} AND {column} = {{value: String}} \
         ORDER BY event_ts DESC LIMIT 1 BY id, project_id) WHERE is_deleted = 0"
    );
    let rows = server.select(&sql, &[("project", project), ("value", value)]).await?;
    Ok(rows.into_iter().map(insertable).collect())
}

/// A row as it can be inserted again: every date in milliseconds.
pub(crate) fn insertable(row: Row) -> Row {
    row.into_iter()
        .map(|(key, value)| {
            if is_date(&key) {
                let ms = clickhouse::millis(&value);
                (key, ms.map_or(Value::Null, Value::from))
            } else {
                (key, value)
            }
        })
        .collect()
}

/// A row as the API names it: camelCase, ISO dates, JSON columns parsed, ClickHouse's own columns left out.
pub(super) fn public(row: Row) -> Map<String, Value> {
    let mut out = Map::new();
    for (key, value) in insertable(row) {
        if matches!(key.as_str(), "event_ts" | "is_deleted") {
            continue;
        }
        let value = match (key.as_str(), value) {
            (name, Value::Number(ms)) if is_date(name) => js::iso(ms.as_i64().unwrap_or_default()).into(),
            ("input" | "output" | "model_parameters", Value::String(text)) => {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            }
            ("metadata", Value::Object(map)) => map
                .into_iter()
                .map(|(key, value)| {
                    let parsed = value.as_str().and_then(|text| serde_json::from_str(text).ok());
                    (key, parsed.unwrap_or(value))
                })
                .collect::<Map<_, _>>()
                .into(),
            (_, value) => value,
        };
        let name = if key == "provided_model_name" { "model".into() } else { camel(&key) };
        out.insert(name, value);
    }
    out
}

/// What a trace's page has of its observations: seconds from first start to last end, and their cost. SDKs that
/// check answers refuse a trace without them.
pub(super) fn totals(observations: &[Row]) -> Map<String, Value> {
    let date = |row: &Row, key: &str| row.get(key).and_then(Value::as_i64);
    let start = observations.iter().filter_map(|row| date(row, "start_time")).min();
    let end = observations.iter().filter_map(|row| date(row, "end_time")).max();
    let end = end.or_else(|| observations.iter().filter_map(|row| date(row, "start_time")).max());
    let latency = start.zip(end).map_or(0.0, |(start, end)| (end - start) as f64 / 1000.0);
    let cost: f64 = observations.iter().filter_map(|row| decimal(row.get("total_cost")?)).sum();
    [("latency".to_owned(), latency.into()), ("totalCost".to_owned(), cost.into())].into_iter().collect()
}

/// ClickHouse writes a decimal as a number or, when asked to, as text.
fn decimal(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn is_date(key: &str) -> bool {
    matches!(key, "timestamp" | "created_at" | "updated_at" | "event_ts") || key.ends_with("_time")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_and_parses_as_the_api_does() {
        let row = json!({"id": "t", "timestamp": "2025-01-31 10:00:00.120", "input": "{\"a\":1}", "output": "plain",
            "metadata": {"k": "{\"x\":1}", "s": "t"}, "user_id": null, "event_ts": "2025-01-31 10:00:00.120", "is_deleted": 0});
        let Value::Object(row) = row else { panic!("an object") };
        let answer = Value::Object(public(row));
        assert_eq!(
            answer,
            json!({"id": "t", "timestamp": "2025-01-31T10:00:00.120Z", "input": {"a": 1}, "output": "plain",
                "metadata": {"k": {"x": 1}, "s": "t"}, "userId": null})
        );
    }

    #[test]
    fn a_trace_lasts_from_the_first_start_to_the_last_end_and_costs_their_sum() {
        let row = |start: i64, end: Value, cost: Value| match json!({"start_time": start, "end_time": end, "total_cost": cost})
        {
            Value::Object(row) => row,
            _ => panic!("an object"),
        };
        let rows = [
            row(1_000, 2_500.into(), "0.25".into()),
            row(500, Value::Null, 1.into()),
            row(700, 900.into(), Value::Null),
        ];
        assert_eq!(Value::Object(totals(&rows)), json!({"latency": 2.0, "totalCost": 1.25}));
        assert_eq!(Value::Object(totals(&rows[1..2])), json!({"latency": 0.0, "totalCost": 1.0}));
        assert_eq!(Value::Object(totals(&[])), json!({"latency": 0.0, "totalCost": 0.0}));
    }
}
