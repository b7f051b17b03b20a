//! What two servers cannot have in common, made comparable: identities, versions, times, addresses.
//!
//! One rule: the same value becomes the same word, so that "the version did not change" is still compared.

use std::collections::BTreeMap;

use serde_json::Value;

/// The words given so far in one case on one server.
#[derive(Default)]
pub struct Words {
    uids: BTreeMap<String, String>,
    versions: BTreeMap<String, String>,
}

impl Words {
    /// Replaces what differs by nature.
    pub fn normalise(&mut self, value: &mut Value) {
        // In one order, so that the same value is met first.
        value.sort_all_objects();
        self.walk("", value);
        self.messages(value);
    }

    fn walk(&mut self, key: &str, value: &mut Value) {
        match value {
            Value::Object(map) => {
                let generated = map.get("generateName").and_then(Value::as_str).map(|p| format!("{p}*****"));
                if let (Some(name), true) = (generated, map.contains_key("name")) {
                    map.insert("name".into(), name.into());
                }
                let has_identity = map.contains_key("uid");
                for (key, value) in map.iter_mut() {
                    match (key.as_str(), value.as_str()) {
                        ("resourceVersion", Some("")) => {}
                        ("resourceVersion", Some(version)) if has_identity => {
                            *value = word(&mut self.versions, version, "version").into();
                        }
                        ("resourceVersion", Some(_)) => *value = "a version".into(),
                        ("continue", Some(token)) if !token.is_empty() => *value = "a token".into(),
                        _ => self.walk(key, value),
                    }
                }
            }
            Value::Array(list) => {
                for item in list.iter_mut() {
                    self.walk(key, item);
                }
                if key == "body" {
                    // Whether a mark comes before the end, and how often, hangs on what others write meanwhile and on
                    // the tick of a second; that it comes when there is news is a case of its own.
                    list.dedup_by(|next, mark| mark["type"] == "BOOKMARK" && next == mark);
                    while list.len() > 1 && list.last().is_some_and(is_mark) {
                        list.pop();
                    }
                }
                if key == "causes" && list.iter().all(|cause| cause["reason"] == "FieldManagerConflict") {
                    // A real server walks a Go map: the order is another each time.
                    list.sort_by_key(ToString::to_string);
                }
                if key == "managedFields" {
                    list.sort_by_key(|entry| {
                        ["operation", "manager", "subresource"].map(|name| entry[name].to_string())
                    });
                }
            }
            Value::String(text) => match key {
                "uid" if is_uuid(text) => *text = word(&mut self.uids, text, "uid"),
                "creationTimestamp" | "deletionTimestamp" | "time" => "a time".clone_into(text),
                "clusterIP" | "clusterIPs" | "cells" if text.starts_with("10.") => {
                    "an address".clone_into(text);
                }
                "cells" if is_age(text) => "an age".clone_into(text),
                _ => {}
            },
            _ => {}
        }
    }

    /// Sentences repeat identities and versions.
    fn messages(&self, value: &mut Value) {
        match value {
            Value::Object(map) => map.values_mut().for_each(|value| self.messages(value)),
            Value::Array(list) => list.iter_mut().for_each(|value| self.messages(value)),
            Value::String(text) => {
                for (uid, word) in &self.uids {
                    *text = text.replace(uid, word);
                }
                if text.to_lowercase().contains("resource version") || text.contains("ResourceVersion") {
                    *text = without_numbers(text);
                }
            }
            _ => {}
        }
    }
}

fn word(known: &mut BTreeMap<String, String>, value: &str, kind: &str) -> String {
    let next = format!("{kind} {}", known.len() + 1);
    known.entry(value.to_owned()).or_insert(next).clone()
}

/// A bookmark other than the one that ends the initial events.
fn is_mark(event: &Value) -> bool {
    event["type"] == "BOOKMARK" && event["object"]["metadata"].get("annotations").is_none()
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

fn is_age(text: &str) -> bool {
    text.strip_suffix('s').is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()))
}

fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            c => out.push(c),
        }
    }
    out
}

/// The members in which two values differ, as lines; `beside` are not looked at.
pub fn differences(real: &Value, ours: &Value, beside: &[(&str, &str)]) -> Vec<String> {
    let mut out = Vec::new();
    differ(real, ours, &mut String::new(), beside, &mut out);
    out
}

fn differ(real: &Value, ours: &Value, path: &mut String, beside: &[(&str, &str)], out: &mut Vec<String>) {
    if real == ours || beside.iter().any(|(pattern, _)| fits(pattern, path)) {
        return;
    }
    // Absent and null are not the same.
    let absent = Value::from("(absent)");
    let mut step = |name: &str, a: &Value, b: &Value| {
        let length = path.len();
        path.push('/');
        path.push_str(&name.replace('~', "~0").replace('/', "~1"));
        differ(a, b, path, beside, out);
        path.truncate(length);
    };
    match (real, ours) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                match (a.get(name), b.get(name)) {
                    (Some(a), Some(b)) => step(name, a, b),
                    (a, b) => step(name, a.unwrap_or(&absent), b.unwrap_or(&absent)),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                let name = index.to_string();
                step(&name, a.get(index).unwrap_or(&absent), b.get(index).unwrap_or(&absent));
            }
        }
        _ => out.push(format!("{path}\n      real {real}\n      ours {ours}")),
    }
}

/// Whether a pointer is one of a pattern in which `*` stands for any step.
fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len() && pattern.iter().zip(path).all(|(want, have)| *want == "*" || *want == have)
}
