//! Who owns which field: the list of `metadata.managedFields`, and what a write does to it.
//!
//! Source: sigs.k8s.io/structured-merge-diff v4 `merge/update.go`, k8s.io/apimachinery `managedfields`.

use serde_json::{Map, Value, json};

use super::clock_text;
use super::defaults::skeleton;
use super::field_set::{FieldSet, field_step, item_step};
use super::objects::{items, set_meta, text};
use super::resources::Kind;
use super::schema::{List, Place};
use super::status::Status;

/// What identifies one owner's entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Owner {
    /// Name the client gave, at most 128 characters.
    pub manager: String,
    /// Whether the fields were applied, or written in another way.
    pub applied: bool,
    /// The version the fields are named in.
    pub api_version: String,
    /// `status` or `scale`, empty for the object itself.
    pub subresource: String,
}

/// One owner with its fields.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub owner: Owner,
    pub time: Option<String>,
    pub fields: FieldSet,
}

/// The difference of two states of an object, in owned fields.
#[derive(Debug, Default)]
pub(super) struct Difference {
    pub added: FieldSet,
    pub modified: FieldSet,
    pub removed: FieldSet,
}

/// Metadata that nobody owns (`stripmeta.go`).
const OWNERLESS: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Reads the list of an object.
pub(super) fn decode(object: &Value) -> Vec<Entry> {
    items(object, &["metadata", "managedFields"]).iter().filter_map(decode_entry).collect()
}

fn decode_entry(entry: &Value) -> Option<Entry> {
    Some(Entry {
        owner: Owner {
            manager: text(entry, &["manager"]).into(),
            applied: entry.get("operation")?.as_str()? == "Apply",
            api_version: text(entry, &["apiVersion"]).into(),
            subresource: text(entry, &["subresource"]).into(),
        },
        time: entry.get("time").and_then(Value::as_str).map(Into::into),
        fields: FieldSet::decode(entry.get("fieldsV1")?),
    })
}

/// Writes the list into an object, sorted as a real server sorts it.
pub(super) fn encode(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    entries.sort_by(|a, b| {
        let key = |e: &Entry| {
            (!e.owner.applied, e.time.clone(), e.owner.manager.clone(), e.owner.subresource.clone())
        };
        key(a).cmp(&key(b))
    });
    let list: Vec<Value> = entries.iter().map(encode_entry).collect();
    set_meta(object, "managedFields", (!list.is_empty()).then_some(Value::Array(list)));
}

fn encode_entry(entry: &Entry) -> Value {
    let mut map = Map::new();
    map.insert("manager".into(), json!(entry.owner.manager));
    map.insert("operation".into(), json!(if entry.owner.applied { "Apply" } else { "Update" }));
    map.insert("apiVersion".into(), json!(entry.owner.api_version));
    if let Some(time) = &entry.time {
        map.insert("time".into(), json!(time));
    }
    map.insert("fieldsType".into(), json!("FieldsV1"));
    map.insert("fieldsV1".into(), entry.fields.encode());
    if !entry.owner.subresource.is_empty() {
        map.insert("subresource".into(), json!(entry.owner.subresource));
    }
    Value::Object(map)
}

/// The owned fields that differ between two states.
pub(super) fn compare(before: &Value, after: &Value, place: &Place) -> Difference {
    let mut difference = Difference::default();
    walk(Some(before), Some(after), place, &mut Vec::new(), &mut difference);
    difference
}

fn walk(
    before: Option<&Value>,
    after: Option<&Value>,
    place: &Place,
    path: &mut Vec<String>,
    out: &mut Difference,
) {
    let sample = after.filter(|v| !v.is_null()).or(before);
    let leaf = match sample {
        Some(Value::Object(_)) => place.is_atomic_map() || (is_bare(before) && is_bare(after)),
        Some(Value::Array(_)) => place.list() == List::Atomic || (is_bare(before) && is_bare(after)),
        _ => true,
    };
    match (before, after) {
        (None, Some(_)) => out.added.insert(path),
        (Some(_), None) => out.removed.insert(path),
        (Some(a), Some(b)) if leaf && a != b => out.modified.insert(path),
        _ => {}
    }
    if leaf {
        return;
    }
    match sample {
        Some(Value::Array(_)) => walk_list(before, after, place, path, out),
        _ => walk_map(before, after, place, path, out),
    }
}

fn is_bare(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    }
}

fn walk_map(
    before: Option<&Value>,
    after: Option<&Value>,
    place: &Place,
    path: &mut Vec<String>,
    out: &mut Difference,
) {
    let empty = Map::new();
    let a = before.and_then(Value::as_object).unwrap_or(&empty);
    let b = after.and_then(Value::as_object).unwrap_or(&empty);
    for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
        path.push(field_step(name));
        walk(a.get(name), b.get(name), &place.field(name), path, out);
        path.pop();
    }
}

