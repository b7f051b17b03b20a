//! Ingresses as YAML-like JSON, and what we make of them.

use serde_json::{Value, json};

use super::*;
use crate::domain::Weight;
use crate::domain::traffic::PathGroup;

#[expect(clippy::needless_pass_by_value, reason = "json! is written in place")]
fn ingress(name: &str, path: &str, service: &str, annotations: Value) -> Ingress {
    let prefixed: serde_json::Map<String, Value> = annotations
        .as_object()
        .unwrap()
        .iter()
        .map(|(k, v)| (format!("nginx.ingress.kubernetes.io/{k}"), v.clone()))
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "langfuse", "uid": format!("uid-{name}"), "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": prefixed},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": "lf.example", "http": {"paths": [
            {"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 3000}}}}]}}]}
    }))
    .unwrap()
}

fn seen(ingresses: Vec<Ingress>) -> Seen {
    let both = [("v2", 1), ("v3", 2)].map(|(s, n)| (s.to_owned(), n));
    Seen {
        ingresses,
        endpoints: Some(both.into()),
        services: Some([("v2".to_owned(), false), ("v3".to_owned(), false)].into()),
        classes: Some([("nginx".to_owned(), CONTROLLER.to_owned())].into()),
        troubles: Vec::new(),
    }
}

fn ids(route: &Route) -> Vec<&'static str> {
    route.traps.iter().map(|t| t.id).collect()
}

#[test]
fn the_canary_is_found_among_several() {
    let all = seen(vec![
        ingress("grafana", "/grafana", "grafana", json!({})),
        ingress("main", "/", "v2", json!({})),
        ingress("canary", "/", "v3", json!({"canary": "true", "canary-weight": "25"})),
    ]);
    let found = routes(&all);
    assert_eq!(found.len(), 1);
    let route = &found[0];
    assert_eq!((route.object.name.as_str(), route.group), ("canary", PathGroup::All));
    assert_eq!((route.primary.service.as_str(), route.canary.service.as_str()), ("v2", "v3"));
    assert_eq!(route.stored, Weight { value: 25, total: 100 });
    assert_eq!(route.effective, route.stored);
    assert_eq!(route.rules, ["lf.example/"]);
    assert_eq!(ids(route), ["random-per-request"]);
}

#[test]
fn a_canary_without_endpoints_gets_nothing() {
    let mut all = seen(vec![
        ingress("main", "/", "v2", json!({})),
        ingress("canary", "/", "v3", json!({"canary": "true", "canary-weight": "100"})),
    ]);
    all.endpoints = Some([("v2".to_owned(), 1)].into());
    let route = &routes(&all)[0];
    assert_eq!((route.stored.value, route.effective.value), (100, 0));
    assert!(route.traps.iter().any(|t| t.id == "canary-no-endpoints" && t.blocks));
    all.endpoints = None;
    assert_eq!(routes(&all)[0].canary.endpoints, None);
    assert_eq!(routes(&all)[0].effective.value, 100);
}

#[test]
fn path_groups() {
    let canary = json!({"canary": "true"});
    let all = seen(vec![
        ingress("main", "/", "v2", json!({})),
        ingress("main-api", "/api/public", "v2", json!({})),
        ingress("main-otel", "/api/public/otel", "v2", json!({})),
        ingress("c-api", "/api/public", "v3", canary.clone()),
        ingress("c-otel", "/api/public/otel", "v3", canary.clone()),
        ingress("c-ui", "/", "v3", canary),
    ]);
    let groups: Vec<_> = routes(&all).iter().map(|r| r.group).collect();
    assert_eq!(groups, [PathGroup::Api, PathGroup::Otel, PathGroup::Ui]);
}

#[test]
fn the_older_of_two_canaries_counts() {
    let mut younger = ingress("a-younger", "/", "v3", json!({"canary": "true", "canary-weight": "50"}));
    younger.metadata.creation_timestamp = serde_json::from_value(json!("2026-02-01T00:00:00Z")).unwrap();
    let all = seen(vec![
        younger,
        ingress("main", "/", "v2", json!({})),
        ingress("z-older", "/", "v3", json!({"canary": "true", "canary-weight": "10"})),
    ]);
    let found = routes(&all);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].object.name.as_str(), found[0].stored.value), ("z-older", 10));
    assert!(ids(&found[0]).contains(&"second-canary"));
}

#[test]
fn of_two_canaries_of_one_second_the_last_name_counts() {
    let canary = json!({"canary": "true"});
    let all = seen(vec![
        ingress("main", "/", "v2", json!({})),
        ingress("a", "/", "v3", canary.clone()),
        ingress("b", "/", "v3", canary),
    ]);
    let found = routes(&all);
    assert_eq!((found.len(), found[0].object.name.as_str()), (1, "b"));
}

