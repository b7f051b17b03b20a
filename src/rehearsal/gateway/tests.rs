//! The gateway against an API server: what an operator's patch does to real requests.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::*;
use crate::rehearsal::cluster;
use crate::rehearsal::kube::{Options as ServerOptions, Server};
use crate::rehearsal::workloads::manifests::{ingress, langfuse};
use crate::rehearsal::workloads::objects::{ensure, merge};

struct Bench {
    client: Client,
    gateway: Gateway,
    dir: tempfile::TempDir,
    _server: Server,
}

/// A backend that answers its own name.
async fn backend(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app =
        axum::Router::new().fallback(move |body: String| async move { format!("{name} {}", body.len()) });
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn slice(service: &str, ip: &str, address: SocketAddr) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("{service}-1"), "labels": {"kubernetes.io/service-name": service},
                     "annotations": {endpoints::DIAL: json!({format!("{ip}:3000"): address.to_string()}).to_string()}},
        "ports": [{"name": "http", "port": 3000, "protocol": "TCP"}],
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}],
    })
}

async fn bench() -> Bench {
    let namespaces = vec!["langfuse".to_owned()];
    let server = Server::start(ServerOptions { namespaces, ..ServerOptions::default() }).await.unwrap();
    let client = cluster::client(&server.kubeconfig("rehearsal-admin", "langfuse").unwrap()).await.unwrap();
    let services: Api<Service> = Api::namespaced(client.clone(), "langfuse");
    ensure(&services, ingress::v2_service()).await.unwrap();
    ensure(&services, langfuse::web_service()).await.unwrap();
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "langfuse");
    ensure(&slices, ingress::v2_slice(backend("v2").await)).await.unwrap();
    ensure(&slices, slice(langfuse::WEB, "10.244.0.7", backend("v3").await)).await.unwrap();
    let ingresses: Api<Ingress> = Api::namespaced(client.clone(), "langfuse");
    for object in [ingress::main(), ingress::canary(0), ingress::docs()] {
        ensure(&ingresses, object).await.unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(Options {
        client: client.clone(),
        namespace: "langfuse".into(),
        poll: Duration::from_millis(20),
        seed: 1,
        access_log: dir.path().join("access.log"),
    })
    .await
    .unwrap();
    Bench { client, gateway, dir, _server: server }
}

impl Bench {
    fn ingresses(&self) -> Api<Ingress> {
        Api::namespaced(self.client.clone(), "langfuse")
    }

    async fn annotate(&self, name: &str, value: Value) {
        let key = format!("{}{name}", annotations::PREFIX);
        let patch = json!({"metadata": {"annotations": {key: value}}});
        let patched = merge(&self.ingresses(), ingress::CANARY, patch, "test").await.unwrap();
        let policy = annotations::policy(patched.annotations());
        until("the policy is live", async || {
            let live = self.gateway.state.live();
            live.upstreams.get("langfuse-langfuse-web-3000").is_some_and(|canary| canary.policy == policy)
        })
        .await;
    }

    async fn delete(&self, name: &str) {
        self.ingresses().delete(name, &kube::api::DeleteParams::default()).await.unwrap();
    }

    async fn get(&self, host: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, String) {
        use http_body_util::BodyExt as _;
        let mut request =
            http::Request::post(format!("http://{}/api/x", self.gateway.public)).header("host", host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let client: HttpClient<HttpConnector, Full<Bytes>> =
            HttpClient::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request.body(Full::from(body)).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&text).into_owned())
    }

    /// How many of `count` requests v3 answered.
    async fn share(&self, count: usize) -> usize {
        let one = || async { self.get(ingress::HOST, &[], Vec::new()).await.1.starts_with("v3") };
        let mut canary = 0;
        for _ in 0..count / 50 {
            let answers = futures::future::join_all((0..50).map(|_| one())).await;
            canary += answers.into_iter().filter(|answer| *answer).count();
        }
        canary
    }
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn weights_move_real_requests() {
    let bench = bench().await;
    // Four standard deviations of a binomial: one failure in 16 000 runs, and none with this seed.
    for (weight, low, high) in
        [(0, 0, 0), (10, 62, 138), (25, 195, 305), (50, 437, 563), (100, 1000, 1000), (0, 0, 0)]
    {
        bench.annotate("canary-weight", json!(weight.to_string())).await;
        let got = bench.share(1000).await;
        assert!((low..=high).contains(&got), "weight {weight}: {got} of 1000");
    }
    let (all, canary) = bench.gateway.shares(ingress::MAIN);
    assert_eq!(all, 6000);
    let metrics = bench.gateway.state.metrics.text();
    assert!(metrics.contains("canary=\"langfuse-langfuse-web-3000\"") && canary > 1000, "{metrics}");
    bench.gateway.stop().await;
    let log = std::fs::read_to_string(bench.dir.path().join("access.log")).unwrap();
    assert_eq!(log.lines().count(), 6000);
    let seen = log.lines().filter(|line| line.contains("[langfuse-langfuse-web-3000]")).count();
    assert_eq!(seen as u64, canary);
}

