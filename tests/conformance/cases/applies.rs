//! Server-side apply: ownership, every shape of conflict, and bodies that do not fit.

use serde_json::{Value, json};

use super::objects::{CANARY, CONFIGMAPS, DEPLOYMENTS, INGRESSES, WEB, WEIGHT, canary, web, weight};
use crate::request::{Case, Request, apply, case, get, merge, post, put};

/// Our manager.
const OURS: &str = "?fieldManager=cockpit";
const FORCED: &str = "?fieldManager=cockpit&force=true";
const LAST: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn as_ours(body: &Value) -> Request {
    apply(&format!("{CANARY}{OURS}"), body)
}

fn forced(body: &Value) -> Request {
    apply(&format!("{CANARY}{FORCED}"), body)
}

fn as_other(manager: &str, body: &Value) -> Request {
    apply(&format!("{CANARY}?fieldManager={manager}"), body)
}

/// As `kubectl apply` without `--server-side` leaves it behind.
fn applied_by_kubectl(weight: &str) -> Request {
    let mut object = canary(weight);
    object["metadata"]["annotations"][LAST] = json!(canary(weight).to_string());
    post(&format!("{INGRESSES}?fieldManager=kubectl-client-side-apply"), &object)
}

fn without_notes() -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "canary"}})
}

pub fn cases() -> Vec<Case> {
    let mut all = owning();
    all.extend(creating());
    all.extend(conflicting());
    all.extend(overlapping());
    all.extend(subresources_and_kubectl());
    all.extend(guarded());
    all.extend(refused_by_query());
    all.extend(refused_by_body());
    all
}

fn owning() -> Vec<Case> {
    vec![
        case(
            "one annotation, ours from the first",
            [
                as_other("helm", &without(canary("5"), WEIGHT)),
                as_ours(&weight("5")),
                as_ours(&weight("25")),
                as_ours(&weight("25")),
                get(CANARY),
            ],
        ),
        case(
            "an apply without it takes it away",
            [
                as_other("helm", &without(canary("5"), WEIGHT)),
                as_ours(&weight("5")),
                as_ours(&without_notes()),
                get(CANARY),
            ],
        ),
        case(
            "two who want the same share it",
            [
                as_other("helm", &canary("5")),
                as_ours(&weight("5")),
                as_other("helm", &without(canary("5"), WEIGHT)),
                as_ours(&without_notes()),
            ],
        ),
        case(
            "a merge patch takes ownership without a word",
            [
                as_other("helm", &canary("5")),
                merge(
                    &format!("{CANARY}?fieldManager=person"),
                    &json!({"metadata": {"annotations": {WEIGHT: "50"}}}),
                ),
                merge(
                    &format!("{CANARY}?fieldManager=person"),
                    &json!({"metadata": {"annotations": {WEIGHT: "50"}}}),
                ),
                as_other("helm", &canary("5")),
                as_other("helm", &canary("50")),
            ],
        ),
    ]
}

fn creating() -> Vec<Case> {
    vec![
        case(
            "applied into being",
            [
                as_ours(&canary("5")),
                as_ours(&canary("5")),
                as_ours(&canary("10")),
                apply(
                    &format!("{CONFIGMAPS}/a{OURS}"),
                    &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "y"}}),
                ),
            ],
        ),
        case(
            "a Deployment's containers and variables",
            [
                apply(&format!("{WEB}{OURS}"), &web()),
                apply(
                    &format!("{WEB}?fieldManager=other"),
                    &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                    "spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "MORE", "value": "1"}]}]}}}}),
                ),
                apply(
                    &format!("{WEB}?fieldManager=other"),
                    &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                    "spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "PORT", "value": "1"}]}]}}}}),
                ),
                apply(
                    &format!("{WEB}?fieldManager=other"),
                    &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {}}),
                ),
                apply(
                    &format!("{WEB}?fieldManager=scaler&force=true"),
                    &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 5}}),
                ),
                apply(&format!("{WEB}{OURS}"), &web()),
            ],
        ),
        case(
            "dry run",
            [
                as_other("helm", &canary("5")),
                apply(&format!("{CANARY}{OURS}&dryRun=All"), &weight("9")),
                apply(&format!("{CANARY}{FORCED}&dryRun=All"), &weight("9")),
                get(CANARY),
            ],
        ),
    ]
}

fn without(mut object: Value, annotation: &str) -> Value {
    object["metadata"]["annotations"].as_object_mut().unwrap().remove(annotation);
    object
}

fn conflicting() -> Vec<Case> {
    let more = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "canary",
        "annotations": {WEIGHT: "9", "nginx.ingress.kubernetes.io/canary": "false"}}});
    vec![
        case(
            "with one who applied",
            [as_other("helm", &canary("5")), as_ours(&weight("9")), forced(&weight("9")), get(CANARY)],
        ),
        case(
            "with kubectl's client-side apply",
            [
                applied_by_kubectl("5"),
                as_ours(&weight("9")),
                forced(&weight("9")),
                as_other("helm", &weight("11")),
                get(CANARY),
            ],
        ),
        case(
            "with one who created it",
            [
                post(&format!("{INGRESSES}?fieldManager=helm"), &canary("5")),
                as_ours(&weight("9")),
                as_ours(&weight("5")),
            ],
        ),
        case("in two fields of one", [as_other("helm", &canary("5")), as_ours(&more), forced(&more)]),
        case(
            "with two others",
            [
                as_other("helm", &without(canary("5"), WEIGHT)),
                as_other("argocd", &weight("5")),
                as_ours(&more),
                as_other("argocd", &weight("6")),
            ],
        ),
        case(
            "with two who share a field",
            [
                as_other("helm", &canary("5")),
                as_other("argocd", &weight("5")),
                as_ours(&weight("9")),
                forced(&weight("9")),
                as_other("argocd", &weight("5")),
            ],
        ),
    ]
}

