//! Writing without apply: create, replace, merge patch, JSON patch, strategic patch, delete, dry run.

use serde_json::{Value, json};

use super::objects::{
    CANARY, CONFIGMAPS, DEPLOYMENTS, INGRESSES, LEASES, PODS, WEB, WEIGHT, WEIGHT_POINTER, canary, config,
    lease, pod, web,
};
use crate::request::{Case, Request, case, delete, get, merge, operations, post, put, strategic};

fn begun(then: impl IntoIterator<Item = Request>) -> Vec<Request> {
    let first =
        post(INGRESSES, &canary("5")).keep("rv", "/metadata/resourceVersion").keep("uid", "/metadata/uid");
    std::iter::once(first).chain(then).collect()
}

fn deployed(then: impl IntoIterator<Item = Request>) -> Vec<Request> {
    std::iter::once(post(DEPLOYMENTS, &web())).chain(then).collect()
}

fn notes(annotations: &Value) -> Value {
    json!({"metadata": {"annotations": annotations}})
}

fn with(mut object: Value, pointer: &str, key: &str, value: Value) -> Value {
    object.pointer_mut(pointer).unwrap()[key] = value;
    object
}

const OTHER_UID: &str = "11111111-2222-3333-4444-555555555555";

pub fn cases() -> Vec<Case> {
    let mut all = creating();
    all.extend(dry_runs_and_unknown_fields());
    all.extend(merging());
    all.extend(operating());
    all.extend(deploying());
    all.extend(statuses());
    all.extend(stale_writes());
    all.extend(wrong_uids());
    all.extend(version_tests());
    all.extend(deleting());
    all
}

fn creating() -> Vec<Case> {
    vec![
        case("created twice", begun([post(INGRESSES, &canary("5"))])),
        case("created with defaults", [post(DEPLOYMENTS, &web()), post(PODS, &pod("one"))]),
        case(
            "a generated name",
            [post(CONFIGMAPS, &json!({"metadata": {"generateName": "cm-"}, "data": {"a": "b"}}))],
        ),
        case("no name", [post(CONFIGMAPS, &json!({"metadata": {}, "data": {}}))]),
        case("a bad name", [post(CONFIGMAPS, &json!({"metadata": {"name": "Not_A_Name"}}))]),
        case(
            "with a version",
            [post(CONFIGMAPS, &json!({"metadata": {"name": "a", "resourceVersion": "7"}}))],
        ),
        case(
            "in another namespace than the path's",
            [post(CONFIGMAPS, &json!({"metadata": {"name": "a", "namespace": "elsewhere"}}))],
        ),
        case(
            "of another kind than the path's",
            [
                post(CONFIGMAPS, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}))
                    .in_go_words(),
                post(INGRESSES, &with(canary("5"), "", "apiVersion", json!("networking.k8s.io/v9")))
                    .in_go_words(),
            ],
        ),
    ]
}

fn dry_runs_and_unknown_fields() -> Vec<Case> {
    vec![
        case(
            "dry run",
            [
                post(&format!("{INGRESSES}?dryRun=All"), &canary("5")),
                get(CANARY),
                post(INGRESSES, &canary("5")),
                merge(&format!("{CANARY}?dryRun=All"), &notes(&json!({WEIGHT: "50"}))),
                get(CANARY),
                delete(&format!("{CANARY}?dryRun=All"), &json!({})),
                get(CANARY),
                merge(&format!("{CANARY}?dryRun=Some"), &notes(&json!({WEIGHT: "50"}))),
            ],
        ),
        case(
            "unknown fields, by what is wanted of them",
            [
                post(
                    &format!("{INGRESSES}?fieldValidation=Strict"),
                    &with(canary("5"), "/spec", "weight", json!(3)),
                ),
                post(
                    &format!("{INGRESSES}?fieldValidation=Ignore"),
                    &with(canary("5"), "/spec", "weight", json!(3)),
                ),
                merge(&format!("{CANARY}?fieldValidation=Warn"), &json!({"spec": {"weight": 3}})),
                merge(CANARY, &json!({"spec": {"weight": 3}})),
                merge(&format!("{CANARY}?fieldValidation=Loud"), &json!({"spec": {"weight": 3}})),
            ],
        ),
    ]
}

