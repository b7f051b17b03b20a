//! Rows over the whole space of their types: copied forward, verified, written over by v3, deleted in v2, copied back,
//! and held against what they were.
//!
//! One rule: what may differ afterwards is what the description of the tables says, never a list of this test.

use std::collections::{BTreeMap, BTreeSet};

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

/// Batches; each is copied there and back.
const BATCHES: u8 = 3;
/// Rows of each table in a batch.
const ROWS: usize = 150;
/// Projects of the rows.
const PROJECTS: &[&str] = &["whole-1", "whole 2 'é/🦀'"];

/// A value of PostgreSQL as text; `None` is NULL.
type Text = Option<String>;

/// A column, the type its texts are cast to, and where they come from.
struct Field {
    name: &'static str,
    cast: &'static str,
    values: BoxedStrategy<Text>,
}

fn field(name: &'static str, cast: &'static str, values: impl Strategy<Value = Text> + 'static) -> Field {
    Field { name, cast, values: values.boxed() }
}

/// Any text that PostgreSQL can hold.
fn text() -> impl Strategy<Value = String> {
    let odd = [
        "",
        " ",
        "null",
        "5",
        "{}",
        "a\nb\r\n\t",
        "\u{1}\u{7f}",
        "it's \"q\" \\ /",
        "\u{fffd}\u{10ffff}",
        "🦀é",
    ];
    prop_oneof![
        3 => "[a-z0-9-]{1,30}",
        2 => ".{0,40}",
        1 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        1 => ".{200,400}",
    ]
    .prop_map(|text| text.replace('\0', ""))
}

