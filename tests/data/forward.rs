//! A rehearsal whose history waits to be copied, and what both sides hold afterwards.

use std::process::{Child, Command, Output, Stdio};

use cutover::clients::work::{Access, ClickhouseWork, PostgresWork};
use cutover::data::rows;
use cutover::data::tables::{Live, spec};
use cutover::domain::backfill::Table;
use serde_json::Value;
use sqlx::PgConnection;

use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::sides;

/// Nothing is copied by itself, nothing is written meanwhile; the cost backfill is over.
pub async fn waiting(traces: &str, more: &[&str]) -> Rehearsal {
    set(traces, "0", "", more).await
}

/// The same, with so many events a second of the clients, and more settings of a scenario.
pub async fn set(traces: &str, rate: &str, settings: &str, more: &[&str]) -> Rehearsal {
    let scenario = std::env::temp_dir().join(format!("cutover-off-{}.toml", uuid::Uuid::new_v4()));
    std::fs::write(
        &scenario,
        format!("description = \"by hand\"\n[settings]\nbackfill = \"off\"\n{settings}\n"),
    )
    .unwrap();
    let path = scenario.display().to_string();
    let mut args = vec!["--traces", traces, "--rate", rate, "--seed", "5", "--scenario", &path];
    args.extend_from_slice(more);
    let rehearsal = Rehearsal::start(&args);
    std::fs::remove_file(scenario).unwrap();
    sql(&rehearsal, "UPDATE background_migrations SET finished_at = now() WHERE name LIKE '%1216%'").await;
    rehearsal
}

/// Runs statements on PostgreSQL.
pub async fn sql(rehearsal: &Rehearsal, statements: &str) {
    use sqlx::Connection as _;
    let mut session = PgConnection::connect(rehearsal.field("postgres_url")).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(&mut session).await.unwrap();
}

/// One text of PostgreSQL.
pub async fn ask(rehearsal: &Rehearsal, question: &str) -> String {
    use sqlx::Connection as _;
    let mut session = PgConnection::connect(rehearsal.field("postgres_url")).await.unwrap();
    let answer: Option<String> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(question.to_owned())).fetch_one(&mut session).await.unwrap();
    answer.unwrap_or_default()
}

/// The lock of a dead worker, a minute later.
pub async fn age_locks(rehearsal: &Rehearsal) {
    sql(
        rehearsal,
        "UPDATE background_migrations SET locked_at = locked_at - interval '61 s' WHERE locked_at IS NOT NULL",
    )
    .await;
}

/// Back to the beginning: nothing copied, nothing begun.
pub async fn forget(rehearsal: &Rehearsal) {
    sql(
        rehearsal,
        "UPDATE background_migrations SET state = '{}', finished_at = NULL, failed_at = NULL, failed_reason = NULL, \
         locked_at = NULL, worker_id = NULL WHERE name NOT LIKE '%1216%'",
    )
    .await;
    let (_, clickhouse) = sides::open(rehearsal, Access::Write).await;
    for table in Table::BACKFILLED {
        clickhouse.execute(clickhouse.query(&format!("TRUNCATE TABLE {}", spec(table).ch))).await.unwrap();
    }
}

