use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, LogParams, PartialObjectMeta, PostParams};
use kube::core::ObjectList;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::{NS, client, pod, raw, refusal, server};

#[tokio::test]
async fn lists_come_in_pages_of_one_revision() {
    let server = server().await;
    for number in 0..5 {
        server.store().create("test", pod(&format!("web-{number}"))).unwrap();
    }
    let api: Api<Pod> = Api::namespaced(client(&server, "admin").await, NS);
    let first = api.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(names(&first), ["web-0", "web-1"]);
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    server.store().delete("pods", NS, "web-3").unwrap();
    server.store().create("test", pod("web-9")).unwrap();
    let token = first.metadata.continue_.unwrap();
    let rest = api.list(&ListParams::default().continue_token(&token)).await.unwrap();
    assert_eq!(names(&rest), ["web-2", "web-3", "web-4"], "the list goes on at its revision");

    server.store().compact(server.store().revision());
    let path = format!("/api/v1/namespaces/{NS}/pods?continue={token}");
    let (code, status) = raw(&server, "GET", &path, "application/json", &Value::Null).await;
    assert_eq!((code, status["reason"].as_str()), (410, Some("Expired")));
    let again = status["metadata"]["continue"].as_str().unwrap();
    let rest = api.list(&ListParams::default().continue_token(again)).await.unwrap();
    assert_eq!(names(&rest), ["web-2", "web-4", "web-9"], "inconsistent, but it goes on");
}

#[tokio::test]
async fn a_page_at_a_version_is_of_that_version_and_any_version_comes_whole() {
    let server = server().await;
    for number in 0..3 {
        server.store().create("test", pod(&format!("web-{number}"))).unwrap();
    }
    let version = server.store().revision();
    server.store().delete("pods", NS, "web-0").unwrap();
    let page = async |query: String| {
        let path = format!("/api/v1/namespaces/{NS}/pods?{query}");
        let (code, list) = raw(&server, "GET", &path, "application/json", &Value::Null).await;
        assert_eq!(code, 200, "{list}");
        let list: ObjectList<Pod> = serde_json::from_value(list).unwrap();
        (names(&list), list.metadata.remaining_item_count)
    };
    let exact = page(format!("limit=2&resourceVersion={version}")).await;
    assert_eq!(exact, (vec!["web-0".to_owned(), "web-1".to_owned()], Some(1)));
    let newer = page(format!("limit=1&resourceVersion={version}&resourceVersionMatch=NotOlderThan")).await;
    assert_eq!(newer, (vec!["web-1".to_owned()], Some(1)));
    let whole = page("limit=1&resourceVersion=0".into()).await;
    assert_eq!(whole, (vec!["web-1".to_owned(), "web-2".to_owned()], None));
}

fn names(list: &ObjectList<Pod>) -> Vec<String> {
    list.items.iter().map(ResourceExt::name_any).collect()
}

#[tokio::test]
async fn selectors_choose() {
    let server = server().await;
    server.store().create("test", pod("a")).unwrap();
    let mut other = pod("b");
    other["metadata"]["labels"] = json!({"app": "worker"});
    server.store().create("test", other).unwrap();
    let api: Api<Pod> = Api::namespaced(client(&server, "admin").await, NS);
    assert_eq!(names(&api.list(&ListParams::default().labels("app in (worker)")).await.unwrap()), ["b"]);
    assert_eq!(names(&api.list(&ListParams::default().fields("metadata.name=a")).await.unwrap()), ["a"]);
    assert_eq!(
        names(&api.list(&ListParams::default().fields("status.phase!=Pending")).await.unwrap()),
        [""; 0]
    );
    let status = refusal(api.list(&ListParams::default().fields("spec.image=x")).await);
    assert_eq!((status.code, status.message.as_str()), (400, "field label not supported: spec.image"));
}

#[tokio::test]
async fn metadata_alone_can_be_read() {
    let server = server().await;
    server.store().create("test", pod("a")).unwrap();
    let api: Api<Pod> = Api::namespaced(client(&server, "admin").await, NS);
    let list: ObjectList<PartialObjectMeta<Pod>> = api.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(list.items[0].name_any(), "a");
    assert_eq!(api.get_metadata("a").await.unwrap().name_any(), "a");
}

