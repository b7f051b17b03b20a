//! Row counts of a real history, by index and in stretches, and what only v3 has.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::domain::Fact;
use crate::domain::backfill::{MigrationState, RowsFact, Table};
use crate::domain::units::Count;
use crate::rehearsal::history;
use crate::rehearsal::stores::clickhouse::clickhouse_schema;
use crate::sources::clickhouse_rows::ClickhouseRows;
use crate::sources::migrations::Migrations;
use crate::sources::postgres_rows::PostgresRows;
use crate::sources::{Source, shared::Shared};

async fn rows(source: &mut impl Source) -> RowsFact {
    match source.poll().await.unwrap() {
        Fact::Rows(fact) => fact,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_counted_once() {
    let Some((stage, stores)) = started().await else {
        return;
    };
    let at = stores.endpoints();
    let options = history::Options { traces: 3_000, ..history::Options::default() };
    let loaded = history::load(&at, &options).await.unwrap();
    let file = stage.room("cockpit").unwrap().join("state.json");
    let mut targets = targets(&at);
    targets.state_file = Some(file.clone());
    let shared = Shared::new(targets.clone());

    // Counted within the first polls, exactly, and remembered.
    let mut source = PostgresRows::new(Arc::clone(&shared));
    let mut fact = rows(&mut source).await;
    for _ in 0..5 {
        if fact.tables.iter().all(|t| t.rows.is_some_and(|r| !r.estimate)) {
            break;
        }
        fact = rows(&mut source).await;
    }
    assert_eq!(fact.tables[0].rows, Some(Count::exact(loaded.counts.traces)));
    assert_eq!(fact.tables[1].rows, Some(Count::exact(loaded.counts.observations)));
    assert_eq!(fact.tables[2].rows, Some(Count::exact(loaded.counts.scores)));
    assert_eq!((fact.tables[0].t0, fact.tables[0].stranded), (None, None));

    let mut main = connect(&at).await;
    migration_halfway(&mut main, &shared, &mut source, loaded.counts.traces).await;

    // Another start counts nothing that is closed.
    let again = Shared::new(targets);
    let remembered = std::fs::read_to_string(&file).unwrap();
    assert!(remembered.contains("\"traces\""), "{remembered}");
    let mut second = PostgresRows::new(again);
    assert_eq!(rows(&mut second).await.tables[0].rows, Some(Count::exact(loaded.counts.traces + 1)));

    rows_of_this_morning_go(&mut main, &shared, &mut source, loaded.counts.traces + 1).await;
    a_locked_table_hides_no_other(&mut main, &mut source).await;
    clickhouse_side(&at, &shared).await;
    stores.stop().await;
    stage.close().await.unwrap();
}

async fn connect(at: &Endpoints) -> sqlx::PgConnection {
    use sqlx::Connection as _;
    sqlx::PgConnection::connect(&at.postgres_url).await.unwrap()
}

/// A cursor in the middle, then a row that v2 writes after T0.
async fn migration_halfway(
    pg: &mut sqlx::PgConnection,
    shared: &Arc<Shared>,
    source: &mut PostgresRows,
    traces: u64,
) {
    let set = "UPDATE background_migrations SET worker_id = 'w', locked_at = now() AT TIME ZONE 'UTC', \
               state = jsonb_build_object('maxDate', to_char((SELECT $1 FROM traces), 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')) \
               WHERE name = '20241024_1730_migrate_traces_from_pg_to_ch'";
    let newest = set.replace("$1", "max(created_at)");
    sqlx::raw_sql(sqlx::AssertSqlSafe(newest)).execute(&mut *pg).await.unwrap();
    Migrations::new(Arc::clone(shared)).poll().await.unwrap();
    assert_eq!(
        rows(source).await.tables[0].stranded,
        None,
        "a cursor alone does not tell where the run began"
    );
    let ms: f64 = sqlx::query_scalar("SELECT extract(epoch FROM max(created_at))::float8 * 1000 FROM traces")
        .fetch_one(&mut *pg)
        .await
        .unwrap();
    // As the ClickHouse side notes the newest copied row.
    shared.ledger.note_t0(Table::Traces, jiff::Timestamp::from_millisecond(ms.round() as i64).unwrap());
    let fact = rows(source).await;
    assert_eq!(fact.tables[0].backfill.map(|c| c.value), Some(traces));
    assert_eq!(fact.tables[0].done, Some(Count::exact(0)));
    let middle = set.replace("$1", "percentile_disc(0.5) WITHIN GROUP (ORDER BY created_at)");
    sqlx::raw_sql(sqlx::AssertSqlSafe(middle)).execute(&mut *pg).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO traces SELECT (json_populate_record(t, json_build_object('id', 'late', 'created_at', \
         (SELECT max(created_at) + interval '1 second' FROM traces)))).* FROM traces t LIMIT 1",
    )
    .execute(&mut *pg)
    .await
    .unwrap();
    let fact = rows(source).await;
    let table = &fact.tables[0];
    assert_eq!((table.rows, table.stranded), (Some(Count::exact(traces + 1)), Some(Count::exact(1))));
    let exact: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM traces WHERE id <> 'late' AND created_at > (SELECT (state->>'maxDate')::timestamptz \
         AT TIME ZONE 'UTC' FROM background_migrations WHERE name = '20241024_1730_migrate_traces_from_pg_to_ch')",
    )
    .fetch_one(&mut *pg)
    .await
    .unwrap();
    assert_eq!(table.done, Some(Count::exact(exact as u64)));
    assert!(exact > 1000, "{exact}");

    let Fact::Migrations(found) = Migrations::new(Arc::clone(shared)).poll().await.unwrap() else { panic!() };
    let traces = found.iter().find(|m| m.name == Table::Traces.migration()).unwrap();
    assert_eq!(traces.state, MigrationState::Running);
    assert!(found.iter().any(|m| m.state == MigrationState::Queued));
}