fn overlapping() -> Vec<Case> {
    vec![
        case(
            "with an update and an apply of the same name",
            [
                post(&format!("{INGRESSES}?fieldManager=cockpit"), &canary("5")),
                as_ours(&weight("9")),
                forced(&weight("9")),
                merge(
                    &format!("{CANARY}?fieldManager=cockpit"),
                    &json!({"metadata": {"annotations": {WEIGHT: "10"}}}),
                ),
                as_ours(&weight("11")),
            ],
        ),
        case(
            "over an atomic list",
            [
                as_other("helm", &canary("5")),
                as_ours(
                    &json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "canary"}, "spec": {"rules": [{"host": "other.example"}]}}),
                ),
                forced(
                    &json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "canary"}, "spec": {"rules": [{"host": "other.example"}]}}),
                ),
            ],
        ),
    ]
}

fn subresources_and_kubectl() -> Vec<Case> {
    vec![
        case(
            "with a subresource",
            [
                post(DEPLOYMENTS, &web()),
                merge(&format!("{WEB}/scale?fieldManager=hpa"), &json!({"spec": {"replicas": 4}})),
                apply(
                    &format!("{WEB}{OURS}"),
                    &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 3}}),
                ),
                merge(&format!("{WEB}/status?fieldManager=kubelet"), &json!({"status": {"replicas": 4}})),
                apply(
                    &format!("{WEB}/status{OURS}"),
                    &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "status": {"replicas": 3}}),
                ),
                get(WEB),
            ],
        ),
        case(
            "kubectl migrates to server-side",
            [
                applied_by_kubectl("5"),
                apply(&format!("{CANARY}?fieldManager=kubectl&force=true"), &canary("5")),
                apply(&format!("{CANARY}?fieldManager=kubectl"), &canary("6")),
            ],
        ),
    ]
}

fn guarded() -> Vec<Case> {
    let guard = |key: &str, value: &str| {
        let mut body = weight("9");
        body["metadata"][key] = json!(value);
        body
    };
    let other = "11111111-2222-3333-4444-555555555555";
    let begun = || {
        as_other("helm", &without(canary("5"), WEIGHT))
            .keep("rv", "/metadata/resourceVersion")
            .keep("uid", "/metadata/uid")
    };
    vec![
        case(
            "as compare and swap",
            [
                begun(),
                as_ours(&guard("resourceVersion", "{rv}")),
                as_ours(&guard("resourceVersion", "{rv}")),
                forced(&guard("resourceVersion", "{rv}")),
            ],
        ),
        case(
            "for this very object",
            [
                begun(),
                as_ours(&guard("uid", other)),
                forced(&guard("uid", other)),
                as_ours(&guard("uid", "{uid}")),
            ],
        ),
        case(
            "to what is not there",
            [as_ours(&weight("9")), as_ours(&guard("uid", other)), as_ours(&guard("resourceVersion", "5"))],
        ),
    ]
}

fn refused_by_query() -> Vec<Case> {
    vec![
        case("without a manager", [post(INGRESSES, &canary("5")), apply(CANARY, &weight("9"))]),
        case(
            "a manager's name too long",
            [
                post(INGRESSES, &canary("5")),
                apply(&format!("{CANARY}?fieldManager={}", "m".repeat(129)), &weight("9")),
            ],
        ),
        case(
            "force on another patch",
            [post(INGRESSES, &canary("5")), merge(&format!("{CANARY}?force=true"), &json!({}))],
        ),
    ]
}

fn refused_by_body() -> Vec<Case> {
    let body = |more: Value| {
        let mut body = weight("9");
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    vec![
        case(
            "bodies that do not fit the schema",
            [
                post(INGRESSES, &canary("5")),
                as_ours(&body(json!({"spec": {"weight": 3}}))),
                as_ours(&body(json!({"metadata": {"name": "canary", "annotations": {WEIGHT: 9}}}))),
                as_ours(&body(json!({"spec": {"ingressClassName": 9}}))).in_go_words(),
                as_ours(&body(json!({"spec": {"rules": {}}}))).in_go_words(),
            ],
        ),
        case(
            "bodies that are not for this object",
            [
                post(INGRESSES, &canary("5")),
                as_ours(&json!({"metadata": {"name": "canary"}})),
                as_ours(&body(json!({"kind": "Service"}))),
                as_ours(&body(json!({"apiVersion": "networking.k8s.io/v1beta1"}))),
                as_ours(&body(json!({"metadata": {"name": "other"}}))),
                as_ours(&body(json!({"metadata": {"name": "canary", "namespace": "other"}}))),
                as_ours(&body(json!({"metadata": {"name": "canary", "managedFields": [{"manager": "x"}]}}))),
                as_ours(&weight("9")).text("{").in_go_words(),
                as_ours(&weight("9")).text("[]").in_go_words(),
                as_ours(&weight("9")).text("name: [unclosed").in_go_words(),
            ],
        ),
        case(
            "managed fields taken away, and a broken list of them",
            [
                as_other("helm", &canary("5")),
                merge(CANARY, &json!({"metadata": {"managedFields": [{}]}})),
                as_ours(&weight("9")),
                put(CANARY, &canary("10")),
            ],
        ),
    ]
}
