//! Both databases with a history and nobody writing, so that every number is known.

use clickhouse::Client;
use cutover::clients::reach::Reach;
use cutover::clients::target::{Address, ClickhouseTarget, PostgresTarget, TlsOptions};
use cutover::clients::work::{Access, ClickhouseWork, PostgresWork, Purpose};
use cutover::data::census::{self, Book, BookFile, Filter, Report};
use cutover::data::tables::spec;
use cutover::domain::Secret;
use cutover::domain::backfill::Table;
use cutover::rehearsal::history;
use cutover::rehearsal::stage::{Stage, StageError};
use cutover::rehearsal::stores::clickhouse::clickhouse_schema;
use cutover::rehearsal::stores::{Endpoints, StoreError, Stores};
use sqlx::{Connection as _, PgConnection, Row as _};

/// The table of run items of v3.98, as far as it is copied.
const RUN_ITEMS: &str = "CREATE TABLE dataset_run_items_rmt (id String, project_id String, dataset_run_id String, \
     dataset_item_id String, dataset_id String, trace_id String, observation_id Nullable(String), \
     created_at DateTime64(3), updated_at DateTime64(3), event_ts DateTime64(3), is_deleted UInt8) \
     ENGINE = ReplacingMergeTree(event_ts, is_deleted) ORDER BY (project_id, dataset_id, dataset_run_id, id)";

/// Stores, sessions, and what was counted.
pub struct Ground {
    stage: Stage,
    stores: Stores,
    pub pg: PostgresWork,
    pub ch: ClickhouseWork,
    pub write: Client,
    pub main: PgConnection,
    pub book: Book,
}