fn merging() -> Vec<Case> {
    vec![
        case(
            "a merge patch of the weight",
            begun([
                merge(CANARY, &notes(&json!({WEIGHT: "25"}))),
                merge(CANARY, &notes(&json!({WEIGHT: "25"}))),
                merge(&format!("{CANARY}?fieldManager=cutover"), &notes(&json!({WEIGHT: "50", "x": "y"}))),
                merge(CANARY, &notes(&json!({WEIGHT: null}))),
                merge(CANARY, &json!({"metadata": {"annotations": null}})),
                merge(CANARY, &json!({})),
            ]),
        ),
        case(
            "a merge patch of the spec counts a generation",
            begun([
                merge(CANARY, &json!({"spec": {"ingressClassName": "other"}})),
                merge(CANARY, &json!({"spec": {"ingressClassName": "other"}})),
            ]),
        ),
        case(
            "a merge patch that does not fit",
            begun([
                merge(CANARY, &notes(&json!({WEIGHT: 25}))).in_go_words(),
                merge(CANARY, &json!([1])).in_go_words(),
                merge(CANARY, &json!({})).text("{").in_go_words(),
                merge(CANARY, &json!({"metadata": {"name": "other"}})),
                merge(CANARY, &json!({"metadata": {"namespace": "other"}})),
                merge(CANARY, &json!({"kind": "Service"})).in_go_words(),
                merge(CANARY, &json!({"spec": {"rules": []}})),
                merge(
                    CANARY,
                    &json!({"spec": {"rules": [{"http": {"paths": [{"path": "x", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 3000}}}}]}}]}}),
                ),
            ]),
        ),
    ]
}

fn operating() -> Vec<Case> {
    vec![
        case(
            "a JSON patch with a test",
            begun([
                operations(
                    CANARY,
                    &json!([{"op": "test", "path": WEIGHT_POINTER, "value": "99"}, {"op": "replace", "path": WEIGHT_POINTER, "value": "7"}]),
                ),
                get(CANARY),
                operations(
                    CANARY,
                    &json!([{"op": "test", "path": WEIGHT_POINTER, "value": "5"}, {"op": "replace", "path": WEIGHT_POINTER, "value": "7"}]),
                ),
                operations(
                    CANARY,
                    &json!([{"op": "test", "path": "/metadata/annotations/none", "value": "5"}]),
                ),
            ]),
        ),
        case(
            "a JSON patch that cannot be carried out",
            begun([
                operations(
                    CANARY,
                    &json!([{"op": "replace", "path": "/metadata/annotations/none", "value": "7"}]),
                ),
                operations(CANARY, &json!([{"op": "remove", "path": "/spec/none"}])),
                operations(CANARY, &json!([{"op": "add", "path": "/spec/none/below", "value": 1}])),
                operations(CANARY, &json!([{"op": "shout", "path": "/spec", "value": 1}])),
                operations(CANARY, &json!({})).in_go_words(),
                operations(CANARY, &json!([])).text("[{").in_go_words(),
                operations(CANARY, &json!([])),
                operations(CANARY, &json!([{"op": "add", "path": WEIGHT_POINTER, "value": 7}])).in_go_words(),
            ]),
        ),
    ]
}

fn deploying() -> Vec<Case> {
    vec![
        case(
            "a strategic patch",
            deployed([
                strategic(
                    WEB,
                    &json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "PORT", "value": "4000"}]}]}}}}),
                ),
                strategic(
                    WEB,
                    &json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "PORT", "$patch": "delete"}]}]}}}}),
                ),
                strategic(
                    WEB,
                    &json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}}}}),
                ),
                strategic(
                    WEB,
                    &json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "b"}], "$setElementOrder/containers": [{"name": "side"}, {"name": "web"}]}}}}),
                ),
                strategic(WEB, &json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}})),
                strategic(WEB, &json!({"spec": {"replicas": "two"}})).in_go_words(),
            ]),
        ),
        case(
            "a Deployment that breaks rules",
            deployed([
                merge(WEB, &json!({"spec": {"replicas": -1}})),
                merge(WEB, &json!({"spec": {"selector": {"matchLabels": {"app": "other"}}}})),
                merge(WEB, &json!({"spec": {"template": {"spec": {"containers": []}}}})),
                merge(WEB, &json!({"spec": {"template": {"metadata": {"labels": {"app": "other"}}}}})),
            ]),
        ),
    ]
}

fn statuses() -> Vec<Case> {
    vec![
        case(
            "labels beside a status",
            begun([
                merge(&format!("{CANARY}/status"), &json!({"metadata": {"labels": {"x": "y"}}})),
                post(DEPLOYMENTS, &web()),
                merge(&format!("{WEB}/status"), &json!({"metadata": {"labels": {"x": "y"}}})),
            ]),
        ),
        case(
            "status has a door of its own",
            deployed([
                merge(WEB, &json!({"status": {"readyReplicas": 7}})),
                merge(
                    &format!("{WEB}/status"),
                    &json!({"spec": {"replicas": 9}, "status": {"replicas": 2, "readyReplicas": 1, "observedGeneration": 1}}),
                ),
                get(&format!("{WEB}/status")),
                get(WEB),
            ]),
        ),
    ]
}

