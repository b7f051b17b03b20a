//! Watching writes nothing, by the servers' own word: what the sessions may, what they sent, and what they are refused.

use std::time::Duration;

use cutover::clients::reach::Reach;
use cutover::clients::{clickhouse, postgres};
use sqlx::Connection as _;

use crate::common::rehearsal::Rehearsal;
use crate::common::sitting::{Watching, rehearse, section, sit_down, zoom};

/// What a statement that reads begins with; the rest is the driver's own and the sessions' settings.
const READS: [&str; 8] = ["SELECT", "WITH", "SHOW", "EXPLAIN", "BEGIN", "COMMIT", "ROLLBACK", "SET"];

/// The log that PostgreSQL writes, wherever the rehearsal keeps it.
fn log(rehearsal: &Rehearsal) -> String {
    let mut todo = vec![rehearsal.dir()];
    let mut all = String::new();
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                todo.push(entry.path());
            } else if entry.path().extension().is_some_and(|e| e == "log") {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                all.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }
    all
}

/// Statements of the cockpit as PostgreSQL logged them.
fn statements(log: &str) -> Vec<&str> {
    let ours = log.lines().filter(|line| line.starts_with("app=cutover"));
    ours.filter_map(|line| {
        let (_, said) = line.split_once("LOG:  ")?;
        if let Some(sql) = said.strip_prefix("statement: ") {
            return Some(sql);
        }
        said.strip_prefix("execute ").and_then(|rest| rest.split_once(": ")).map(|(_, sql)| sql)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_watch_cannot_write_and_do_not_try() {
    let rehearsal = tokio::task::spawn_blocking(|| rehearse("happy")).await.unwrap();
    let mut session = sqlx::PgConnection::connect(rehearsal.field("postgres_url")).await.unwrap();
    for sql in [
        "ALTER SYSTEM SET log_statement = 'all'",
        "ALTER SYSTEM SET log_line_prefix = 'app=%a pid=%p '",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::query(sql).execute(&mut session).await.unwrap();
    }
    let rehearsal = tokio::task::spawn_blocking(move || {
        let mut watching = Watching::start(&rehearsal.config());
        let mut person = sit_down(&rehearsal);
        person.see("trace-upsert");
        zoom(&mut person, '2');
        for source in ["migrations", "rows-pg", "rows-ch", "postgres"] {
            watching.until(source, |status| section(status, source)["freshness"] == "fresh");
        }
        person.look(Duration::from_secs(6));
        rehearsal
    })
    .await
    .unwrap();
    let log = log(&rehearsal);
    let sent = statements(&log);
    assert!(sent.len() > 10, "only {} statements were logged:\n{}", sent.len(), &log[..log.len().min(3000)]);
    for sql in &sent {
        let first = sql.trim_start_matches(['(', ' ']).split_whitespace().next().unwrap_or_default();
        assert!(READS.contains(&first.to_uppercase().as_str()), "while only watching: {sql}");
    }
    eprintln!("{} statements of the cockpit in PostgreSQL's log, all of them reads", sent.len());

    let (postgres, clickhouse) = rehearsal.databases();
    let reach = Reach::new(None);
    let postgres = postgres::connect(&reach, &postgres).await.unwrap();
    for (setting, value) in
        [("default_transaction_read_only", "on"), ("statement_timeout", "5s"), ("lock_timeout", "1s")]
    {
        let told: String = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SHOW {setting}")))
            .fetch_one(&postgres.pool)
            .await
            .unwrap();
        assert_eq!(told, value, "{setting}");
    }
    let refused = sqlx::query("UPDATE traces SET name = 'x'").execute(&postgres.pool).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("25006"), "{refused}");
    let slow = sqlx::query("SELECT pg_sleep(9)").execute(&postgres.pool).await.unwrap_err();
    assert_eq!(slow.as_database_error().unwrap().code().as_deref(), Some("57014"), "{slow}");

    let clickhouse = clickhouse::connect(&reach, &clickhouse).await.unwrap();
    for (setting, value) in [("readonly", "2"), ("max_execution_time", "5")] {
        let told: String = clickhouse
            .one(clickhouse.query("SELECT value FROM system.settings WHERE name = ?").bind(setting))
            .await
            .unwrap();
        assert_eq!(told, value, "{setting}");
    }
    let insert = "INSERT INTO traces (id, project_id) VALUES ('x', 'x')";
    for sql in [insert, "ALTER TABLE traces DELETE WHERE 1", "DROP TABLE traces"] {
        let refused = clickhouse.all::<u8>(clickhouse.query(sql)).await.unwrap_err();
        assert!(refused.detail.contains("Code: 164"), "{sql}: {refused}");
    }
}
