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

#[test]
fn the_sample_has_a_comment_on_every_key_or_a_section_before_it_has() {
    let sample = asset("cutover.sample.toml");
    for (path, _) in cutover::config::keys::all() {
        let (section, key) = path.split_once('.').unwrap();
        let from = sample
            .find(&format!("\n[{section}]"))
            .unwrap_or_else(|| panic!("[{section}] is not in the sample"));
        assert!(sample[from..].contains(&format!("\n{key} = ")), "{path} is not in the sample");
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