/// `cutover backfill ..` as a process of its own.
pub fn spawn(rehearsal: &Rehearsal, args: &[&str]) -> Child {
    Command::new(CUTOVER)
        .arg("--config")
        .arg(rehearsal.config())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a verb printed, as JSON.
pub fn document(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Changes ClickHouse.
pub async fn ch(clickhouse: &ClickhouseWork, statement: &str) {
    let done = clickhouse.execute(clickhouse.query(statement)).await;
    done.unwrap_or_else(|trouble| panic!("{statement}: {trouble}"));
}

/// Every migration is finished.
pub async fn is_finished(rehearsal: &Rehearsal) -> bool {
    ask(rehearsal, "SELECT count(*)::text FROM background_migrations WHERE finished_at IS NULL").await == "0"
}

/// Waits for something that another process does.
pub async fn until(what: &str, seconds: u64, mut done: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !done().await {
        assert!(begun.elapsed().as_secs() < seconds, "not within {seconds} s: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Every entity of v2 is in v3 once, with every column as v2 has it; gives how many. `without` ids are not.
pub async fn compare(rehearsal: &Rehearsal, without: &[&str]) -> usize {
    compare_but(rehearsal, without, &[], 0).await
}

/// The same, columns and so many live rows of the ids left out set aside.
pub async fn compare_but(rehearsal: &Rehearsal, without: &[&str], but: &[&str], more: u64) -> usize {
    let (postgres, clickhouse) = sides::open(rehearsal, Access::Read).await;
    let mut session = postgres.session().await.unwrap();
    let mut all = 0;
    for table in Table::BACKFILLED {
        let ids: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT id FROM {} ORDER BY id", table.name())))
                .fetch_all(&mut *session)
                .await
                .unwrap();
        let ids: Vec<&str> = ids.iter().map(String::as_str).filter(|id| !without.contains(id)).collect();
        all += ids.len();
        let more = if table == Table::Traces { more } else { 0 };
        compare_table(&postgres, &mut session, &clickhouse, table, &ids, (but, more)).await;
    }
    all
}

async fn compare_table(
    postgres: &PostgresWork,
    session: &mut PgConnection,
    clickhouse: &ClickhouseWork,
    table: Table,
    ids: &[&str],
    (but, more): (&[&str], u64),
) {
    let mapping = Live::read(&clickhouse.ask, spec(table)).await.unwrap().map(spec(table));
    let live: u64 = clickhouse
        .ask
        .one(clickhouse.query(&format!("SELECT count() FROM {} FINAL", spec(table).ch)))
        .await
        .unwrap();
    let expected = rows::from_postgres(postgres, session, &mapping, ids).await.unwrap();
    let found: std::collections::HashMap<_, _> = rows::from_clickhouse(clickhouse, &mapping, ids)
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.key.clone(), row))
        .collect();
    assert_eq!(expected.len(), ids.len(), "{}: rows of v2 that were read", table.name());
    for row in expected {
        let row = row.unwrap();
        let copied = found.get(&row.key).unwrap_or_else(|| panic!("{} {:?} was lost", table.name(), row.key));
        let columns = mapping.columns.iter().enumerate().filter(|(_, m)| !but.contains(&m.column.ch));
        for (at, mapped) in columns {
            assert_eq!(
                row.cells[at],
                copied.cells[at],
                "{} {:?} {}",
                table.name(),
                row.key,
                mapped.column.ch
            );
        }
    }
    assert_eq!(live, ids.len() as u64 + more, "{}: entities live in v3, and rows of v2", table.name());
}

/// What the cursor says, held against what is there: nothing newer than it is uncopied.
pub async fn cursors_are_true(rehearsal: &Rehearsal) {
    let (postgres, clickhouse) = sides::open(rehearsal, Access::Read).await;
    let mut session = postgres.session().await.unwrap();
    for table in Table::BACKFILLED {
        // A table that has not been begun has no cursor, and promises nothing.
        let newer: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT t.id FROM {} t, background_migrations m WHERE m.name = '{}' \
             AND t.created_at > ((m.state ->> 'maxDate')::timestamptz AT TIME ZONE 'UTC')",
            table.name(),
            table.migration()
        )))
        .fetch_all(&mut *session)
        .await
        .unwrap();
        let copied: Vec<String> = clickhouse
            .ask
            .all(clickhouse.query(&format!("SELECT DISTINCT id FROM {}", spec(table).ch)))
            .await
            .unwrap();
        let copied: std::collections::HashSet<_> = copied.into_iter().collect();
        let lost: Vec<_> = newer.iter().filter(|id| !copied.contains(*id)).collect();
        assert!(
            lost.is_empty(),
            "{}: the cursor has passed {} uncopied rows: {lost:?}",
            table.name(),
            lost.len()
        );
    }
}

/// Somebody who may read all tables but this one, and what else is granted by these statements; their URL.
pub async fn without(rehearsal: &Rehearsal, hidden: &str, granted: &str) -> String {
    let role = format!(
        "CREATE ROLE blind LOGIN PASSWORD 'blind'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO blind; \
         REVOKE ALL ON {hidden} FROM blind; {granted}"
    );
    sql(rehearsal, &role).await;
    let mut url = reqwest::Url::parse(rehearsal.field("postgres_url")).unwrap();
    url.set_username("blind").unwrap();
    url.set_password(Some("blind")).unwrap();
    url.into()
}
