//! The rehearsal's API server by itself, with one canary pair in the namespace `lf`, and a configuration for it.

use std::path::Path;

use cutover::rehearsal::kube::{Options, Server, Token};
use serde_json::{Value, json};

/// Main and canary Ingress, the canary at 25, and their Services.
fn pair() -> Vec<Value> {
    let service = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "lf"},
        "spec": {"selector": {"app": name}, "ports": [{"port": 3000}]}})
    };
    let ingress = |name: &str, service: &str, notes: Value| {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": "lf", "annotations": notes},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": "lf.example.com", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 3000}}}}]}}]}})
    };
    let canary = json!({"nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": "25"});
    vec![
        service("lf-v2"),
        service("lf-web"),
        ingress("lf", "lf-v2", json!({})),
        ingress("lf-canary", "lf-web", canary),
    ]
}

/// Starts the server and writes `kubeconfig` (as `user`) and `cutover.toml` (with `more` at its end) into `dir`.
pub async fn start(dir: &Path, tokens: Vec<Token>, user: &str, more: &str) -> Server {
    let options = Options { namespaces: vec!["lf".into()], tokens, ..Options::default() };
    let server = Server::start(options).await.unwrap();
    for object in pair() {
        server.store().create("test", object).unwrap();
    }
    std::fs::write(dir.join("kubeconfig"), server.kubeconfig(user, "lf").unwrap()).unwrap();
    let config = "[kubernetes]\nkubeconfig = \"kubeconfig\"\n[journal]\ndir = \"journal\"\n";
    std::fs::write(dir.join("cutover.toml"), format!("{config}{more}")).unwrap();
    server
}

/// What the guards of a forward move ask for: endpoints of both Services, v3 web and worker ready.
pub fn make_ready(server: &Server) {
    let store = server.store();
    for service in ["lf-v2", "lf-web"] {
        let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": service, "namespace": "lf", "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}],
            "ports": [{"port": 3000}]});
        store.create("test", slice).unwrap();
    }
    for (name, image) in
        [("langfuse-web", "langfuse/langfuse:3.29.0"), ("langfuse-worker", "langfuse/langfuse-worker:3.29.0")]
    {
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": "lf"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": name, "image": image}]}}}});
        store.create("test", deployment).unwrap();
        let status = json!({"status": {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1}});
        store.merge("test", "deployments", "lf", name, "status", status).unwrap();
    }
}

/// What the canary stores.
pub fn weight(server: &Server) -> u8 {
    let canary = server.store().get("ingresses", "lf", "lf-canary").unwrap();
    let text = &canary["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"];
    text.as_str().unwrap().parse().unwrap()
}