/// As the gateway of the rehearsal does it, which follows the controller's `mergeAlternativeBackends`.
#[test]
fn a_rule_without_a_main_one_takes_the_service_away_from_every_canary() {
    let half = json!({"canary": "true", "canary-weight": "50"});
    let mut stray = ingress("c-stray", "/stray", "v3", half.clone());
    let of = |stray: &Ingress| {
        let all = seen(vec![
            ingress("main", "/", "v2", json!({})),
            ingress("canary", "/", "v3", half.clone()),
            stray.clone(),
        ]);
        let found = routes(&all);
        let canary = found.iter().find(|r| r.object.name == "canary").unwrap().clone();
        (canary.effective.value, canary.traps.iter().any(|t| t.id == "canary-deleted" && t.blocks))
    };
    assert_eq!(of(&stray), (0, true));
    // On a host that no server has it is passed over.
    stray.spec.as_mut().unwrap().rules.as_mut().unwrap()[0].host = Some("nowhere.example".into());
    assert_eq!(of(&stray), (50, false));
}

#[test]
fn traps_by_id() {
    let trap = |canary: Value, id: &str| {
        let all = seen(vec![
            ingress("main", "/", "v2", json!({"affinity": "cookie"})),
            ingress("other", "/other", "v2", json!({})),
            ingress("canary", "/", "v3", canary),
        ]);
        let found = routes(&all);
        assert!(ids(&found[0]).contains(&id), "{id}: {:?}", ids(&found[0]));
    };
    trap(json!({"canary": "true", "canary-weight": "abc"}), "weight-invalid");
    trap(json!({"canary": "true", "canary-weight": "150"}), "weight-clamped");
    trap(json!({"canary": "True"}), "canary-spelling");
    let spelt = seen(vec![
        ingress("main", "/", "v2", json!({})),
        ingress("canary", "/", "v3", json!({"canary": "True", "canary-weight": "5"})),
    ]);
    assert!(
        routes(&spelt)[0].traps.iter().all(|t| !t.blocks),
        "the controller takes it, and so do our patches"
    );
    trap(json!({"canary": "true"}), "sticky-clients");
    trap(json!({"canary": "true"}), "shared-primary-service");
    let cohort = json!({"canary": "true", "canary-weight": "5", "canary-by-header": "Authorization",
        "canary-by-header-pattern": "^Basic cGst"});
    trap(cohort.clone(), "header-pattern-invalid");
    trap(cohort, "cohort-falls-through");
    let orphan = seen(vec![ingress("canary", "/", "v3", json!({"canary": "true", "canary-weight": "5"}))]);
    assert!(ids(&routes(&orphan)[0]).contains(&"no-primary"));
    assert_eq!(routes(&orphan)[0].effective.value, 0);
    let reversed = seen(vec![
        ingress("main", "/", "v2", json!({})),
        ingress("smoke", "/smoke", "v3", json!({})),
        ingress("canary", "/", "v3", json!({"canary": "true"})),
    ]);
    assert!(ids(&routes(&reversed)[0]).contains(&"canary-service-is-primary"));
}

#[test]
fn pins_in_words_and_the_newest_owner() {
    let mut canary = ingress(
        "canary",
        "/",
        "v3",
        json!({"canary": "true", "canary-weight": "5",
        "canary-by-header": "X-Side", "canary-by-cookie": "side"}),
    );
    let fields = |n: &str| json!({"f:metadata": {"f:annotations": {n: {}}}});
    canary.metadata.managed_fields = serde_json::from_value(json!([
        {"manager": "kubectl", "operation": "Update", "time": "2026-01-02T00:00:00Z",
         "fieldsV1": fields("f:nginx.ingress.kubernetes.io/canary-weight")},
        {"manager": "argocd", "operation": "Apply", "time": "2026-01-03T00:00:00Z",
         "fieldsV1": fields("f:nginx.ingress.kubernetes.io/canary-weight")},
        {"manager": "other", "operation": "Update", "time": "2026-01-04T00:00:00Z",
         "fieldsV1": fields("f:something")},
    ]))
    .unwrap();
    let found = routes(&seen(vec![ingress("main", "/", "v2", json!({})), canary]));
    assert_eq!(found[0].owner.as_ref().unwrap().manager, "argocd");
    assert_eq!(
        found[0].pins,
        ["header X-Side: always goes to v3, never to v2", "cookie side=always goes to v3, =never to v2",]
    );
}