fn stale_writes() -> Vec<Case> {
    let stale =
        |weight: &str| json!({"metadata": {"resourceVersion": "{rv}", "annotations": {WEIGHT: weight}}});
    vec![
        case(
            "a stale version in a merge patch",
            begun([merge(CANARY, &stale("10")), merge(CANARY, &stale("25")), get(CANARY)]),
        ),
        case(
            "a stale version in a replacement",
            begun([
                put(CANARY, &with(canary("10"), "/metadata", "resourceVersion", json!("{rv}"))),
                put(CANARY, &with(canary("25"), "/metadata", "resourceVersion", json!("{rv}"))),
                put(CANARY, &canary("50")),
                put(CANARY, &with(canary("50"), "/metadata", "resourceVersion", json!("soon"))),
                put(&format!("{INGRESSES}/other"), &canary("50")),
            ]),
        ),
    ]
}

fn wrong_uids() -> Vec<Case> {
    vec![
        case(
            "a wrong uid",
            begun([
                merge(CANARY, &json!({"metadata": {"uid": OTHER_UID, "annotations": {WEIGHT: "10"}}})),
                merge(CANARY, &json!({"metadata": {"uid": "{uid}", "annotations": {WEIGHT: "10"}}})),
                put(CANARY, &with(canary("10"), "/metadata", "uid", json!(OTHER_UID))),
                operations(CANARY, &json!([{"op": "test", "path": "/metadata/uid", "value": OTHER_UID}])),
            ]),
        ),
        case(
            "a wrong uid of other kinds",
            [
                post(CONFIGMAPS, &config("a", "front")),
                merge(&format!("{CONFIGMAPS}/a"), &json!({"metadata": {"uid": OTHER_UID}})),
                post(DEPLOYMENTS, &web()),
                merge(WEB, &json!({"metadata": {"uid": OTHER_UID}})),
                post(LEASES, &lease("mia")),
                merge(&format!("{LEASES}/cutover"), &json!({"metadata": {"uid": OTHER_UID}})),
                put(&format!("{CONFIGMAPS}/a"), &json!({"metadata": {"name": "a", "uid": OTHER_UID}})),
            ],
        ),
    ]
}

fn version_tests() -> Vec<Case> {
    vec![case(
        "a test of the version in a JSON patch",
        begun([
            operations(
                CANARY,
                &json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "{rv}"}, {"op": "replace", "path": WEIGHT_POINTER, "value": "7"}]),
            ),
            operations(
                CANARY,
                &json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "{rv}"}, {"op": "replace", "path": WEIGHT_POINTER, "value": "8"}]),
            ),
            operations(
                CANARY,
                &json!([{"op": "replace", "path": "/metadata/resourceVersion", "value": "{rv}"}, {"op": "replace", "path": WEIGHT_POINTER, "value": "8"}]),
            ),
        ]),
    )]
}

fn deleting() -> Vec<Case> {
    let one = format!("{CONFIGMAPS}/a");
    vec![
        case(
            "deleted, and gone",
            begun([delete(CANARY, &json!({})), delete(CANARY, &json!({})), get(CANARY)]),
        ),
        case(
            "deleted under conditions",
            begun([
                delete(CANARY, &json!({"preconditions": {"uid": OTHER_UID}})),
                delete(CANARY, &json!({"preconditions": {"resourceVersion": "1"}})),
                delete(CANARY, &json!({"preconditions": {"uid": "{uid}"}})),
            ]),
        ),
        case(
            "held back by a finalizer",
            [
                post(CONFIGMAPS, &json!({"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})),
                delete(&one, &json!({})),
                get(&one),
                delete(&one, &json!({})),
                merge(&one, &json!({"metadata": {"finalizers": null}})),
                get(&one),
            ],
        ),
        case(
            "all of a selector",
            [
                post(CONFIGMAPS, &config("a", "front")),
                post(CONFIGMAPS, &config("b", "back")),
                delete(&format!("{CONFIGMAPS}?labelSelector=tier%3Dfront"), &json!({})),
                get(CONFIGMAPS),
            ],
        ),
        case(
            "a pod that never ran",
            [
                post(PODS, &pod("one")),
                delete(&format!("{PODS}/one"), &json!({})),
                get(&format!("{PODS}/one")),
            ],
        ),
    ]
}
