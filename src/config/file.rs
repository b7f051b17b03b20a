//! The file as a flat list of keys, each with its line.
//!
//! One rule: a key that is not in the table is a mistake, and its nearest name is offered.

use toml::de::{DeTable, DeValue};

use super::keys::{self, SECTIONS, Section};
use super::origin::Origin;
use super::problem::Problem;
use super::value::Raw;
use crate::domain::text::nearest;

/// One key of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its dotted path.
    pub path: String,
    /// Its value as written.
    pub raw: Raw,
    /// Its line, from 1.
    pub line: usize,
}

/// Reads `text`; `at` makes the origin of a line. Mistakes do not hide each other.
pub fn parse(text: &str, at: impl Fn(usize) -> Origin) -> (Vec<Entry>, Vec<Problem>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let line = |offset: usize| {
        let before = text.get(..offset).unwrap_or(text);
        1 + before.matches('\n').count()
    };
    let mut problems: Vec<_> = errors
        .into_iter()
        .map(|e| {
            let origin = at(e.span().map_or(0, |s| line(s.start)));
            Problem::new(Some(origin), "", format!("not valid TOML: {}", e.message().trim()))
        })
        .collect();
    if !problems.is_empty() {
        return (Vec::new(), problems);
    }
    let mut entries = Vec::new();
    walk("", table.get_ref(), &mut |path, offset, value| {
        let line = line(offset);
        if keys::find(&path).is_some() {
            entries.push(Entry { path, raw: raw(value), line });
        } else {
            problems.push(Problem::new(Some(at(line)), &path, unknown(&path, value)));
        }
    });
    (entries, problems)
}

/// Calls `each` for every leaf: a key of the table, or anything that no key can be below.
fn walk<'i>(prefix: &str, table: &DeTable<'i>, each: &mut impl FnMut(String, usize, &DeValue<'i>)) {
    for (key, value) in table {
        let name = key.get_ref();
        let path = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
        match value.get_ref() {
            DeValue::Table(inner) if is_parent(&path) => walk(&path, inner, each),
            other => each(path, key.span().start, other),
        }
    }
}

/// Whether keys of the table are below this path.
fn is_parent(path: &str) -> bool {
    keys::all().any(|(key, _)| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Boolean(flag) => Raw::Flag(*flag),
        DeValue::Integer(n) => {
            i64::from_str_radix(n.as_str(), n.radix()).map_or(Raw::Other("a number out of range"), Raw::Whole)
        }
        DeValue::Array(items) => Raw::List(items.iter().map(|v| raw(v.get_ref())).collect()),
        DeValue::Table(table) => {
            Raw::Table(table.iter().map(|(k, v)| (k.get_ref().to_string(), raw(v.get_ref()))).collect())
        }
        DeValue::Float(_) => Raw::Other("a decimal number"),
        DeValue::Datetime(_) => Raw::Other("a date"),
    }
}

/// What to say of a path that is no key.
fn unknown(path: &str, value: &DeValue<'_>) -> String {
    let (section, name) = path.split_once('.').unwrap_or((path, ""));
    let Some(known) = SECTIONS.iter().find(|s| s.name == section) else {
        if name.is_empty() && !matches!(value, DeValue::Table(_)) {
            return homeless(path);
        }
        let names: Vec<_> = SECTIONS.iter().map(|s| s.name).collect();
        return match nearest(section, &names) {
            Some(near) => format!("unknown section; did you mean [{near}]?"),
            None => format!("unknown section; there are {}", names.join(", ")),
        };
    };
    if name.is_empty() {
        return format!("this is a section: write [{section}] and its keys below it");
    }
    let names: Vec<_> = known.all().map(|k| k.name).collect();
    match nearest(name, &names) {
        Some(near) => format!("unknown key; did you mean \"{near}\"?"),
        None => format!("unknown key; [{section}] has {}", names.join(", ")),
    }
}

/// What to say of a key that stands before the first section: where the nearest one belongs.
fn homeless(word: &str) -> String {
    let names: Vec<&str> = SECTIONS.iter().flat_map(Section::all).map(|k| k.name).collect();
    let Some(near) = nearest(word, &names) else {
        let sections: Vec<_> = SECTIONS.iter().map(|s| format!("[{}]", s.name)).collect();
        return format!("unknown key, and it stands in no section; there are {}", sections.join(", "));
    };
    let homes = SECTIONS.iter().filter(|s| s.all().any(|k| k.name == near));
    let homes: Vec<String> = homes.map(|s| format!("[{}]", s.name)).collect();
    format!("a key needs its section; did you mean \"{near}\" in {}?", homes.join(" or "))
}
