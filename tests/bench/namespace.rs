//! A namespace with many pods on an API server of our own, which changes as often as it is told.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cutover::rehearsal::kube::{Server, Token};
use serde_json::{Value, json};

use crate::common::cluster;

/// Pods of one Deployment.
const EACH: usize = 50;

/// The namespace `lf`, its API server, and a configuration that knows nothing else.
pub struct Namespace {
    runtime: tokio::runtime::Runtime,
    server: Server,
    dir: tempfile::TempDir,
    pods: usize,
    rate: Arc<AtomicU64>,
}

fn deployment(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "lf"},
        "spec": {"replicas": EACH, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": "langfuse/langfuse:3.29.0"}]}}}})
}

/// A pod as clusters have them: about 4 kB of JSON.
fn pod(n: usize) -> Value {
    let app = app(n);
    let env: Vec<Value> = (0..30)
        .map(|i| json!({"name": format!("LANGFUSE_SETTING_NUMBER_{i}"), "value": format!("value-{n}-{i}")}))
        .collect();
    let probe = json!({"httpGet": {"path": "/api/public/health", "port": 3000, "scheme": "HTTP"},
        "periodSeconds": 10, "timeoutSeconds": 5, "successThreshold": 1, "failureThreshold": 3});
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{app}-6b5f7c9d4f-{n:05}"), "namespace": "lf",
            "labels": {"app": app, "pod-template-hash": "6b5f7c9d4f", "app.kubernetes.io/part-of": "langfuse"},
            "annotations": {"prometheus.io/scrape": "true", "checksum/config": format!("{n:064x}")},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-6b5f7c9d4f"),
                "uid": uuid::Uuid::new_v4().to_string(), "controller": true, "blockOwnerDeletion": true}]},
        "spec": {"nodeName": format!("node-{}", n % 7), "serviceAccountName": "langfuse",
            "containers": [{"name": "app", "image": "langfuse/langfuse:3.29.0", "env": env,
                "livenessProbe": probe, "readinessProbe": probe,
                "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}}]}})
}

fn app(n: usize) -> String {
    match n / EACH {
        0 => "langfuse-web".into(),
        1 => "langfuse-worker".into(),
        other => format!("other-{other:02}"),
    }
}

fn status(ready: bool, restarts: u64) -> Value {
    let word = if ready { "True" } else { "False" };
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    json!({"phase": "Running", "podIP": "10.0.0.7", "hostIP": "10.1.0.7", "startTime": "2026-01-01T00:00:00Z",
        "conditions": [condition("Initialized", "True"), condition("Ready", word),
            condition("ContainersReady", word), condition("PodScheduled", "True")],
        "containerStatuses": [{"name": "app", "ready": ready, "started": true, "restartCount": restarts,
            "image": "langfuse/langfuse:3.29.0", "imageID": format!("sha256:{:064x}", 7),
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]})
}

/// Who serves a Service: without it the routes would be in trouble.
fn endpoints(service: &str) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("{service}-1"), "namespace": "lf",
            "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"port": 3000}], "endpoints": [{"addresses": ["10.0.0.7"], "conditions": {"ready": true}}]})
}

/// The counters of an ingress controller that gets no requests.
fn metrics() -> SocketAddr {
    let page = "nginx_ingress_controller_requests{canary=\"\",ingress=\"lf\",namespace=\"lf\",service=\"lf-v2\",status=\"200\"} 90\n";
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}", page.len());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = client.read(&mut [0; 4096]).and_then(|_| client.write_all(answer.as_bytes()));
        }
    });
    address
}

impl Namespace {
    /// Starts the server and creates the pods.
    pub fn start(pods: usize) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let more = format!("[controller]\nurls = [\"http://{}/metrics\"]\n", metrics());
        let tokens = vec![Token::admin("bench", "bench")];
        let server = runtime.block_on(cluster::start(dir.path(), tokens, "bench", &more));
        let store = server.store();
        for service in ["lf-v2", "lf-web"] {
            store.create("bench", endpoints(service)).unwrap();
        }
        for name in (0..pods).step_by(EACH).map(app) {
            store.create("bench", deployment(&name)).unwrap();
            let count = EACH.min(pods);
            let status = json!({"status": {"replicas": count, "readyReplicas": count, "updatedReplicas": count,
                "availableReplicas": count}});
            store.merge("bench", "deployments", "lf", &name, "status", status).unwrap();
        }
        for n in 0..pods {
            let pod = pod(n);
            let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
            store.create("bench", pod).unwrap();
            // A status is written for itself, as kubelet does.
            store
                .merge("kubelet", "pods", "lf", &name, "status", json!({"status": status(true, 0)}))
                .unwrap();
        }
        let rate = Arc::new(AtomicU64::new(0));
        let namespace = Self { runtime, server, dir, pods, rate };
        namespace.change();
        namespace
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("cutover.toml")
    }

    /// The kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// From now on so many changes of pods a second.
    pub fn rate(&self, changes: u64) {
        self.rate.store(changes, Ordering::Relaxed);
    }

    /// One pod after the other loses its readiness and gets it back, and counts a restart each time.
    fn change(&self) {
        let (store, rate, pods) = (self.server.store(), Arc::clone(&self.rate), self.pods);
        self.runtime.spawn(async move {
            let mut n = 0_usize;
            let mut tick = tokio::time::interval(Duration::from_millis(5));
            let mut owed = 0.0;
            loop {
                tick.tick().await;
                owed += rate.load(Ordering::Relaxed) as f64 * 0.005;
                // Whoever lost its readiness gets it back before it is quiet.
                if rate.load(Ordering::Relaxed) == 0 {
                    owed = f64::from(u8::from(n % 2 == 1));
                }
                while owed >= 1.0 {
                    owed -= 1.0;
                    let (which, ready) = (n / 2 % pods, n % 2 == 1);
                    let name = format!("{}-6b5f7c9d4f-{which:05}", app(which));
                    let status = json!({"status": status(ready, (n / 2 / pods) as u64)});
                    store.merge("kubelet", "pods", "lf", &name, "status", status).unwrap();
                    n += 1;
                }
            }
        });
    }
}
