use std::time::Duration;

use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::super::{Fault, Scope};
use super::{NS, WEIGHT, canary, client, raw, refusal, server};

#[tokio::test]
async fn requests_fail_as_asked() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    let address = format!("/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/langfuse-v3");
    let patch = json!({"metadata": {"annotations": {WEIGHT: "5"}}});
    for (fault, code, reason) in [
        (Fault::Conflict, 409, "Conflict"),
        (Fault::TooManyRequests(3), 429, "TooManyRequests"),
        (Fault::Internal, 500, "InternalError"),
    ] {
        server.faults().next(1, Scope::Writes, fault);
        let (read, _) = raw(&server, "GET", &address, "application/json", &serde_json::Value::Null).await;
        assert_eq!(read, 200, "reads are spared");
        let (status, body) = raw(&server, "PATCH", &address, "application/merge-patch+json", &patch).await;
        assert_eq!((status, body["reason"].as_str()), (code, Some(reason)));
    }
    let (status, _) = raw(&server, "PATCH", &address, "application/merge-patch+json", &patch).await;
    assert_eq!(status, 200, "once is once");
}

#[tokio::test]
async fn a_dropped_answer_is_a_write_done_and_a_connection_cut() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    let api: Api<Ingress> = Api::namespaced(client(&server, "admin").await, NS);
    server.faults().next(1, Scope::Writes, Fault::DropAnswer);
    let patch = Patch::Merge(json!({"metadata": {"annotations": {WEIGHT: "5"}}}));
    let lost = api.patch("langfuse-v3", &PatchParams::default(), &patch).await;
    assert!(!matches!(lost, Ok(_) | Err(kube::Error::Api(_))), "{lost:?}");
    let stored = server.store().get("ingresses", NS, "langfuse-v3").unwrap();
    assert_eq!(stored["metadata"]["annotations"][WEIGHT], "5");
}

#[tokio::test]
async fn a_refused_connection_writes_nothing() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    let api: Api<Ingress> = Api::namespaced(client(&server, "admin").await, NS);
    server.faults().next(1, Scope::Writes, Fault::Refuse);
    let patch = Patch::Merge(json!({"metadata": {"annotations": {WEIGHT: "5"}}}));
    assert!(api.patch("langfuse-v3", &PatchParams::default(), &patch).await.is_err());
    let stored = server.store().get("ingresses", NS, "langfuse-v3").unwrap();
    assert_eq!(stored["metadata"]["annotations"][WEIGHT], "0");
}

#[tokio::test]
async fn a_frozen_server_answers_once_it_thaws() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    let api: Api<Ingress> = Api::namespaced(client(&server, "admin").await, NS);
    server.faults().freeze(true);
    server.faults().calm();
    let slow = tokio::time::timeout(Duration::from_millis(100), api.get("langfuse-v3")).await;
    assert!(slow.is_err(), "it is frozen");
    server.faults().clear();
    assert!(api.get("langfuse-v3").await.is_ok());
}

#[tokio::test]
async fn a_share_of_requests_fails() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    let api: Api<Ingress> = Api::namespaced(client(&server, "admin").await, NS);
    server.faults().share(1.0, Scope::Reads, Fault::TooManyRequests(1));
    assert_eq!(refusal(api.get("langfuse-v3").await).code, 429);
    server.faults().clear();
    assert!(api.get("langfuse-v3").await.is_ok());
}

#[tokio::test]
async fn a_server_that_is_shut_down_is_gone() {
    let server = server().await;
    let url = server.url();
    server.shutdown().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(http.get(format!("{url}/version")).send().await.is_err());
}
