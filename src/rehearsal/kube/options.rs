//! Options in a query that are refused before any object is looked at.
//!
//! Source: `ValidateListOptions` and `ValidatePatchOptions` of k8s.io/apimachinery.

use super::query::Query;
use super::status::{Cause, Status};

/// Longest name of a manager, in bytes.
const LONGEST_MANAGER: usize = 128;

fn forbidden(field: &str, why: &str) -> Cause {
    Cause { reason: "FieldValueForbidden", field: field.into(), message: format!("Forbidden: {why}") }
}

fn unsupported(field: &str, value: &str, supported: &str) -> Cause {
    let message = format!("Unsupported value: {value}: supported values: {supported}");
    Cause { reason: "FieldValueNotSupported", field: field.into(), message }
}

fn refuse(kind: &str, causes: &[Cause]) -> Result<(), Status> {
    if causes.is_empty() { Ok(()) } else { Err(Status::invalid_options(kind, causes)) }
}

/// Checks the options of a list or, with `watch`, of a watch.
///
/// # Errors
/// 400 for a number that is none, 422 for options that exclude each other.
pub(super) fn check_list(query: &Query, watch: bool) -> Result<(), Status> {
    for name in ["limit", "timeoutSeconds"] {
        let text = query.get(name);
        if !text.is_empty() && text.parse::<i64>().is_err() {
            return Err(Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")));
        }
    }
    let causes = if watch { watch_causes(query) } else { list_causes(query) };
    refuse("ListOptions", &causes)?;
    if !watch && !query.get("continue").is_empty() && !matches!(query.get("resourceVersion"), "" | "0") {
        let message = "specifying resource version is not allowed when using continue";
        return Err(Status::bad_request(message));
    }
    Ok(())
}

fn list_causes(query: &Query) -> Vec<Cause> {
    let (field, matching) = ("resourceVersionMatch", query.get("resourceVersionMatch"));
    let version = query.get("resourceVersion");
    let mut causes = Vec::new();
    if !matching.is_empty() {
        if version.is_empty() {
            causes.push(forbidden(
                field,
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if !query.get("continue").is_empty() {
            causes.push(forbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
        }
        if !matches!(matching, "Exact" | "NotOlderThan") {
            causes.push(unsupported(field, &format!("\"{matching}\""), "\"Exact\", \"NotOlderThan\", \"\""));
        }
        if matching == "Exact" && version == "0" {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            causes.push(forbidden(field, why));
        }
    }
    if !query.get("sendInitialEvents").is_empty() {
        causes.push(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    causes
}

fn watch_causes(query: &Query) -> Vec<Cause> {
    let (field, matching) = ("resourceVersionMatch", query.get("resourceVersionMatch"));
    let initial = !query.get("sendInitialEvents").is_empty();
    let mut causes = Vec::new();
    if initial && matching != "NotOlderThan" {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        causes.push(forbidden(field, why));
    }
    if !matching.is_empty() {
        if !initial {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            causes.push(forbidden(field, why));
        }
        if matching != "NotOlderThan" {
            causes.push(unsupported(field, &format!("\"{matching}\""), "\"NotOlderThan\""));
        }
        if !query.get("continue").is_empty() {
            causes.push(forbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
        }
    }
    causes
}

/// Checks the options of a write; `verb` is `create`, `update`, `patch` or `apply`.
///
/// # Errors
/// 422 with a cause for each.
pub(super) fn check_write(query: &Query, verb: &str) -> Result<(), Status> {
    let kind = match verb {
        "create" => "CreateOptions",
        "update" => "UpdateOptions",
        _ => "PatchOptions",
    };
    let mut causes = Vec::new();
    if verb == "patch" && !query.get("force").is_empty() {
        causes.push(forbidden("force", "may not be specified for non-apply patch"));
    }
    let manager = query.get("fieldManager");
    if verb == "apply" && manager.is_empty() {
        let message = "Required value: is required for apply patch".into();
        causes.push(Cause { reason: "FieldValueRequired", field: "fieldManager".into(), message });
    }
    if manager.len() > LONGEST_MANAGER {
        let message = format!("Too long: may not be more than {LONGEST_MANAGER} bytes");
        causes.push(Cause { reason: "FieldValueTooLong", field: "fieldManager".into(), message });
    }
    causes.extend(dry_run(query));
    let validation = query.get("fieldValidation");
    if !matches!(validation, "" | "Ignore" | "Strict" | "Warn") {
        let supported = "\"\", \"Ignore\", \"Strict\", \"Warn\"";
        causes.push(unsupported("fieldValidation", &format!("\"{validation}\""), supported));
    }
    refuse(kind, &causes)
}

/// Checks the options of a deletion that stand in the query.
///
/// # Errors
/// 422 for another dry run than of everything.
pub(super) fn check_delete(query: &Query) -> Result<(), Status> {
    refuse("DeleteOptions", &dry_run(query).into_iter().collect::<Vec<_>>())
}

fn dry_run(query: &Query) -> Option<Cause> {
    let wanted = query.get("dryRun");
    let shown = format!("[\"{wanted}\"]");
    (!matches!(wanted, "" | "All")).then(|| unsupported("dryRun", &shown, "\"All\""))
}
