//! Sets of fields, in the shape of `managedFields[].fieldsV1`. Steps are kept as they are encoded (`f:name`,
//! `k:{"name":"x"}`, `v:"x"`), so that reading and writing them loses nothing.
//!
//! Source: sigs.k8s.io/structured-merge-diff v4, `fieldpath` and `typed`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::schema::{List, Place, item_key};

/// A set of fields: members at this level and sets below it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct FieldSet {
    members: BTreeSet<String>,
    children: BTreeMap<String, FieldSet>,
}

/// The step to a field of a map.
pub(super) fn field_step(name: &str) -> String {
    format!("f:{name}")
}

/// The step to an item of a list, none when the list is atomic or the item has no key.
pub(super) fn item_step(item: &Value, list: List) -> Option<String> {
    match list {
        List::Atomic => None,
        List::Set => Some(format!("v:{item}")),
        List::Keyed(keys) => {
            let key: Map<String, Value> = item_key(item, keys)?.into_iter().collect();
            Some(format!("k:{}", Value::Object(key)))
        }
    }
}

impl FieldSet {
    /// From `fieldsV1`.
    pub(super) fn decode(value: &Value) -> Self {
        let mut set = Self::default();
        for (step, below) in value.as_object().into_iter().flatten() {
            let empty = below.as_object().is_none_or(Map::is_empty);
            if empty || below.get(".").is_some() {
                set.members.insert(step.clone());
            }
            let child = Self::decode(&without_dot(below));
            if !child.is_empty() {
                set.children.insert(step.clone(), child);
            }
        }
        set
    }

    /// To `fieldsV1`.
    pub(super) fn encode(&self) -> Value {
        let steps: BTreeSet<&String> = self.members.iter().chain(self.children.keys()).collect();
        let mut map = Map::new();
        for step in steps {
            let mut below = Map::new();
            if let Some(child) = self.children.get(step) {
                if self.members.contains(step) {
                    below.insert(".".into(), json!({}));
                }
                if let Value::Object(fields) = child.encode() {
                    below.extend(fields);
                }
            }
            map.insert(step.clone(), Value::Object(below));
        }
        Value::Object(map)
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(Self::is_empty)
    }

    /// Adds one path of steps.
    pub(super) fn insert(&mut self, path: &[String]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Whether the step itself is a member.
    pub(super) fn has(&self, step: &str) -> bool {
        self.members.contains(step)
    }

    /// What is below a step.
    pub(super) fn below(&self, step: &str) -> Option<&Self> {
        self.children.get(step)
    }

    fn combine(
        &self,
        other: &Self,
        members: BTreeSet<String>,
        keep_alone: (bool, bool),
        op: fn(&Self, &Self) -> Self,
    ) -> Self {
        let mut children = BTreeMap::new();
        for (step, mine) in &self.children {
            let made = match other.children.get(step) {
                Some(theirs) => op(mine, theirs),
                None if keep_alone.0 => mine.clone(),
                None => continue,
            };
            children.insert(step.clone(), made);
        }
        if keep_alone.1 {
            for (step, theirs) in &other.children {
                children.entry(step.clone()).or_insert_with(|| theirs.clone());
            }
        }
        children.retain(|_, child: &mut Self| !child.is_empty());
        Self { members, children }
    }

    /// Fields of either.
    pub(super) fn union(&self, other: &Self) -> Self {
        let members = self.members.union(&other.members).cloned().collect();
        self.combine(other, members, (true, true), Self::union)
    }

    /// Fields of this one that are not in the other.
    pub(super) fn difference(&self, other: &Self) -> Self {
        let members = self.members.difference(&other.members).cloned().collect();
        self.combine(other, members, (true, false), Self::difference)
    }

    /// Fields of both.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let members = self.members.intersection(&other.members).cloned().collect();
        self.combine(other, members, (false, false), Self::intersection)
    }

    /// Without everything at and below these top-level fields.
    pub(super) fn without_top(&self, names: &[&str]) -> Self {
        let mut set = self.clone();
        for name in names {
            let step = field_step(name);
            set.members.remove(&step);
            set.children.remove(&step);
        }
        set
    }

    /// With the fields on the way to every member made members too, list items left as they are.
    pub(super) fn with_parents(&self) -> Self {
        let mut members = self.members.clone();
        members.extend(self.children.keys().filter(|step| step.starts_with("f:")).cloned());
        let children =
            self.children.iter().map(|(step, child)| (step.clone(), child.with_parents())).collect();
        Self { members, children }
    }

    /// The paths of all members, as error messages write them: `.spec.containers[name="web"].image`.
    pub(super) fn paths(&self) -> Vec<String> {
        let steps: BTreeSet<&String> = self.members.iter().chain(self.children.keys()).collect();
        let mut found = Vec::new();
        for step in steps {
            let shown = show_step(step);
            if self.members.contains(step) {
                found.push(shown.clone());
            }
            let below = self.children.get(step).map(Self::paths).unwrap_or_default();
            found.extend(below.into_iter().map(|path| format!("{shown}{path}")));
        }
        found
    }

    /// All fields that a configuration sets.
    pub(super) fn of(value: &Value, place: &Place) -> Self {
        let mut set = Self::default();
        set.collect(value, place, &mut Vec::new());
        set
    }

    fn collect(&mut self, value: &Value, place: &Place, path: &mut Vec<String>) {
        match value {
            Value::Object(map) if !place.is_atomic_map() => {
                for (name, item) in map {
                    path.push(field_step(name));
                    self.collect(item, &place.field(name), path);
                    if item.as_object().is_some_and(Map::is_empty) {
                        self.insert(path);
                    }
                    path.pop();
                }
            }
            Value::Array(list) if place.list() != List::Atomic => {
                for item in list {
                    let Some(step) = item_step(item, place.list()) else {
                        continue;
                    };
                    path.push(step);
                    if item.is_object() {
                        self.collect(item, place, path);
                    }
                    self.insert(path);
                    path.pop();
                }
            }
            _ => self.insert(path),
        }
    }
}

fn without_dot(value: &Value) -> Value {
    let mut map = value.as_object().cloned().unwrap_or_default();
    map.remove(".");
    Value::Object(map)
}

fn show_step(step: &str) -> String {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    match step.split_once(':') {
        Some(("k", key)) => {
            let pairs: Vec<String> =
                parsed(key).as_object().into_iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
            format!("[{}]", pairs.join(","))
        }
        Some(("v", value)) => format!("[={}]", parsed(value)),
        Some((_, name)) => format!(".{name}"),
        None => step.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_reads_and_writes_unchanged() {
        let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {}}}}});
        assert_eq!(FieldSet::decode(&fields).encode(), fields);
    }

    #[test]
    fn paths_are_written_as_in_conflicts() {
        let fields = json!({"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {}}}}});
        let paths = FieldSet::decode(&fields).paths();
        assert_eq!(paths, [r#".spec.containers[name="web"]"#, r#".spec.containers[name="web"].image"#]);
    }

    #[test]
    fn the_fields_of_a_configuration_are_its_leaves_and_keyed_items() {
        let object = json!({"metadata": {"annotations": {"a": "1"}}, "spec": {"ports": [{"port": 80}]}});
        let set = FieldSet::of(&object, &Place::top("Service"));
        assert_eq!(
            set.encode(),
            json!({"f:metadata": {"f:annotations": {"f:a": {}}},
                "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}})
        );
    }
}
