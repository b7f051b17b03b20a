//! Rows over the whole space of their types: copied forward, verified, written over by v3, deleted in v2, copied back,
//! and held against what they were.
//!
//! One rule: what may differ afterwards is what the description of the tables says, never a list of this test.

use std::collections::{BTreeMap, BTreeSet};

use cutover::clients::liveness::Session;
use cutover::clients::work::{Access, ClickhouseWork, PostgresWork};
use cutover::data::rows::{self, Row};
use cutover::data::tables::{Back, Compare, Live, Mapping, Rule, spec};
use cutover::data::verify::compare;
use cutover::domain::backfill::Table;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use sqlx::PgConnection;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{ask, forget, sql, waiting};
use crate::sides;
use crate::space::{PROJECTS, Text, fields, some, text};

/// Where the rows of each batch come from, unless `CUTOVER_SEEDS` names others: `4,5,6`. Each is copied there and back.
const SEEDS: &str = "1,2,3";
/// Rows of each table in a batch.
const ROWS: usize = 150;

/// Inserts a batch of one table, its ids as odd as its texts.
async fn insert(session: &mut PgConnection, runner: &mut TestRunner, table: Table) {
    let fields = fields(table);
    let mut draw = |values: &BoxedStrategy<Text>| values.new_tree(runner).unwrap().current();
    let any_text = some(text()).boxed();
    let ids: Vec<Text> = (0..ROWS).map(|at| draw(&any_text).map(|text| format!("{text}{at}"))).collect();
    let columns: Vec<Vec<Text>> =
        fields.iter().map(|field| (0..ROWS).map(|_| draw(&field.values)).collect()).collect();
    if table == Table::Traces {
        let column = |name: &str| &columns[fields.iter().position(|f| f.name == name).unwrap()];
        sqlx::query(
            "INSERT INTO trace_sessions (id, project_id, created_at, updated_at) SELECT s, p, now(), now() \
             FROM unnest($1::text[], $2::text[]) AS v(s, p) WHERE s IS NOT NULL ON CONFLICT DO NOTHING",
        )
        .bind(column("session_id"))
        .bind(column("project_id"))
        .execute(&mut *session)
        .await
        .unwrap();
    }
    let named = || std::iter::once(("id", "text")).chain(fields.iter().map(|f| (f.name, f.cast)));
    let names: Vec<_> = named().map(|(name, _)| format!("\"{name}\"")).collect();
    let casts: Vec<_> = named().map(|(name, cast)| format!("\"{name}\"::{cast}")).collect();
    let arrays: Vec<_> = (1..=names.len()).map(|n| format!("${n}::text[]")).collect();
    let statement = format!(
        "INSERT INTO {table} ({names}) SELECT {} FROM unnest({}) AS v({names})",
        casts.join(", "),
        arrays.join(", "),
        table = table.name(),
        names = names.join(", "),
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(&ids);
    let query = columns.iter().fold(query, sqlx::query::Query::bind);
    query.execute(session).await.unwrap();
}

/// Both sides of a rehearsal.
struct Bench {
    rehearsal: Rehearsal,
    postgres: PostgresWork,
    clickhouse: ClickhouseWork,
    session: Session,
}

/// A table of v2: as v3 would store it, and as it lies there.
struct Kept {
    mapping: Mapping,
    rows: BTreeMap<(String, String), (Row, Value)>,
}

impl Bench {
    async fn kept(&mut self, table: Table) -> Kept {
        let mapping = Live::read(&self.clickhouse.ask, spec(table)).await.unwrap().map(spec(table));
        let all = format!(
            "SELECT id, to_jsonb(t) - '{{input,output,metadata,modelParameters}}'::text[] FROM {} t",
            table.name()
        );
        let all = sqlx::query_as::<_, (String, Value)>(sqlx::AssertSqlSafe(all));
        let mut raw: BTreeMap<_, _> = all.fetch_all(&mut *self.session).await.unwrap().into_iter().collect();
        let ids: Vec<String> = raw.keys().cloned().collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let cells = rows::from_postgres(&self.postgres, &mut self.session, &mapping, &ids).await.unwrap();
        let rows = cells.into_iter().map(|row| {
            let row = row.unwrap_or_else(|why| panic!("{why:?} was not meant to be refused"));
            let raw = raw.remove(&row.key.id).unwrap();
            ((row.key.project.clone(), row.key.id.clone()), (row, raw))
        });
        Kept { mapping, rows: rows.collect() }
    }

    fn verified(&self, against: &str) {
        let args = ["verify", "--columns", "all", "--grace", "0", "--json", "--fresh", "--values"];
        let output = self.rehearsal.verb(&[&args[..], &["--against", against]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        let told: Value = serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        let findings = told["findings"].as_array().unwrap();
        let wrong: Vec<_> = findings.iter().filter(|f| f["difference"] != "precision").collect();
        assert!(wrong.is_empty(), "against {against}: {wrong:#?}");
        assert_eq!((output.status.code(), &told["wrong"]), (Some(0), &Value::from(0)), "{told:#}");
        let rows: u64 = told["tables"].as_array().unwrap().iter().map(|t| t["rows"].as_u64().unwrap()).sum();
        assert_eq!(rows, 3 * ROWS as u64, "{told:#}");
    }
}

#[tokio::test]
async fn rows_of_any_kind_go_there_and_back() {
    let rehearsal = waiting("50", &[]).await;
    let (postgres, clickhouse) = sides::open(&rehearsal, Access::Write).await;
    let mut session = postgres.session().await.unwrap();
    let organization = ask(&rehearsal, "SELECT org_id FROM projects LIMIT 1").await;
    sqlx::query("INSERT INTO projects (id, name, org_id, created_at, updated_at) SELECT id, 'n', $2, now(), now() FROM unnest($1::text[]) AS v(id)")
        .bind(PROJECTS)
        .bind(organization)
        .execute(&mut *session)
        .await
        .unwrap();
    let mut bench = Bench { rehearsal, postgres, clickhouse, session };
    let seeds = std::env::var("CUTOVER_SEEDS").unwrap_or_else(|_| SEEDS.to_owned());
    for (batch, seed) in seeds.split(',').enumerate() {
        let seed: u8 = seed.trim().parse().expect("CUTOVER_SEEDS is a list of numbers below 256");
        eprintln!("rows of CUTOVER_SEEDS={seed}");
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let forgotten = if batch % 2 == 0 { Forgotten::All } else { Forgotten::Half };
        there_and_back(&mut bench, &mut TestRunner::new_with_rng(Config::default(), rng), forgotten).await;
    }
}

/// What v2 has lost before the way back.
enum Forgotten {
    All,
    /// The rest meets what comes back, and stays what it is.
    Half,
}

async fn there_and_back(bench: &mut Bench, runner: &mut TestRunner, forgotten: Forgotten) {
    const EMPTY: &str = "TRUNCATE traces, observations, scores; DELETE FROM trace_sessions";
    sql(&bench.rehearsal, EMPTY).await;
    forget(&bench.rehearsal).await;
    let mut before = vec![];
    for table in Table::BACKFILLED {
        insert(&mut bench.session, runner, table).await;
        before.push((table, bench.kept(table).await));
    }
    let output = bench.rehearsal.verb(&["backfill", "run", "--block-rows", "40", "--json"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}{}", String::from_utf8_lossy(&output.stderr));
    // Rows stamped after the copy began are nobody's, by the protocol.
    let late = ask(&bench.rehearsal, "SELECT count(*)::text FROM scores WHERE created_at > now()").await;
    assert_ne!(late, "0");
    assert_eq!(bench.rehearsal.verb(&["catch-up", "--yes"]).status.code(), Some(0));
    bench.verified("v3");
    // v3 writes each of them, as it does when anything happens to them, and v2 forgets them.
    for table in Table::BACKFILLED {
        let own = format!(
            "INSERT INTO {0} SELECT * REPLACE (event_ts + toIntervalSecond(1) AS event_ts) FROM {0} FINAL",
            spec(table).ch
        );
        bench.clickhouse.execute(bench.clickhouse.query(&own)).await.unwrap();
    }
    match forgotten {
        Forgotten::All => sql(&bench.rehearsal, EMPTY).await,
        Forgotten::Half => {
            for table in Table::BACKFILLED {
                let half = format!("DELETE FROM {} WHERE md5(id) < '8'", table.name());
                sql(&bench.rehearsal, &half).await;
            }
        }
    }
    let output = bench.rehearsal.verb(&["restore", "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    for (table, before) in &before {
        compare_tables(*table, before, &bench.kept(*table).await);
    }
    bench.verified("pg");
}

/// Row for row: what v3 would make of both, and the columns themselves where the rule keeps every value.
fn compare_tables(table: Table, before: &Kept, after: &Kept) {
    let keys = |kept: &Kept| kept.rows.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(before), keys(after), "{}", table.name());
    for (key, (was, raw)) in &before.rows {
        let (is, raw_is) = &after.rows[key];
        for (at, mapped) in before.mapping.columns.iter().enumerate() {
            let column = mapped.column;
            let (a, b) = (&was.cells[at], &is.cells[at]);
            let told = || format!("{} {key:?} {}: {a:?} became {b:?}", table.name(), column.ch);
            assert!(compare::same(column, a, b), "{}", told());
            let Back::To([field]) = column.back else { continue };
            let lossless = match column.rule {
                Rule::Text => mapped.kind.is_nullable(),
                Rule::Time | Rule::Bool => true,
                _ => false,
            };
            let field = field.split("::").next().unwrap();
            if lossless && column.compare == Compare::Exact {
                assert_eq!(raw[field], raw_is[field], "{}", told());
            }
        }
    }
}
