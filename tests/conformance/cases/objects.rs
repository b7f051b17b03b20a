//! The objects that cases are made of: those of a migration.

use serde_json::{Value, json};

/// Collections by the name that cases use.
pub const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/{ns}/ingresses";
/// The canary Ingress.
pub const CANARY: &str = "/apis/networking.k8s.io/v1/namespaces/{ns}/ingresses/canary";
/// `ConfigMap` objects.
pub const CONFIGMAPS: &str = "/api/v1/namespaces/{ns}/configmaps";
/// Deployments.
pub const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/{ns}/deployments";
/// The Deployment.
pub const WEB: &str = "/apis/apps/v1/namespaces/{ns}/deployments/web";
/// Leases.
pub const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases";
/// Events.
pub const EVENTS: &str = "/api/v1/namespaces/{ns}/events";
/// Pods.
pub const PODS: &str = "/api/v1/namespaces/{ns}/pods";
/// Services.
pub const SERVICES: &str = "/api/v1/namespaces/{ns}/services";

/// The annotation that is shifted.
pub const WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";
/// The same as a step of a JSON pointer in an object.
pub const WEIGHT_POINTER: &str = "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight";

/// A canary Ingress.
pub fn canary(weight: &str) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "canary", "labels": {"app": "web"},
            "annotations": {"nginx.ingress.kubernetes.io/canary": "true", WEIGHT: weight}},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": "lf.example", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 3000}}}}]}}]}})
}

/// Only the weight of the canary, as our apply sends it.
pub fn weight(weight: &str) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "canary", "namespace": "{ns}", "annotations": {WEIGHT: weight}}})
}

/// A `ConfigMap` with one entry and labels.
pub fn config(name: &str, tier: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"tier": tier}}, "data": {"a": "1"}})
}

/// Langfuse's web Deployment.
pub fn web() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                {"name": "web", "image": "langfuse/langfuse:2", "ports": [{"containerPort": 3000}],
                 "env": [{"name": "PORT", "value": "3000"}, {"name": "NODE_ENV", "value": "production"}]}]}}}})
}

/// One of its Pods.
pub fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "langfuse/langfuse:2"}]}})
}

/// The lease of the program.
pub fn lease(holder: &str) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "cutover"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 0,
            "acquireTime": "2026-01-02T03:04:05.000006Z", "renewTime": "2026-01-02T03:04:05.000006Z"}})
}

/// An Event about the canary.
pub fn event(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "type": "Normal", "reason": "Shifted",
        "message": "5 % -> 25 %", "action": "Shift", "reportingComponent": "cutover", "reportingInstance": "mia",
        "eventTime": "2026-01-02T03:04:05.000006Z",
        "involvedObject": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "canary", "namespace": "{ns}"}})
}

/// A Service.
pub fn service() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 3000}]}})
}
