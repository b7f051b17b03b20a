//! Cluster, traffic, controller, routers and port-forward against the rehearsal's API server.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::clients::kube::{Kube, connect};
use crate::clients::target::KubeTarget;
use crate::domain::traffic::Route;
use crate::domain::{Fact, Kind, Split};
use crate::rehearsal::kube::{Fault, Options, PORTS, Rule, Scope, Server, Token};
use crate::routers::{Router, of};
use crate::shift::machine::ApplyError;
use crate::shift::patch::{CANARY_WEIGHT, Patch};
use crate::sources::cluster::Cluster;
use crate::sources::traffic::Traffic;
use crate::sources::{Source, shared::Shared};

const NS: &str = "langfuse";

async fn server() -> Server {
    crate::clients::tls::install_provider();
    let looker = Rule::new("networking.k8s.io", &["ingresses"], &["get", "list", "watch"]).in_namespace(NS);
    let apps =
        Rule::new("apps", &["deployments", "statefulsets"], &["get", "list", "watch"]).in_namespace(NS);
    let tokens = vec![Token::admin("admin", "admin"), Token::limited("looker", "looker", vec![looker, apps])];
    Server::start(Options { tokens, namespaces: vec![NS.into()], ..Options::default() }).await.unwrap()
}

/// A kubeconfig on disk, as an operator has it; the file is gone when the guard is dropped.
fn kubeconfig(server: &Server, user: &str) -> (KubeTarget, tempfile::TempPath) {
    let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&file, server.kubeconfig(user, NS).unwrap()).unwrap();
    let target = KubeTarget { kubeconfig: Some(file.to_path_buf()), context: None, namespace: None };
    (target, file)
}

async fn kube(server: &Server, user: &str) -> Kube {
    let (target, _file) = kubeconfig(server, user);
    connect(&target).await.unwrap()
}

fn ingress(name: &str, service: &str, annotations: &Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": NS, "annotations": annotations},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": "lf.example", "http": {"paths": [{"path": "/",
            "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 3000}}}}]}}]}})
}

fn slice(service: &str, ip: &str, port: u16) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("{service}-1"), "namespace": NS, "labels": {"kubernetes.io/service-name": service}},
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}], "ports": [{"name": "http", "port": port}]})
}

fn service(name: &str, selector: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NS},
        "spec": {"selector": selector, "ports": [{"name": "http", "port": 3000, "targetPort": "http"}]}})
}

/// A pair at `weight`, with endpoints on both sides.
fn pair(server: &Server, weight: &str) {
    let store = server.store();
    for object in [
        ingress("main", "v2", &json!({})),
        ingress(
            "canary",
            "v3",
            &json!({"nginx.ingress.kubernetes.io/canary": "true", CANARY_WEIGHT: weight}),
        ),
        slice("v2", "10.0.0.1", 3000),
        slice("v3", "10.0.0.2", 3000),
        service("v2", &json!({"app": "v2"})),
        service("v3", &json!({"app": "v3"})),
    ] {
        store.create("helm", object).unwrap();
    }
}

async fn route(client: &Client) -> Route {
    let routes = router().discover(client, NS).await.unwrap();
    assert_eq!(routes.len(), 1, "{routes:?}");
    routes.into_iter().next().unwrap()
}

fn router() -> &'static dyn Router {
    of(crate::domain::traffic::RouterKind::IngressNginx)
}

fn percent(n: u8) -> Split {
    Split::new(n).unwrap()
}

#[tokio::test]
async fn a_weight_moves_and_the_new_version_is_told() {
    let server = server().await;
    pair(&server, "0");
    let kube = kube(&server, "admin").await;
    let before = route(&kube.client).await;
    assert_eq!(
        (before.stored.value, before.canary.endpoints, before.owner.as_ref().unwrap().manager.as_str()),
        (0, Some(1), "helm")
    );
    let patch = Patch::forward(&before, percent(25));
    router().dry_run(&kube.client, &patch).await.unwrap();
    assert_eq!(
        route(&kube.client).await.resource_version,
        before.resource_version,
        "a dry run writes nothing"
    );
    let version = router().apply(&kube.client, &patch).await.unwrap();
    let after = router().read(&kube.client, &before.object).await.unwrap();
    assert_eq!((after.stored.value, &after.resource_version), (25, &version));
    assert_eq!(after.owner.unwrap().manager, "cutover");
    // Back, on condition of identity only.
    router().apply(&kube.client, &Patch::back(&before, Split::V2)).await.unwrap();
    assert_eq!(route(&kube.client).await.stored.value, 0);
}

