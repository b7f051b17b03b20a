//! Watches: what is there, what changes, marks, and how they end.

use serde_json::json;

use super::objects::{CANARY, CONFIGMAPS, INGRESSES, WEIGHT, canary, config};
use crate::request::{Case, Request, case, delete, get, merge, post};

/// Long enough for both servers to send what there is; the watch ends by itself then.
fn watch(path: &str, query: &str) -> Request {
    get(&format!("{path}?watch=true&timeoutSeconds=1{query}"))
}

fn label(name: &str, tier: &str) -> Request {
    merge(&format!("{CONFIGMAPS}/{name}"), &json!({"metadata": {"labels": {"tier": tier}}}))
}

const BOOKMARKS: &str = "&allowWatchBookmarks=true";
const INITIAL: &str = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
const UNWANTED: &str = "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan";

fn lives(then: impl IntoIterator<Item = Request>) -> Vec<Request> {
    let first = [
        post(CONFIGMAPS, &config("a", "front")).keep("rv", "/metadata/resourceVersion"),
        post(CONFIGMAPS, &config("b", "back")),
        label("a", "back"),
        label("b", "front"),
        delete(&format!("{CONFIGMAPS}/a"), &json!({})),
        post(CONFIGMAPS, &config("c", "front")),
    ];
    first.into_iter().chain(then).collect()
}

pub fn cases() -> Vec<Case> {
    let mut all = beginnings();
    all.extend(initial_events());
    all.extend(ends_and_shapes());
    all
}

fn beginnings() -> Vec<Case> {
    vec![
        case("a watch tells what happened since", lives([watch(CONFIGMAPS, "&resourceVersion={rv}")])),
        case("a watch without a version begins with what is there", lives([watch(CONFIGMAPS, "")])),
        case("a watch from 0 begins with what is there", lives([watch(CONFIGMAPS, "&resourceVersion=0")])),
        case(
            "a watch with a selector: coming to match is ADDED, ceasing to is DELETED",
            lives([
                watch(CONFIGMAPS, "&resourceVersion={rv}&labelSelector=tier%3Dfront"),
                watch(CONFIGMAPS, "&resourceVersion={rv}&fieldSelector=metadata.name%3Db"),
            ]),
        ),
        case(
            "a bookmark comes before the end when there was news of others",
            // A real server means to send it 2 s before the end and looks once in about 2 s whether it is time.
            lives([get(&format!(
                "{CONFIGMAPS}?watch=true&timeoutSeconds=4{BOOKMARKS}&resourceVersion={{rv}}&fieldSelector=metadata.name%3Dnone"
            ))
            .tries(6)]),
        ),
    ]
}

fn initial_events() -> Vec<Case> {
    vec![
        case(
            "initial events end with a mark",
            lives([
                watch(CONFIGMAPS, &format!("{BOOKMARKS}{INITIAL}")),
                watch(CONFIGMAPS, &format!("{BOOKMARKS}{INITIAL}&resourceVersion=0")),
                watch(CONFIGMAPS, &format!("{BOOKMARKS}{INITIAL}&resourceVersion={{rv}}")),
                watch(CONFIGMAPS, INITIAL),
            ]),
        ),
        case(
            "initial events that are not wanted",
            lives([
                watch(CONFIGMAPS, UNWANTED),
                watch(CONFIGMAPS, &format!("{UNWANTED}&resourceVersion=0")),
                watch(CONFIGMAPS, &format!("{UNWANTED}&resourceVersion={{rv}}")),
            ]),
        ),
        case(
            "a switch without a value",
            lives([watch(CONFIGMAPS, &format!("{INITIAL}&allowWatchBookmarks"))]),
        ),
        case(
            "initial events without what they require",
            [
                watch(CONFIGMAPS, &format!("{BOOKMARKS}&sendInitialEvents=true")),
                watch(
                    CONFIGMAPS,
                    &format!("{BOOKMARKS}&resourceVersion=1&resourceVersionMatch=NotOlderThan"),
                ),
                watch(
                    CONFIGMAPS,
                    &format!(
                        "{BOOKMARKS}&sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1"
                    ),
                ),
                get(&format!("{CONFIGMAPS}?sendInitialEvents=true")),
            ],
        ),
    ]
}

fn ends_and_shapes() -> Vec<Case> {
    vec![
        case("a version too old ends a stream of 200", [watch(CONFIGMAPS, "&resourceVersion=1")]),
        case("a version that is still to come", [watch(CONFIGMAPS, "&resourceVersion=999999999")]),
        case("a version that is none", [watch(CONFIGMAPS, "&resourceVersion=soon")]),
        case("a watch of one object by its path", [post(INGRESSES, &canary("5")), watch(CANARY, "")]),
        case(
            "metadata only, and tables",
            [
                post(INGRESSES, &canary("5")).keep("rv", "/metadata/resourceVersion"),
                merge(CANARY, &json!({"metadata": {"annotations": {WEIGHT: "10"}}})),
                watch(INGRESSES, "&resourceVersion={rv}")
                    .accept("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
                watch(INGRESSES, "&resourceVersion={rv}")
                    .accept("application/json;as=Table;v=v1;g=meta.k8s.io")
                    .beside("/body/*/object/columnDefinitions/*/description", "text for kubectl explain")
                    .beside("/body/object/columnDefinitions/*/description", "text for kubectl explain"),
            ],
        ),
    ]
}
