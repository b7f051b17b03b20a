//! The rules of Kubernetes' own validation that this project can run into, as 422 with a cause for each.
//!
//! Source: `pkg/apis/*/validation/validation.go` of Kubernetes.

use serde_json::Value;

use super::objects::{at, items, meta, number, text};
use super::resources::Kind;
use super::status::{Cause, Status};

/// Checks an object, and what may not change compared with the stored one.
///
/// # Errors
/// 422 with one cause for each broken rule.
pub(super) fn check(kind: &Kind, object: &Value, live: Option<&Value>) -> Result<(), Status> {
    let mut causes = Vec::new();
    name(object, &mut causes);
    if let Some(live) = live {
        // Checked once for all kinds and once more by the kind's own rules, and said as often.
        for _ in 0..2 {
            unchanged(&[&["metadata", "uid"], &["metadata", "creationTimestamp"]], object, live, &mut causes);
        }
    }
    match kind.kind {
        "Ingress" => ingress(object, &mut causes),
        "Deployment" | "StatefulSet" | "ReplicaSet" => workload(object, &mut causes),
        "Pod" => containers(object, "spec", &mut causes),
        "Service" => service(object, &mut causes),
        "Lease" => lease(object, &mut causes),
        _ => {}
    }
    if let Some(live) = live {
        unchanged(fixed(kind), object, live, &mut causes);
    }
    if causes.is_empty() { Ok(()) } else { Err(Status::invalid(kind, meta(object, "name"), &causes)) }
}

fn required(field: impl Into<String>, more: &str) -> Cause {
    let message = if more.is_empty() { "Required value".into() } else { format!("Required value: {more}") };
    Cause { reason: "FieldValueRequired", field: field.into(), message }
}

fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Cause {
    Cause {
        reason: "FieldValueInvalid",
        field: field.into(),
        message: format!("Invalid value: {value}: {why}"),
    }
}

const NAME_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
     and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

fn name(object: &Value, causes: &mut Vec<Cause>) {
    let name = meta(object, "name");
    if name.is_empty() {
        causes.push(required("metadata.name", "name or generateName is required"));
        return;
    }
    if !is_subdomain(name) {
        causes.push(invalid("metadata.name", &Value::from(name), NAME_RULE));
    }
}

fn is_subdomain(name: &str) -> bool {
    let plain = |part: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends(part.chars().next())
            && ends(part.chars().last())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    name.len() <= 253 && name.split('.').all(plain)
}

/// Fields of a kind that never change.
fn fixed(kind: &Kind) -> &'static [&'static [&'static str]] {
    match kind.kind {
        "Deployment" | "StatefulSet" | "ReplicaSet" => &[&["spec", "selector"]],
        "Secret" => &[&["type"]],
        "IngressClass" => &[&["spec", "controller"]],
        _ => &[],
    }
}

fn unchanged(fixed: &[&[&str]], object: &Value, live: &Value, causes: &mut Vec<Cause>) {
    for path in fixed {
        let (new, old) = (at(object, path), at(live, path));
        if new != old && old.is_some() {
            causes.push(invalid(path.join("."), new.unwrap_or(&Value::Null), "field is immutable"));
        }
    }
}

