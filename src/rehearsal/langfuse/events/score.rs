//! The value of a score: its type follows from the value when it is not given.

use serde_json::Value;

use super::Event;

/// A score's value in the columns it is stored in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InflatedScore {
    pub(crate) value: Option<f64>,
    pub(crate) string_value: Option<String>,
    pub(crate) data_type: &'static str,
}

/// Works out `value`, `string_value` and `data_type`, as both versions do.
///
/// # Errors
/// A sentence when the value does not fit the declared type.
pub(crate) fn inflate(event: &Event) -> Result<InflatedScore, String> {
    let declared = event.text("dataType");
    match (event.body.get("value"), declared) {
        (Some(Value::String(text)), None | Some("CATEGORICAL")) => {
            Ok(InflatedScore { value: None, string_value: Some(text.clone()), data_type: "CATEGORICAL" })
        }
        (Some(Value::Number(number)), None | Some("NUMERIC")) => {
            Ok(InflatedScore { value: number.as_f64(), string_value: None, data_type: "NUMERIC" })
        }
        (Some(Value::Number(number)), Some("BOOLEAN")) => {
            let value = number.as_f64().unwrap_or_default();
            let word = match value {
                0.0 => "False",
                1.0 => "True",
                _ => return Err("Invalid value for boolean score, must be 0 or 1".into()),
            };
            Ok(InflatedScore { value: Some(value), string_value: Some(word.into()), data_type: "BOOLEAN" })
        }
        (_, declared) => Err(format!(
            "Provided value and data type {} do not fit together",
            declared.unwrap_or("(inferred)")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[allow(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn score(body: Value) -> Result<InflatedScore, String> {
        let value =
            json!({"id": "e", "type": "score-create", "timestamp": "2025-01-01T00:00:00Z", "body": body});
        inflate(&Event::read(&value).unwrap())
    }

    #[test]
    fn infers_types() {
        assert_eq!(score(json!({"value": 2})).unwrap().data_type, "NUMERIC");
        assert_eq!(score(json!({"value": "good"})).unwrap().string_value.as_deref(), Some("good"));
        let yes = score(json!({"value": 1, "dataType": "BOOLEAN"})).unwrap();
        assert_eq!((yes.value, yes.string_value.as_deref()), (Some(1.0), Some("True")));
        assert!(score(json!({"value": "x", "dataType": "NUMERIC"})).is_err());
    }
}
