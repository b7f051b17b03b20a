//! The one way an object is created or changed, whatever verb or patch asked for it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::defaults;
use super::last_applied;
use super::managed_fields::{self, Entry, Owner};
use super::objects::{items, meta, number, set_meta};
use super::patch;
use super::prepare;
use super::resources::{Kind, by_plural};
use super::retention;
use super::scale;
use super::schema::Place;
use super::status::Status;
use super::store::{Key, Next, Store};
use super::typed::{self, Unknown};
use super::{validate, view};

/// What is written to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub kind: &'static Kind,
    pub namespace: String,
    /// Empty when an object is created.
    pub name: String,
    /// `status`, `scale`, or empty.
    pub subresource: String,
}

/// How it is written.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    pub manager: String,
    pub dry_run: bool,
    pub unknown: Unknown,
    pub force: bool,
}

/// What is written.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Create(Value),
    Replace(Value),
    Merge(Value),
    Strategic(Value),
    Json(Value),
    Apply(Value),
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub object: Arc<Value>,
    pub created: bool,
    pub warnings: Vec<String>,
}

struct Made {
    object: Value,
    warnings: Vec<String>,
}

impl Target {
    /// Where etcd has the object; most kinds are filed under their plural.
    fn registry_key(&self) -> String {
        let folder = match self.kind.plural {
            "ingresses" => "ingress",
            "nodes" => "minions",
            "services" => "services/specs",
            plural => plural,
        };
        let namespace =
            if self.namespace.is_empty() { String::new() } else { format!("{}/", self.namespace) };
        format!("/registry/{folder}/{namespace}{}", self.name)
    }

    /// Where the store has the object.
    pub(super) fn key(&self) -> Key {
        (self.namespace.clone(), self.name.clone())
    }

    /// Whether a change to an object that is not there makes it; one of a subresource never does.
    pub(super) fn is_made_by(&self, change: &Change) -> bool {
        match change {
            Change::Create(_) => true,
            Change::Apply(_) => self.subresource.is_empty(),
            Change::Replace(_) => self.subresource.is_empty() && self.kind.is_made_by_put(),
            Change::Merge(_) | Change::Strategic(_) | Change::Json(_) => false,
        }
    }
}

/// Writes, or says why not.
///
/// # Errors
/// Every refusal a real API server has for the change, as a status.
pub(super) fn write(
    store: &Store,
    target: &Target,
    terms: &Terms,
    change: &Change,
) -> Result<Outcome, Status> {
    let mut target = target.clone();
    if let Change::Create(body) = change {
        target.name = name_of_new(body);
    }
    let mut gone = false;
    let mut written = None;
    let stored = store.change(target.kind, &target.key(), |live| {
        let shown = live.map(|live| view::show(target.kind, live));
        let made = make(&target, terms, change, shown.as_deref())?;
        let same = shown.as_deref() == Some(&made.object);
        let finished = live.is_some()
            && !meta(&made.object, "deletionTimestamp").is_empty()
            && items(&made.object, &["metadata", "finalizers"]).is_empty();
        let object = view::store(target.kind, made.object.clone());
        gone = finished;
        written = Some((made, live.is_none()));
        Ok(match (terms.dry_run || same, finished) {
            (true, _) => Next::Keep,
            (false, true) => Next::Delete,
            (false, false) => Next::Put(object),
        })
    })?;
    let Some((made, created)) = written else {
        return Err(Status::internal("nothing was written"));
    };
    let object = match stored {
        Some(object) if !terms.dry_run && !gone => view::show(target.kind, &object),
        _ => Arc::new(made.object),
    };
    if created && target.kind.kind == "Event" {
        retention::sweep(store, target.kind.stored());
    }
    Ok(Outcome { object, created, warnings: made.warnings })
}

/// Refuses objects for a namespace that does not exist.
///
/// # Errors
/// 404 for the namespace.
pub(super) fn require_namespace(store: &Store, target: &Target) -> Result<(), Status> {
    let Some(namespaces) = by_plural("", "namespaces").filter(|_| target.kind.namespaced) else {
        return Ok(());
    };
    match store.stored(namespaces, &(String::new(), target.namespace.clone())) {
        Some(_) => Ok(()),
        None => Err(Status::not_found(namespaces, &target.namespace)),
    }
}

/// Empty where the object names none, which its validation refuses.
fn name_of_new(body: &Value) -> String {
    let (name, prefix) = (meta(body, "name"), meta(body, "generateName"));
    if name.is_empty() && !prefix.is_empty() { prepare::generated_name(prefix) } else { name.into() }
}

