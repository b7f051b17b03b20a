//! Redis: the policy, a full store, a kill.

use super::{present, stage};
use crate::rehearsal::stores::redis;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_jobs_and_refuses_when_full() {
    let stage = stage().await;
    let Some(store) = present(redis::start(&stage).await) else {
        return;
    };
    let client = ::redis::Client::open(store.server().url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let policy: Vec<String> =
        ::redis::cmd("CONFIG").arg("GET").arg("maxmemory-policy").query_async(&mut connection).await.unwrap();
    assert_eq!(policy[1], "noeviction");
    let write = |value: String| {
        let mut command = ::redis::cmd("SET");
        command.arg("job").arg(value);
        command
    };
    write("kept".into()).exec_async(&mut connection).await.unwrap();
    store.set_maxmemory(1).await.unwrap();
    let full = write("lost".into()).exec_async(&mut connection).await.unwrap_err().to_string();
    assert!(full.contains("OOM"), "{full}");
    store.set_maxmemory(redis::MAX_MEMORY).await.unwrap();
    store.kill().await;
    store.start().await.unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let kept: String = ::redis::cmd("GET").arg("job").query_async(&mut connection).await.unwrap();
    assert_eq!(kept, "kept");
    store.stop().await;
    stage.close().await.unwrap();
}
