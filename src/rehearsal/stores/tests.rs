//! PostgreSQL, Redis and S3 for real, and everything together; `clickhouse::tests` has the fourth.
//!
//! A test says so and passes when a program is not on this machine.

use std::time::Duration;

use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle, actions::ListObjectsV2};
use sqlx::{PgConnection, query_scalar};

use super::{Endpoints, StoreError, Stores, postgres, redis, s3};
use crate::rehearsal::{
    clock,
    history::{self, Options},
    stage::{Identity, Stage, StageError},
};

/// What was started, or `None` with the reason printed.
fn present<T>(started: Result<T, StoreError>) -> Option<T> {
    match started {
        Ok(store) => Some(store),
        Err(StoreError::Stage(absent @ StageError::Missing { .. })) => {
            eprintln!("SKIPPED: {absent}");
            None
        }
        Err(failure) => panic!("{failure}"),
    }
}

async fn stage() -> Stage {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Stage::open(None).await.unwrap()
}

fn only_postgres(url: String) -> Endpoints {
    let empty = String::new;
    Endpoints {
        postgres_url: url,
        redis_url: empty(),
        clickhouse_url: empty(),
        clickhouse_user: empty(),
        clickhouse_password: empty(),
        clickhouse_reader: empty(),
        clickhouse_reader_password: empty(),
        clickhouse_database: empty(),
        s3_url: empty(),
        s3_bucket: empty(),
        s3_region: empty(),
        s3_access_key: empty(),
        s3_secret_key: empty(),
    }
}

