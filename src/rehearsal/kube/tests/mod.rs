//! The server as its clients see it: `kube` in-process, the real `kubectl` where there is one.

mod apply;
mod desk;
mod faults;
mod kubectl;
mod patches;
mod portforward;
mod reads;
mod reviews;
mod watches;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use serde_json::{Value, json};

use super::{Options, Rule, Server, Token};

pub(super) const NS: &str = "langfuse";
pub(super) const WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";

/// A server with an admin, a user who may only look at Ingresses, and one with rights to one Lease.
pub(super) async fn server() -> Server {
    let looker = Token::limited(
        "looker",
        "looker",
        vec![Rule::new("networking.k8s.io", &["ingresses"], &["get", "list", "watch"]).in_namespace(NS)],
    );
    let verbs = ["list", "watch", "update", "patch"];
    let lease = Rule::new("coordination.k8s.io", &["leases"], &verbs).in_namespace(NS).named(&["cutover"]);
    let tokens = vec![Token::admin("admin", "admin"), looker, Token::limited("clerk", "clerk", vec![lease])];
    let options = Options { tokens, namespaces: vec![NS.into()], ..Options::default() };
    Server::start(options).await.expect("the server starts")
}

pub(super) async fn client(server: &Server, user: &str) -> Client {
    let yaml = server.kubeconfig(user, NS).expect("the user exists");
    let config = Kubeconfig::from_yaml(&yaml).expect("the kubeconfig is one");
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let mut config = config.expect("the kubeconfig can be used");
    // What the server refuses is what the tests are about; kube would try 429, 503 and 504 again for minutes.
    config.default_retry = false;
    Client::try_from(config).expect("a client")
}

/// The status of a refusal.
pub(super) fn refusal<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> Status {
    match result.expect_err("should be refused") {
        kube::Error::Api(status) => *status,
        other => panic!("not a refusal by the server: {other}"),
    }
}

/// A refusal of any request as JSON.
pub(super) async fn raw(
    server: &Server,
    method: &str,
    path: &str,
    media: &str,
    body: &Value,
) -> (u16, Value) {
    let request = reqwest::Client::builder().no_proxy().build().unwrap();
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let answer = request
        .request(method, format!("{}{path}", server.url()))
        .header("Authorization", "Bearer admin")
        .header("Content-Type", media)
        .body(if body.is_null() { String::new() } else { body.to_string() })
        .send()
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("a body in JSON"))
}

pub(super) fn canary() -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "langfuse-v3", "namespace": NS, "annotations": {
            "nginx.ingress.kubernetes.io/canary": "true", WEIGHT: "0"}},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": "langfuse.example", "http": {"paths": [
            {"path": "/", "pathType": "Prefix",
             "backend": {"service": {"name": "langfuse-web", "port": {"number": 3000}}}}]}}]}})
}

pub(super) fn deployment(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": NS},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [
                {"name": "web", "image": "langfuse/langfuse:3.80.0", "ports": [{"containerPort": 3000}],
                 "env": [{"name": "PORT", "value": "3000"}, {"name": "NODE_ENV", "value": "production"}]}]}}}})
}

pub(super) fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NS, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "langfuse/langfuse:3.80.0"}]}})
}
