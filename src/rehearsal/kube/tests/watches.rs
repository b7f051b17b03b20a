use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use kube::runtime::watcher::{self, Event};
use serde_json::json;

use super::{NS, client, pod, server};

fn name(event: &Event<Pod>) -> Option<(&'static str, String)> {
    match event {
        Event::Apply(pod) => Some(("apply", pod.metadata.name.clone()?)),
        Event::Delete(pod) => Some(("delete", pod.metadata.name.clone()?)),
        Event::InitApply(pod) => Some(("init", pod.metadata.name.clone()?)),
        Event::Init | Event::InitDone => None,
    }
}

#[tokio::test]
async fn the_runtime_watcher_follows_by_list_and_by_stream() {
    let server = server().await;
    server.store().create("test", pod("a")).unwrap();
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let api: Api<Pod> = Api::namespaced(client(&server, "admin").await, NS);
        let stream = watcher::watcher(api, config.labels("app=web"));
        let mut events = stream.try_filter_map(|event| async move { Ok(name(&event)) }).boxed();
        let mut next = async || {
            tokio::time::timeout(Duration::from_secs(5), events.next()).await.unwrap().unwrap().unwrap()
        };
        assert_eq!(next().await, ("init", "a".into()));
        server.store().create("test", pod("b")).unwrap();
        assert_eq!(next().await, ("apply", "b".into()));
        server
            .store()
            .merge("test", "pods", NS, "b", "", json!({"metadata": {"labels": {"app": "x"}}}))
            .unwrap();
        assert_eq!(next().await, ("delete", "b".into()), "it no longer matches");
        server.faults().close_watches();
        server
            .store()
            .merge("test", "pods", NS, "b", "", json!({"metadata": {"labels": {"app": "web"}}}))
            .unwrap();
        assert_eq!(next().await, ("apply", "b".into()), "it resumes after the watch was closed");
        server.store().delete("pods", NS, "b").unwrap();
        assert_eq!(next().await, ("delete", "b".into()));
    }
}

#[tokio::test]
async fn a_forgotten_version_is_an_error_in_a_stream_of_200() {
    let server = server().await;
    server.store().create("test", pod("a")).unwrap();
    server.store().compact(server.store().revision());
    let api: Api<Pod> = Api::namespaced(client(&server, "admin").await, NS);
    let mut stream = api.watch(&WatchParams::default(), "1").await.unwrap().boxed();
    let Some(Ok(WatchEvent::Error(status))) = stream.next().await else { panic!("no error in the stream") };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    assert!(stream.next().await.is_none(), "the stream ends");
}

#[tokio::test]
async fn a_version_in_the_future_is_a_silent_stream() {
    let server = server().await;
    server.store().create("test", pod("a")).unwrap();
    let api: Api<Pod> = Api::namespaced(client(&server, "admin").await, NS);
    let mut stream = api.watch(&WatchParams::default().timeout(1), "999999").await.unwrap().boxed();
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn bookmarks_carry_the_revision() {
    let server = super::Server::start(super::Options {
        bookmark_every: Duration::from_millis(50),
        namespaces: vec![NS.into()],
        ..super::Options::default()
    })
    .await
    .unwrap();
    let api: Api<Pod> = Api::namespaced(client(&server, "rehearsal-admin").await, NS);
    let mut stream = api.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let Some(Ok(WatchEvent::Bookmark(mark))) = stream.next().await else { panic!("no bookmark") };
    assert_eq!(mark.metadata.resource_version, server.store().revision().to_string());
}

#[tokio::test]
async fn a_watch_may_be_asked_for_longer_than_anybody_lives() {
    let server = server().await;
    server.store().create("test", pod("a")).unwrap();
    let url = format!(
        "{}/api/v1/namespaces/{NS}/pods?watch=1&timeoutSeconds={}&allowWatchBookmarks=true",
        server.url(),
        i64::MAX
    );
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut stream = http.get(url).bearer_auth("admin").send().await.unwrap();
    for name in ["a", "b"] {
        let line = stream.chunk().await.unwrap().expect("the watch goes on");
        let event: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("ADDED"), &json!(name)));
        if name == "a" {
            server.store().create("test", pod("b")).unwrap();
        }
    }
}
