//! What a server fills in and who owns it, for the kinds of the rehearsal as it writes them.

use serde_json::{Value, json};

use super::objects::{DEPLOYMENTS, PODS, SERVICES, WEB};
use crate::request::{Case, case, delete, get, merge, post, put};

const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/{ns}/statefulsets";
const REPLICA_SETS: &str = "/apis/apps/v1/namespaces/{ns}/replicasets";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices";

/// A pod template with everything that has defaults of its own.
fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {
        "initContainers": [{"name": "migrate", "image": "langfuse/langfuse"}],
        "volumes": [{"name": "config", "configMap": {"name": "a"}}, {"name": "keys", "secret": {"secretName": "b"}},
            {"name": "room", "emptyDir": {}}],
        "containers": [{"name": "web", "image": "registry.example:5000/langfuse@sha256:0123456789012345678901234567890123456789012345678901234567890123",
            "command": ["node"], "args": ["web.js"],
            "ports": [{"name": "http", "containerPort": 3000}],
            "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "b", "key": "k"}}}],
            "envFrom": [{"configMapRef": {"name": "a"}}],
            "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
            "volumeMounts": [{"name": "config", "mountPath": "/config"}],
            "readinessProbe": {"httpGet": {"path": "/api/public/ready", "port": 3000}, "periodSeconds": 5},
            "livenessProbe": {"tcpSocket": {"port": "http"}},
            "startupProbe": {"exec": {"command": ["true"]}}}]}})
}

fn workload(kind: &str, more: &Value) -> Value {
    let mut object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template()}});
    for (key, value) in more.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object
}

pub fn cases() -> Vec<Case> {
    let mut all = workloads();
    all.extend(what_belongs_to_them());
    all.extend(others());
    all
}

fn workloads() -> Vec<Case> {
    vec![
        case(
            "a Deployment with all that has defaults",
            [post(DEPLOYMENTS, &workload("Deployment", &json!({}))), get(WEB)],
        ),
        case(
            "a Deployment that is recreated",
            [post(DEPLOYMENTS, &workload("Deployment", &json!({"strategy": {"type": "Recreate"}})))],
        ),
        case(
            "a StatefulSet",
            [
                post(STATEFUL_SETS, &workload("StatefulSet", &json!({"serviceName": "web"}))),
                merge(&format!("{STATEFUL_SETS}/web"), &json!({"spec": {"replicas": 0}})),
                merge(
                    &format!("{STATEFUL_SETS}/web/status"),
                    &json!({"status": {"replicas": 1, "readyReplicas": 1}}),
                ),
            ],
        ),
        case(
            "a ReplicaSet, as the deployment controller writes it",
            [
                post(REPLICA_SETS, &workload("ReplicaSet", &json!({"replicas": 2}))),
                merge(&format!("{REPLICA_SETS}/web/scale"), &json!({"spec": {"replicas": 1}})),
                delete(&format!("{REPLICA_SETS}/web"), &json!({"propagationPolicy": "Background"})),
            ],
        ),
    ]
}

fn what_belongs_to_them() -> Vec<Case> {
    vec![
        case(
            "a Pod with an owner, and how it fares",
            [
                post(
                    PODS,
                    &json!({"metadata": {"name": "web-1", "labels": {"app": "web"}, "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "11111111-2222-3333-4444-555555555555", "controller": true}]},
                    "spec": template()["spec"]}),
                ),
                merge(
                    &format!("{PODS}/web-1/status"),
                    &json!({"status": {"phase": "Running", "podIP": "10.1.2.3",
                    "conditions": [{"type": "Ready", "status": "True"}]}}),
                ),
                merge(
                    &format!("{PODS}/web-1/status"),
                    &json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]}}),
                ),
            ],
        ),
        case(
            "an EndpointSlice",
            [post(
                SLICES,
                &json!({"metadata": {"name": "web-abc", "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": true}}], "ports": [{"port": 3000}]}),
            )],
        ),
    ]
}

fn others() -> Vec<Case> {
    vec![
        case(
            "Services of other types",
            [
                post(
                    SERVICES,
                    &json!({"metadata": {"name": "out"}, "spec": {"type": "ExternalName", "externalName": "db.example.com"}}),
                ),
                post(
                    SERVICES,
                    &json!({"metadata": {"name": "none"}, "spec": {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}),
                ),
            ],
        ),
        case(
            "a ServiceAccount, a PersistentVolumeClaim, a bare ConfigMap",
            [
                post("/api/v1/namespaces/{ns}/serviceaccounts", &json!({"metadata": {"name": "web"}})),
                post(
                    "/api/v1/namespaces/{ns}/persistentvolumeclaims",
                    &json!({"metadata": {"name": "data"}, "spec": {
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
                )
                .beside(
                    "/body/metadata/finalizers",
                    "the controller that would take it off again does not run",
                ),
                post("/api/v1/namespaces/{ns}/configmaps", &json!({"metadata": {"name": "bare"}})),
            ],
        ),
        case(
            "a replacement that leaves the defaults out",
            [
                post(DEPLOYMENTS, &workload("Deployment", &json!({"replicas": 3}))),
                put(WEB, &workload("Deployment", &json!({"replicas": 3}))),
                put(WEB, &workload("Deployment", &json!({}))),
            ],
        ),
    ]
}
