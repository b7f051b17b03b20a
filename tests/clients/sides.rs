//! What stands in the stores: rows of both sides as JSON.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::common::rehearsal::Rehearsal;

/// How long v3 may take: 5 s in the queue, 16 s around midnight UTC, and the writer's second.
const VISIBLE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// Which version's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// PostgreSQL of v2.
    V2,
    /// ClickHouse of v3.
    V3,
}

/// A rehearsal and ways into its stores.
pub struct Stores {
    pub rehearsal: Rehearsal,
    pub config: toml::Table,
    runtime: tokio::runtime::Runtime,
}

impl Stores {
    /// A small rehearsal without clients of its own.
    pub fn start(arguments: &[&str]) -> Self {
        let rehearsal = Rehearsal::start(&[&["--traces", "300", "--rate", "0"], arguments].concat());
        cutover::clients::tls::install_provider();
        let config = std::fs::read_to_string(rehearsal.config()).unwrap().parse().unwrap();
        Self { rehearsal, config, runtime: tokio::runtime::Runtime::new().unwrap() }
    }

    /// Waits until so many requests in a row through the gateway were answered by v3.
    pub fn answered_by_v3(&self, rows: u32) {
        let address = format!("{}/api/public/health", self.rehearsal.field("public_url"));
        let start = Instant::now();
        let mut met = 0;
        while met < rows {
            assert!(start.elapsed() < VISIBLE, "{met} of {rows} answers of v3 in a row");
            let answer: Value = self.runtime.block_on(async {
                reqwest::Client::new().get(&address).send().await.unwrap().json().await.unwrap()
            });
            met = if answer["version"].as_str().unwrap().starts_with('3') { met + 1 } else { 0 };
        }
    }

    /// A text of the configuration.
    pub fn told(&self, section: &str, key: &str) -> &str {
        self.config[section][key].as_str().unwrap()
    }

    /// Rows of one table by their ids, columns as the store names them.
    pub fn rows(&self, side: Side, table: &str, ids: &[String]) -> Vec<Map<String, Value>> {
        self.rows_by(side, table, "id", ids)
    }

    /// Rows of one table by the trace they belong to.
    pub fn of_trace(&self, side: Side, table: &str, trace: &str) -> Vec<Map<String, Value>> {
        let column = if table == "traces" { "id" } else { "trace_id" };
        self.rows_by(side, table, column, &[trace.to_owned()])
    }

    fn rows_by(&self, side: Side, table: &str, column: &str, ids: &[String]) -> Vec<Map<String, Value>> {
        let rows = match side {
            Side::V2 => self.runtime.block_on(self.postgres(table, column, ids)),
            Side::V3 => self.runtime.block_on(self.clickhouse(table, column, ids)),
        };
        rows.into_iter().map(plain).collect()
    }

    /// Sends a batch to the ingestion API; all of it must be taken.
    pub fn ingest(&self, address: &str, batch: &Value) {
        let url = format!("{}/api/public/ingestion", self.rehearsal.field(address));
        let key = (self.told("probe", "public_key"), self.told("probe", "secret_key"));
        let answer: Value = self.runtime.block_on(async {
            let request = reqwest::Client::new().post(url).basic_auth(key.0, Some(key.1)).json(batch);
            request.send().await.unwrap().json().await.unwrap()
        });
        assert_eq!(answer["errors"], serde_json::json!([]), "{answer}");
    }

    /// Looks until `look` finds nothing wrong; v2 has written before it answers, so it is looked at once.
    pub fn find(&self, side: Side, look: impl Fn(&Self) -> Result<(), String>) {
        let start = Instant::now();
        while let Err(wrong) = look(self) {
            assert!(side == Side::V3 && start.elapsed() < VISIBLE, "{side:?}: {wrong}");
            self.runtime.block_on(async { tokio::time::sleep(LOOK).await });
        }
    }

    async fn postgres(&self, table: &str, column: &str, ids: &[String]) -> Vec<Value> {
        use sqlx::Connection as _;
        let url = self.rehearsal.field("postgres_url");
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        let sql = format!("SELECT to_jsonb(t) FROM {table} t WHERE t.{column} = ANY($1) ORDER BY t.id");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(ids).fetch_all(&mut connection).await.unwrap()
    }

    async fn clickhouse(&self, table: &str, column: &str, ids: &[String]) -> Vec<Value> {
        let list: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
        let sql = format!(
            "SELECT * FROM {table} FINAL WHERE {column} IN ({}) AND is_deleted = 0 ORDER BY id FORMAT JSONEachRow",
            list.join(",")
        );
        let answer = reqwest::Client::new()
            .post(self.rehearsal.field("clickhouse_url"))
            .basic_auth(self.told("clickhouse", "user"), Some(self.told("clickhouse", "password")))
            .query(&[("database", self.told("clickhouse", "database"))])
            .body(sql)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        let text = answer.text().await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A row whose JSON columns are JSON on both sides, its model under one name.
fn plain(row: Value) -> Map<String, Value> {
    let Value::Object(row) = row else { panic!("an object: {row}") };
    let mut out = Map::new();
    for (key, value) in row {
        let value = match (key.as_str(), value) {
            ("input" | "output" | "model_parameters", Value::String(text)) => {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            }
            ("metadata", Value::Object(map)) => {
                let parsed = |value: Value| match &value {
                    Value::String(text) => serde_json::from_str(text).unwrap_or(value),
                    _ => value,
                };
                map.into_iter().map(|(key, value)| (key, parsed(value))).collect::<Map<_, _>>().into()
            }
            (_, value) => value,
        };
        let name = match key.as_str() {
            "provided_model_name" => "model".into(),
            "modelParameters" => "model_parameters".into(),
            _ => key,
        };
        out.insert(name, value);
    }
    out
}