impl Ground {
    /// With a history of so many traces; `None` with the reason printed when a program is not on this machine.
    pub async fn new(traces: u64) -> Option<Self> {
        cutover::clients::tls::install_provider();
        let stage = Stage::open(None).await.unwrap();
        let stores = match Stores::start(&stage, &|line| eprintln!("{line}")).await {
            Ok(stores) => stores,
            Err(StoreError::Stage(absent @ StageError::Missing { .. })) => {
                assert!(std::env::var_os("CI").is_none(), "CI skips nothing: {absent}");
                eprintln!("SKIPPED: {absent}");
                return None;
            }
            Err(failure) => panic!("{failure}"),
        };
        let at = stores.endpoints();
        let options = history::Options { traces, projects: 3, tie_group: 50, ..history::Options::default() };
        history::load(&at, &options).await.unwrap();
        let write = Client::default()
            .with_url(&at.clickhouse_url)
            .with_user(&at.clickhouse_user)
            .with_password(&at.clickhouse_password)
            .with_database(&at.clickhouse_database);
        for statement in clickhouse_schema() {
            write.query(statement).execute().await.unwrap();
        }
        let (pg, ch) = sessions(&at).await;
        let mut main = PgConnection::connect(&at.postgres_url).await.unwrap();
        // Rows of projects that nobody made: what they are called is all that matters here.
        for table in ["traces", "observations", "scores"] {
            let drop = format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_project_id_fkey");
            sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut main).await.unwrap();
        }
        Some(Self { stage, stores, pg, ch, write, main, book: BookFile::new_book() })
    }

    /// The table of run items, which v3.29 does not have.
    pub async fn run_items(&self) {
        self.write.query(RUN_ITEMS).execute().await.unwrap();
    }

    /// Changes PostgreSQL, statistics included.
    pub async fn change(&mut self, statement: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut self.main).await.unwrap();
        sqlx::raw_sql("SELECT pg_stat_force_next_flush()").execute(&mut self.main).await.unwrap();
    }

    /// Changes ClickHouse.
    pub async fn put(&self, statement: &str) {
        self.write.query(statement).with_setting("mutations_sync", "2").execute().await.unwrap();
    }

    /// A census of some tables.
    pub async fn census(&mut self, tables: &[Table], filter: &Filter) -> Report {
        let at = jiff::Timestamp::now();
        let both = (&self.pg, &self.ch);
        census::run(both, tables, filter, &|_| None, at, &mut self.book, &mut |_| {}).await.unwrap()
    }

    /// Copies the rows of a table that meet a condition, as the worker's copies look; in parts of `batch` rows.
    pub async fn copy(&mut self, table: Table, condition: &str, batch: usize) -> usize {
        let spec = spec(table);
        let (names, values) = match table {
            Table::Traces => ("", ""),
            Table::Observations => (", type", ", t.type::text"),
            Table::Scores => (", name", ", t.name"),
            Table::DatasetRunItems => (
                ", dataset_id, dataset_run_id, dataset_item_id",
                ", d.id, t.dataset_run_id, t.dataset_item_id",
            ),
        };
        let query = format!(
            "SELECT format('(%s, %s, %s, %s, %s, %s, 0%s)', {}, {}, {t}, {t}, {}, {}, {extra}) FROM {} WHERE {condition} ORDER BY t.created_at DESC",
            literal("t.id"),
            literal("t.project_id"),
            moment("t.created_at"),
            moment("t.updated_at"),
            spec.from,
            t = moment(&format!("t.{}", spec.time)),
            extra = values
                .split(", ")
                .skip(1)
                .map(|v| format!("', ' || {}", literal(v)))
                .collect::<Vec<_>>()
                .join(" || ")
                + if values.is_empty() { "''" } else { "" },
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&mut self.main).await.unwrap();
        let rows: Vec<String> = rows.iter().map(|r| r.get(0)).collect();
        let time = spec.time;
        // Run items have no time but `created_at`.
        let (time_name, cut) = if time == "created_at" { ("", true) } else { (time, false) };
        for part in rows.chunks(batch) {
            let mut values = part.join(", ");
            let names = if cut {
                values = part.iter().map(|row| without_third(row)).collect::<Vec<_>>().join(", ");
                format!("id, project_id, event_ts, created_at, updated_at, is_deleted{names}")
            } else {
                format!("id, project_id, {time_name}, event_ts, created_at, updated_at, is_deleted{names}")
            };
            // `?` in a text would be taken for a parameter.
            let statement = format!("INSERT INTO {} ({names}) VALUES {values}", spec.ch).replace('?', "??");
            self.write.query(&statement).execute().await.unwrap();
        }
        rows.len()
    }

    /// A configuration with nothing but these two databases.
    pub fn config(&self) -> String {
        let at = self.stores.endpoints();
        format!(
            "[postgres]\nurl = \"{}\"\n\n[clickhouse]\nurl = \"{}\"\nuser = \"{}\"\npassword = \"{}\"\ndatabase = \"{}\"\n",
            at.postgres_url,
            at.clickhouse_url,
            at.clickhouse_user,
            at.clickhouse_password,
            at.clickhouse_database
        )
    }

    /// Where ClickHouse listens.
    pub fn clickhouse_url(&self) -> String {
        self.stores.endpoints().clickhouse_url
    }

    /// A session that reaches ClickHouse by another address.
    pub async fn by(&self, url: &str) -> ClickhouseWork {
        sessions(&Endpoints { clickhouse_url: url.to_owned(), ..self.stores.endpoints() }).await.1
    }

    /// Rows of `traces` created at a moment (ms) or later.
    pub async fn rows_since(&mut self, from: i64) -> u64 {
        let rows: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM traces WHERE created_at >= timestamp 'epoch' + $1 * interval '1 millisecond'",
        )
        .bind(from)
        .fetch_one(&mut self.main)
        .await
        .unwrap();
        rows.cast_unsigned()
    }

    /// CPU time of the ClickHouse process, in hundredths of a second.
    pub fn engine_ticks(&self) -> u64 {
        let room = self.stage.dir().join("clickhouse").display().to_string();
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let told = |name: &str| std::fs::read(process.path().join(name)).unwrap_or_default();
            if !String::from_utf8_lossy(&told("cmdline")).contains(&room) {
                continue;
            }
            let stat = String::from_utf8_lossy(&told("stat")).into_owned();
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            return fields[11..13].iter().map(|n| n.parse::<u64>().unwrap()).sum();
        }
        panic!("no process of {room}")
    }

    /// Ends the servers.
    pub async fn stop(self) {
        drop(self.main);
        self.stores.stop().await;
        self.stage.close().await.unwrap();
    }
}

/// A text as a literal of ClickHouse, made by PostgreSQL.
fn literal(expression: &str) -> String {
    format!("'''' || replace(replace({expression}, '\\', '\\\\'), '''', '\\''') || ''''")
}

/// A moment as an expression of ClickHouse.
fn moment(expression: &str) -> String {
    format!("'fromUnixTimestamp64Milli(' || round(date_part('epoch', {expression}) * 1000)::bigint || ')'")
}

/// A row of values without its third one.
fn without_third(row: &str) -> String {
    let cut = row.splitn(4, ", ").collect::<Vec<_>>();
    format!("{}, {}, {}", cut[0], cut[1], cut[3])
}

async fn sessions(at: &Endpoints) -> (PostgresWork, ClickhouseWork) {
    let purpose =
        Purpose { name: "test", access: Access::Read, statement: std::time::Duration::from_secs(60) };
    let reach = Reach::new(None);
    let postgres = PostgresTarget {
        address: Address::url(&at.postgres_url),
        user: None,
        password: None,
        database: None,
        tls: TlsOptions::default(),
    };
    let clickhouse = ClickhouseTarget {
        address: Address::url(&at.clickhouse_url),
        user: Some(at.clickhouse_user.clone()),
        password: Some(Secret::new(&at.clickhouse_password)),
        database: Some(at.clickhouse_database.clone()),
        compression: false,
        tls: TlsOptions::default(),
    };
    (
        PostgresWork::new(&reach, &postgres, purpose).await.unwrap(),
        ClickhouseWork::new(&reach, &clickhouse, purpose).await.unwrap(),
    )
}
