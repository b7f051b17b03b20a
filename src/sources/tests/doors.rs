//! Doors that are not a store's: the controller's metrics by URL and by pod, TLS with a CA file, a probe's round.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::clients::http;
use crate::clients::target::{ControllerTarget, KubeTarget, LangfuseTarget, ProbeKey};
use crate::domain::latency::{ControllerFact, Endpoint, ProbeError};
use crate::domain::{Fact, Kind};
use crate::rehearsal::kube::{Options, PORTS, Server, Token};
use crate::sources::Source;
use crate::sources::controller::Controller;
use crate::sources::probe::Prober;
use crate::sources::share::Share;

/// An HTTP server that answers what `reply` says to a request's first line.
async fn web(reply: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let reply = Arc::new(reply);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let reply = Arc::clone(&reply);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let mut piece = [0; 4096];
                while !complete(&seen) {
                    match stream.read(&mut piece).await {
                        Ok(n) if n > 0 => seen.extend_from_slice(&piece[..n]),
                        _ => return,
                    }
                }
                let text = String::from_utf8_lossy(&seen).into_owned();
                let (status, body) = reply(text.lines().next().unwrap_or_default());
                let head = format!(
                    "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            });
        }
    });
    address
}

fn complete(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length =
        head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    body.len() >= length.and_then(|l| l.trim().parse().ok()).unwrap_or(0)
}

const METRICS: &str = "nginx_ingress_controller_requests{canary=\"\",namespace=\"lf\",service=\"v2\",status=\"200\"} 30\n\
    nginx_ingress_controller_requests{canary=\"lf-v3-3000\",namespace=\"lf\",service=\"v2\",status=\"502\"} 10\n";

async fn controller(targets: Targets) -> ControllerFact {
    match Controller::new(Shared::new(targets)).poll().await.unwrap() {
        Fact::Controller(fact) => fact,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controller_metrics_by_url_and_through_its_pod() {
    crate::clients::tls::install_provider();
    let at =
        web(
            |line| {
                if line.starts_with("GET /metrics ") { (200, METRICS.into()) } else { (404, String::new()) }
            },
        )
        .await;
    let wanted = ControllerFact {
        v2_requests: 30,
        v3_requests: 10,
        v2_errors: 0,
        v3_errors: 10,
        replicas: 1,
        ..ControllerFact::default()
    };
    let urls = ControllerTarget::Urls(vec![format!("http://{at}/metrics")]);
    assert_eq!(controller(Targets { controller: Some(urls), ..Targets::default() }).await, wanted);

    let options = Options {
        tokens: vec![Token::admin("admin", "admin")],
        namespaces: vec!["ingress-nginx".into()],
        ..Options::default()
    };
    let server = Server::start(options).await.unwrap();
    let labels =
        json!({"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "controller-1", "namespace": "ingress-nginx",
        "labels": labels, "annotations": {PORTS: json!({"10254": at.to_string()}).to_string()}},
        "spec": {"containers": [{"name": "c", "image": "controller"}]}});
    server.store().create("kubelet", pod).unwrap();
    let running = json!({"status": {"phase": "Running"}});
    server.store().merge("kubelet", "pods", "ingress-nginx", "controller-1", "status", running).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&file, server.kubeconfig("admin", "default").unwrap()).unwrap();
    let kube = KubeTarget { kubeconfig: Some(file.to_path_buf()), context: None, namespace: None };
    assert_eq!(controller(Targets { kube: Some(kube), ..Targets::default() }).await, wanted);
}

