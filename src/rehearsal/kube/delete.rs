//! Deleting: at once, or once the finalizers are gone.

use std::sync::Arc;

use serde_json::{Value, json};

use super::clock_text;
use super::objects::{items, meta, set_meta, text};
use super::resources::KINDS;
use super::status::{Status, details};
use super::store::{Key, Next, Store};
use super::view;
use super::write::Target;

/// What becomes the answer of a deletion.
pub(super) struct Deleted {
    /// The body: the object while it still exists, a `Status` otherwise.
    pub body: Value,
}

/// Deletes one object; `options` is the body of the request.
///
/// # Errors
/// 404, and 409 when a precondition does not hold.
pub(super) fn delete(
    store: &Store,
    target: &Target,
    options: &Value,
    dry_run: bool,
) -> Result<Deleted, Status> {
    let kind = target.kind;
    let key: Key = (target.namespace.clone(), target.name.clone());
    let mut gone = None;
    let stored = store.change(kind, &key, |live| {
        let live = live.ok_or_else(|| Status::not_found(kind, &target.name))?;
        preconditions(target, options, live)?;
        let waits = !items(live, &["metadata", "finalizers"]).is_empty();
        gone = Some((Arc::clone(live), waits));
        Ok(match (dry_run, waits, meta(live, "deletionTimestamp").is_empty()) {
            (true, ..) | (_, true, false) => Next::Keep,
            (_, true, true) => {
                let mut object = (**live).clone();
                set_meta(&mut object, "deletionTimestamp", Some(json!(clock_text::now())));
                set_meta(&mut object, "deletionGracePeriodSeconds", Some(json!(0)));
                Next::Put(object)
            }
            (_, false, _) => Next::Delete,
        })
    })?;
    let Some((live, waits)) = gone else {
        return Err(Status::not_found(kind, &target.name));
    };
    if kind.kind == "Namespace" && !waits && !dry_run {
        empty_namespace(store, &target.name);
    }
    if waits || kind.kind == "Pod" {
        let mut object = stored.unwrap_or_else(|| Arc::clone(&live));
        if !waits {
            // A pod is first marked, then taken away; where nothing runs, both happen at once.
            let marked = Arc::make_mut(&mut object);
            set_meta(marked, "deletionTimestamp", Some(json!(clock_text::now())));
            set_meta(marked, "deletionGracePeriodSeconds", Some(json!(0)));
            let next = super::objects::number(marked, &["metadata", "generation"]) + 1;
            set_meta(marked, "generation", Some(json!(next)));
        }
        return Ok(Deleted { body: (*view::show(kind, &object)).clone() });
    }
    let mut details = details(kind.group, kind.plural, &target.name);
    details["uid"] = json!(meta(&live, "uid"));
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
    Ok(Deleted { body })
}

fn preconditions(target: &Target, options: &Value, live: &Value) -> Result<(), Status> {
    let refuse = |what: &str, wanted: &str, have: &str, doubt: &str| {
        let why = format!(
            "the {what} in the precondition ({wanted}) does not match the {what} in record ({have}). The object \
             might have been {doubt}"
        );
        Err(Status::unmet(target.kind, &target.name, &why))
    };
    let uid = text(options, &["preconditions", "uid"]);
    if !uid.is_empty() && uid != meta(live, "uid") {
        return refuse("UID", uid, meta(live, "uid"), "deleted and then recreated");
    }
    let version = text(options, &["preconditions", "resourceVersion"]);
    if !version.is_empty() && version != meta(live, "resourceVersion") {
        return refuse("ResourceVersion", version, meta(live, "resourceVersion"), "modified");
    }
    Ok(())
}

/// A namespace takes its objects with it, as the namespace controller would see to.
fn empty_namespace(store: &Store, namespace: &str) {
    for kind in KINDS.iter().filter(|kind| kind.namespaced && kind.stored_as.is_none()) {
        for (key, _) in store.snapshot(kind, Some(namespace)).0 {
            // Deleting an object that somebody else deleted meanwhile is what was wanted.
            let _ = store.change(kind, &key, |_| Ok(Next::Delete));
        }
    }
}
