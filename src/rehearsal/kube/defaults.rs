//! The values a real API server fills in where an object leaves them out.
//!
//! Source: `SetDefaults_*` in Kubernetes' `pkg/apis/*/v1/defaults.go`. Only kinds of this server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::objects::{map, map_at};
use super::resources::Kind;

/// Sets a key that is missing.
fn fill(map: &mut Map<String, Value>, defaults: &[(&str, Value)]) {
    for (key, value) in defaults {
        if !map.contains_key(*key) {
            map.insert((*key).into(), value.clone());
        }
    }
}

/// Fills an object of a kind.
pub(super) fn fill_in(kind: &Kind, object: &mut Value) {
    match kind.kind {
        "Deployment" => deployment(object),
        "StatefulSet" => stateful_set(object),
        "ReplicaSet" => {
            fill(map_at(object, &["spec"]), &[("replicas", json!(1))]);
            pod_spec(map_at(object, &["spec", "template", "spec"]));
        }
        "Pod" => {
            pod_spec(map_at(object, &["spec"]));
            fill(map_at(object, &["spec"]), &[("enableServiceLinks", json!(true))]);
            fill(
                map_at(object, &["status"]),
                &[("phase", json!("Pending")), ("qosClass", json!("BestEffort"))],
            );
        }
        "Service" => service(object),
        "Ingress" => ingress(object),
        "Secret" => secret(map(object)),
        "Namespace" => {
            let name = object["metadata"]["name"].clone();
            let mark = map_at(object, &["metadata", "labels"]);
            mark.insert("kubernetes.io/metadata.name".into(), name);
            fill(map_at(object, &["status"]), &[("phase", json!("Active"))]);
        }
        "Lease" | "IngressClass" => fill(map(object), &[("spec", json!({}))]),
        "Event" => event(kind, map(object)),
        "EndpointSlice" => {
            for port in object.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                fill(map(port), &[("name", json!("")), ("protocol", json!("TCP"))]);
            }
        }
        _ => {}
    }
    if kind.status {
        fill(map(object), &[("status", json!({}))]);
    }
}

/// What the server gives to an object as it stores it, after its owners were noted: nobody owns it.
pub(super) fn allocate(kind: &Kind, object: &mut Value) {
    match kind.kind {
        "Service" => addresses(map_at(object, &["spec"])),
        "Namespace" => fill(map_at(object, &["spec"]), &[("finalizers", json!(["kubernetes"]))]),
        "Pod" => admitted(map_at(object, &["spec"])),
        _ => {}
    }
}

/// The parts of an object that exist even in an empty one, so that nobody owns them as such.
pub(super) fn skeleton(kind: &Kind) -> Value {
    let template = json!({"metadata": {}, "spec": {"containers": null}});
    match kind.kind {
        "Deployment" => json!({"metadata": {}, "spec": {"strategy": {}, "template": template}, "status": {}}),
        "StatefulSet" => {
            json!({"metadata": {}, "spec": {"updateStrategy": {}, "template": template}, "status": {}})
        }
        "ReplicaSet" => json!({"metadata": {}, "spec": {"template": template}, "status": {}}),
        "Pod" => json!({"metadata": {}, "spec": {"containers": null}, "status": {}}),
        "Service" | "Ingress" => json!({"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}}),
        "Event" => {
            let mut empty = json!({"metadata": {}});
            event(kind, map(&mut empty));
            empty
        }
        "Lease" | "IngressClass" => json!({"metadata": {}, "spec": {}}),
        _ => json!({"metadata": {}, "spec": {}, "status": {}}),
    }
}

fn deployment(object: &mut Value) {
    let spec = map_at(object, &["spec"]);
    fill(
        spec,
        &[
            ("progressDeadlineSeconds", json!(600)),
            ("replicas", json!(1)),
            ("revisionHistoryLimit", json!(10)),
            ("strategy", json!({})),
        ],
    );
    fill(map_at(object, &["spec", "strategy"]), &[("type", json!("RollingUpdate"))]);
    if object["spec"]["strategy"]["type"] == "RollingUpdate" {
        let rolling = map_at(object, &["spec", "strategy", "rollingUpdate"]);
        fill(rolling, &[("maxSurge", json!("25%")), ("maxUnavailable", json!("25%"))]);
    }
    pod_spec(map_at(object, &["spec", "template", "spec"]));
}

fn stateful_set(object: &mut Value) {
    fill(
        map_at(object, &["spec"]),
        &[
            (
                "persistentVolumeClaimRetentionPolicy",
                json!({"whenDeleted": "Retain", "whenScaled": "Retain"}),
            ),
            ("podManagementPolicy", json!("OrderedReady")),
            ("replicas", json!(1)),
            ("revisionHistoryLimit", json!(10)),
            ("updateStrategy", json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})),
        ],
    );
    pod_spec(map_at(object, &["spec", "template", "spec"]));
}