fn make(target: &Target, terms: &Terms, change: &Change, live: Option<&Value>) -> Result<Made, Status> {
    let kind = target.kind;
    match (change, live) {
        (Change::Create(body), live) => {
            let made = create(target, terms, body, None)?;
            if live.is_some() { Err(Status::already_exists(kind, &target.name)) } else { Ok(made) }
        }
        (Change::Apply(config), live) if live.is_some() || target.is_made_by(change) => {
            apply(target, terms, config, live)
        }
        (Change::Replace(body), None) if target.is_made_by(change) => create(target, terms, body, None),
        (Change::Replace(body), None) => {
            identified(target, body)?;
            Err(Status::not_found(kind, &target.name))
        }
        (_, None) => Err(Status::not_found(kind, &target.name)),
        (change, Some(live)) if target.subresource == "scale" => {
            let proposed = patched(target, change, &scale::show(kind, live))?;
            scale::check(&proposed)?;
            update(target, terms, change, &scale::onto(live, &proposed)?, live)
        }
        (change, Some(live)) => update(target, terms, change, &patched(target, change, live)?, live),
    }
}

/// The state a change proposes.
fn patched(target: &Target, change: &Change, live: &Value) -> Result<Value, Status> {
    let mut object = live.clone();
    match change {
        Change::Create(body) | Change::Replace(body) => return Ok(body.clone()),
        Change::Merge(body) | Change::Apply(body) => patch::merge::merge(&mut object, body),
        Change::Strategic(body) => patch::strategic::merge(&mut object, body, &Place::top(target.kind.kind)),
        Change::Json(operations) => patch::json::patch(&mut object, operations)?,
    }
    Ok(object)
}

fn owner(target: &Target, terms: &Terms, applied: bool) -> Owner {
    Owner {
        manager: terms.manager.chars().take(128).collect(),
        applied,
        api_version: target.kind.api_version(),
        subresource: target.subresource.clone(),
    }
}

fn create(target: &Target, terms: &Terms, body: &Value, owners: Option<Vec<Entry>>) -> Result<Made, Status> {
    let kind = target.kind;
    let body = identified(target, body)?;
    let read = typed::read(kind, &body, terms.unknown);
    let (mut object, warnings) = read.map_err(|why| typed::refuse_object(kind, &why))?;
    set_meta(&mut object, "name", Some(json!(target.name)));
    let version = meta(&object, "resourceVersion").to_owned();
    prepare::created(kind, &mut object);
    set_meta(&mut object, "managedFields", None);
    let owners = owners.unwrap_or_else(|| {
        let mut owners = Vec::new();
        let difference = managed_fields::compare(&defaults::skeleton(kind), &object, &Place::top(kind.kind));
        managed_fields::after_update(&mut owners, owner(target, terms, false), &difference, kind.status);
        owners
    });
    defaults::allocate(kind, &mut object);
    validate::check(kind, &object, None)?;
    if !version.is_empty() {
        return Err(Status::internal("resourceVersion should not be set on objects to be created"));
    }
    managed_fields::encode(&mut object, owners);
    Ok(Made { object, warnings })
}

fn update(
    target: &Target,
    terms: &Terms,
    change: &Change,
    proposed: &Value,
    live: &Value,
) -> Result<Made, Status> {
    let proposed = identified(target, proposed).map_err(|status| match change {
        Change::Replace(_) => status,
        _ if is_of(target.kind, proposed) => status,
        _ => Status::invalid_patch(proposed, &status.message),
    })?;
    require_same_state(target, change, &proposed, live)?;
    let read = typed::read(target.kind, &proposed, terms.unknown);
    let (mut object, warnings) = read.map_err(|why| match change {
        Change::Replace(_) => typed::refuse_object(target.kind, &why),
        _ => Status::invalid_patch(&proposed, &why),
    })?;
    prepare::updated(target.kind, &mut object, live, &target.subresource);
    let named = items(&proposed, &["metadata", "managedFields"]);
    let mut owners = managed_fields::decode(if named.is_empty() { live } else { &proposed });
    // An object whose owners were taken away stays without until somebody applies.
    if !owners.is_empty() {
        let mut difference = managed_fields::compare(live, &object, &Place::top(target.kind.kind));
        if target.subresource == "scale" && number(&object, &["spec", "replicas"]) == 0 {
            // A scale to nothing leaves its one field out, and so nobody owns it.
            difference.removed = std::mem::take(&mut difference.modified);
        }
        let owner = owner(target, terms, false);
        managed_fields::after_update(&mut owners, owner, &difference, target.kind.status);
    }
    validate::check(target.kind, &object, Some(live))?;
    managed_fields::encode(&mut object, owners);
    Ok(Made { object, warnings })
}

