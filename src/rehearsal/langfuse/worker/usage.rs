//! Tokens and money of an observation in v3: worked out anew at every merge from what clients provided.
//!
//! Not played: counting tokens of texts for models without provided usage.

use serde_json::{Map, Value};

use super::super::stores::clickhouse::Row;
use super::pricing::Model;

/// Sets `usage_details`, `cost_details`, `total_cost` and `internal_model_id`.
pub(super) fn apply(row: &mut Row, model: Option<&Model>) {
    let usage = usage(row);
    let (costs, total) = costs(row, &usage, model);
    row.insert("usage_details".into(), usage.into());
    row.insert("cost_details".into(), costs.into());
    row.insert("total_cost".into(), total.map_or(Value::Null, Value::from));
    row.insert("internal_model_id".into(), model.map_or(Value::Null, |model| model.id.clone().into()));
}

fn usage(row: &Row) -> Map<String, Value> {
    let mut usage: Map<String, Value> = numbers(row.get("provided_usage_details"))
        .filter(|(_, count)| *count >= 0.0)
        .map(|(key, count)| (key.clone(), (count as u64).into()))
        .collect();
    if !usage.is_empty() && !usage.contains_key("total") {
        let total: u64 = usage.values().filter_map(Value::as_u64).sum();
        usage.insert("total".into(), total.into());
    }
    usage
}

fn costs(row: &Row, usage: &Map<String, Value>, model: Option<&Model>) -> (Map<String, Value>, Option<f64>) {
    let mut costs: Map<String, Value> =
        numbers(row.get("provided_cost_details")).map(|(key, cost)| (key.clone(), cost.into())).collect();
    if !costs.is_empty() {
        let of = |key: &str| costs.get(key).and_then(Value::as_f64);
        let simple = costs.keys().all(|key| key == "input" || key == "output");
        let sum = of("input").unwrap_or_default() + of("output").unwrap_or_default();
        let total = of("total").or(simple.then_some(sum));
        if let Some(total) = total {
            costs.entry("total").or_insert_with(|| total.into());
        }
        return (costs, total);
    }
    for (key, count) in usage {
        let price = model.and_then(|model| model.prices.get(key));
        if let (Some(price), Some(count)) = (price, count.as_f64()) {
            costs.insert(key.clone(), (price * count).into());
        }
    }
    if costs.is_empty() {
        return (costs, None);
    }
    let sum = costs.values().filter_map(Value::as_f64).sum();
    let total = costs.get("total").and_then(Value::as_f64).unwrap_or(sum);
    costs.insert("total".into(), total.into());
    (costs, Some(total))
}

/// The numbers of a map; ClickHouse may answer 64-bit ones as text.
fn numbers(value: Option<&Value>) -> impl Iterator<Item = (&String, f64)> {
    let map = value.and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(key, value)| {
        let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
        Some((key, number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn applied(row: Value, model: Option<&Model>) -> Row {
        let Value::Object(mut row) = row else { panic!("an object") };
        apply(&mut row, model);
        row
    }

    #[test]
    fn prices_times_tokens() {
        let model = Model { id: "m".into(), prices: [("input".into(), 0.5), ("output".into(), 1.0)].into() };
        let row = applied(json!({"provided_usage_details": {"input": 2, "output": "3"}}), Some(&model));
        assert_eq!(row["usage_details"], json!({"input": 2, "output": 3, "total": 5}));
        assert_eq!(row["cost_details"], json!({"input": 1.0, "output": 3.0, "total": 4.0}));
        assert_eq!((&row["total_cost"], &row["internal_model_id"]), (&json!(4.0), &json!("m")));
    }

    #[test]
    fn provided_costs_win() {
        let row = applied(json!({"provided_cost_details": {"input": 1, "output": 2}}), None);
        assert_eq!(row["cost_details"], json!({"input": 1.0, "output": 2.0, "total": 3.0}));
        let row = applied(json!({}), None);
        assert_eq!((&row["total_cost"], &row["usage_details"]), (&Value::Null, &json!({})));
    }
}
