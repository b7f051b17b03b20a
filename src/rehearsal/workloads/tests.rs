//! Deployments through the API: what `kubectl scale`, `set env`, `rollout restart` and a crash do.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};

use super::objects::{merge, ports_annotation};
use super::*;
use crate::rehearsal::cluster;
use crate::rehearsal::kube::{Fault, Options as ServerOptions, Scope, Server};

const NAME: &str = "langfuse-web";

struct Bench {
    client: Client,
    workloads: Workloads,
    faults: PodFaults,
    _server: Server,
}

/// v2's image: its process needs nothing but a syntactically good environment to be up.
fn deployment(replicas: usize, env: &Value) -> Value {
    let labels = json!({"app": "web"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{
                "name": NAME, "image": "langfuse/langfuse:2.95.12", "env": env,
                "ports": [{"name": "http", "containerPort": 3000}],
                "readinessProbe": {"httpGet": {"path": "/api/public/ready", "port": 3000}, "periodSeconds": 1},
            }]}},
        },
    })
}

fn good_env() -> Value {
    json!([{"name": "DATABASE_URL", "value": "postgresql://u:p@127.0.0.1:1/none"}, {"name": "SALT", "value": "s"}])
}

async fn bench(env: &Value) -> Bench {
    let server = Server::start(ServerOptions::default()).await.unwrap();
    let client = cluster::client(&server.kubeconfig("rehearsal-admin", "langfuse").unwrap()).await.unwrap();
    let faults = PodFaults::default();
    let workloads = Workloads::start(Options {
        client: client.clone(),
        namespace: "langfuse".into(),
        stores: Vec::new(),
        log: Arc::new(|_, _, _| ()),
        faults: faults.clone(),
    })
    .await
    .unwrap();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 3000, "targetPort": "http"}]},
    });
    ensure(&Api::<Service>::namespaced(client.clone(), "langfuse"), service).await.unwrap();
    ensure(&Api::<Deployment>::namespaced(client.clone(), "langfuse"), deployment(1, env)).await.unwrap();
    Bench { client, workloads, faults, _server: server }
}

impl Bench {
    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), "langfuse")
    }

    async fn pods(&self) -> Vec<Value> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), "langfuse");
        let pods = api.list(&ListParams::default()).await.unwrap();
        pods.items.into_iter().map(|pod| serde_json::to_value(pod).unwrap()).collect()
    }

    async fn ready(&self) {
        assert!(self.workloads.wait_ready(NAME, Duration::from_secs(15)).await, "{:#?}", self.pods().await);
    }

    /// Waits until `holds` of the Pods.
    async fn until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) {
        for _ in 0..150 {
            if holds(&self.pods().await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{what}: {:#?}", self.pods().await);
    }

    /// Waits until the Service has so many endpoints.
    async fn endpoints(&self, wanted: usize) {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), "langfuse");
        let name = format!("{NAME}-rehearsal");
        let slices = await_condition(api, &name, |slice: Option<&EndpointSlice>| {
            slice.is_some_and(|slice| slice.endpoints.len() == wanted)
        });
        tokio::time::timeout(Duration::from_secs(15), slices).await.expect("in time").unwrap();
    }
}

fn text<'a>(pod: &'a Value, at: &str) -> &'a str {
    pod.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

#[tokio::test]
async fn scaling_starts_and_ends_processes() {
    let bench = bench(&good_env()).await;
    bench.ready().await;
    merge(&bench.deployments(), NAME, json!({"spec": {"replicas": 3}}), "kubectl").await.unwrap();
    bench.ready().await;
    let pods = bench.pods().await;
    assert_eq!(pods.len(), 3);
    assert!(pods.iter().all(|pod| text(pod, "/metadata/ownerReferences/0/kind") == "ReplicaSet"));
    bench.endpoints(3).await;
    merge(&bench.deployments(), NAME, json!({"spec": {"replicas": 0}}), "kubectl").await.unwrap();
    bench.until("no pods", <[Value]>::is_empty).await;
    bench.workloads.stop().await;
}

#[tokio::test]
async fn a_changed_template_rolls() {
    let bench = bench(&good_env()).await;
    bench.ready().await;
    let old = text(&bench.pods().await[0], "/metadata/name").to_owned();
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}});
    merge(&bench.deployments(), NAME, patch, "kubectl").await.unwrap();
    bench
        .until("only the new pod", |pods| {
            assert!(!pods.is_empty(), "the old pod must not go before the new one is ready");
            pods.len() == 1 && text(&pods[0], "/metadata/name") != old
        })
        .await;
    bench.ready().await;
    let status = bench.deployments().get(NAME).await.unwrap();
    assert_eq!(status.status.unwrap().observed_generation, status.metadata.generation);
}

