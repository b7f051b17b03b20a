//! The way back: what v3 wrote is shown by v2, and v2's own rows stay.

mod decisions;
mod events;
mod killed;
mod poorer;
mod views;

use std::process::Output;

use cutover::clients::liveness::Session;
use cutover::clients::work::{Access, ClickhouseWork, PostgresWork};
use cutover::data::restore::{self, Report, Sides, Wish};
use serde_json::{Value, json};

use crate::common::rehearsal::Rehearsal;
use crate::forward::waiting;
use crate::sides;

/// A rehearsal with both sides open.
struct Bench {
    rehearsal: Rehearsal,
    postgres: PostgresWork,
    clickhouse: ClickhouseWork,
    session: Session,
    project: String,
    auth: String,
}

impl Bench {
    async fn start() -> Self {
        Self::of(sides::backfilled("300")).await
    }

    async fn of(rehearsal: Rehearsal) -> Self {
        let (postgres, clickhouse) = sides::open(&rehearsal, Access::Write).await;
        let mut session = postgres.session().await.unwrap();
        let config: toml::Table = std::fs::read_to_string(rehearsal.config()).unwrap().parse().unwrap();
        let key = |name: &str| config["probe"][name].as_str().unwrap().to_owned();
        let project = sqlx::query_scalar("SELECT project_id FROM api_keys WHERE public_key = $1")
            .bind(key("public_key"))
            .fetch_one(&mut *session)
            .await
            .unwrap();
        use base64::Engine as _;
        let pair = format!("{}:{}", key("public_key"), key("secret_key"));
        let auth = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        Self { rehearsal, postgres, clickhouse, session, project, auth }
    }

    /// The public API of v2 or v3, in the canary project.
    async fn api(&self, url: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let address = format!("{}{path}", self.rehearsal.field(url));
        let client = reqwest::Client::new();
        let request = body.map_or_else(|| client.get(&address), |body| client.post(&address).json(&body));
        let answer = request.header("authorization", &self.auth).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// Rows into ClickHouse as v3's writer sends them, `updated_at` and `event_ts` now unless given.
    async fn v3_writes(&self, table: &str, rows: &[Value]) {
        for row in rows {
            let mut whole = json!({"project_id": self.project, "event_ts": "2026-11-22 10:00:00.000",
                "updated_at": "2026-11-22 10:00:00.000", "created_at": "2026-11-22 09:00:00.000", "is_deleted": 0});
            whole.as_object_mut().unwrap().extend(row.as_object().unwrap().clone());
            let time = if table == "observations" { "start_time" } else { "timestamp" };
            whole.as_object_mut().unwrap().entry(time).or_insert(json!("2026-11-22 09:00:00.000"));
            // The engine takes inserts as statements; `?` is a parameter to the client.
            let line = whole.to_string().replace('?', "??");
            let statement = format!("INSERT INTO {table} FORMAT JSONEachRow {line}");
            self.clickhouse.execute(self.clickhouse.query(&statement)).await.unwrap();
        }
    }

    async fn library(&self, write: bool, wish: Wish) -> Report {
        let sides = Sides {
            clickhouse: &self.clickhouse,
            postgres: &self.postgres,
            writer: write.then_some(&self.postgres),
        };
        let (report, ended) = restore::restore(sides, &wish, &mut |_| true).await;
        ended.unwrap();
        report
    }

    fn verb(&self, args: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.rehearsal.verb(&[&["restore"], args].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    async fn one<T>(&mut self, sql: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&mut *self.session).await.unwrap()
    }

    async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut *self.session).await.unwrap();
    }
}

/// Counts of the tables: inserts, updates, known, left.
fn counts(report: &Report) -> Vec<[u64; 4]> {
    let left = |t: &restore::TableReport| t.left.values().map(|n| n.count).sum();
    report.tables.iter().map(|t| [t.inserts.count, t.updates.count, t.known, left(t)]).collect()
}

#[tokio::test]
async fn what_v3_wrote_is_shown_by_v2() {
    let mut bench = Bench::start().await;
    // The load goes on with one event a second; it only ever writes to v2 here.
    let before = bench.library(false, Wish::default()).await;
    assert_eq!(before.rows(), 0, "{:?}", counts(&before));
    events::events_sent_to_v3(&mut bench).await;
    events::what_cannot_go_back_is_named(&mut bench).await;
    decisions::newer_rows_of_v2_stay(&mut bench).await;
    decisions::decisions_of_v3_are_v2_s_afterwards(&mut bench).await;
    views::views_and_enums(&mut bench).await;
    killed::killed_and_resumed(&mut bench).await;
}

#[tokio::test]
async fn what_v2_knows_better_stays() {
    let rehearsal = waiting("60", &[]).await;
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(0));
    let mut bench = Bench::of(rehearsal).await;
    poorer::what_v3_did_not_change_stays_as_v2_has_it(&mut bench).await;
    poorer::who_stays_public_is_named_beside_what_is_refused(&mut bench).await;
}
