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
