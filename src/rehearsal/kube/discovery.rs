//! What the server has, told to clients that look: API groups, resources, version, `OpenAPI`.
//!
//! The `OpenAPI` documents hold no schemas; they say, for each kind, that it can be patched and that the server
//! validates fields, which is what `kubectl apply` reads them for.

use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::{Value, json};

use super::resources::{KINDS, Kind, group_versions};
use super::reviews::REVIEWS;

/// The Kubernetes version whose types the server speaks (`k8s-openapi` feature `v1_33`).
const VERSION: (&str, &str, &str) = ("1", "33", "v1.33.0");

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The document at a path, if there is one.
pub(super) fn document(path: &str, headers: &HeaderMap) -> Option<Value> {
    let aggregated = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|accept| {
        accept.split(',').any(|part| part.contains("v=v2;") && part.contains("as=APIGroupDiscoveryList"))
    });
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["version"] => Some(version()),
        ["api"] if aggregated => Some(aggregate(true)),
        ["apis"] if aggregated => Some(aggregate(false)),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": []})),
        ["apis"] => Some(json!({"kind": "APIGroupList", "apiVersion": "v1",
            "groups": groups().into_iter().map(api_group).collect::<Vec<_>>()})),
        ["api", "v1"] => Some(resources("", "v1")),
        ["apis", group] => groups().contains(group).then(|| {
            let mut shown = api_group(group);
            shown["kind"] = json!("APIGroup");
            shown["apiVersion"] = json!("v1");
            shown
        }),
        ["apis", group, version] => {
            group_versions().contains(&(*group, *version)).then(|| resources(group, version))
        }
        ["openapi", "v3"] => Some(openapi_index()),
        ["openapi", "v3", rest @ ..] => openapi(rest),
        _ => None,
    }
}

fn version() -> Value {
    let (major, minor, git) = VERSION;
    json!({"major": major, "minor": minor, "gitVersion": git, "gitCommit": "cutover-rehearsal",
        "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": "linux/amd64"})
}

fn groups() -> Vec<&'static str> {
    group_versions().into_iter().map(|(group, _)| group).filter(|group| !group.is_empty()).collect()
}

fn api_group(group: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/v1"), "version": "v1"});
    json!({"name": group, "versions": [version.clone()], "preferredVersion": version})
}

fn kinds_of<'a>(group: &'a str, version: &'a str) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |kind| kind.group == group && kind.version == version)
}

fn subresources(kind: &Kind) -> Vec<(&'static str, Value, &'static [&'static str])> {
    let own = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let mut found: Vec<(&str, Value, &[&str])> = Vec::new();
    if kind.status {
        found.push(("status", own, &["get", "patch", "update"]));
    }
    if kind.scale {
        let scale = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
        found.push(("scale", scale, &["get", "patch", "update"]));
    }
    if kind.kind == "Pod" {
        let pod = json!({"group": "", "version": "v1", "kind": "Pod"});
        let forward = json!({"group": "", "version": "v1", "kind": "PodPortForwardOptions"});
        found.push(("log", pod, &["get"]));
        found.push(("portforward", forward, &["create", "get"]));
    }
    found
}

fn resources(group: &str, version: &str) -> Value {
    let mut list = Vec::new();
    for kind in kinds_of(group, version) {
        let mut row = json!({"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": VERBS, "storageVersionHash": ""});
        if !kind.short.is_empty() {
            row["shortNames"] = json!(kind.short);
        }
        if kind.in_all {
            row["categories"] = json!(["all"]);
        }
        list.push(row);
        for (name, of, verbs) in subresources(kind) {
            list.push(json!({"name": format!("{}/{name}", kind.plural), "singularName": "", "verbs": verbs,
                "namespaced": kind.namespaced, "kind": of["kind"], "group": of["group"], "version": of["version"]}));
        }
    }
    for (_, plural, kind) in REVIEWS.iter().filter(|(g, ..)| *g == group) {
        list.push(
            json!({"name": plural, "singularName": kind.to_lowercase(), "namespaced": false, "kind": kind,
            "verbs": ["create"]}),
        );
    }
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": list})
}

/// All groups with all resources in one answer (`apidiscovery.k8s.io/v2`).
fn aggregate(core: bool) -> Value {
    let items: Vec<Value> = group_versions()
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, version)| {
            let metadata = if core { json!({}) } else { json!({"name": group}) };
            let versions = [json!({"version": version, "freshness": "Current",
                "resources": aggregated_resources(group, version)})];
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_resources(group: &str, version: &str) -> Vec<Value> {
    let scope = |namespaced: bool| if namespaced { "Namespaced" } else { "Cluster" };
    let mut list: Vec<Value> = kinds_of(group, version)
        .map(|kind| {
            let own = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
            let mut row = json!({"resource": kind.plural, "responseKind": own, "scope": scope(kind.namespaced),
                "singularResource": kind.singular, "verbs": VERBS});
            if !kind.short.is_empty() {
                row["shortNames"] = json!(kind.short);
            }
            if kind.in_all {
                row["categories"] = json!(["all"]);
            }
            let below: Vec<Value> = subresources(kind)
                .into_iter()
                .map(|(name, of, verbs)| json!({"subresource": name, "responseKind": of, "verbs": verbs}))
                .collect();
            if !below.is_empty() {
                row["subresources"] = json!(below);
            }
            row
        })
        .collect();
    for (_, plural, kind) in REVIEWS.iter().filter(|(g, ..)| *g == group) {
        list.push(json!({"resource": plural, "scope": scope(false), "singularResource": kind.to_lowercase(),
            "responseKind": {"group": group, "version": version, "kind": kind}, "verbs": ["create"]}));
    }
    list
}

fn openapi_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn openapi_index() -> Value {
    let paths: serde_json::Map<String, Value> = group_versions()
        .into_iter()
        .map(|(group, version)| {
            let path = openapi_path(group, version);
            (path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash=rehearsal")}))
        })
        .collect();
    json!({"paths": paths})
}

fn openapi(rest: &[&str]) -> Option<Value> {
    let (group, version) = match rest {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        _ => return None,
    };
    if !group_versions().contains(&(group, version)) {
        return None;
    }
    let mut paths = serde_json::Map::new();
    for kind in kinds_of(group, version) {
        let place = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let path = format!("/{}{place}/{}/{{name}}", openapi_path(group, version), kind.plural);
        let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
        paths.insert(path, json!({"patch": {
            "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation"), parameter("force")],
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind.kind},
        }}));
    }
    let info = json!({"title": "cutover rehearsal", "version": VERSION.2});
    Some(json!({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}))
}
