//! Lists: at one revision, in pages, and the tokens that continue them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::query::Query;
use super::resources::Kind;
use super::selectors::Selector;
use super::status::Status;
use super::store::{Key, Store};
use super::view;

/// One page of objects.
pub(super) struct Page {
    pub objects: Vec<Arc<Value>>,
    /// `metadata` of the list.
    pub metadata: Value,
}

struct Start {
    /// None for "any, as inconsistent as it is".
    revision: Option<u64>,
    after: Key,
}

/// Reads the page a query asks for.
///
/// # Errors
/// 400 for a query that cannot be read, 410 for a revision that is forgotten, 504 for one in the future.
pub(super) fn page(
    store: &Store,
    kind: &'static Kind,
    namespace: &str,
    query: &Query,
) -> Result<Page, Status> {
    let selector = Selector::of(query, kind)?;
    let namespace = (!namespace.is_empty()).then_some(namespace);
    let start = match query.get("continue") {
        "" => None,
        token => Some(Start::read(token)?),
    };
    let (mut objects, revision) = read(store, kind, namespace, query, start.as_ref())?;
    if let Some(start) = &start {
        objects.retain(|(key, _)| *key > start.after);
    }
    let mut objects: Vec<(Key, Arc<Value>)> = objects
        .into_iter()
        .map(|(key, object)| (key, view::show(kind, &object)))
        .filter(|(_, object)| selector.matches(object))
        .collect();
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if let Some(limit) = limit(query) {
        let left = objects.len().saturating_sub(limit);
        objects.truncate(limit);
        if let (true, Some((last, _))) = (left > 0, objects.last()) {
            metadata["continue"] = json!(token(Some(revision), last));
            if selector.is_empty() {
                metadata["remainingItemCount"] = json!(left);
            }
        }
    }
    Ok(Page { objects: objects.into_iter().map(|(_, object)| object).collect(), metadata })
}

/// How many objects a page has. A list of whatever version there is comes whole (`computeListLimit` of `cacher.go`).
fn limit(query: &Query) -> Option<usize> {
    let wanted = query.number("limit").filter(|limit| *limit > 0 && query.get("resourceVersion") != "0");
    wanted.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

type Read = (Vec<(Key, Arc<Value>)>, u64);

fn read(
    store: &Store,
    kind: &'static Kind,
    namespace: Option<&str>,
    query: &Query,
    start: Option<&Start>,
) -> Result<Read, Status> {
    if let Some(start) = start {
        let Some(revision) = start.revision else {
            return Ok(store.snapshot(kind, namespace));
        };
        let objects = store.snapshot_at(kind, namespace, revision);
        return objects.map(|objects| (objects, revision)).ok_or_else(|| expired(&start.after));
    }
    let version = query.get("resourceVersion");
    let current = store.snapshot(kind, namespace);
    if matches!(version, "" | "0") {
        return Ok(current);
    }
    let wanted = revision_of_list(version)?;
    if wanted > current.1 {
        return Err(future(wanted, current.1));
    }
    // A page of a version is of exactly that one, unless it is asked for otherwise.
    let exact = match query.get("resourceVersionMatch") {
        "" => limit(query).is_some(),
        matching => matching == "Exact",
    };
    if !exact {
        return Ok(current);
    }
    match store.snapshot_at(kind, namespace, wanted) {
        Some(objects) => Ok((objects, wanted)),
        None => Err(Status::expired("The resourceVersion for the provided list is too old.")),
    }
}

/// Reads a resource version.
///
/// # Errors
/// What is wrong with it, when it is no number.
pub(super) fn revision(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        format!(
            "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
        )
    })
}

fn revision_of_list(text: &str) -> Result<u64, Status> {
    revision(text).map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))
}

/// Refuses to read at a version that is still to come.
///
/// # Errors
/// 504, as a real server answers after it has waited for it.
pub(super) fn require_reached(store: &Store, query: &Query) -> Result<(), Status> {
    let (wanted, current) = (query.get("resourceVersion"), store.revision());
    let wanted = if wanted.is_empty() { 0 } else { revision_of_list(wanted)? };
    if wanted > current { Err(future(wanted, current)) } else { Ok(()) }
}

fn future(wanted: u64, current: u64) -> Status {
    let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
    let details = json!({"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1});
    Status::new(504, "Timeout", message).with(details)
}

fn expired(after: &Key) -> Status {
    let message = "The provided continue parameter is too old to display a consistent list result. You can start a \
        new list without the continue parameter, or use the continue token in this response to retrieve the \
        remainder of the results. Continuing with the provided token results in an inconsistent list - objects that \
        were created, modified, or deleted between the time the first chunk was returned and now may show up in the \
        list.";
    Status { resume: Some(token(None, after)), ..Status::expired(message) }
}

fn token(revision: Option<u64>, after: &Key) -> String {
    let revision = revision.map_or(-1, |revision| i64::try_from(revision).unwrap_or(i64::MAX));
    let start = format!("{}/{}\0", after.0, after.1);
    URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start}).to_string())
}

impl Start {
    fn read(token: &str) -> Result<Self, Status> {
        let bad = || Status::bad_request("continue key is not valid: decode error");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        let revision = token["rv"].as_i64().ok_or_else(bad)?;
        let start = token["start"].as_str().and_then(|start| start.strip_suffix('\0')).ok_or_else(bad)?;
        let (namespace, name) = start.split_once('/').ok_or_else(bad)?;
        Ok(Self { revision: u64::try_from(revision).ok(), after: (namespace.into(), name.into()) })
    }
}