#[tokio::test]
async fn a_conflict_names_the_other_writer() {
    let server = server().await;
    pair(&server, "0");
    let kube = kube(&server, "admin").await;
    let before = route(&kube.client).await;
    let theirs = json!({"metadata": {"annotations": {CANARY_WEIGHT: "7"}}});
    server.store().merge("argocd-controller", "ingresses", NS, "canary", "", theirs).unwrap();
    match router().apply(&kube.client, &Patch::forward(&before, percent(25))).await.unwrap_err() {
        ApplyError::Conflict(trouble, Some(owner)) => {
            assert_eq!(owner.manager, "argocd-controller");
            assert!(trouble.detail.contains("it is now 7"), "{trouble}");
        }
        other => panic!("{other:?}"),
    }
    // A rollback wins over the same race, and not over another object under the same name.
    router().apply(&kube.client, &Patch::back(&before, Split::V2)).await.unwrap();
    let stranger = Route { uid: "another".into(), ..before };
    let error = router().apply(&kube.client, &Patch::back(&stranger, Split::V2)).await.unwrap_err();
    assert!(matches!(error, ApplyError::Conflict(..)), "{error:?}");
}

#[tokio::test]
async fn what_an_answer_proves() {
    let server = server().await;
    pair(&server, "0");
    let kube = kube(&server, "admin").await;
    let faults = server.faults();
    let before = route(&kube.client).await;
    let patch = Patch::forward(&before, percent(5));
    for (fault, lost) in [
        (Fault::Conflict, None),
        (Fault::TooManyRequests(7), Some(false)),
        (Fault::Internal, Some(true)),
        (Fault::Refuse, Some(true)),
        (Fault::DropAnswer, Some(true)),
    ] {
        faults.next(1, Scope::Writes, fault);
        let error = router().apply(&kube.client, &patch).await.unwrap_err();
        match (lost, &error) {
            (None, ApplyError::Conflict(..)) | (Some(true), ApplyError::Lost(_)) => {}
            (Some(false), ApplyError::Refused(t)) => {
                assert_eq!(t.kind, Kind::Throttled(Some(Duration::from_secs(7))));
            }
            _ => panic!("{fault:?}: {error:?}"),
        }
    }
    assert_eq!(route(&kube.client).await.stored.value, 5, "the dropped answer's write was carried out, once");
    let looker = self::kube(&server, "looker").await;
    match router().apply(&looker.client, &patch).await.unwrap_err() {
        ApplyError::Refused(trouble) => {
            assert_eq!(trouble.kind, Kind::Forbidden);
            assert!(trouble.remedy.contains("patch ingresses"), "{trouble}");
        }
        other => panic!("{other:?}"),
    }
    server.shutdown().await;
    let error = router().apply(&kube.client, &patch).await.unwrap_err();
    assert!(
        matches!(&error, ApplyError::Refused(t) if t.kind == Kind::Unreachable),
        "nobody listens: {error:?}"
    );
}

#[tokio::test]
async fn the_namespace_with_one_kind_denied() {
    let server = server().await;
    server
        .store()
        .create(
            "helm",
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "langfuse-web", "namespace": NS},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "langfuse/langfuse:3.29.0"}]}}}}),
        )
        .unwrap();
    let (target, _file) = kubeconfig(&server, "looker");
    let shared = Shared::new(Targets { kube: Some(target), ..Targets::default() });
    let mut source = Cluster::new(shared);
    let Fact::Cluster(fact) = source.poll().await.unwrap() else { panic!() };
    assert_eq!((fact.workloads[0].name.as_str(), fact.workloads[0].tag.as_str()), ("langfuse-web", "3.29.0"));
    assert!(fact.server_version.starts_with('v'), "{}", fact.server_version);
    let denied: Vec<_> = fact.events.iter().filter(|e| e.reason == "forbidden").collect();
    assert!(denied.iter().any(|e| e.message.contains("pods")), "{denied:?}");
    // A silent server is not fresh: the heartbeat says so.
    server.faults().freeze(true);
    assert_eq!(source.poll().await.unwrap_err().kind, Kind::Timeout);
    server.faults().freeze(false);
    assert!(source.poll().await.is_ok());
}