#[tokio::test]
async fn hosts_bodies_and_pins() {
    let bench = bench().await;
    assert_eq!(bench.get("nobody.example", &[], vec![]).await.0, 404);
    assert_eq!(bench.get("docs.localhost", &[], vec![]).await.0, 503, "a Service without endpoints");
    assert_eq!(bench.get(ingress::LOCAL, &[], vec![]).await.1, "v2 0");
    assert_eq!(bench.get(ingress::HOST, &[], vec![b'x'; 2 << 20]).await, (200, format!("v2 {}", 2 << 20)));
    assert_eq!(bench.get(ingress::HOST, &[], vec![b'x'; 6 << 20]).await.0, 413);
    bench.annotate("canary-by-header", json!("x-pin")).await;
    assert_eq!(bench.get(ingress::HOST, &[("x-pin", "always")], vec![]).await.1, "v3 0");
    bench.annotate("canary-weight", json!("100")).await;
    assert_eq!(bench.get(ingress::HOST, &[("x-pin", "never")], vec![]).await.1, "v2 0");
    bench.annotate("canary-weight", json!("100%")).await;
    assert_eq!(bench.share(50).await, 0, "an invalid weight is zero");
}

#[tokio::test]
async fn deleted_ingresses() {
    let bench = bench().await;
    bench.annotate("canary-weight", json!("100")).await;
    assert_eq!(bench.share(50).await, 50);
    bench.delete(ingress::CANARY).await;
    until("the canary is gone", async || bench.gateway.state.live().upstreams.len() == 2).await;
    assert_eq!(bench.share(50).await, 0);
    bench.delete(ingress::MAIN).await;
    until("404", async || bench.get(ingress::HOST, &[], vec![]).await.0 == 404).await;
}

#[tokio::test]
async fn the_controller_reports_back() {
    let bench = bench().await;
    bench.annotate("canary-weight", json!("30")).await;
    until("the main Ingress has an address", async || {
        let status =
            serde_json::to_value(bench.ingresses().get(ingress::MAIN).await.unwrap().status).unwrap();
        status.pointer("/loadBalancer/ingress/0/ip") == Some(&json!("127.0.0.1"))
    })
    .await;
    let events: Api<Event> = Api::namespaced(bench.client.clone(), "langfuse");
    let synced = async || {
        let events = events.list(&kube::api::ListParams::default()).await.unwrap().items;
        let about = |event: &Event| event.involved_object.name.as_deref() == Some(ingress::CANARY);
        events.into_iter().find(|event| about(event) && event.reason.as_deref() == Some("Sync"))
    };
    until("a Sync Event", async || synced().await.is_some()).await;
    let old = synced().await.unwrap().metadata.name.unwrap();
    events.delete(&old, &kube::api::DeleteParams::default()).await.unwrap();
    bench.annotate("canary-weight", json!("31")).await;
    until("another one where the first was too old", async || synced().await.is_some()).await;
    let pushed = metrics::backends(&bench.gateway.state.pushed());
    let canary = pushed.as_array().unwrap().iter().find(|backend| backend["noServer"] == true).unwrap();
    assert_eq!(canary["trafficShapingPolicy"]["weight"], 31);
    let Bench { gateway, .. } = bench;
    gateway.stop().await;
}