fn apply(target: &Target, terms: &Terms, config: &Value, live: Option<&Value>) -> Result<Made, Status> {
    let kind = target.kind;
    if !is_of(kind, config) {
        let sent = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
        let version = sent("apiVersion");
        let slash = if version.contains('/') { "" } else { "/" };
        let message = format!("invalid object type: {slash}{version}, Kind={}", sent("kind"));
        return Err(Status::bad_request(message));
    }
    if !items(config, &["metadata", "managedFields"]).is_empty() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let sent = config;
    let config = identified(target, config)?;
    typed::check_apply(kind, sent)?;
    let place = Place::top(kind.kind);
    let apply = patch::apply::Apply {
        config: &config,
        owner: owner(target, terms, true),
        force: terms.force,
        excused: live.map(|live| last_applied::excused(&terms.manager, live, &place)).unwrap_or_default(),
        place,
        has_status: kind.status,
    };
    let Some(live) = live else {
        let uid = meta(&config, "uid");
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(Status::conflict(kind, &target.name, &why));
        }
        let mut owners = Vec::new();
        let object = apply.onto(&json!({}), &mut owners)?;
        return create(target, terms, &object, Some(owners));
    };
    let mut owners = managed_fields::decode(live);
    if owners.is_empty() {
        owners = managed_fields::before_first_apply(kind, live);
    }
    let mut merged = apply.onto(live, &mut owners)?;
    last_applied::sync(&terms.manager, sent, &mut merged);
    require_same_state(target, &Change::Apply(Value::Null), &merged, live)?;
    let read = typed::read(kind, &merged, terms.unknown);
    let (mut object, warnings) = read.map_err(|why| typed::refuse_object(kind, &why))?;
    prepare::updated(kind, &mut object, live, &target.subresource);
    validate::check(kind, &object, Some(live))?;
    managed_fields::encode(&mut object, owners);
    Ok(Made { object, warnings })
}

/// Whether a body says that it is of a kind.
fn is_of(kind: &Kind, body: &Value) -> bool {
    body.get("kind").is_some_and(|sent| sent == kind.kind)
        && body.get("apiVersion").is_some_and(|sent| *sent == kind.api_version())
}

/// The body with kind, name and namespace as the path says.
fn identified(target: &Target, body: &Value) -> Result<Value, Status> {
    let mut object = body.clone();
    let fields = super::objects::map(&mut object);
    let (kind, version) = (target.kind.kind, target.kind.api_version());
    for (key, expected) in [("kind", kind), ("apiVersion", &version)] {
        let sent = fields.get(key).and_then(Value::as_str).unwrap_or_default();
        if !sent.is_empty() && sent != expected {
            return Err(Status::bad_request(format!(
                "the {key} in the data ({sent}) does not match the expected {key} ({expected})"
            )));
        }
        fields.insert(key.into(), json!(expected));
    }
    for (key, expected) in [("name", &target.name), ("namespace", &target.namespace)] {
        let sent = meta(&object, key).to_owned();
        let generated = key == "name" && sent.is_empty();
        if !sent.is_empty() && sent != *expected {
            let what = if key == "name" { "the URL" } else { "the request" };
            return Err(Status::bad_request(if key == "name" {
                format!("the name of the object ({sent}) does not match the name on {what} ({expected})")
            } else {
                format!("the namespace of the provided object does not match the namespace sent on {what}")
            }));
        }
        if generated || !expected.is_empty() {
            set_meta(&mut object, key, Some(json!(expected)));
        }
    }
    Ok(object)
}

/// Refuses a write made against another state, or another object, than the stored one.
fn require_same_state(
    target: &Target,
    change: &Change,
    proposed: &Value,
    live: &Value,
) -> Result<(), Status> {
    let (uid, live_uid) = (meta(proposed, "uid"), meta(live, "uid"));
    let replaces = matches!(change, Change::Replace(_));
    if replaces && !uid.is_empty() && uid != live_uid {
        let key = target.registry_key();
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition \
             failed: UID in precondition: {uid}, UID in object meta: {live_uid}"
        );
        return Err(Status::conflict(target.kind, &target.name, &why));
    }
    let sent = meta(proposed, "resourceVersion");
    if !sent.is_empty() && sent.parse::<u64>().is_err() {
        return Err(Status::internal(format!("strconv.ParseUint: parsing \"{sent}\": invalid syntax")));
    }
    // Leases are the one kind here that is never replaced blindly (`AllowUnconditionalUpdate`).
    if replaces && matches!(sent, "" | "0") && target.kind.kind == "Lease" {
        return Err(Status::version_required(target.kind, &target.name));
    }
    if !sent.is_empty() && sent != "0" && sent != meta(live, "resourceVersion") {
        return Err(Status::stale(target.kind, &target.name));
    }
    Ok(())
}