fn some(values: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = Text> {
    values.prop_map(Some)
}

fn maybe(values: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = Text> {
    prop::option::weighted(0.7, values)
}

/// One of a few months, from before 1970 to after 2106, any millisecond of it: a partition for each month.
fn moment() -> impl Strategy<Value = String> {
    let months = vec![
        -2_208_000_000_000_i64,
        -1,
        0,
        1_000_000_000_000,
        1_750_000_000_000,
        1_763_000_000_000,
        4_300_000_000_000,
        10_400_000_000_000,
    ];
    (prop::sample::select(months), 0..2_000_000_000_i64).prop_map(|(month, more)| {
        jiff::Timestamp::from_millisecond(month + more).unwrap().strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
    })
}

/// Any JSON, as text: numbers of any length among it, as far as they are doubles to JavaScript; it holds no others.
fn json() -> impl Strategy<Value = String> {
    let quoted = || text().prop_map(|text| Value::from(text).to_string());
    let odd = ["null", "true", "false", "0", "-0.0", "\"\"", "-1.50", "9007199254740993", "[]", "{}"];
    let leaf = prop_oneof![
        1 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        2 => "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?",
        4 => quoted(),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((text(), inner), 0..5).prop_map(|entries| {
                let entries: Vec<_> = entries
                    .into_iter()
                    .map(|(key, value)| format!("{}: {value}", Value::from(key)))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    })
}

/// What can be metadata in v3: not a bare number, not a bare boolean.
fn metadata() -> impl Strategy<Value = String> {
    json().prop_map(|json| match json.as_bytes().first() {
        Some(b'{' | b'[' | b'"') => json,
        _ if json == "null" => json,
        _ => format!("{{\"bare\": {json}}}"),
    })
}

/// An array as PostgreSQL reads it.
fn tags() -> impl Strategy<Value = String> {
    prop::collection::vec(text(), 0..5).prop_map(|tags| {
        let quoted = |tag: &String| format!("\"{}\"", tag.replace('\\', "\\\\").replace('"', "\\\""));
        format!("{{{}}}", tags.iter().map(quoted).collect::<Vec<_>>().join(","))
    })
}

fn flag() -> impl Strategy<Value = String> {
    any::<bool>().prop_map(|flag| flag.to_string())
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

/// Amounts that fit, with up to thirty decimals.
fn amount() -> impl Strategy<Value = String> {
    prop_oneof!["-?[0-9]{1,5}\\.[0-9]{1,30}", "0\\.0{4,9}[0-9]{1,8}", "0|1|999999"]
}

fn count() -> impl Strategy<Value = String> {
    prop_oneof![any::<i32>().prop_map(|n| n.to_string()), (0..5000_i32).prop_map(|n| n.to_string())]
}

/// JSON can carry no other.
fn finite() -> impl Strategy<Value = String> {
    any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:?}"))
}

const MOMENT: &str = "timestamp(3)";

fn fields(table: Table) -> Vec<Field> {
    let mut fields = vec![
        field("project_id", "text", some(one_of(PROJECTS))),
        field("created_at", MOMENT, some(moment())),
        field("updated_at", MOMENT, some(moment())),
    ];
    fields.extend(match table {
        Table::Traces => of_traces(),
        Table::Observations => of_observations(),
        _ => of_scores(),
    });
    fields
}

fn texts(fields: &mut Vec<Field>, names: &[&'static str]) {
    fields.extend(names.iter().map(|name| field(name, "text", maybe(text()))));
}

fn documents(fields: &mut Vec<Field>, names: &[&'static str]) {
    fields.extend(names.iter().map(|name| field(name, "jsonb", maybe(json()))));
}

fn of_traces() -> Vec<Field> {
    let mut fields = vec![field("timestamp", MOMENT, some(moment()))];
    texts(&mut fields, &["external_id", "name", "user_id", "release", "version", "session_id"]);
    documents(&mut fields, &["input", "output"]);
    fields.push(field("metadata", "jsonb", maybe(metadata())));
    fields.push(field("tags", "text[]", some(tags())));
    fields.extend(["public", "bookmarked"].map(|name| field(name, "boolean", some(flag()))));
    fields
}

fn of_observations() -> Vec<Field> {
    let mut fields = vec![field("start_time", MOMENT, some(moment()))];
    fields.extend(["end_time", "completion_start_time"].map(|name| field(name, MOMENT, maybe(moment()))));
    let types = one_of(&["SPAN", "EVENT", "GENERATION"]);
    fields.push(field("type", "\"ObservationType\"", some(types)));
    let levels = one_of(&["DEBUG", "DEFAULT", "WARNING", "ERROR"]);
    fields.push(field("level", "\"ObservationLevel\"", some(levels)));
    texts(&mut fields, &["trace_id", "name", "parent_observation_id", "status_message", "version"]);
    texts(&mut fields, &["model", "internal_model", "internal_model_id", "unit", "prompt_id"]);
    documents(&mut fields, &["modelParameters", "input", "output"]);
    fields.push(field("metadata", "jsonb", maybe(metadata())));
    for part in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        fields.push(field(part, "integer", some(count())));
    }
    for part in ["input_cost", "output_cost", "total_cost"] {
        fields.push(field(part, "numeric", maybe(amount())));
    }
    for part in ["calculated_input_cost", "calculated_output_cost", "calculated_total_cost"] {
        fields.push(field(part, "numeric", maybe(amount())));
    }
    fields
}

fn of_scores() -> Vec<Field> {
    let mut fields = vec![
        field("timestamp", MOMENT, some(moment())),
        field("name", "text", some(text())),
        field("value", "double precision", maybe(finite())),
    ];
    let sources = one_of(&["ANNOTATION", "API", "EVAL"]);
    fields.push(field("source", "\"ScoreSource\"", some(sources)));
    let kinds = one_of(&["NUMERIC", "CATEGORICAL", "BOOLEAN"]);
    fields.push(field("data_type", "\"ScoreDataType\"", some(kinds)));
    // v2 knows scores of traces only.
    fields.push(field("trace_id", "text", some(text().prop_map(|text| format!("t{text}")))));
    texts(&mut fields, &["comment", "author_user_id", "observation_id", "string_value", "queue_id"]);
    fields
}

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
    session: PgConnection,
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
        let mut raw: BTreeMap<_, _> = all.fetch_all(&mut self.session).await.unwrap().into_iter().collect();
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
        .execute(&mut session)
        .await
        .unwrap();
    let mut bench = Bench { rehearsal, postgres, clickhouse, session };
    for batch in 0..BATCHES {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[batch + 1; 32]);
        there_and_back(&mut bench, &mut TestRunner::new_with_rng(Config::default(), rng)).await;
    }
}

async fn there_and_back(bench: &mut Bench, runner: &mut TestRunner) {
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
    sql(&bench.rehearsal, EMPTY).await;
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