fn pod_spec(spec: &mut Map<String, Value>) {
    for list in ["initContainers", "containers"] {
        for item in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            container(map(item));
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        for source in ["configMap", "secret"] {
            if let Some(Value::Object(source)) = volume.get_mut(source) {
                fill(source, &[("defaultMode", json!(420))]);
            }
        }
    }
    fill(
        spec,
        &[
            ("dnsPolicy", json!("ClusterFirst")),
            ("restartPolicy", json!("Always")),
            ("schedulerName", json!("default-scheduler")),
            ("securityContext", json!({})),
            ("terminationGracePeriodSeconds", json!(30)),
        ],
    );
}

fn container(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map_or("latest", |(_, tag)| tag);
    let pull = if tag == "latest" && !image.contains('@') { "Always" } else { "IfNotPresent" };
    fill(
        container,
        &[
            ("imagePullPolicy", json!(pull)),
            ("resources", json!({})),
            ("terminationMessagePath", json!("/dev/termination-log")),
            ("terminationMessagePolicy", json!("File")),
        ],
    );
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        fill(map(port), &[("protocol", json!("TCP"))]);
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe)) = container.get_mut(name) {
            probe_defaults(probe);
        }
    }
    for env in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::Object(field)) = env.get_mut("valueFrom").and_then(|from| from.get_mut("fieldRef"))
        {
            fill(field, &[("apiVersion", json!("v1"))]);
        }
    }
}

fn probe_defaults(probe: &mut Map<String, Value>) {
    fill(
        probe,
        &[
            ("failureThreshold", json!(3)),
            ("periodSeconds", json!(10)),
            ("successThreshold", json!(1)),
            ("timeoutSeconds", json!(1)),
        ],
    );
    if let Some(Value::Object(get)) = probe.get_mut("httpGet") {
        fill(get, &[("path", json!("/")), ("scheme", json!("HTTP"))]);
    }
}

fn service(object: &mut Value) {
    let spec = map_at(object, &["spec"]);
    fill(spec, &[("sessionAffinity", json!("None")), ("type", json!("ClusterIP"))]);
    if spec["type"] != "ExternalName" {
        fill(spec, &[("internalTrafficPolicy", json!("Cluster"))]);
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let port = map(port);
        let number = port.get("port").cloned().unwrap_or_default();
        fill(port, &[("protocol", json!("TCP")), ("targetPort", number)]);
    }
    fill(map_at(object, &["status"]), &[("loadBalancer", json!({}))]);
}

fn addresses(spec: &mut Map<String, Value>) {
    if spec.get("type").is_some_and(|kind| kind == "ExternalName") {
        return;
    }
    let [a, b, c]: [u8; 3] = rand::random();
    fill(spec, &[("clusterIP", json!(format!("10.{}.{b}.{c}", 96 + a % 16)))]);
    let address = spec["clusterIP"].clone();
    let more = [
        ("clusterIPs", json!([address])),
        ("ipFamilies", json!(["IPv4"])),
        ("ipFamilyPolicy", json!("SingleStack")),
    ];
    fill(spec, &more);
}

/// What admission gives to every pod: the plugins `Priority` and `DefaultTolerationSeconds`.
fn admitted(spec: &mut Map<String, Value>) {
    fill(spec, &[("priority", json!(0)), ("preemptionPolicy", json!("PreemptLowerPriority"))]);
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let Some(list) = tolerations.as_array_mut() else { return };
        if list.iter().all(|one| one["key"] != key) {
            list.push(
                json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}),
            );
        }
    }
}

/// The fields of an event that are written even where they are empty: its type has no `omitempty` for them.
fn event(kind: &Kind, event: &mut Map<String, Value>) {
    let [source, first, last, component] = match kind.group {
        "" => ["source", "firstTimestamp", "lastTimestamp", "reportingComponent"],
        _ => ["deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp", ""],
    };
    fill(
        event,
        &[(source, json!({})), (first, Value::Null), (last, Value::Null), ("eventTime", Value::Null)],
    );
    if !component.is_empty() {
        fill(event, &[(component, json!("")), ("reportingInstance", json!(""))]);
    }
}

fn ingress(object: &mut Value) {
    fill(map_at(object, &["status"]), &[("loadBalancer", json!({}))]);
}

/// `stringData` is a way to write `data` without encoding it; it is never stored.
fn secret(secret: &mut Map<String, Value>) {
    fill(secret, &[("type", json!("Opaque"))]);
    let Some(Value::Object(plain)) = secret.remove("stringData") else {
        return;
    };
    let data = map(secret.entry("data").or_insert_with(|| json!({})));
    for (key, value) in plain {
        let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
        data.insert(key, json!(encoded));
    }
}