#[tokio::test]
async fn an_event_written_in_one_api_is_read_in_the_other() {
    let server = server().await;
    let api: Api<Event> = Api::namespaced(client(&server, "admin").await, NS);
    let event: Event = serde_json::from_value(json!({
        "metadata": {"generateName": "shift-", "namespace": NS}, "action": "Shift", "reason": "Shifted",
        "note": "0 % -> 5 %", "type": "Normal", "eventTime": "2026-01-02T03:04:05.000006Z",
        "reportingController": "cutover", "reportingInstance": "bastion",
        "regarding": {"kind": "Ingress", "name": "langfuse-v3", "namespace": NS}}))
    .unwrap();
    let made = api.create(&PostParams::default(), &event).await.unwrap();
    assert_eq!(made.note.as_deref(), Some("0 % -> 5 %"));
    let core: Api<k8s_openapi::api::core::v1::Event> = Api::namespaced(client(&server, "admin").await, NS);
    let chosen = ListParams::default().fields("involvedObject.name=langfuse-v3,type=Normal");
    let list = core.list(&chosen).await.unwrap();
    assert_eq!(list.items[0].message.as_deref(), Some("0 % -> 5 %"));
    assert_eq!(list.items[0].reporting_component.as_deref(), Some("cutover"));
}

#[tokio::test]
async fn a_pod_has_a_log() {
    let server = server().await;
    server.store().create("test", pod("web-1")).unwrap();
    for line in ["one", "two", "three"] {
        server.logs().append(NS, "web-1", line);
    }
    let api: Api<Pod> = Api::namespaced(client(&server, "admin").await, NS);
    let tail = LogParams { tail_lines: Some(2), ..LogParams::default() };
    assert_eq!(api.logs("web-1", &tail).await.unwrap(), "two\nthree\n");
    let follow = LogParams { follow: true, limit_bytes: Some(18), ..LogParams::default() };
    let mut lines = api.log_stream("web-1", &follow).await.unwrap().lines();
    for line in ["one", "two", "three"] {
        assert_eq!(lines.next().await.unwrap().unwrap(), line);
    }
    server.logs().append(NS, "web-1", "four and more");
    assert_eq!(lines.next().await.unwrap().unwrap(), "four");
    assert!(lines.next().await.is_none(), "so many bytes and no more");
}

#[tokio::test]
async fn a_log_that_is_followed_ends_with_its_pod() {
    let server = server().await;
    server.store().create("test", pod("web-1")).unwrap();
    server.logs().append(NS, "web-1", "one");
    let api: Api<Pod> = Api::namespaced(client(&server, "admin").await, NS);
    let follow = LogParams { follow: true, ..LogParams::default() };
    let mut lines = api.log_stream("web-1", &follow).await.unwrap().lines();
    let mut next = async || tokio::time::timeout(Duration::from_secs(10), lines.next()).await.unwrap();
    assert_eq!(next().await.unwrap().unwrap(), "one");
    server.logs().append(NS, "web-1", "two");
    server.store().delete("pods", NS, "web-1").unwrap();
    assert_eq!(next().await.unwrap().unwrap(), "two");
    assert!(next().await.is_none());
}

#[tokio::test]
async fn the_logs_of_many_pods_are_not_kept_for_ever() {
    let server = server().await;
    for number in 0..150 {
        let name = format!("web-{number}");
        server.logs().append(NS, &name, &name);
        server.logs().append(NS, "web-0", "again");
    }
    let api: Api<Pod> = Api::namespaced(client(&server, "admin").await, NS);
    for (name, length) in [("web-0", 151), ("web-1", 0), ("web-149", 1)] {
        server.store().create("test", pod(name)).unwrap();
        let log = api.logs(name, &LogParams::default()).await.unwrap();
        assert_eq!(log.lines().count(), length, "{name}");
    }
}

#[tokio::test]
async fn a_version_in_the_future_times_out() {
    let server = server().await;
    let path = format!("/api/v1/namespaces/{NS}/pods?resourceVersion=99999");
    let (code, status) = raw(&server, "GET", &path, "application/json", &Value::Null).await;
    assert_eq!((code, status["reason"].as_str()), (504, Some("Timeout")));
}

#[tokio::test]
async fn a_path_nobody_serves_is_plain_text() {
    let server = server().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http
        .get(format!("{}/apis/example.com/v1/widgets", server.url()))
        .bearer_auth("admin")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.text().await.unwrap(), "404 page not found\n");
}
