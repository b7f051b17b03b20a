//! All four at once: how long, how much memory, and what is left when we are killed.

use std::time::Duration;

use super::{present, stage};
use crate::rehearsal::{
    clock,
    history::{self, Options},
    stage::Identity,
    stores::Stores,
};

/// `CUTOVER_TEST_TRACES=200000` for the full size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_together_is_ready_in_time_and_leaves_nothing() {
    let stage = stage().await;
    let dir = stage.dir().to_path_buf();
    let begun = clock::mono();
    let lines = std::sync::Mutex::new(Vec::new());
    let progress = |line: &str| lines.lock().unwrap().push(line.to_owned());
    let Some(stores) = present(Stores::start(&stage, &progress).await) else {
        return;
    };
    let traces = std::env::var("CUTOVER_TEST_TRACES").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let loading = clock::mono();
    let endpoints = stores.endpoints();
    let history = history::load(&endpoints, &Options { traces, ..Options::default() }).await.unwrap();
    eprintln!(
        "{:?}: loaded in {:?}, all ready after {:?}",
        history.counts,
        clock::since(loading),
        clock::since(begun)
    );
    let cpu = stores.postgres.pid().await.map_or(0.0, cpu_seconds);
    let (memory, all) = memory(&stores).await;
    eprintln!("PostgreSQL used {cpu:.1} CPU s; proportional memory: {memory}, all {all} MiB");
    let lines = lines.into_inner().unwrap();
    for part in ["PostgreSQL", "ClickHouse", "Redis", "S3"] {
        assert!(lines.iter().any(|line| line.starts_with(&format!("{part} is ready"))), "{lines:?}");
    }
    assert!(!format!("{endpoints:?}").contains(&endpoints.clickhouse_password));
    stores.stop().await;
    stage.close().await.unwrap();
    assert!(!dir.exists());
}

/// The body of the process that is killed: this test binary, run again by the test below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by a_killed_rehearsal_leaves_no_store_running"]
async fn stores_that_will_be_killed() {
    let Some(fact) = std::env::var_os("CUTOVER_TEST_FACT") else {
        return;
    };
    let stage = stage().await;
    let mut pids = Vec::new();
    if let Some(stores) = present(Stores::start(&stage, &|_| ()).await) {
        for pid in [stores.postgres.pid().await, stores.clickhouse.pid().await, stores.redis.pid().await] {
            let root = Identity::of(pid.unwrap()).unwrap();
            pids.extend([vec![root.clone()], root.descendants()].concat());
        }
        let text = serde_json::to_string(&(stage.dir(), pids)).unwrap();
        std::fs::write(std::path::Path::new(&fact).with_extension("next"), text).unwrap();
        std::fs::rename(std::path::Path::new(&fact).with_extension("next"), &fact).unwrap();
        std::future::pending::<()>().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_rehearsal_leaves_no_store_running() {
    let home = tempfile::tempdir().unwrap();
    let fact = home.path().join("fact");
    let victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "rehearsal::stores::tests::together::stores_that_will_be_killed"])
        .env("CUTOVER_TEST_FACT", &fact)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let mut victim = Victim(victim.unwrap());
    let begun = clock::mono();
    while !fact.exists() {
        if victim.0.try_wait().unwrap().is_some_and(|status| status.success()) {
            return; // a program is absent; the other tests say which
        }
        assert!(clock::since(begun) < Duration::from_mins(2));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let text = std::fs::read_to_string(&fact).unwrap();
    let (dir, processes): (std::path::PathBuf, Vec<Identity>) = serde_json::from_str(&text).unwrap();
    assert!(processes.len() > 5, "PostgreSQL alone has that many");
    drop(victim);
    let begun = clock::mono();
    while processes.iter().any(Identity::lives) {
        assert!(clock::since(begun) < Duration::from_secs(5), "the kernel ends them, without a next start");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let next = stage().await;
    assert!(!dir.exists(), "the next start removes the directory");
    next.close().await.unwrap();
}

/// A process that is killed with SIGKILL, also when the test fails first.
struct Victim(std::process::Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CPU time of a process and of its ended children, in seconds (proc(5), 100 ticks a second).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(4);
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
    let text: Vec<String> = sizes.iter().map(|(name, size)| format!("{name} {size}")).collect();
    (text.join(", "), sizes.iter().map(|(_, size)| size).sum())
}

fn pss_mib(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
}
