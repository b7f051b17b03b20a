//! Kinds with ways of their own: Lease, Event, `/scale`, Service, Secret, Namespace, reviews, discovery.

use serde_json::{Value, json};

use super::objects::{
    CONFIGMAPS, DEPLOYMENTS, EVENTS, LEASES, PODS, SERVICES, WEB, event, lease, pod, service, web,
};
use crate::request::{Case, Request, case, delete, get, merge, operations, post, put, strategic};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases/cutover";
const SCALE: &str = "/apis/apps/v1/namespaces/{ns}/deployments/web/scale";
const NEW_EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/{ns}/events";

fn at(mut object: Value, version: &str) -> Value {
    object["metadata"]["resourceVersion"] = json!(version);
    object
}

pub fn cases() -> Vec<Case> {
    let mut all = leases();
    all.extend(events());
    all.extend(scales());
    all.extend(services());
    all.extend(others());
    all.extend(reviews());
    all
}

fn leases() -> Vec<Case> {
    let made = || post(LEASES, &lease("mia")).keep("rv", "/metadata/resourceVersion");
    vec![
        case("a lease is created once", [post(LEASES, &lease("mia")).at_once(5), get(LEASE)]),
        case("a lease is taken once", [made(), put(LEASE, &at(lease("leo"), "{rv}")).at_once(5), get(LEASE)]),
        case(
            "a lease is renewed",
            [
                made(),
                put(LEASE, &at(lease("mia"), "{rv}")),
                put(LEASE, &at(lease("mia"), "{rv}")),
                put(LEASE, &lease("leo")),
            ],
        ),
        case("a lease is put into being", [put(LEASE, &lease("mia")), put(LEASE, &lease("leo"))]),
        case(
            "leases that are none",
            [
                post(LEASES, &json!({"metadata": {"name": "cutover"}, "spec": {"leaseDurationSeconds": 0}})),
                post(
                    LEASES,
                    &json!({"metadata": {"name": "cutover"}, "spec": {"leaseDurationSeconds": 15, "leaseTransitions": -1}}),
                ),
                post(LEASES, &json!({"metadata": {"name": "cutover"}, "spec": {"renewTime": "yesterday"}}))
                    .in_go_words(),
                post(LEASES, &json!({"metadata": {"name": "cutover"}})),
            ],
        ),
        case(
            "a lease is released",
            [made(), delete(LEASE, &json!({"preconditions": {"resourceVersion": "{rv}"}})), get(LEASE)],
        ),
    ]
}

fn events() -> Vec<Case> {
    let one = format!("{EVENTS}/canary.1");
    vec![
        case("an event", [post(EVENTS, &event("canary.1")), get(&one), get(EVENTS), get(NEW_EVENTS)]),
        case(
            "events by what they are about",
            [
                post(EVENTS, &event("canary.1")),
                get(&format!("{EVENTS}?fieldSelector=involvedObject.name%3Dcanary")),
                get(&format!("{EVENTS}?fieldSelector=involvedObject.name%3Dother")),
                get(&format!("{EVENTS}?fieldSelector=reason%3DShifted,type%3DNormal")),
            ],
        ),
        case("an event about another namespace", [post(EVENTS, &elsewhere())]),
        case(
            "an old event counted on",
            [
                post(EVENTS, &old()),
                merge(
                    &format!("{EVENTS}/web.1"),
                    &json!({"count": 2, "lastTimestamp": "2026-01-02T03:05:05Z"}),
                ),
            ],
        ),
    ]
}

fn elsewhere() -> Value {
    let mut event = event("canary.1");
    event["involvedObject"]["namespace"] = json!("elsewhere");
    event
}

fn old() -> Value {
    json!({"metadata": {"name": "web.1"}, "involvedObject": {"kind": "Pod", "name": "web", "namespace": "{ns}"}, "count": 1,
        "firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:04:05Z", "reason": "Pulled", "source": {"component": "kubelet"}})
}

