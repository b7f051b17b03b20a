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
}