/// A v3 whose canaries are visible at the second look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_is_accepted_and_later_visible() {
    crate::clients::tls::install_provider();
    let looks = AtomicU32::new(0);
    let at = web(move |line| match line {
        line if line.contains("/api/public/health") => (200, r#"{"status":"OK","version":"3.29.0"}"#.into()),
        line if line.starts_with("POST /api/public/ingestion") => {
            (207, r#"{"successes":[{"id":"a","status":201}],"errors":[]}"#.into())
        }
        line if line.contains("/api/public/traces/cutover-canary-") => {
            (if looks.fetch_add(1, Ordering::SeqCst) == 0 { 404 } else { 200 }, "{}".into())
        }
        _ => (500, String::new()),
    })
    .await;
    let target = LangfuseTarget {
        address: Address::url(format!("http://{at}")),
        host_header: Some("langfuse.example".into()),
        probe_key: Some(ProbeKey { public: "pk".into(), secret: Secret::new("sk") }),
        tls: TlsOptions::default(),
    };
    let shared =
        Shared::new(Targets { v3: Some(target.clone()), public: Some(target), ..Targets::default() });
    let Fact::Probe(probe) = Prober::new(Arc::clone(&shared), Endpoint::V3).poll().await.unwrap() else {
        panic!()
    };
    assert_eq!(probe.version.as_deref(), Some("3.29.0"));
    assert!(probe.health.is_ok() && probe.accept.unwrap().is_ok());
    assert!(probe.visible.unwrap().unwrap().as_millis() >= 500);
    let Fact::Share(share) = Share::new(shared).poll().await.unwrap() else { panic!() };
    assert_eq!((share.v2, share.v3, share.unknown), (0, 10, 0));
}

/// A load balancer's page in the place of v3: neither health nor a canary counts as answered.
#[tokio::test]
async fn pages_instead_of_answers() {
    crate::clients::tls::install_provider();
    let page = "<!doctype html><title>Bad Gateway \u{1b}]0;owned\u{7}</title>";
    for (status, health, accept) in [
        (200, None, ProbeError::Unexpected("no success in the answer".into())),
        (502, Some(ProbeError::Status(502)), ProbeError::Status(502)),
    ] {
        let at = web(move |_| (status, page.into())).await;
        let target = LangfuseTarget {
            address: Address::url(format!("http://{at}")),
            host_header: None,
            probe_key: Some(ProbeKey { public: "pk".into(), secret: Secret::new("sk") }),
            tls: TlsOptions::default(),
        };
        let shared = Shared::new(Targets { v3: Some(target), ..Targets::default() });
        let Fact::Probe(probe) = Prober::new(shared, Endpoint::V3).poll().await.unwrap() else { panic!() };
        assert_eq!((probe.version, probe.accept, probe.visible), (None, Some(Err(accept)), None));
        match (health, probe.health) {
            (Some(wanted), found) => assert_eq!(found, Err(wanted)),
            (None, Err(ProbeError::Unexpected(said))) => {
                assert!(said.starts_with("<!doctype html>") && !said.contains('\u{1b}'), "{said}");
            }
            (None, other) => panic!("{other:?}"),
        }
    }
}

/// It takes the connection and says nothing: the round is told within the driver's deadline, as a failure of v3.
#[tokio::test]
async fn an_address_that_hangs_is_a_probe_without_an_answer() {
    crate::clients::tls::install_provider();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = LangfuseTarget {
        address: Address::url(format!("http://{}", listener.local_addr().unwrap())),
        host_header: None,
        probe_key: Some(ProbeKey { public: "pk".into(), secret: Secret::new("sk") }),
        tls: TlsOptions::default(),
    };
    let shared = Shared::new(Targets { v3: Some(target), ..Targets::default() });
    let mut prober = Prober::new(shared, Endpoint::V3);
    let limit = prober.id().cadence().0 * 19 / 10;
    let answer = tokio::time::timeout(limit, prober.poll()).await.expect("told in time");
    let Fact::Probe(probe) = answer.unwrap() else { panic!() };
    assert_eq!(probe.health, Err(ProbeError::Transport(Kind::Timeout)));
    assert_eq!(probe.accept, None);
}

#[tokio::test]
async fn answers_that_are_not_langfuse() {
    crate::clients::tls::install_provider();
    for (status, body, wanted) in [
        (200, "<html>hello</html>", ProbeError::Unexpected("<html>hello</html>".into())),
        (503, r#"{"status":"down","version":"3.29.0"}"#, ProbeError::Status(503)),
    ] {
        let at = web(move |_| (status, body.into())).await;
        let target = LangfuseTarget {
            address: Address::url(format!("http://{at}")),
            host_header: None,
            probe_key: None,
            tls: TlsOptions::default(),
        };
        let shared = Shared::new(Targets { v2: Some(target), ..Targets::default() });
        let Fact::Probe(probe) = Prober::new(shared, Endpoint::V2).poll().await.unwrap() else { panic!() };
        assert_eq!(probe.health, Err(wanted));
    }
}

/// A server of our own certificate authority: refused without it, accepted with it.
#[tokio::test]
async fn a_ca_file_makes_the_difference() {
    crate::clients::tls::install_provider();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let ca = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .await;
        }
    });
    let shared = Shared::new(Targets::default());
    let address = Address::url(format!("https://localhost:{port}"));
    let ask = async |tls: &TlsOptions| {
        let server = http::connect(&shared.reach, &address, tls, "server").await?;
        let answer = server.client.get(server.base.clone()).send().await.map_err(|e| server.trouble(&e))?;
        http::text("server", answer, 100).await
    };
    let trouble = ask(&TlsOptions::default()).await.unwrap_err();
    assert_eq!(trouble.kind, Kind::Tls, "{trouble}");
    let with_ca = TlsOptions { ca_file: Some(ca.to_path_buf()), ..TlsOptions::default() };
    assert_eq!(ask(&with_ca).await.unwrap(), "ok");
}