async fn number(connection: &mut PgConnection, sql: &'static str) -> i64 {
    query_scalar(sql)
        .fetch_one(connection)
        .await
        .unwrap_or_else(|refusal| panic!("{sql}: {refusal}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_holds_langfuse_v2() {
    let stage = stage().await;
    let Some(store) = present(postgres::start(&stage).await) else {
        return;
    };
    let endpoints = only_postgres(store.server().url());
    let options = Options {
        traces: 2_000,
        tie_group: 100,
        ..Options::default()
    };
    let begun = clock::mono();
    let history = history::load(&endpoints, &options).await.unwrap();
    eprintln!("2 000 traces in {:?}", clock::since(begun));
    let mut connection = postgres::connect(&endpoints.postgres_url).await.unwrap();
    let counts = history.counts;
    assert_eq!(
        (counts.traces, counts.observations, counts.scores),
        (2_000, 4_000, 1_000)
    );
    for (sql, expected) in [
        ("SELECT count(*) FROM traces", 2_000),
        ("SELECT count(*) FROM traces_view WHERE duration > 0", 2_000),
        (
            "SELECT count(*) FROM observations_view WHERE model_id IS NOT NULL AND calculated_total_cost > 0",
            2_000,
        ),
        (
            "SELECT count(*) FROM scores WHERE (value IS NULL) = (data_type = 'CATEGORICAL')",
            1_000,
        ),
        (
            "SELECT count(*) FROM observations o JOIN traces t ON t.id = o.trace_id AND t.project_id = o.project_id",
            4_000,
        ),
        (
            "SELECT count(*) FROM observations WHERE prompt_id NOT IN (SELECT id FROM prompts)",
            0,
        ),
        (
            "SELECT count(*) FROM traces WHERE created_at < \"timestamp\" AND created_at > now()",
            0,
        ),
        (
            "SELECT max(n) FROM (SELECT count(*) AS n FROM traces GROUP BY created_at) groups",
            100,
        ),
        (
            "SELECT count(*) FROM background_migrations WHERE finished_at IS NULL AND state = '{}'",
            4,
        ),
        (
            "SELECT count(*) FROM projects JOIN api_keys ON project_id = projects.id",
            6,
        ),
        (
            "SELECT count(*) FROM pg_indexes WHERE tablename = 'observations'",
            13,
        ),
        (
            "SELECT count(*) FROM pg_class WHERE relname = 'traces' AND relallvisible = relpages",
            1,
        ),
    ] {
        assert_eq!(number(&mut connection, sql).await, expected, "{sql}");
    }
    assert_eq!(
        counts.dataset_run_items as i64,
        number(&mut connection, "SELECT count(*) FROM dataset_run_items").await
    );
    assert_eq!(
        counts.sessions as i64,
        number(&mut connection, "SELECT count(*) FROM trace_sessions").await
    );
    let project = &history.projects[0];
    let found: String =
        query_scalar("SELECT project_id FROM api_keys WHERE public_key = $1 AND fast_hashed_secret_key = $2")
            .bind(&project.public_key)
            .bind(history::fast_hash(&project.secret_key, &options.salt))
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(found, project.id);
    assert_eq!(history.canary().unwrap().name, history::CANARY_PROJECT);
    assert_eq!(
        query_scalar::<_, String>("SHOW timezone")
            .fetch_one(&mut connection)
            .await
            .unwrap(),
        "UTC"
    );

    store.kill().await;
    assert!(postgres::connect(&endpoints.postgres_url).await.is_err());
    store.start().await.unwrap();
    let mut connection = postgres::connect(&endpoints.postgres_url).await.unwrap();
    assert_eq!(
        number(&mut connection, "SELECT count(*) FROM traces").await,
        2_000,
        "after a kill"
    );
    store.pause().await;
    let frozen = tokio::time::timeout(
        Duration::from_millis(300),
        number(&mut connection, "SELECT 1::bigint"),
    );
    assert!(
        frozen.await.is_err(),
        "an open session of a paused server answers nothing"
    );
    store.resume().await;
    store.stop().await;
    stage.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_jobs_and_refuses_when_full() {
    let stage = stage().await;
    let Some(store) = present(redis::start(&stage).await) else {
        return;
    };
    let client = ::redis::Client::open(store.server().url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let policy: Vec<String> = ::redis::cmd("CONFIG")
        .arg("GET")
        .arg("maxmemory-policy")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(policy[1], "noeviction");
    let write = |value: String| {
        let mut command = ::redis::cmd("SET");
        command.arg("job").arg(value);
        command
    };
    write("kept".into()).exec_async(&mut connection).await.unwrap();
    store.set_maxmemory(1).await.unwrap();
    let full = write("lost".into())
        .exec_async(&mut connection)
        .await
        .unwrap_err()
        .to_string();
    assert!(full.contains("OOM"), "{full}");
    store.set_maxmemory(redis::MAX_MEMORY).await.unwrap();
    store.kill().await;
    store.start().await.unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let kept: String = ::redis::cmd("GET")
        .arg("job")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept, "kept");
    store.stop().await;
    stage.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_stores_and_lists_events() {
    const MINUTE: Duration = Duration::from_secs(60);
    let stage = stage().await;
    let store = s3::start(&stage).await.unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(2))
        .build()
        .unwrap();
    let bucket = Bucket::new(
        store.url().parse().unwrap(),
        UrlStyle::Path,
        s3::BUCKET,
        s3::REGION,
    )
    .unwrap();
    let keys = Credentials::new(store.access_key(), store.secret_key());
    let key = "project/trace/trace-1/event é.json";
    let put = http
        .put(bucket.put_object(Some(&keys), key).sign(MINUTE))
        .body("[{\"id\":\"e\"}]")
        .send()
        .await;
    assert_eq!(put.unwrap().status(), 200);
    let get = || http.get(bucket.get_object(Some(&keys), key).sign(MINUTE)).send();
    assert_eq!(get().await.unwrap().text().await.unwrap(), "[{\"id\":\"e\"}]");
    let mut list = bucket.list_objects_v2(Some(&keys));
    list.with_prefix("project/trace/");
    let listed = http
        .get(list.sign(MINUTE))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(
        ListObjectsV2::parse_response(&listed).unwrap().contents.len(),
        1,
        "{listed}"
    );
    let stranger = Credentials::new(store.access_key(), "wrong");
    let refused = http
        .get(bucket.get_object(Some(&stranger), key).sign(MINUTE))
        .send()
        .await
        .unwrap();
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
    let traces = std::env::var("CUTOVER_TEST_TRACES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(200);
    let loading = clock::mono();
    let endpoints = stores.endpoints();
    let history = history::load(
        &endpoints,
        &Options {
            traces,
            ..Options::default()
        },
    )
    .await
    .unwrap();
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
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with(&format!("{part} is ready"))),
            "{lines:?}"
        );
    }
    assert!(!format!("{endpoints:?}").contains(&endpoints.clickhouse_password));
    stores.stop().await;
    stage.close().await.unwrap();
    assert!(!dir.exists());
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