/// A deletion makes the counts estimates at first, and they are counted again: closed days, and today.
async fn rows_of_this_morning_go(
    pg: &mut sqlx::PgConnection,
    shared: &Arc<Shared>,
    source: &mut PostgresRows,
    traces: u64,
) {
    let change = async |pg: &mut sqlx::PgConnection, statement: &str| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut *pg).await.unwrap();
        sqlx::raw_sql("SELECT pg_stat_force_next_flush()").execute(&mut *pg).await.unwrap();
    };
    change(
        pg,
        "INSERT INTO traces SELECT (json_populate_record(t, json_build_object('id', 'morning-' || n, 'created_at', \
         now() AT TIME ZONE 'UTC' - interval '90 minutes'))).* FROM traces t, generate_series(1, 9) n WHERE t.id = (SELECT min(id) FROM traces)",
    )
    .await;
    // A cockpit that starts now.
    let stranded = |fact: &RowsFact| fact.tables[0].stranded.map(|c| c.value);
    let t0 = shared.ledger.t0(Table::Traces).unwrap();
    let late: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM traces WHERE created_at > timestamp 'epoch' + $1 * interval '1 millisecond'",
    )
    .bind(t0.as_millisecond())
    .fetch_one(&mut *pg)
    .await
    .unwrap();
    *source = PostgresRows::new(Arc::clone(shared));
    let fact = rows(source).await;
    assert_eq!(fact.tables[0].rows.map(|c| c.value), Some(traces + 9));
    assert_eq!(stranded(&fact), Some(late.cast_unsigned()));
    change(pg, "DELETE FROM traces WHERE id LIKE 'morning-%' AND id <> 'morning-9'").await;
    let fact = counted_again(source).await;
    assert_eq!(fact.tables[0].rows, Some(Count::exact(traces + 1)));
    // Counted again not long ago.
    change(pg, "DELETE FROM traces WHERE id = 'morning-9'").await;
    let fact = rows(source).await;
    assert_eq!(fact.tables[0].rows.map(|c| c.estimate), Some(true));
    *source = PostgresRows::new(Arc::clone(shared));
    assert_eq!(counted_again(source).await.tables[0].rows, Some(Count::exact(traces)));
}

/// Polls until there is no doubt.
async fn counted_again(source: &mut PostgresRows) -> RowsFact {
    for _ in 0..10 {
        let fact = rows(source).await;
        if fact.tables[0].rows.is_some_and(|count| !count.estimate) {
            return fact;
        }
    }
    panic!("in doubt for good")
}

/// A change of the schema holds a table for longer than a poll waits.
async fn a_locked_table_hides_no_other(pg: &mut sqlx::PgConnection, source: &mut PostgresRows) {
    let known = rows(source).await.tables[0].rows.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE traces IN ACCESS EXCLUSIVE MODE").execute(&mut *pg).await.unwrap();
    let fact = rows(source).await;
    assert_eq!(fact.tables[0].rows, Some(Count::about(known.value)), "nobody knows what has come since");
    assert!(fact.tables[1].rows.is_some_and(|count| count.value > 0));
    sqlx::raw_sql("COMMIT").execute(&mut *pg).await.unwrap();
    assert!(rows(source).await.tables[0].rows.is_some());
}

