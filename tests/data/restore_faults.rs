//! The way back is ended from outside: by a server that ends its session, by a lock, by a statement that takes too long.

use std::time::Duration;

use cutover::clients::reach::Reach;
use cutover::clients::work::{Access, ClickhouseWork, PostgresWork, Purpose};
use cutover::data::restore::{self, Sides, Wish};
use cutover::domain::Kind;
use sqlx::{Connection as _, PgConnection};

use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::forward::{ask, compare_but, spawn, sql, until, waiting};
use crate::kills::{ROWS, v2_rows, v3_writes, v3_writes_some};
use crate::sides;

/// A session of its own, with so much patience.
async fn work(rehearsal: &Rehearsal, statement: Duration) -> PostgresWork {
    let (target, _) = rehearsal.databases();
    let purpose = Purpose { name: "restore", access: Access::Write, statement };
    PostgresWork::new(&Reach::new(None), &target, purpose).await.unwrap()
}

/// Ends the sessions as soon as there are more rows; watched from within the server, since it takes milliseconds.
async fn end_after(rehearsal: &Rehearsal, before: usize) {
    let block = format!(
        "DO $$ DECLARE rows bigint; BEGIN FOR turn IN 1..30000 LOOP \
         SELECT (SELECT count(*) FROM traces) + (SELECT count(*) FROM observations) + (SELECT count(*) FROM scores) INTO rows; \
         EXIT WHEN rows > {before}; PERFORM pg_sleep(0.001); END LOOP; \
         PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cutover restore'; END $$"
    );
    sql(rehearsal, &block).await;
}

#[tokio::test]
async fn whatever_ends_it_whole_batches_are_there_and_the_rest_follows() {
    let rehearsal = waiting("50", &[]).await;
    sql(&rehearsal, "TRUNCATE traces, observations, scores").await;
    v3_writes(&rehearsal).await;

    // The server ends its sessions, three times.
    for part in 1..=3 {
        let before = v2_rows(&rehearsal).await;
        let mut child = spawn(&rehearsal, &["restore", "--yes"]);
        end_after(&rehearsal, before).await;
        assert_eq!(child.wait().unwrap().code(), Some(3), "part {part}");
        let rows = v2_rows(&rehearsal).await;
        assert!(rows > before && rows % 500 == 0 && rows < 3 * ROWS, "{rows} rows are no whole batches");
    }

    // A lock that nobody gives up: told, and nothing of that table is half written.
    let mut session = PgConnection::connect(rehearsal.field("postgres_url")).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE scores IN ACCESS EXCLUSIVE MODE").execute(&mut session).await.unwrap();
    let output = rehearsal.verb(&["restore", "--yes"]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && words.contains("lock"), "{:?} {words}", output.status);
    // The same as a statement that takes longer than it may.
    let (postgres, clickhouse) = sides::open(&rehearsal, Access::Write).await;
    let hasty = work(&rehearsal, Duration::from_millis(300)).await;
    let sides = Sides { clickhouse: &clickhouse, postgres: &hasty, writer: Some(&hasty) };
    let (report, ended) = restore::restore(sides, &Wish::default(), &mut |_| true).await;
    let trouble = ended.unwrap_err().to_string();
    assert!(trouble.contains("timeout"), "{trouble}");
    assert!(report.tables.iter().all(|t| t.table.name() != "scores" || t.rows() == 0), "{report:#?}");
    // ClickHouse ends such a statement as well.
    let (_, target) = rehearsal.databases();
    let purpose = Purpose { name: "restore", access: Access::Read, statement: Duration::from_secs(1) };
    let hasty = ClickhouseWork::new(&Reach::new(None), &target, purpose).await.unwrap();
    let endless = hasty.query("SELECT count() FROM numbers(100000000000)");
    let trouble = hasty.trouble(&hasty.stream(endless).unwrap().next().await.unwrap_err());
    assert!(trouble.kind == Kind::Timeout && trouble.to_string().contains("159"), "{trouble}");
    drop(postgres);
    sqlx::raw_sql("ROLLBACK").execute(&mut session).await.unwrap();
    assert_eq!(ask(&rehearsal, "SELECT count(*)::text FROM scores").await, "0");

    let output = rehearsal.verb(&["restore", "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(compare_but(&rehearsal, &[], &["event_ts"], 0).await, 3 * ROWS);
}

/// ClickHouse is killed while its rows are written back: told, whole batches stay, and the rest follows.
#[tokio::test]
async fn without_clickhouse_it_ends_and_goes_on_when_it_is_back() {
    const MANY: usize = 15_000;
    let rehearsal = waiting("50", &[]).await;
    sql(&rehearsal, "TRUNCATE traces, observations, scores").await;
    v3_writes_some(&rehearsal, MANY).await;
    let log = rehearsal.dir().join("restore.log");
    let mut child = std::process::Command::new(CUTOVER)
        .arg("--config")
        .arg(rehearsal.config())
        .args(["restore", "--yes"])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    until("the first rows", 60, async || v2_rows(&rehearsal).await > 0).await;
    rehearsal.fault(&["store-down", "store=clickhouse"]);
    let code = child.wait().unwrap().code();
    let words = std::fs::read_to_string(&log).unwrap();
    assert!(code == Some(3) && words.contains("ClickHouse"), "{code:?} {words}");
    let rows = v2_rows(&rehearsal).await;
    assert!(rows % 500 == 0 && rows < 3 * MANY, "{rows} rows are no whole batches");
    rehearsal.fault(&["store-down", "store=clickhouse", "--lift"]);
    let output = rehearsal.verb(&["restore", "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(compare_but(&rehearsal, &[], &["event_ts"], 0).await, 3 * MANY);
}
