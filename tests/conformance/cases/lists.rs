//! Reading: one object, lists, pages, selectors, and the shapes that `Accept` asks for.

use serde_json::json;

use super::objects::{
    CANARY, CONFIGMAPS, DEPLOYMENTS, EVENTS, INGRESSES, LEASES, PODS, SERVICES, WEB, canary, config, event,
    lease, pod, service, web,
};
use crate::request::{Case, Request, case, delete, get, post};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json";
const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";

fn five(then: impl IntoIterator<Item = Request>) -> Vec<Request> {
    let names = [("a", "front"), ("b", "back"), ("c", "front"), ("d", "back"), ("e", "front")];
    names.map(|(name, tier)| post(CONFIGMAPS, &config(name, tier))).into_iter().chain(then).collect()
}

fn of(path: &str, query: &str) -> String {
    format!("{path}?{query}")
}

pub fn cases() -> Vec<Case> {
    let mut all = objects_and_pages();
    all.extend(selectors());
    all.extend(versions());
    all.extend(shapes());
    all
}

fn objects_and_pages() -> Vec<Case> {
    vec![
        case(
            "an object is read as it was created",
            [post(INGRESSES, &canary("5")), get(CANARY), get(INGRESSES)],
        ),
        case("an empty list", [get(CONFIGMAPS), get(&of(CONFIGMAPS, "limit=2"))]),
        case(
            "a list in pages",
            five([
                get(&of(CONFIGMAPS, "limit=2")).keep("next", "/metadata/continue"),
                get(&of(CONFIGMAPS, "limit=2&continue={next}")).keep("next", "/metadata/continue"),
                get(&of(CONFIGMAPS, "limit=2&continue={next}")),
                get(&of(CONFIGMAPS, "limit=5")),
                get(&of(CONFIGMAPS, "limit=9")),
            ]),
        ),
        case(
            "pages are of one moment",
            five([
                get(&of(CONFIGMAPS, "limit=2")).keep("next", "/metadata/continue"),
                post(CONFIGMAPS, &config("bb", "late")),
                delete(&format!("{CONFIGMAPS}/c"), &json!({})),
                get(&of(CONFIGMAPS, "limit=9&continue={next}")),
                get(CONFIGMAPS),
            ]),
        ),
        case(
            "a page with a selector has no count of the rest",
            five([get(&of(CONFIGMAPS, "limit=2&labelSelector=tier%3Dfront"))]),
        ),
        case(
            "continue tokens that are none",
            five([
                get(&of(CONFIGMAPS, "limit=2&continue=nonsense")).in_go_words(),
                get(&of(CONFIGMAPS, "limit=2")).keep("next", "/metadata/continue"),
                get(&of(CONFIGMAPS, "limit=2&continue={next}&resourceVersion=1")),
            ]),
        ),
    ]
}

fn selectors() -> Vec<Case> {
    vec![
        case(
            "label selectors",
            five([
                get(&of(CONFIGMAPS, "labelSelector=tier%3Dfront")),
                get(&of(CONFIGMAPS, "labelSelector=tier!%3Dfront")),
                get(&of(CONFIGMAPS, "labelSelector=tier%20in%20(back,front),tier%20notin%20(back)")),
                get(&of(CONFIGMAPS, "labelSelector=!tier")),
                get(&of(CONFIGMAPS, "labelSelector=tier")),
                get(&of(CONFIGMAPS, "labelSelector=tier%20in%20(")).in_go_words(),
            ]),
        ),
        case(
            "field selectors",
            five([
                get(&of(CONFIGMAPS, "fieldSelector=metadata.name%3Db")),
                get(&of(CONFIGMAPS, "fieldSelector=metadata.name!%3Db")),
                get(&of(CONFIGMAPS, "fieldSelector=data.a%3D1")),
                get(&of(CONFIGMAPS, "fieldSelector=metadata.name")),
            ]),
        ),
        case(
            "pods by phase",
            [
                post(PODS, &pod("one")),
                get(&of(PODS, "fieldSelector=status.phase%3DPending")),
                get(&of(PODS, "fieldSelector=status.phase%3DRunning")),
                get(&of(PODS, "fieldSelector=spec.nodeName%3D")),
            ],
        ),
    ]
}