#[tokio::test]
async fn a_crash_is_seen_and_healed() {
    let bench = bench(&good_env()).await;
    bench.ready().await;
    let before = text(&bench.pods().await[0], "/metadata/annotations/rehearsal.cutover~1ports").to_owned();
    bench.faults.v2.crash_now();
    bench
        .until("a restart", |pods| {
            let status = &pods[0]["status"]["containerStatuses"][0];
            status["restartCount"] == 1
                && status["ready"] == true
                && status["lastState"]["terminated"]["reason"] == "OOMKilled"
                && status["lastState"]["terminated"]["exitCode"] == 137
        })
        .await;
    let after = text(&bench.pods().await[0], "/metadata/annotations/rehearsal.cutover~1ports").to_owned();
    assert_ne!(before, after, "port-forward follows the process");
}

#[tokio::test]
async fn a_deleted_pod_is_replaced() {
    let bench = bench(&good_env()).await;
    bench.ready().await;
    let old = text(&bench.pods().await[0], "/metadata/name").to_owned();
    let api: Api<Pod> = Api::namespaced(bench.client.clone(), "langfuse");
    api.delete(&old, &DeleteParams::default()).await.unwrap();
    bench
        .until("a new ready pod", |pods| {
            pods.iter().any(|pod| {
                text(pod, "/metadata/name") != old && pod["status"]["containerStatuses"][0]["ready"] == true
            })
        })
        .await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let missing =
        json!([{"name": "SALT", "valueFrom": {"secretKeyRef": {"name": "nowhere", "key": "salt"}}}]);
    let bench = bench(&missing).await;
    let waits = |reason: &'static str| {
        move |pods: &[Value]| {
            pods.iter().any(|pod| text(pod, "/status/containerStatuses/0/state/waiting/reason") == reason)
        }
    };
    bench.until("a configuration error", waits("CreateContainerConfigError")).await;
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": NAME, "image": "langfuse/langfuse:4.0.0"}]}}}});
    merge(&bench.deployments(), NAME, image, "kubectl").await.unwrap();
    bench.until("an image error", waits("ImagePullBackOff")).await;
    let bad = json!({"spec": {"template": {"spec": {"containers": [{
        "name": NAME, "image": "langfuse/langfuse:2.95.12", "env": [{"name": "SALT", "value": "s"}]}]}}}});
    merge(&bench.deployments(), NAME, bad, "kubectl").await.unwrap();
    bench.until("a crash loop", waits("CrashLoopBackOff")).await;
}

#[tokio::test]
async fn environments_come_from_secrets() {
    let bench = bench(&good_env()).await;
    let api: Api<Secret> = Api::namespaced(bench.client.clone(), "langfuse");
    ensure(&api, langfuse::secrets(&[("redis-password", "p$$w$(X)")])).await.unwrap();
    let missing = json!([{"secretRef": {"name": "nowhere", "optional": true}}]);
    let container = serde_json::from_value(json!({"name": "c", "envFrom": missing, "env": [
        {"name": "REDIS_AUTH", "valueFrom": {"secretKeyRef": {"name": langfuse::SECRETS, "key": "redis-password"}}},
        {"name": "REDIS_CONNECTION_STRING", "value": "redis://:$(REDIS_AUTH)@langfuse-redis-primary:6379"},
        {"name": "OPTIONAL", "valueFrom": {"secretKeyRef": {"name": "nowhere", "key": "x", "optional": true}}},
    ]}))
    .unwrap();
    let env = env::resolve(&bench.client, "langfuse", &container).await.unwrap();
    assert_eq!(env["REDIS_AUTH"], "p$$w$(X)", "a secret is taken as it is");
    assert_eq!(env["REDIS_CONNECTION_STRING"], "redis://:p$$w$(X)@langfuse-redis-primary:6379");
    assert!(!env.contains_key("OPTIONAL"));
}

#[tokio::test]
async fn a_conflict_is_no_sign_that_an_object_exists() {
    let options = ServerOptions { namespaces: vec!["langfuse".into()], ..ServerOptions::default() };
    let server = Server::start(options).await.unwrap();
    let client = cluster::client(&server.kubeconfig("rehearsal-admin", "langfuse").unwrap()).await.unwrap();
    let api: Api<Secret> = Api::namespaced(client, "langfuse");
    server.faults().next(1, Scope::Writes, Fault::Conflict);
    assert!(ensure(&api, langfuse::secrets(&[])).await.is_err());
    for _ in 0..2 {
        ensure(&api, langfuse::secrets(&[])).await.unwrap();
        assert!(api.get(langfuse::SECRETS).await.is_ok());
    }
}

#[test]
fn ports_are_json_in_an_annotation() {
    let annotation = ports_annotation(&[(3000, "127.0.0.1:4".parse().unwrap())]);
    assert_eq!(annotation["rehearsal.cutover/ports"], "{\"3000\":\"127.0.0.1:4\"}");
}
