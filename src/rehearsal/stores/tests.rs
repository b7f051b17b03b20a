//! The stores for real: every test here starts them, and says so when a program is absent.

use crate::rehearsal::{
    clock, history,
    stage::{Identity, Stage, StageError},
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
    let cpu = stores.postgres.pid().await.map_or(0.0, cpu_seconds);
    let (memory, all) = memory(&stores).await;
    eprintln!("PostgreSQL used {cpu:.1} CPU s; proportional memory: {memory}, all {all} MiB");
    stores.stop().await;
    stage.close().await.unwrap();
}

/// CPU time of a process and of its ended children, in seconds (proc(5), 100 ticks a second).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .skip(11)
        .take(4);
    fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// Proportional set size of each store with its children, in MiB (`/proc/PID/smaps_rollup`).
async fn memory(stores: &Stores) -> (String, u64) {
    let pids = [
        ("PostgreSQL", stores.postgres.pid().await),
        ("ClickHouse", stores.clickhouse.pid().await),
        ("Redis", stores.redis.pid().await),
    ];
    let sizes = pids.map(|(name, pid)| {
        let root = Identity::of(pid.unwrap()).unwrap();
        let all = [vec![root.clone()], root.descendants()].concat();
        (name, all.iter().map(|process| pss_mib(process.pid)).sum::<u64>())
    });
    let text: Vec<String> = sizes
        .iter()
        .map(|(name, size)| format!("{name} {size}"))
        .collect();
    (text.join(", "), sizes.iter().map(|(_, size)| size).sum())
}

fn pss_mib(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .unwrap_or("0");
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .unwrap_or_default()
        / 1024
}