fn scales() -> Vec<Case> {
    let scale = |replicas: i64| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web", "namespace": "{ns}"}, "spec": {"replicas": replicas}});
    let made = || post(DEPLOYMENTS, &web()).keep("rv", "/metadata/resourceVersion");
    vec![
        case("a scale", [made(), get(SCALE), put(SCALE, &scale(5)), get(SCALE), get(WEB)]),
        case(
            "a scale, patched",
            [
                made(),
                merge(SCALE, &json!({"spec": {"replicas": 0}})),
                operations(SCALE, &json!([{"op": "test", "path": "/spec/replicas", "value": 1}])),
                get(WEB),
            ],
        ),
        case(
            "a scale that is none",
            [
                made(),
                put(SCALE, &scale(-1)),
                merge(SCALE, &json!({"spec": {"replicas": "many"}})).in_go_words(),
                put(SCALE, &at(scale(5), "1")),
                get("/apis/apps/v1/namespaces/{ns}/deployments/none/scale"),
                merge(
                    "/apis/apps/v1/namespaces/{ns}/deployments/none/scale",
                    &json!({"spec": {"replicas": 1}}),
                ),
                get(&format!("{CONFIGMAPS}/a/scale")),
            ],
        ),
        case(
            "a scale under a version",
            [made(), put(SCALE, &at(scale(3), "{rv}")), put(SCALE, &at(scale(4), "{rv}"))],
        ),
        case("a scale, strategically", [made(), strategic(SCALE, &json!({"spec": {"replicas": 3}}))]),
    ]
}

fn services() -> Vec<Case> {
    vec![
        case(
            "a service",
            [
                post(SERVICES, &service()),
                merge(&format!("{SERVICES}/web"), &json!({"spec": {"ports": [{"port": 81}]}})),
            ],
        ),
        case("a service is put into being", [put(&format!("{SERVICES}/web"), &service())]),
        case(
            "a service without ports",
            [
                post(SERVICES, &json!({"metadata": {"name": "web"}, "spec": {}})),
                post(SERVICES, &json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 0}]}})),
            ],
        ),
    ]
}

fn others() -> Vec<Case> {
    vec![
        case(
            "a secret",
            [
                post(
                    "/api/v1/namespaces/{ns}/secrets",
                    &json!({"metadata": {"name": "db"}, "stringData": {"password": "geheim"}}),
                ),
                merge("/api/v1/namespaces/{ns}/secrets/db", &json!({"type": "other"})),
            ],
        ),
        case(
            "a pod's logs that are not there",
            [
                get(&format!("{PODS}/none/log")),
                post(PODS, &pod("one")),
                get(&format!("{PODS}/one/log?container=none")),
            ],
        ),
        case(
            "a namespace",
            [
                get("/api/v1/namespaces/{ns}"),
                get("/api/v1/namespaces/none"),
                post("/api/v1/namespaces", &json!({"metadata": {"name": "{ns}"}})),
            ],
        ),
        case(
            "versions of what is served",
            [
                get("/apis/networking.k8s.io/v2/ingresses"),
                get("/apis/nothing.example/v1/things"),
                get("/api/v1/namespaces/{ns}/things"),
                get("/nowhere"),
            ],
        ),
    ]
}

fn reviews() -> Vec<Case> {
    let access = |attributes: Value| {
        let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": attributes});
        post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &body)
    };
    let patch = json!({"resourceAttributes": {"verb": "patch", "group": "networking.k8s.io", "resource": "ingresses", "namespace": "{ns}"}});
    let list = json!({"resourceAttributes": {"verb": "list", "group": "networking.k8s.io", "resource": "ingresses", "namespace": "{ns}"}});
    let why = |request: Request| {
        request
            .beside("/body/status/reason", "which rule allows it is RBAC's own wording")
            .beside("/body/metadata/managedFields", "nobody keeps a review")
    };
    let who = || {
        post(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}),
        )
    };
    let extra =
        |request: Request| request.beside("/body/status/userInfo/uid", "a static token has a uid of its own");
    vec![
        case("who am I", [extra(who()), extra(who().by("looker")), who().by("nobody"), who().by("stranger")]),
        case(
            "may I",
            [
                why(access(patch.clone())),
                why(access(patch.clone()).by("looker")),
                why(access(list).by("looker")),
                why(access(json!({"nonResourceAttributes": {"path": "/healthz", "verb": "get"}}))
                    .by("looker")),
                access(json!({})),
            ],
        ),
    ]
}
