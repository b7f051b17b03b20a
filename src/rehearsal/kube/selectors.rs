//! Label and field selectors.

use serde_json::Value;

use super::objects::{at, meta};
use super::query::Query;
use super::resources::Kind;
use super::status::Status;

/// What an object must have to be listed.
#[derive(Debug, Default, Clone)]
pub(super) struct Selector {
    labels: Vec<Label>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Label {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Has(String),
    Lacks(String),
}

/// Fields that can be selected besides `metadata.name` and `metadata.namespace`.
fn selectable(kind: &Kind) -> &'static [&'static str] {
    match (kind.group, kind.kind) {
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "Event") => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "reason",
            "reportingController",
            "type",
        ],
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
        ],
        ("", "Secret") => &["type"],
        ("", "Namespace") => &["status.phase"],
        ("apps", "ReplicaSet") => &["status.replicas"],
        _ => &[],
    }
}

impl Selector {
    /// Reads both selectors of a query.
    ///
    /// # Errors
    /// 400 for one that cannot be read, or for a field that cannot be selected.
    pub(super) fn of(query: &Query, kind: &Kind) -> Result<Self, Status> {
        let labels = labels(query.get("labelSelector"))
            .map_err(|text| Status::bad_request(format!("unable to parse requirement: {text}")))?;
        let mut fields = Vec::new();
        for term in query.get("fieldSelector").split(',').filter(|term| !term.is_empty()) {
            let (key, equal, value) = field(term).ok_or_else(|| {
                Status::bad_request(format!("invalid selector: '{term}'; can't understand '{term}'"))
            })?;
            let known =
                matches!(key, "metadata.name" | "metadata.namespace") || selectable(kind).contains(&key);
            if !known {
                let message = if selectable(kind).is_empty() {
                    format!(
                        "\"{key}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                    )
                } else {
                    format!("field label not supported: {key}")
                };
                return Err(Status::bad_request(message));
            }
            fields.push((key.to_owned(), equal, value.to_owned()));
        }
        Ok(Self { labels, fields })
    }

    /// Whether everything matches.
    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object matches.
    pub(super) fn matches(&self, object: &Value) -> bool {
        self.labels.iter().all(|label| label.matches(object))
            && self.fields.iter().all(|(key, equal, value)| (field_text(object, key) == *value) == *equal)
    }
}

/// The one name that a query's fields are selected by: rights to objects by their name are rights to it
/// (`NewRequestInfo` of k8s.io/apiserver).
pub(super) fn exact_name(query: &Query) -> Option<&str> {
    let mut fields = query.get("fieldSelector").split(',').filter_map(field);
    let named = fields.find(|(key, equal, _)| *equal && *key == "metadata.name");
    named.map(|(.., name)| name).filter(|name| !name.contains(['/', '%']))
}

fn field_text(object: &Value, key: &str) -> String {
    match key {
        "metadata.name" => meta(object, "name").into(),
        "metadata.namespace" => meta(object, "namespace").into(),
        "source" => at(object, &["source", "component"]).and_then(Value::as_str).unwrap_or_default().into(),
        _ => match at(object, &key.split('.').collect::<Vec<_>>()) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        },
    }
}

fn field(term: &str) -> Option<(&str, bool, &str)> {
    if let Some((key, value)) = term.split_once("!=") {
        return Some((key, false, value));
    }
    term.split_once("==").or_else(|| term.split_once('=')).map(|(key, value)| (key, true, value))
}

impl Label {
    fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| at(object, &["metadata", "labels", key]).and_then(Value::as_str);
        match self {
            Self::In(key, values) => label(key).is_some_and(|have| values.iter().any(|v| v == have)),
            Self::NotIn(key, values) => label(key).is_none_or(|have| values.iter().all(|v| v != have)),
            Self::Has(key) => label(key).is_some(),
            Self::Lacks(key) => label(key).is_none(),
        }
    }
}

fn labels(text: &str) -> Result<Vec<Label>, String> {
    terms(text).into_iter().map(|term| label(term.trim())).collect()
}

/// Splits at commas that stand outside of parentheses.
fn terms(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .filter(|term| !term.trim().is_empty())
    .collect()
}

fn label(term: &str) -> Result<Label, String> {
    let list = |text: &str| -> Option<Vec<String>> {
        let inside = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inside.split(',').map(|value| value.trim().to_owned()).collect())
    };
    let bad = || format!("'{term}'");
    if let Some((key, values)) = term.split_once(" notin ") {
        return list(values).map(|values| Label::NotIn(key.trim().into(), values)).ok_or_else(bad);
    }
    if let Some((key, values)) = term.split_once(" in ") {
        return list(values).map(|values| Label::In(key.trim().into(), values)).ok_or_else(bad);
    }
    if let Some((key, value)) = term.split_once("!=") {
        return Ok(Label::NotIn(key.trim().into(), vec![value.trim().into()]));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Ok(Label::In(key.trim().into(), vec![value.trim().into()]));
    }
    if term.contains([' ', '(', ')']) {
        return Err(bad());
    }
    Ok(match term.strip_prefix('!') {
        Some(key) => Label::Lacks(key.trim().into()),
        None => Label::Has(term.into()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_select_by_every_operator() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}});
        for (text, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app in (web, worker),tier", true),
            ("app notin (web)", false),
            ("!app", false),
            ("other!=x", true),
            ("!other", true),
        ] {
            let selector = Selector { labels: labels(text).unwrap(), fields: vec![] };
            assert_eq!(selector.matches(&object), expected, "{text}");
        }
        assert!(labels("app in web").is_err());
    }
}