#[tokio::test]
async fn a_change_is_seen_before_the_beat() {
    let server = server().await;
    pair(&server, "0");
    let (target, _shared_file) = kubeconfig(&server, "admin");
    let shared = Shared::new(Targets { kube: Some(target), ..Targets::default() });
    let mut source = Traffic::new(Arc::clone(&shared));
    let Fact::Traffic(routes) = source.poll().await.unwrap() else { panic!() };
    assert_eq!(routes[0].stored.value, 0);
    // Let the watches take their lists.
    let _ = tokio::time::timeout(Duration::from_millis(500), source.changed()).await;
    let theirs = json!({"metadata": {"annotations": {CANARY_WEIGHT: "7"}}});
    server.store().merge("argocd", "ingresses", NS, "canary", "", theirs).unwrap();
    tokio::time::timeout(Duration::from_secs(2), source.changed()).await.unwrap();
    let Fact::Traffic(routes) = source.poll().await.unwrap() else { panic!() };
    assert_eq!((routes[0].stored.value, shared.routes()[0].stored.value), (7, 7));
}

/// Answers every line with the name of the pod it stands for.
async fn named(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(name.as_bytes()).await;
        }
    });
    address
}

fn ready_pod(server: &Server, name: &str, at: SocketAddr) {
    let object = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NS, "labels": {"app": "redis"},
            "annotations": {PORTS: json!({"6379": at.to_string()}).to_string()}},
        "spec": {"containers": [{"name": "r", "image": "redis", "ports": [{"name": "tcp", "containerPort": 6379}]}]}});
    server.store().create("kubelet", object).unwrap();
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    server.store().merge("kubelet", "pods", NS, name, "status", status).unwrap();
}

async fn read(from: SocketAddr) -> String {
    let mut text = String::new();
    let mut stream = tokio::net::TcpStream::connect(from).await.unwrap();
    let _ = tokio::time::timeout(Duration::from_secs(3), stream.read_to_string(&mut text)).await;
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_reached_by_port_forward_and_the_next_pod_after_the_first() {
    let server = server().await;
    let to_redis = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "redis", "namespace": NS},
        "spec": {"selector": {"app": "redis"}, "ports": [{"name": "tcp", "port": 6379, "targetPort": "tcp"}]}});
    server.store().create("helm", to_redis).unwrap();
    let (target, _shared_file) = kubeconfig(&server, "admin");
    let shared = Shared::new(Targets { kube: Some(target), ..Targets::default() });
    let address = Address::Service { namespace: None, service: "redis".into(), port: "6379".into() };
    let trouble = shared.reach.local(&address).await.unwrap_err();
    assert!(trouble.detail.contains("none of its 0 pods"), "{trouble}");
    ready_pod(&server, "redis-0", named("first").await);
    let local = shared.reach.local(&address).await.unwrap().unwrap();
    assert_eq!(read(local).await, "first");
    server.store().delete("pods", NS, "redis-0").unwrap();
    ready_pod(&server, "redis-1", named("second").await);
    assert_eq!(read(local).await, "second");
    // A Service without selector leads to the address of its EndpointSlice.
    let outside = named("outside").await;
    server.store().create("helm", service("v2-host", &json!(null))).unwrap();
    server.store().create("helm", slice("v2-host", "127.0.0.1", outside.port())).unwrap();
    let address =
        Address::Service { namespace: Some(NS.into()), service: "v2-host".into(), port: "http".into() };
    let local = shared.reach.local(&address).await.unwrap().unwrap();
    assert_eq!(read(local).await, "outside");
    // An account that may not port-forward is told so.
    let (denied, _limited_file) = kubeconfig(&server, "looker");
    let limited = Shared::new(Targets { kube: Some(denied), ..Targets::default() });
    let trouble = limited.reach.local(&address).await.unwrap_err();
    assert_eq!(trouble.kind, Kind::Forbidden, "{trouble}");
}
