use super::*;
use crate::rehearsal::gateway::choose::{Choice, Request, choose};
use serde_json::{Value, json};

fn class(name: &str, controller: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"controller": controller}})
}

/// An Ingress `name` of `host` to `service:3000`, created at `second`, with canary annotations `extra`.
fn ingress(name: &str, host: &str, service: &str, second: u8, extra: &[(&str, &str)]) -> Value {
    let annotations: serde_json::Map<String, Value> =
        extra.iter().map(|(key, value)| (format!("{}{key}", annotations::PREFIX), json!(value))).collect();
    json!({
        "metadata": {"name": name, "namespace": "langfuse", "annotations": annotations,
                     "creationTimestamp": format!("2025-01-01T00:00:{second:02}Z")},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 3000}}}}]}}]}
    })
}

fn service(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "langfuse"}, "spec": {"ports": [{"name": "http", "port": 3000}]}})
}

fn slice(service: &str, address: &str, ready: bool) -> Value {
    json!({"metadata": {"name": service, "namespace": "langfuse", "labels": {"kubernetes.io/service-name": service},
                        "annotations": {"rehearsal.cutover/dial": format!("{{\"{address}:3000\":\"127.0.0.1:9\"}}")}},
           "addressType": "IPv4", "ports": [{"name": "http", "port": 3000}],
           "endpoints": [{"addresses": [address], "conditions": {"ready": ready}}]})
}

fn read<T: serde::de::DeserializeOwned>(values: Vec<Value>) -> Vec<Arc<T>> {
    values.into_iter().map(|value| Arc::new(serde_json::from_value(value).unwrap())).collect()
}

fn objects(ingresses: Vec<Value>) -> Objects {
    Objects {
        classes: read(vec![class("nginx", CONTROLLER), class("other", "traefik.io/ingress-controller")]),
        ingresses: read(ingresses),
        services: read(vec![service("v2"), service("v3"), service("v3b")]),
        slices: read(vec![
            slice("v2", "10.0.0.2", true),
            slice("v3", "10.0.0.3", true),
            slice("v3b", "10.0.0.4", true),
        ]),
    }
}

/// Which Service answers `host` when the roll is 1, or the reason nobody does.
fn answers(objects: &Objects, host: &str) -> String {
    let routing = build(objects);
    let Some((_, location)) = routing.locate(host, "/") else {
        return "404".into();
    };
    match choose(&routing, &location.upstream, Request { headers: &http::HeaderMap::new() }, |_| 1) {
        Choice::Primary(upstream) | Choice::Canary(upstream) => upstream.service.clone(),
        Choice::Nobody => "503".into(),
    }
}

const HALF: &[(&str, &str)] = &[("canary", "true"), ("canary-weight", "50")];

fn main_and(canary: Value) -> Objects {
    objects(vec![ingress("main", "h", "v2", 1, &[]), canary])
}

#[test]
fn a_pair_splits() {
    let pair = main_and(ingress("canary", "h", "v3", 2, HALF));
    assert_eq!(answers(&pair, "h"), "v3");
    assert_eq!(answers(&pair, "elsewhere"), "404");
    let routing = build(&pair);
    let canary = &routing.upstreams["langfuse-v3-3000"];
    assert!(canary.no_server);
    assert_eq!((canary.policy.weight, canary.endpoints[0].dial.as_str()), (50, "127.0.0.1:9"));
    assert_eq!(canary.endpoints[0].address, "10.0.0.3:3000");
}

#[test]
fn canary_must_be_true() {
    let weight_only: &[(&str, &str)] = &[("canary", "yes"), ("canary-weight", "50")];
    assert_eq!(answers(&main_and(ingress("canary", "h", "v3", 2, weight_only)), "h"), "v2");
    assert_eq!(answers(&main_and(ingress("canary", "h", "v3", 2, &[("canary-weight", "100")])), "h"), "v2");
}

#[test]
fn canary_of_another_host_path_or_path_type_is_dropped() {
    assert_eq!(answers(&main_and(ingress("canary", "other", "v3", 2, HALF)), "h"), "v2");
    assert_eq!(answers(&main_and(ingress("canary", "other", "v3", 2, HALF)), "other"), "404");
    let mut exact = ingress("canary", "h", "v3", 2, HALF);
    exact["spec"]["rules"][0]["http"]["paths"][0]["pathType"] = json!("Exact");
    assert_eq!(answers(&main_and(exact), "h"), "v2");
}

#[test]
fn main_deleted_is_404_and_canary_deleted_is_all_primary() {
    assert_eq!(answers(&objects(vec![ingress("canary", "h", "v3", 2, HALF)]), "h"), "404");
    assert_eq!(answers(&objects(vec![ingress("main", "h", "v2", 1, &[])]), "h"), "v2");
}

#[test]
fn the_older_of_two_canaries_is_the_only_one() {
    let all: &[(&str, &str)] = &[("canary", "true"), ("canary-weight", "100")];
    let none: &[(&str, &str)] = &[("canary", "true"), ("canary-weight", "0")];
    let both = objects(vec![
        ingress("main", "h", "v2", 1, &[]),
        ingress("newer", "h", "v3b", 3, all),
        ingress("older", "h", "v3", 2, none),
    ]);
    assert_eq!(answers(&both, "h"), "v2");
}

#[test]
fn of_two_canaries_of_one_second_the_last_name_is_the_only_one() {
    let all: &[(&str, &str)] = &[("canary", "true"), ("canary-weight", "100")];
    let none: &[(&str, &str)] = &[("canary", "true"), ("canary-weight", "0")];
    let both = objects(vec![
        ingress("main", "h", "v2", 1, &[]),
        ingress("a", "h", "v3b", 2, all),
        ingress("b", "h", "v3", 2, none),
    ]);
    assert_eq!(answers(&both, "h"), "v2");
}

