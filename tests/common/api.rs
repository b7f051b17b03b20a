//! The Kubernetes API server of a rehearsal as another client sees it: for what somebody else looks up or writes.

use std::time::{Duration, Instant};

use cutover::clients::kube::connect;
use cutover::clients::target::KubeTarget;
use serde_json::{Value, json};

use super::person::PATIENCE;
use super::rehearsal::Rehearsal;

const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/langfuse/ingresses";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/langfuse/deployments";
const MERGE: &str = "application/merge-patch+json";

/// The server's answer; asked again where it has a bad day.
fn ask(rehearsal: &Rehearsal, method: &str, path: &str, kind: &str, body: &Value) -> Value {
    let target =
        KubeTarget { kubeconfig: Some(rehearsal.field("kubeconfig").into()), ..KubeTarget::default() };
    let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
    cutover::clients::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = connect(&target).await.unwrap().client;
        let begun = Instant::now();
        loop {
            let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
            match client.request::<Value>(request.body(body.clone()).unwrap()).await {
                Ok(answer) => return answer,
                Err(why) => assert!(begun.elapsed() < PATIENCE, "{method} {path}: {why}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

/// The weight of the canary that is stored.
pub fn weight(rehearsal: &Rehearsal) -> String {
    let canary =
        ask(rehearsal, "GET", &format!("{INGRESSES}/langfuse-canary"), "application/json", &Value::Null);
    let weight = &canary["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"];
    weight.as_str().unwrap_or_else(|| panic!("no weight: {canary:#}")).to_owned()
}

/// Annotates the canary.
pub fn annotate(rehearsal: &Rehearsal, name: &str, value: &str) {
    let patch = json!({"metadata": {"annotations": {name: value}}});
    ask(rehearsal, "PATCH", &format!("{INGRESSES}/langfuse-canary"), MERGE, &patch);
}

/// What `kubectl rollout restart deployment/langfuse-worker` sends, which remedies on the screen ask for.
pub fn restart_worker(rehearsal: &Rehearsal) {
    let now = jiff::Timestamp::now().to_string();
    let patch = json!({"spec": {"template": {"metadata": {"annotations":
        {"kubectl.kubernetes.io/restartedAt": now}}}}});
    let kind = "application/strategic-merge-patch+json";
    ask(rehearsal, "PATCH", &format!("{DEPLOYMENTS}/langfuse-worker"), kind, &patch);
}

/// Creates an Event or a Deployment.
pub fn create(rehearsal: &Rehearsal, object: &Value) {
    let path = if object["kind"] == "Event" { "/api/v1/namespaces/langfuse/events" } else { DEPLOYMENTS };
    ask(rehearsal, "POST", path, "application/json", object);
}
