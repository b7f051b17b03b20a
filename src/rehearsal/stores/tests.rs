//! The stores for real: every test here starts them, and says so when a program is absent.

use crate::rehearsal::{
    clock, history,
    stage::{Stage, StageError},
};

use super::{StoreError, Stores};

/// A stage and its stores, or `None` with the reason printed when a program is not on this machine.
async fn started() -> Option<(Stage, Stores)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stage = Stage::open(None).await.unwrap();
    match Stores::start(&stage, &|line| eprintln!("{line}")).await {
        Ok(stores) => Some((stage, stores)),
        Err(StoreError::Stage(absent @ StageError::Missing { .. })) => {
            eprintln!("SKIPPED: {absent}");
            None
        }
        Err(failure) => panic!("{failure}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_history_is_loaded_in_time() {
    let begun = clock::mono();
    let Some((stage, stores)) = started().await else {
        return;
    };
    let loading = clock::mono();
    let traces = std::env::var("CUTOVER_TEST_TRACES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20_000);
    let options = history::Options {
        traces,
        ..history::Options::default()
    };
    let history = history::load(&stores.endpoints(), &options).await.unwrap();
    eprintln!(
        "history {:?} in {:?}; all in {:?}",
        history.counts,
        clock::since(loading),
        clock::since(begun)
    );
    stores.stop().await;
    stage.close().await.unwrap();
}
