//! Refusals that have nothing to do with the object: who asks, in which language, for what.

use serde_json::{Value, json};

use super::objects::{CANARY, CONFIGMAPS, INGRESSES, LEASES, WEIGHT, canary, config, lease, weight};
use crate::request::{Case, apply, case, delete, get, merge, post, put};

fn notes() -> Value {
    json!({"metadata": {"annotations": {WEIGHT: "9"}}})
}

pub fn cases() -> Vec<Case> {
    let mut all = strangers();
    all.extend(limited_users());
    all.extend(requests());
    all.extend(bodies());
    all
}

fn strangers() -> Vec<Case> {
    vec![
        case(
            "401",
            [
                get(CANARY).by("stranger"),
                merge(CANARY, &notes()).by("stranger"),
                get("/version").by("stranger"),
            ],
        ),
        case(
            "403 without a token",
            [
                get(CANARY).by("nobody"),
                get(INGRESSES).by("nobody"),
                get("/apis").by("nobody"),
                get("/nowhere").by("nobody"),
            ],
        ),
    ]
}

fn limited_users() -> Vec<Case> {
    vec![
        case(
            "403 with one",
            [
                post(INGRESSES, &canary("5")),
                get(CANARY).by("looker"),
                merge(CANARY, &notes()).by("looker"),
                apply(&format!("{CANARY}?fieldManager=x"), &weight("9")).by("looker"),
                put(CANARY, &canary("9")).by("looker"),
                post(INGRESSES, &canary("5")).by("looker"),
                delete(CANARY, &json!({})).by("looker"),
                delete(INGRESSES, &json!({})).by("looker"),
                get(CONFIGMAPS).by("looker"),
                get(&format!("{CONFIGMAPS}/a")).by("looker"),
                get(&format!("{CONFIGMAPS}?watch=true&timeoutSeconds=1")).by("looker"),
                get("/api/v1/pods").by("looker"),
                get("/api/v1/namespaces/{ns}").by("looker"),
                get("/apis/apps/v1/namespaces/{ns}/deployments/web/scale").by("looker"),
                get("/api/v1/namespaces/{ns}/pods/one/log").by("looker"),
                post("/api/v1/namespaces/{ns}/pods/one/portforward", &json!({})).by("looker"),
                merge(&format!("{INGRESSES}/none"), &notes()).by("looker"),
                get("/metrics").by("looker"),
            ],
        ),
        case(
            "403 for all but one name",
            [
                get(&format!("{LEASES}?fieldSelector=metadata.name%3Dcutover")).by("clerk"),
                get(&format!("{LEASES}?fieldSelector=metadata.name%3Dother")).by("clerk"),
                get(LEASES).by("clerk"),
                merge(&format!("{LEASES}/cutover"), &notes()).by("clerk"),
                put(&format!("{LEASES}/cutover"), &lease("mia")).by("clerk"),
                apply(&format!("{LEASES}/cutover?fieldManager=x"), &lease("mia")).by("clerk"),
                post(LEASES, &lease("mia")),
                put(&format!("{LEASES}/other"), &lease("mia")).by("clerk"),
                merge(&format!("{LEASES}/cutover"), &notes()).by("clerk"),
            ],
        ),
    ]
}

fn requests() -> Vec<Case> {
    vec![
        case(
            "404",
            [
                get(CANARY),
                merge(CANARY, &notes()),
                put(CANARY, &canary("9")),
                delete(CANARY, &json!({})),
                get(&format!("{CANARY}/status")),
                get(&format!("{CANARY}/nothing")),
                post("/api/v1/namespaces/nowhere/configmaps", &config("a", "front")),
                get("/api/v1/namespaces/nowhere/configmaps"),
                apply("/api/v1/namespaces/nowhere/configmaps/a?fieldManager=x", &config("a", "front")),
                apply(&format!("{CANARY}/status?fieldManager=x"), &weight("9")),
            ],
        ),
        case(
            "405",
            [
                put(INGRESSES, &canary("5")),
                merge(INGRESSES, &notes()),
                post(CANARY, &canary("5")),
                post("/apis/networking.k8s.io/v1/ingresses", &canary("5")),
            ],
        ),
        case(
            "415",
            [
                post(INGRESSES, &canary("5")),
                merge(CANARY, &notes()).media("application/json"),
                merge(CANARY, &notes()).media("text/plain"),
                merge(CANARY, &notes()).media(""),
                post(CONFIGMAPS, &config("a", "front")).media("text/plain"),
                put(CANARY, &canary("5")).media("application/xml"),
                merge(CANARY, &notes()).media("application/merge-patch+json; charset=utf-8"),
            ],
        ),
    ]
}

fn bodies() -> Vec<Case> {
    vec![
        case(
            "400",
            [
                post(CONFIGMAPS, &json!({})).text("{").in_go_words(),
                post(CONFIGMAPS, &json!({})).text("").in_go_words(),
                post(CONFIGMAPS, &json!([])).in_go_words(),
                post(CONFIGMAPS, &json!("text")).in_go_words(),
                post(CONFIGMAPS, &json!({"metadata": "text"})).in_go_words(),
                post(CONFIGMAPS, &json!({"metadata": {"name": "a"}, "data": {"a": 1}})).in_go_words(),
            ],
        ),
        case(
            "422",
            [
                post(INGRESSES, &json!({"metadata": {"name": "canary"}})),
                post(
                    INGRESSES,
                    &json!({"metadata": {"name": "canary"}, "spec": {"rules": [{"host": "Not A Host"}]}}),
                ),
            ],
        ),
        case(
            "limits",
            [
                get(&format!("{CONFIGMAPS}?limit=-1")),
                get(&format!("{CONFIGMAPS}?limit=many")),
                get(&format!("{CONFIGMAPS}?timeoutSeconds=soon")),
            ],
        ),
        case("a body that is too large", [post(CONFIGMAPS, &json!({})).text(&" ".repeat(3_200_000))]),
    ]
}