/// Some rows copied, one of them twice, some written by v3, one of these known to v2.
async fn clickhouse_side(at: &Endpoints, shared: &Arc<Shared>) {
    let client = ::clickhouse::Client::default()
        .with_url(&at.clickhouse_url)
        .with_user(&at.clickhouse_user)
        .with_password(&at.clickhouse_password)
        .with_database(&at.clickhouse_database);
    for statement in clickhouse_schema() {
        client.query(statement).execute().await.unwrap();
    }
    let insert = "INSERT INTO traces (id, timestamp, project_id, created_at, event_ts, is_deleted) VALUES ";
    let copied: Vec<String> = (1..6)
        .map(|n| {
            format!(
                "('c{n}', '2026-01-0{n} 00:00:00', 'p', '2026-01-01 00:00:00', '2026-01-0{n} 00:00:00', 0)"
            )
        })
        .collect();
    for values in [copied.join(","), copied[0].clone()] {
        client.query(&format!("{insert}{values}")).execute().await.unwrap();
    }
    // An id of another project would be another entity.
    let project: String = sqlx::query_scalar("SELECT project_id FROM traces WHERE id = 'late'")
        .fetch_one(&mut connect(at).await)
        .await
        .unwrap();
    let written = format!(
        "('v1', '2026-02-01 00:00:00', 'p', now64(3), now64(3), 0), ('v2', '2026-02-01 00:00:00', 'p', now64(3), now64(3), 0), \
         ('late', '2026-02-01 00:00:00', '{project}', now64(3), now64(3), 0)"
    );
    client.query(&format!("{insert}{written}")).execute().await.unwrap();
    client
        .query(&format!("{insert}('gone', '2026-02-01 00:00:00', 'p', now64(3), now64(3), 1)"))
        .execute()
        .await
        .unwrap();
    let mut source = ClickhouseRows::new(Arc::clone(shared));
    let fact = rows(&mut source).await;
    let table = &fact.tables[0];
    assert_eq!(table.rows, Some(Count::exact(8)));
    assert_eq!(table.backfill, Some(Count::exact(5)));
    assert_eq!(table.v3_only, Some(Count::exact(2)), "v1 and v2; `late` is in PostgreSQL");
    assert_eq!(table.shared, Some(Count::exact(1)), "`late`");
    assert_eq!(table.raw, Some(10));
    assert_eq!(fact.tables[1].rows, Some(Count::exact(0)));
    // Nothing changed: the same answer without a scan.
    let again = rows(&mut source).await;
    assert_eq!(again.tables[0].v3_only, Some(Count::exact(2)));
    assert_eq!(again.tables[0].doubled, Some(Count::exact(0)));
    t0_moves_over_what_is_all_copied(at, shared, &client).await;
    // A changed day of the time is another row, which no merge takes away.
    let moved = "('c1', '2026-03-01 00:00:00', 'p', '2026-01-01 00:00:00', '2026-03-01 00:00:00', 0)";
    client.query(&format!("{insert}{moved}")).execute().await.unwrap();
    let told = async { while rows(&mut source).await.tables[0].doubled != Some(Count::exact(1)) {} };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("two days");
}

/// Of three late rows the newest is copied first, as a catch-up does that is killed after its first stretch.
async fn t0_moves_over_what_is_all_copied(
    at: &Endpoints,
    shared: &Arc<Shared>,
    client: &::clickhouse::Client,
) {
    let mut pg = connect(at).await;
    let late = "SELECT (extract(epoch FROM max(created_at)) * 1000)::bigint FROM traces";
    let t0: i64 = sqlx::query_scalar(late).fetch_one(&mut pg).await.unwrap();
    let at = |second: i64| jiff::Timestamp::from_millisecond(t0 + second * 1000).unwrap();
    shared.ledger.note_t0(Table::Traces, at(0));
    for n in 1..=3 {
        let row = format!(
            "INSERT INTO traces SELECT (json_populate_record(t, json_build_object('id', 'later-{n}', 'created_at', \
             (SELECT max(created_at) + interval '1 second' FROM traces), 'updated_at', timestamp '2026-02-01'))).* \
             FROM traces t LIMIT 1"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(row)).execute(&mut pg).await.unwrap();
    }
    let copy = async |n: i64| {
        let row = format!(
            "INSERT INTO traces (id, timestamp, project_id, created_at, updated_at, event_ts, is_deleted) SELECT 'later-{n}', \
             '2026-02-01 00:00:00', 'p', fromUnixTimestamp64Milli({}), '2026-02-01 00:00:00', '2026-02-01 00:00:00', 0",
            t0 + n * 1000
        );
        client.query(&row).execute().await.unwrap();
    };
    // Each look by a source of its own: one source rests between two.
    let polled = async || rows(&mut ClickhouseRows::new(Arc::clone(shared))).await.tables[0].t0;
    copy(3).await;
    assert_eq!(polled().await, Some(at(0)), "two late rows are not copied");
    copy(1).await;
    assert_eq!(polled().await, Some(at(0)));
    copy(2).await;
    assert_eq!(polled().await, Some(at(3)));
}
