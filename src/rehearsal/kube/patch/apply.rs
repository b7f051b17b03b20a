//! Server-side apply: merge what a manager wants into the object, take away what it wanted before and no longer
//! does, and refuse what others own.

use serde_json::{Map, Value};

use super::super::clock_text;
use super::super::field_set::{FieldSet, field_step, item_step};
use super::super::managed_fields::{Entry, Owner, compare, conflict_status, conflicts, strip};
use super::super::schema::{List, Place};
use super::super::status::Status;

/// What an apply is made with.
pub(in super::super) struct Apply<'a> {
    /// What the manager wants.
    pub config: &'a Value,
    /// Who applies.
    pub owner: Owner,
    /// Take fields from other owners.
    pub force: bool,
    /// Fields that may be taken from other owners even so.
    pub excused: FieldSet,
    /// Where the object's schema begins.
    pub place: Place,
    /// Whether the kind has a `/status` subresource.
    pub has_status: bool,
}

impl Apply<'_> {
    /// The object after the apply; `entries` become its owners.
    ///
    /// # Errors
    /// 409 with one cause for each field that another owner has and that would change.
    pub(in super::super) fn onto(&self, live: &Value, entries: &mut Vec<Entry>) -> Result<Value, Status> {
        let mut merged = live.clone();
        merge(&mut merged, self.config, &self.place);
        let configured = FieldSet::of(self.config, &self.place);
        let wanted = strip(&configured, self.has_status, &self.owner.subresource);
        let before = entries.iter().find(|entry| entry.owner == self.owner).cloned();
        if let Some(before) = &before {
            let others = entries.iter().filter(|entry| entry.owner != self.owner);
            let kept = others.fold(configured, |all, entry| all.union(&entry.fields));
            let gone = before.fields.with_parents().difference(&kept.with_parents());
            remove(&mut merged, &gone, &self.place);
        }
        let difference = compare(live, &merged, &self.place);
        let conflicts = conflicts(entries, &self.owner, &difference);
        let refused: Vec<(Owner, FieldSet)> = conflicts
            .iter()
            .map(|(owner, fields)| (owner.clone(), fields.difference(&self.excused)))
            .filter(|(_, fields)| !fields.is_empty())
            .collect();
        if !self.force && !refused.is_empty() {
            return Err(conflict_status(&refused));
        }
        for entry in entries.iter_mut().filter(|entry| entry.owner != self.owner) {
            entry.fields = entry.fields.difference(&difference.removed);
            if let Some((_, taken)) = conflicts.iter().find(|(owner, _)| *owner == entry.owner) {
                entry.fields = entry.fields.difference(taken);
            }
        }
        entries.retain(|entry| entry.owner != self.owner);
        let time = if merged == *live { before.and_then(|b| b.time) } else { Some(clock_text::now()) };
        entries.push(Entry { owner: self.owner.clone(), time, fields: wanted });
        Ok(merged)
    }
}

/// Merges a configuration into an object by the schema's rules.
fn merge(target: &mut Value, config: &Value, place: &Place) {
    match (&mut *target, config) {
        (Value::Object(map), Value::Object(wanted)) if !place.is_atomic_map() => {
            for (name, value) in wanted {
                if let Some(have) = map.get_mut(name) {
                    merge(have, value, &place.field(name));
                } else {
                    map.insert(name.clone(), value.clone());
                }
            }
        }
        (Value::Array(list), Value::Array(wanted)) if place.list() != List::Atomic => {
            for value in wanted {
                let step = item_step(value, place.list());
                let same =
                    list.iter_mut().find(|item| step.is_some() && item_step(item, place.list()) == step);
                match same {
                    Some(item) => merge(item, value, place),
                    None => list.push(value.clone()),
                }
            }
        }
        _ => *target = config.clone(),
    }
}

/// Takes the members of a set out of an object.
fn remove(target: &mut Value, gone: &FieldSet, place: &Place) {
    match target {
        Value::Object(map) => remove_fields(map, gone, place),
        Value::Array(list) => {
            let kind = place.list();
            list.retain(|item| item_step(item, kind).is_none_or(|step| !gone.has(&step)));
            for item in list {
                if let Some(below) = item_step(item, kind).and_then(|step| gone.below(&step)) {
                    remove(item, below, place);
                }
            }
        }
        _ => {}
    }
}

fn remove_fields(map: &mut Map<String, Value>, gone: &FieldSet, place: &Place) {
    map.retain(|name, _| !gone.has(&field_step(name)));
    for (name, value) in map {
        if let Some(below) = gone.below(&field_step(name)) {
            remove(value, below, &place.field(name));
        }
    }
}
