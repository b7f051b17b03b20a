//! Stores with a small history, and the environments of the three containers on them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::rehearsal::history::{self, History, Project};
use crate::rehearsal::langfuse::stores::clickhouse::ClickHouse;
use crate::rehearsal::langfuse::{Exit, Faults, Kind, Pod, Process, settings::Settings, start};
use crate::rehearsal::stage::{Stage, StageError};
use crate::rehearsal::stores::{StoreError, Stores};

/// One set of stores at a time: two cores are not enough for more.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

pub(super) struct Fixture {
    pub(super) stores: Stores,
    pub(super) history: History,
    pub(super) pool: PgPool,
    pub(super) clickhouse: ClickHouse,
    pub(super) http: reqwest::Client,
    stage: Stage,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

/// A running process and what it logged.
pub(super) struct Running {
    pub(super) process: Process,
    pub(super) faults: Faults,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Running {
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.process.addr())
    }

    pub(super) fn logged(&self, words: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(words)).count()
    }

    pub(super) async fn stop(&self) -> Exit {
        self.process.stop(Duration::from_secs(20)).await
    }
}

/// Waits up to `seconds` for a condition.
pub(super) async fn until(seconds: u64, what: &str, mut check: impl AsyncFnMut() -> bool) {
    for _ in 0..seconds * 10 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited {seconds} s for: {what}");
}

impl Fixture {
    /// Starts the stores and loads `traces` traces; `None` when a program is absent.
    pub(super) async fn start(traces: u64) -> Option<Self> {
        Box::pin(Self::start_all(traces)).await
    }

    #[allow(clippy::print_stderr, reason = "the log of a failing test")]
    async fn start_all(traces: u64) -> Option<Self> {
        let turn = TURN.lock().await;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stage = Stage::open(None).await.unwrap();
        let stores = match Box::pin(Stores::start(&stage, &|line| eprintln!("{line}"))).await {
            Ok(stores) => stores,
            Err(StoreError::Stage(absent @ StageError::Missing { .. })) => {
                assert!(std::env::var_os("CI").is_none(), "CI skips nothing: {absent}");
                eprintln!("SKIPPED: {absent}");
                return None;
            }
            Err(failure) => panic!("{failure}"),
        };
        let options = history::Options { traces, projects: 2, tie_group: 50, ..history::Options::default() };
        let history = history::load(&stores.endpoints(), &options).await.unwrap();
        let settings = Settings::read(Kind::V3Worker, &environment(&stores, &[])).unwrap();
        let pool = PgPool::connect(&stores.endpoints().postgres_url).await.unwrap();
        let clickhouse = ClickHouse::open(settings.clickhouse.as_ref().unwrap()).unwrap();
        Some(Self { stores, history, pool, clickhouse, http: reqwest::Client::new(), stage, _turn: turn })
    }

    /// Starts one container; `extra` variables win.
    pub(super) async fn run(&self, kind: Kind, extra: &[(&str, &str)]) -> Running {
        self.run_with(kind, extra, Faults::new()).await
    }

    /// Starts one container with faults that are set before it does anything.
    #[allow(clippy::print_stderr, reason = "the log of a failing test")]
    pub(super) async fn run_with(&self, kind: Kind, extra: &[(&str, &str)], faults: Faults) -> Running {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        let log = move |line: &str| {
            eprintln!("{kind:?} {line}");
            sink.lock().unwrap().push(line.to_owned());
        };
        let pod = Pod::new("pod", log, faults.clone());
        let process = start(kind, environment(&self.stores, extra), pod).await.unwrap();
        Running { process, faults, lines }
    }

    /// Starts v3 web and waits until it has migrated.
    pub(super) async fn web(&self) -> Running {
        let web = self.run(Kind::V3Web, &[]).await;
        until(30, "v3 web is ready", async || web.logged("Ready") == 1 || web.process.exit().is_some()).await;
        assert_eq!(web.process.exit(), None);
        web
    }

    pub(super) fn project(&self) -> &Project {
        &self.history.projects[0]
    }

    pub(super) async fn post(&self, url: String, body: &Value) -> (u16, Value) {
        let project = self.project();
        let request = self.http.post(url).basic_auth(&project.public_key, Some(&project.secret_key));
        read(request.json(body).send().await.unwrap()).await
    }

    pub(super) async fn get(&self, url: String) -> (u16, Value) {
        let project = self.project();
        let request = self.http.get(url).basic_auth(&project.public_key, Some(&project.secret_key));
        read(request.send().await.unwrap()).await
    }

    /// One number out of PostgreSQL.
    pub(super) async fn postgres(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// One number out of ClickHouse: `SELECT toInt64(...) AS n ...`.
    pub(super) async fn count(&self, sql: &str) -> i64 {
        let rows = self.clickhouse.select(sql, &[]).await.unwrap();
        let n = &rows[0]["n"];
        n.as_i64().or_else(|| n.as_str()?.parse().ok()).unwrap()
    }

    pub(super) async fn end(self) {
        self.pool.close().await;
        self.stores.stop().await;
        // Another rehearsal that starts in this moment may take our pointer away before we do.
        let _ = self.stage.close().await;
    }
}

async fn read(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// An ingestion batch of `(type, seconds from now, body)`.
pub(super) fn batch(events: &[(&str, i64, Value)]) -> Value {
    let now = crate::rehearsal::clock::now_ms();
    let events = events.iter().map(|(kind, seconds, body)| {
        let at = crate::rehearsal::langfuse::js::iso(now + seconds * 1000);
        json!({"id": uuid::Uuid::new_v4().to_string(), "type": kind, "timestamp": at, "body": body})
    });
    json!({"batch": events.collect::<Vec<_>>(), "metadata": {"sdk_name": "test"}})
}

fn environment(stores: &Stores, extra: &[(&str, &str)]) -> BTreeMap<String, String> {
    let at = stores.endpoints();
    let base = [
        ("DATABASE_URL", at.postgres_url.as_str()),
        ("SALT", "rehearsal-salt"),
        ("ADMIN_API_KEY", "admin"),
        ("CLICKHOUSE_URL", &at.clickhouse_url),
        ("CLICKHOUSE_USER", &at.clickhouse_user),
        ("CLICKHOUSE_PASSWORD", &at.clickhouse_password),
        ("CLICKHOUSE_CLUSTER_ENABLED", "false"),
        ("REDIS_CONNECTION_STRING", &at.redis_url),
        ("LANGFUSE_S3_EVENT_UPLOAD_BUCKET", &at.s3_bucket),
        ("LANGFUSE_S3_EVENT_UPLOAD_PREFIX", "events/"),
        ("LANGFUSE_S3_EVENT_UPLOAD_REGION", &at.s3_region),
        ("LANGFUSE_S3_EVENT_UPLOAD_ENDPOINT", &at.s3_url),
        ("LANGFUSE_S3_EVENT_UPLOAD_ACCESS_KEY_ID", &at.s3_access_key),
        ("LANGFUSE_S3_EVENT_UPLOAD_SECRET_ACCESS_KEY", &at.s3_secret_key),
        ("LANGFUSE_S3_EVENT_UPLOAD_FORCE_PATH_STYLE", "true"),
        ("LANGFUSE_INGESTION_QUEUE_DELAY_MS", "500"),
    ];
    base.iter().chain(extra).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
