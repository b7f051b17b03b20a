//! S3: objects, signatures, a pause and a kill.

use std::time::Duration;

use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle, actions::ListObjectsV2};

use super::stage;
use crate::rehearsal::stores::s3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_stores_and_lists_events() {
    const MINUTE: Duration = Duration::from_mins(1);
    let stage = stage().await;
    let store = s3::start(&stage).await.unwrap();
    // A connection of its own for each request: one that was kept open may end a kill in other words.
    let http =
        reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(Duration::from_secs(2));
    let http = http.build().unwrap();
    let bucket = Bucket::new(store.url().parse().unwrap(), UrlStyle::Path, s3::BUCKET, s3::REGION).unwrap();
    let keys = Credentials::new(store.access_key(), store.secret_key());
    let key = "project/trace/trace-1/event é.json";
    let put =
        http.put(bucket.put_object(Some(&keys), key).sign(MINUTE)).body("[{\"id\":\"e\"}]").send().await;
    assert_eq!(put.unwrap().status(), 200);
    let get = || http.get(bucket.get_object(Some(&keys), key).sign(MINUTE)).send();
    assert_eq!(get().await.unwrap().text().await.unwrap(), "[{\"id\":\"e\"}]");
    let mut list = bucket.list_objects_v2(Some(&keys));
    list.with_prefix("project/trace/");
    let listed = http.get(list.sign(MINUTE)).send().await.unwrap().text().await.unwrap();
    assert_eq!(ListObjectsV2::parse_response(&listed).unwrap().contents.len(), 1, "{listed}");
    let stranger = Credentials::new(store.access_key(), "wrong");
    let refused = http.get(bucket.get_object(Some(&stranger), key).sign(MINUTE)).send().await.unwrap();
    assert_eq!(refused.status(), 403);

    store.pause();
    assert!(get().await.unwrap_err().is_timeout());
    store.resume();
    assert_eq!(get().await.unwrap().status(), 200);
    store.kill().await;
    assert!(get().await.unwrap_err().is_connect());
    store.start().await.unwrap();
    assert_eq!(get().await.unwrap().status(), 200);
    store.stop().await;
    stage.close().await.unwrap();
}
