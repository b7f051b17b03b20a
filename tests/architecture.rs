//! The architecture as a test: who may use whom, no circles, small files that say why they exist.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Lines that a file may have, tests excepted.
const LONGEST: usize = 400;

/// The table of `src/lib.rs`, as data: a room, and what it may use. A path means only that part of a room.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("shift", &["domain"]),
    ("cockpit", &["domain", "shift"]),
    ("ui", &["domain", "shift", "cockpit"]),
    ("config", &["domain", "clients::target"]),
    ("clients", &["domain"]),
    ("routers", &["domain", "shift", "clients"]),
    ("data", &["domain", "clients"]),
    ("sources", &["domain", "clients", "routers", "data", "cockpit::msg", "cockpit::Msg"]),
    ("actuators", &["domain", "shift", "cockpit", "routers", "clients"]),
    (
        "rehearsal",
        &["domain", "shift", "cockpit", "config", "clients", "routers", "sources", "data", "actuators"],
    ),
    (
        "runtime",
        &["domain", "shift", "cockpit", "ui", "config", "clients", "routers", "sources", "data", "actuators"],
    ),
    (
        "cli",
        &[
            "domain",
            "shift",
            "cockpit",
            "ui",
            "config",
            "clients",
            "routers",
            "sources",
            "data",
            "actuators",
            "rehearsal",
            "runtime",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn files() -> Vec<PathBuf> {
    let mut out = Vec::new();
    sources(&root().join("src"), &mut out);
    out.sort();
    out
}

/// Tests may use what they want: they stand outside the rooms.
fn is_test(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str().to_string_lossy().trim_end_matches(".rs").ends_with("tests"))
}

fn room(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The code without comments and without modules that stand behind `#[cfg(test)]`.
fn code(text: &str) -> String {
    let mut lines = text.lines().peekable();
    let mut out = String::new();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" && lines.peek().is_some_and(|next| is_module(next)) {
            let declared = lines.next().unwrap_or_default();
            if declared.ends_with('{') {
                lines.by_ref().find(|line| *line == "}");
            }
        } else if !line.trim_start().starts_with("//") {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

fn is_module(line: &str) -> bool {
    line.starts_with("mod ") || line.starts_with("pub(crate) mod ")
}

/// Every path below `crate::`, braces spread out, at most two names deep.
fn uses(code: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let end = matching(group);
            for part in split(&group[..end]) {
                out.insert(two(part.trim()));
            }
        } else {
            out.insert(two(rest));
        }
    }
    out.retain(|p| !p.is_empty());
    out
}

/// Where the brace that was opened before `text` closes.
fn matching(text: &str) -> usize {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// At commas outside braces.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut out) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                out.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

/// `room::part` of a path; a brace after the room leaves the room alone.
fn two(path: &str) -> String {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let first = name(path);
    let rest = path[first.len()..].strip_prefix("::").unwrap_or_default();
    let second = name(rest);
    if second.is_empty() { first } else { format!("{first}::{second}") }
}

fn allowed(rules: &[&str], used: &str) -> bool {
    let first = used.split("::").next().unwrap_or_default();
    rules.iter().any(|r| *r == first || *r == used)
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|f| !is_test(f)) {
        let room = room(file);
        let Some((_, rules)) = ROOMS.iter().find(|(r, _)| *r == room) else {
            assert!(room == "lib" || room == "main", "{room} is not in the table");
            continue;
        };
        for used in uses(&code(&std::fs::read_to_string(file).unwrap())) {
            let own = used.split("::").next() == Some(room.as_str());
            let a_room = ROOMS.iter().any(|(r, _)| used.split("::").next() == Some(*r));
            if a_room && !own && !allowed(rules, &used) {
                wrong.push(format!("{}: crate::{used}", file.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the table of rooms:\n{}", wrong.join("\n"));
}

#[test]
fn there_is_no_circle() {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (room, rules) in ROOMS {
        let used = rules.iter().map(|r| r.split("::").next().unwrap().to_owned());
        edges.entry((*room).to_owned()).or_default().extend(used);
    }
    let mut left: BTreeSet<String> = edges.keys().cloned().collect();
    while !left.is_empty() {
        let free: Vec<String> = left.iter().filter(|r| edges[*r].is_disjoint(&left)).cloned().collect();
        assert!(!free.is_empty(), "a circle among {left:?}");
        left.retain(|r| !free.contains(r));
    }
}

/// Words in backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).map(|path| path.split("::").next().unwrap()).collect()
}

#[test]
fn the_table_is_the_one_of_the_documentation() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let rows = lib.lines().filter_map(|l| l.strip_prefix("//! | "));
    let documented: BTreeMap<&str, &str> = rows
        .filter_map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let name = cells[0].trim_matches(['[', ']', '`']);
            name.chars().all(|c| c.is_ascii_lowercase()).then(|| (name, cells[2]))
        })
        .filter(|(name, _)| *name != "room")
        .collect();
    assert_eq!(
        documented.keys().copied().collect::<BTreeSet<_>>(),
        ROOMS.iter().map(|(room, _)| *room).collect()
    );
    for (room, rules) in ROOMS {
        let said = documented[room];
        if said == "all" || said.starts_with("anything below") {
            continue;
        }
        let used: BTreeSet<&str> = rules.iter().map(|rule| rule.split("::").next().unwrap()).collect();
        assert_eq!(quoted(said), used, "{room} may use {said}");
    }
}

#[test]
fn tests_in_the_middle_of_a_file_hide_nothing() {
    let text = "use crate::a::B; // c\n#[cfg(test)]\nmod tests;\nuse crate::d;\n#[cfg(test)]\nmod more {\n    use crate::e;\n}\nuse crate::f;\n";
    assert_eq!(uses(&code(text)), ["a::B", "d", "f"].map(str::to_owned).into());
}

#[test]
fn files_are_small_and_say_why_they_exist() {
    let mut wrong = Vec::new();
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        let lines = text.lines().count();
        if lines > LONGEST && !is_test(&file) {
            wrong.push(format!("{name}: {lines} lines; above {LONGEST} it is two"));
        }
        // A test file stands beside what it tests, and its names say why.
        if !text.starts_with("//!") && !is_test(&file) {
            wrong.push(format!("{name}: does not begin with `//!`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
