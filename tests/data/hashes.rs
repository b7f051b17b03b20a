//! The hash of a row in PostgreSQL is the hash of its copy: where it is not, the row is looked at closely, and nobody sees
//! more than that a comparison is slow.

use std::collections::{HashMap, HashSet};

use cutover::clients::work::Access;
use cutover::data::rows;
use cutover::data::tables::{Live, Tier, spec};
use cutover::data::verify::chain::Chain;
use cutover::data::verify::json_text::Kinds;
use cutover::data::verify::postgres::V2;
use cutover::domain::backfill::Table;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use sqlx::AssertSqlSafe;

use crate::forward::{sql, waiting};
use crate::sides;
use crate::space::of_javascript;

const ROWS: usize = 3000;

/// Documents of every kind.
fn documents() -> Vec<String> {
    let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(4), ..Config::default() });
    let one = of_javascript();
    let mut all: Vec<String> = (0..ROWS).map(|_| one.new_tree(&mut runner).unwrap().current()).collect();
    let odd = [r#"[1, "list", null]"#, "null", "{}", r#"{"10": 1, "9": {"2": 3, "b": 4, "10": 5}}"#];
    all.extend(odd.map(str::to_owned));
    all
}

#[tokio::test]
async fn what_langfuse_wrote_hashes_alike_on_both_sides() {
    let rehearsal = waiting("10", &[]).await;
    sql(&rehearsal, "TRUNCATE traces CASCADE").await;
    let (postgres, clickhouse) = sides::open(&rehearsal, Access::Write).await;
    let spec = spec(Table::Traces);
    let mapping = Live::read(&clickhouse.ask, spec).await.unwrap().map(spec);
    let mut session = postgres.session().await.unwrap();
    let documents = documents();
    let insert = "INSERT INTO traces (id, project_id, \"timestamp\", metadata, input, output, created_at, updated_at) \
         SELECT 'r' || n, (SELECT min(id) FROM projects), now(), d::jsonb, d::jsonb, d::jsonb -> 'doc', now(), now() \
         FROM unnest($1::text[]) WITH ORDINALITY u(d, n)";
    sqlx::query(insert).bind(&documents).execute(&mut *session).await.unwrap();

    let v2 = V2::new(postgres.clone(), spec);
    let mut kinds = Kinds::default();
    v2.documents("t.metadata", documents.len() as u64, |text| kinds.learn(text)).await.unwrap();
    let chain = Chain::new(&mapping, Tier::All).knowing(kinds);
    let question = format!("SELECT t.id, {}, t.metadata::text FROM traces t ORDER BY t.id", chain.pg());
    let there: Vec<(String, i64, Option<String>)> =
        sqlx::query_as(AssertSqlSafe(question)).fetch_all(&mut *session).await.unwrap();
    let ids: Vec<&str> = there.iter().map(|(id, ..)| id.as_str()).collect();
    let mut here = HashMap::new();
    for row in rows::from_postgres(&postgres, &mut session, &mapping, &ids).await.unwrap() {
        let row = row.unwrap();
        here.insert(row.key.id.clone(), chain.hash_row(&mapping, &row).unwrap());
    }
    assert_eq!((there.len(), here.len()), (documents.len(), documents.len()));
    let unlike: Vec<_> = there.iter().filter(|(id, hash, _)| here[id] != *hash as u64).collect();
    assert!(unlike.is_empty(), "{} of {}: {:#?}", unlike.len(), there.len(), &unlike[..unlike.len().min(5)]);
    let all: HashSet<u64> = here.into_values().collect();
    assert_eq!(all.len(), documents.len(), "two rows have one hash");
}