fn walk_list(
    before: Option<&Value>,
    after: Option<&Value>,
    place: &Place,
    path: &mut Vec<String>,
    out: &mut Difference,
) {
    let keyed = |value: Option<&'_ Value>| -> Vec<(String, Value)> {
        let list = value.and_then(Value::as_array).cloned().unwrap_or_default();
        list.into_iter().filter_map(|item| Some((item_step(&item, place.list())?, item))).collect()
    };
    let (a, b) = (keyed(before), keyed(after));
    let find =
        |list: &[(String, Value)], step: &str| list.iter().find(|(s, _)| s == step).map(|(_, v)| v.clone());
    let new_steps = b.iter().map(|(s, _)| s).filter(|s| a.iter().all(|(mine, _)| mine != *s));
    for step in a.iter().map(|(s, _)| s).chain(new_steps) {
        path.push(step.clone());
        walk(find(&a, step).as_ref(), find(&b, step).as_ref(), place, path, out);
        path.pop();
    }
}

/// Takes what nobody may own out of a set: identity, and `.status` or all but `.status`, by subresource.
pub(super) fn strip(fields: &FieldSet, has_status: bool, subresource: &str) -> FieldSet {
    let mut ownerless = FieldSet::default();
    for name in ["apiVersion", "kind", "metadata"] {
        ownerless.insert(&[field_step(name)]);
    }
    for name in OWNERLESS {
        ownerless.insert(&[field_step("metadata"), field_step(name)]);
    }
    let fields = fields.difference(&ownerless);
    match subresource {
        "" if has_status => fields.without_top(&["status"]),
        "status" => fields.without_top(&["spec"]),
        _ => fields,
    }
}

/// After a write that was no apply: the writer owns what changed, nobody else does.
pub(super) fn after_update(
    entries: &mut Vec<Entry>,
    owner: Owner,
    difference: &Difference,
    has_status: bool,
) {
    let changed = difference.added.union(&difference.modified);
    let lost = changed.union(&difference.removed);
    for entry in entries.iter_mut().filter(|entry| entry.owner != owner) {
        entry.fields = entry.fields.difference(&lost);
    }
    let changed = strip(&changed, has_status, &owner.subresource);
    // The entries of a scale, which is of another type than the object, are kept without a time.
    let now = (owner.subresource != "scale").then(clock_text::now);
    let found = entries.iter_mut().find(|entry| entry.owner == owner);
    if let Some(entry) = found {
        let fields = entry.fields.difference(&difference.removed).union(&changed);
        if !changed.is_empty() {
            entry.time = now;
        }
        entry.fields = fields;
    } else if !changed.is_empty() {
        entries.push(Entry { owner, time: now, fields: changed });
    }
}

/// The owner of everything in an object that nobody is known to own, once somebody applies to it.
pub(super) fn before_first_apply(kind: &Kind, live: &Value) -> Vec<Entry> {
    let owner = Owner {
        manager: "before-first-apply".into(),
        applied: false,
        api_version: kind.api_version(),
        subresource: String::new(),
    };
    let mut entries = Vec::new();
    let difference = compare(&skeleton(kind), live, &Place::top(kind.kind));
    after_update(&mut entries, owner, &difference, kind.status);
    entries
}

/// The conflicts of an apply: for each other owner, the fields of its that would change.
pub(super) fn conflicts(entries: &[Entry], owner: &Owner, difference: &Difference) -> Vec<(Owner, FieldSet)> {
    let changed = difference.added.union(&difference.modified);
    entries
        .iter()
        .filter(|entry| entry.owner != *owner)
        .map(|entry| (entry.owner.clone(), entry.fields.intersection(&changed)))
        .filter(|(_, fields)| !fields.is_empty())
        .collect()
}

/// The 409 that names every conflicting owner and field (`conflict.go` of k8s.io/apimachinery).
pub(super) fn conflict_status(conflicts: &[(Owner, FieldSet)]) -> Status {
    let all: Vec<(String, String)> = conflicts
        .iter()
        .flat_map(|(owner, fields)| fields.paths().into_iter().map(move |path| (show_owner(owner), path)))
        .collect();
    let causes: Vec<Value> = all
        .iter()
        .map(|(who, path)| {
            json!({"reason": "FieldManagerConflict", "message": format!("conflict with {who}"), "field": path})
        })
        .collect();
    let message = if let [(who, path)] = all.as_slice() {
        format!("Apply failed with 1 conflict: conflict with {who}: {path}")
    } else {
        let mut lines = Vec::new();
        let mut sorted: Vec<&(Owner, FieldSet)> = conflicts.iter().collect();
        sorted.sort_by_key(|(owner, _)| show_owner(owner));
        for (owner, fields) in sorted {
            lines.push(format!("conflicts with {}:", show_owner(owner)));
            lines.extend(fields.paths().into_iter().map(|path| format!("- {path}")));
        }
        format!("Apply failed with {} conflicts: {}", all.len(), lines.join("\n"))
    };
    Status::new(409, "Conflict", message).with(json!({"causes": causes}))
}

fn show_owner(owner: &Owner) -> String {
    let Owner { manager, api_version, subresource, .. } = owner;
    let below =
        if subresource.is_empty() { String::new() } else { format!(" with subresource \"{subresource}\"") };
    let version = if owner.applied { String::new() } else { format!(" using {api_version}") };
    format!("\"{manager}\"{below}{version}")
}