#[test]
fn one_path_without_a_primary_takes_the_canary_away_from_all() {
    let mut canary = ingress("canary", "h", "v3", 2, HALF);
    let more = json!({"path": "/more", "pathType": "Prefix",
                      "backend": {"service": {"name": "v3", "port": {"number": 3000}}}});
    canary["spec"]["rules"][0]["http"]["paths"].as_array_mut().unwrap().push(more);
    assert_eq!(answers(&main_and(canary), "h"), "v2");
}

#[test]
fn whoever_names_a_service_first_decides_what_it_is() {
    let canary = |second| ingress("canary", "h", "v3", second, HALF);
    let with = |smoke, canary| {
        objects(vec![ingress("main", "h", "v2", 1, &[]), ingress("smoke", "smoke", "v3", smoke, &[]), canary])
    };
    let canary_first = with(3, canary(2));
    assert_eq!((answers(&canary_first, "h"), answers(&canary_first, "smoke")), ("v3".into(), "404".into()));
    let smoke_first = with(2, canary(3));
    assert_eq!((answers(&smoke_first, "h"), answers(&smoke_first, "smoke")), ("v2".into(), "v3".into()));
    let main_last =
        vec![ingress("smoke", "smoke", "v3", 1, &[]), canary(2), ingress("main", "h", "v2", 3, &[])];
    assert_eq!(answers(&objects(main_last), "h"), "v3", "a canary that is taken for a main Ingress");
}

#[test]
fn endpoints_decide_before_weights() {
    let mut pair = main_and(ingress("canary", "h", "v3", 2, HALF));
    pair.slices = read(vec![slice("v2", "10.0.0.2", true), slice("v3", "10.0.0.3", false)]);
    assert_eq!(answers(&pair, "h"), "v2");
    pair.slices = read(vec![slice("v2", "10.0.0.2", false), slice("v3", "10.0.0.3", true)]);
    assert_eq!(answers(&pair, "h"), "503");
}

/// Where the controller connects for `port` of the Service `v2`.
fn addresses(service: Value, slice: Value, port: &Value) -> Vec<String> {
    let backend = serde_json::from_value(json!({"name": "v2", "port": port})).unwrap();
    let found = endpoints(&read(vec![service]), &read(vec![slice]), "langfuse", &backend);
    found.into_iter().map(|endpoint| endpoint.address).collect()
}

#[test]
fn a_port_is_found_by_number_name_and_target() {
    let of =
        |ports: Value| json!({"metadata": {"name": "v2", "namespace": "langfuse"}, "spec": {"ports": ports}});
    let ports = json!([{"name": "http", "port": 80, "targetPort": 3000}]);
    let named = slice("v2", "10.0.0.2", true);
    for wanted in [json!({"number": 80}), json!({"name": "http"}), json!({"number": 3000})] {
        assert_eq!(addresses(of(ports.clone()), named.clone(), &wanted), ["10.0.0.2:3000"], "{wanted}");
    }
    assert!(addresses(of(ports.clone()), named.clone(), &json!({"number": 81})).is_empty());
    let mut nameless = named;
    for written in [json!([{"port": 3000, "protocol": "TCP"}]), json!([])] {
        nameless["ports"] = written;
        assert_eq!(addresses(of(ports.clone()), nameless.clone(), &json!({"number": 80})), ["10.0.0.2:3000"]);
    }
}

#[test]
fn an_external_name_is_taken_as_it_is_but_for_the_controller_itself() {
    let external = |name: &str| {
        json!({"metadata": {"name": "v2", "namespace": "langfuse"},
               "spec": {"type": "ExternalName", "externalName": name, "ports": [{"port": 80, "targetPort": 3000}]}})
    };
    let unused = || slice("other", "10.0.0.2", true);
    assert_eq!(addresses(external("v2.example"), unused(), &json!({"number": 80})), ["v2.example:3000"]);
    assert_eq!(addresses(external("v2.example"), unused(), &json!({"number": 99})), ["v2.example:99"]);
    for own in ["localhost", "127.0.0.1", "::1"] {
        assert!(addresses(external(own), unused(), &json!({"number": 80})).is_empty(), "{own}");
    }
}

#[test]
fn the_same_service_shifts_on_every_host() {
    let two = objects(vec![
        ingress("main", "h", "v2", 1, &[]),
        ingress("docs", "docs", "v2", 1, &[]),
        ingress("canary", "h", "v3", 2, HALF),
    ]);
    assert_eq!(answers(&two, "docs"), "v3", "trap 1: the policy hangs on the upstream");
}

#[test]
fn a_canary_service_that_is_a_primary_of_the_host_is_refused() {
    let mut main = ingress("main", "h", "v2", 1, &[]);
    let second = json!({"path": "/x", "pathType": "Prefix",
                        "backend": {"service": {"name": "v3", "port": {"number": 3000}}}});
    main["spec"]["rules"][0]["http"]["paths"].as_array_mut().unwrap().push(second);
    assert_eq!(answers(&objects(vec![main, ingress("canary", "h", "v3", 2, HALF)]), "h"), "v2");
}

#[test]
fn other_classes_are_not_ours() {
    let mut main = ingress("main", "h", "v2", 1, &[]);
    main["spec"]["ingressClassName"] = json!("other");
    assert_eq!(answers(&objects(vec![main]), "h"), "404");
}
