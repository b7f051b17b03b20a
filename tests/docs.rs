//! What is published beside the program is as the program is: schema, permissions, sample.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

fn asset(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)).unwrap()
}

#[test]
fn the_schema_is_the_codes_own() {
    let published: serde_json::Value = serde_json::from_str(&asset("status.schema.json")).unwrap();
    let current = serde_json::to_value(cutover::cockpit::report::schema()).unwrap();
    assert_eq!(published, current, "UPDATE_ASSETS=1 cargo test --lib report writes it anew");
}

/// What a key is called says the same in every section: it is explained where it comes first.
#[test]
fn the_sample_explains_every_key() {
    let sample = asset("cutover.sample.toml");
    let mut last = "";
    let mut explained = std::collections::BTreeSet::new();
    for line in sample.lines() {
        let (name, rest) = line.split_once(" = ").unwrap_or_default();
        // "this and the next two"
        if rest.contains(" # ") || matches!((last, name), ("user", "password") | ("password", "database")) {
            explained.insert(name);
        }
        last = name;
    }
    for (path, _) in cutover::config::keys::all() {
        let (_, key) = path.split_once('.').unwrap();
        assert!(explained.contains(key), "{path}: no line of {key} has a comment");
    }
}

#[test]
fn the_roles_name_what_is_used_and_never_everything() {
    let rbac = asset("rbac.yaml");
    for needed in [
        "ingresses",
        "deployments",
        "statefulsets",
        "pods",
        "services",
        "endpointslices",
        "events",
        "leases",
        "pods/portforward",
    ] {
        assert!(rbac.contains(needed), "{needed}");
    }
    assert!(!rbac.contains('*'), "a role with a wildcard");
}