fn ingress(object: &Value, causes: &mut Vec<Cause>) {
    let rules = items(object, &["spec", "rules"]);
    if rules.is_empty() && at(object, &["spec", "defaultBackend"]).is_none() {
        let value = Value::from("null");
        let value = at(object, &["spec", "rules"]).unwrap_or(&value);
        let shown = if value.is_array() { "[]" } else { "null" };
        causes.push(Cause {
            reason: "FieldValueInvalid",
            field: "spec".into(),
            message: format!("Invalid value: {shown}: either `defaultBackend` or `rules` must be specified"),
        });
    }
    for (r, rule) in rules.iter().enumerate() {
        let host = text(rule, &["host"]);
        if !host.is_empty() && !host.starts_with("*.") && !is_subdomain(host) {
            causes.push(invalid(format!("spec.rules[{r}].host"), &Value::from(host), NAME_RULE));
        }
        for (p, path) in items(rule, &["http", "paths"]).iter().enumerate() {
            let at_path = format!("spec.rules[{r}].http.paths[{p}]");
            let kind = text(path, &["pathType"]);
            if kind.is_empty() {
                causes.push(required(format!("{at_path}.pathType"), "pathType must be specified"));
            }
            let route = text(path, &["path"]);
            if matches!(kind, "Exact" | "Prefix") && !route.starts_with('/') {
                causes.push(invalid(
                    format!("{at_path}.path"),
                    &Value::from(route),
                    "must be an absolute path",
                ));
            }
            if at(path, &["backend", "service", "name"]).is_none()
                && at(path, &["backend", "resource"]).is_none()
            {
                causes.push(required(format!("{at_path}.backend"), "a service or a resource must be named"));
            }
        }
    }
}

fn workload(object: &Value, causes: &mut Vec<Cause>) {
    let selector = at(object, &["spec", "selector", "matchLabels"]).and_then(Value::as_object);
    let labels = at(object, &["spec", "template", "metadata", "labels"]);
    match selector {
        None if items(object, &["spec", "selector", "matchExpressions"]).is_empty() => {
            causes.push(required("spec.selector", ""));
        }
        Some(wanted) if wanted.iter().any(|(key, value)| labels.and_then(|l| l.get(key)) != Some(value)) => {
            let value = labels.cloned().unwrap_or_default();
            let why = "`selector` does not match template `labels`";
            causes.push(invalid("spec.template.metadata.labels", &value, why));
        }
        _ => {}
    }
    if number(object, &["spec", "replicas"]) < 0 {
        let value = &object["spec"]["replicas"];
        causes.push(invalid("spec.replicas", value, "must be greater than or equal to 0"));
    }
    if let Some(template) = at(object, &["spec", "template"]) {
        containers(template, "spec.template.spec", causes);
    }
}

fn containers(object: &Value, prefix: &str, causes: &mut Vec<Cause>) {
    let list = items(object, &["spec", "containers"]);
    if list.is_empty() {
        causes.push(required(format!("{prefix}.containers"), ""));
    }
    for (index, container) in list.iter().enumerate() {
        for key in ["name", "image"] {
            if text(container, &[key]).is_empty() {
                causes.push(required(format!("{prefix}.containers[{index}].{key}"), ""));
            }
        }
    }
}

fn service(object: &Value, causes: &mut Vec<Cause>) {
    let ports = items(object, &["spec", "ports"]);
    let headless = text(object, &["spec", "clusterIP"]) == "None";
    if ports.is_empty() && !headless && text(object, &["spec", "type"]) != "ExternalName" {
        causes.push(required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        if !(1..=65_535).contains(&number(port, &["port"])) {
            let why = "must be between 1 and 65535, inclusive";
            causes.push(invalid(format!("spec.ports[{index}].port"), &port["port"], why));
        }
        if port["targetPort"].as_i64().is_some_and(|target| !(1..=65_535).contains(&target)) {
            let why = "must be between 1 and 65535, inclusive";
            causes.push(invalid(format!("spec.ports[{index}].targetPort"), &port["targetPort"], why));
        }
    }
}

fn lease(object: &Value, causes: &mut Vec<Cause>) {
    let duration = at(object, &["spec", "leaseDurationSeconds"]);
    if let Some(value) = duration.filter(|value| value.as_i64().is_some_and(|seconds| seconds <= 0)) {
        causes.push(invalid("spec.leaseDurationSeconds", value, "must be greater than 0"));
    }
    if let Some(value) =
        at(object, &["spec", "leaseTransitions"]).filter(|value| value.as_i64().is_some_and(|n| n < 0))
    {
        causes.push(invalid("spec.leaseTransitions", value, "must be greater than or equal to 0"));
    }
}
