//! What the program is built from: licences, crates that must not come in, crates that nobody uses, the oldest compiler.
//!
//! `deny.toml` says what is allowed; this reads the same file, so that it holds where `cargo deny` is not installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn toml(file: &str) -> toml::Table {
    std::fs::read_to_string(root().join(file)).unwrap().parse().unwrap()
}

/// Every package that a build for Linux may take in, as `Cargo.lock` has it.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--locked", "--format-version=1", "--all-features"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = all["resolve"]["nodes"].as_array().unwrap();
    let used: BTreeSet<&str> = nodes.iter().map(|n| n["id"].as_str().unwrap()).collect();
    let packages = all["packages"].as_array().unwrap().iter();
    packages.filter(|p| used.contains(p["id"].as_str().unwrap())).cloned().collect()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

fn allowed() -> BTreeSet<String> {
    let list = toml("deny.toml")["licenses"]["allow"].as_array().unwrap().clone();
    list.iter().map(|l| l.as_str().unwrap().to_owned()).collect()
}

/// Whether an SPDX expression can be met by what is allowed: `OR` is a choice, `AND` is not.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // Older crates write "MIT/Apache-2.0".
    let expression = expression.replace('/', " OR ");
    let mut words: Vec<String> = vec![];
    for word in expression.replace('(', " ( ").replace(')', " ) ").split_whitespace() {
        match words.last_mut() {
            Some(last) if word == "WITH" || last.ends_with("WITH") => *last = format!("{last} {word}"),
            _ => words.push(word.to_owned()),
        }
    }
    let mut at = 0;
    let met = either(&words, &mut at, allowed);
    assert_eq!(at, words.len(), "{expression:?} was not understood");
    met
}

fn either(words: &[String], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = both(words, at, allowed);
    while words.get(*at).is_some_and(|w| w == "OR") {
        *at += 1;
        met |= both(words, at, allowed);
    }
    met
}

fn both(words: &[String], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at).is_some_and(|w| w == "AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[String], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let word = &words[*at];
    *at += 1;
    if word != "(" {
        return allowed.contains(word);
    }
    let met = either(words, at, allowed);
    assert_eq!(words[*at], ")");
    *at += 1;
    met
}

#[test]
fn every_licence_is_allowed() {
    let allowed = allowed();
    assert!(is_met("(MIT OR GPL-3.0) AND Unicode-3.0", &allowed) && is_met("MIT/Apache-2.0", &allowed));
    assert!(!is_met("GPL-3.0 AND MIT", &allowed) && is_met("Apache-2.0 WITH LLVM-exception", &allowed));
    let packages = packages();
    assert!(packages.len() > 100, "{} packages", packages.len());
    let refused: Vec<_> = packages
        .iter()
        .filter(|p| !p["license"].as_str().is_some_and(|l| is_met(l, &allowed)))
        .map(|p| format!("{}: {}", name(p), p["license"]))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn nothing_comes_in_that_must_not() {
    let denied = toml("deny.toml")["bans"]["deny"].as_array().unwrap().clone();
    let packages = packages();
    for crate_ in denied.iter().map(|d| d["crate"].as_str().unwrap()) {
        assert!(packages.iter().all(|p| name(p) != crate_), "{crate_}: one TLS and one cryptography library");
    }
    let elsewhere: Vec<_> = packages
        .iter()
        .filter(|p| name(p) != "cutover")
        .filter(|p| p["source"] != "registry+https://github.com/rust-lang/crates.io-index")
        .map(name)
        .collect();
    assert!(elsewhere.is_empty(), "not from crates.io: {elsewhere:?}");
}

/// Two versions of a large library are compiled twice and are two truths; those of today are known by name.
#[test]
fn no_large_library_stands_twice() {
    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    for package in packages() {
        *versions.entry(name(&package).to_owned()).or_default() += 1;
    }
    for large in
        ["tokio", "hyper", "rustls", "ring", "reqwest", "serde", "regex", "axum", "kube", "sqlx", "jiff"]
    {
        assert!(versions.get(large).is_none_or(|n| *n == 1), "{large} stands {} times", versions[large]);
    }
}

#[test]
fn the_oldest_compiler_is_old_enough_for_every_dependency() {
    // "1.94" is 1.94.0.
    let number = |version: &str| -> Vec<u64> {
        let parts = version.split('.').map(|n| n.parse().unwrap());
        parts.chain(std::iter::repeat(0)).take(3).collect()
    };
    let packages = packages();
    let ours = packages.iter().find(|p| name(p) == "cutover").unwrap()["rust_version"].as_str().unwrap();
    let newer: Vec<_> = packages
        .iter()
        .filter(|p| p["rust_version"].as_str().is_some_and(|v| number(v) > number(ours)))
        .map(|p| format!("{} wants {}", name(p), p["rust_version"]))
        .collect();
    assert!(newer.is_empty(), "rust-version is {ours}: {newer:?}");
}

fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, into);
        } else if entry.extension().is_some_and(|e| e == "rs") {
            into.push_str(&std::fs::read_to_string(entry).unwrap());
        }
    }
}

#[test]
fn every_dependency_is_used_by_name() {
    let manifest = toml("Cargo.toml");
    for (section, folders) in [("dependencies", &["src"][..]), ("dev-dependencies", &["src", "tests"])] {
        let mut text = String::new();
        folders.iter().map(|f| root().join(f)).for_each(|folder: PathBuf| sources(&folder, &mut text));
        let unused: Vec<_> = manifest[section]
            .as_table()
            .unwrap()
            .keys()
            .filter(|name| {
                let name = name.replace('-', "_");
                ![format!("{name}::"), format!("use {name};"), format!("extern crate {name}")]
                    .iter()
                    .any(|spelling| text.contains(spelling.as_str()))
            })
            .collect();
        assert!(unused.is_empty(), "[{section}] that no source names: {unused:?}");
    }
}