fn versions() -> Vec<Case> {
    vec![
        case(
            "versions of a list",
            five([
                get(&format!("{CONFIGMAPS}/c")).keep("rv", "/metadata/resourceVersion"),
                get(&of(CONFIGMAPS, "resourceVersion={rv}&resourceVersionMatch=Exact")),
                get(&of(CONFIGMAPS, "resourceVersion={rv}&resourceVersionMatch=NotOlderThan")),
                get(&of(CONFIGMAPS, "resourceVersion={rv}")),
                get(&of(CONFIGMAPS, "resourceVersion=0")),
                get(&of(CONFIGMAPS, "resourceVersion=0&limit=2")),
                get(&of(CONFIGMAPS, "resourceVersion={rv}&limit=2")),
                get(&of(CONFIGMAPS, "resourceVersion={rv}&limit=2&resourceVersionMatch=NotOlderThan")),
                get(&of(CONFIGMAPS, "resourceVersion=abc")),
                get(&of(CONFIGMAPS, "resourceVersionMatch=Exact")),
                get(&of(CONFIGMAPS, "resourceVersion=0&resourceVersionMatch=Exact")),
                get(&of(CONFIGMAPS, "resourceVersion={rv}&resourceVersionMatch=Roughly")),
            ]),
        ),
        case(
            "a version that is still to come",
            [
                get(&of(CONFIGMAPS, "resourceVersion=999999999")),
                get(&of(&format!("{CONFIGMAPS}/a"), "resourceVersion=999999999")),
            ],
        ),
    ]
}

fn shapes() -> Vec<Case> {
    vec![
        case(
            "metadata only",
            [
                post(INGRESSES, &canary("5")),
                get(CANARY).accept(METADATA),
                get(INGRESSES).accept(METADATA_LIST),
                get(&of(INGRESSES, "limit=1")).accept(METADATA_LIST),
            ],
        ),
        tables(),
        case(
            "an Accept that cannot be had",
            [
                post(INGRESSES, &canary("5")),
                get(CANARY).accept("text/plain"),
                get(INGRESSES).accept("image/png"),
            ],
        ),
    ]
}

/// Tables of every kind, and as much of each row's object as `includeObject` asks for.
fn tables() -> Case {
    case(
        "tables",
        [
            post(INGRESSES, &canary("5")),
            post(DEPLOYMENTS, &web()),
            post(PODS, &pod("one")),
            post(CONFIGMAPS, &config("a", "front")),
            // Before there is a Service: a server that has just started may tell of its address.
            post(EVENTS, &event("canary.1")),
            table(EVENTS),
            post(SERVICES, &service()),
            post(LEASES, &lease("mia")),
            post("/api/v1/namespaces/{ns}/secrets", &json!({"metadata": {"name": "db"}})),
            table(SERVICES),
            table(LEASES),
            table("/api/v1/namespaces/{ns}/secrets"),
            table("/api/v1/namespaces/{ns}"),
            table("/apis/networking.k8s.io/v1/ingressclasses"),
            table("/apis/apps/v1/namespaces/{ns}/statefulsets"),
            table("/apis/apps/v1/namespaces/{ns}/replicasets"),
            table("/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices"),
            table(CANARY),
            table(INGRESSES),
            table(&of(INGRESSES, "includeObject=None")),
            table(&of(INGRESSES, "includeObject=Object")),
            table(WEB),
            table(PODS),
            table(CONFIGMAPS),
        ],
    )
}

fn table(path: &str) -> Request {
    get(path).accept(TABLE).beside("/body/columnDefinitions/*/description", "text for kubectl explain")
}
