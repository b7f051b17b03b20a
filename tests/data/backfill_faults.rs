//! A database goes away in the middle of the copy, and rows go away under it.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use cutover::clients::work::Access;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::forward::{ask, compare, is_finished, spawn, sql, until, waiting};
use crate::sides;

/// Both databases, one after the other, killed while rows move.
#[tokio::test]
async fn a_database_that_comes_back_is_waited_for() {
    let rehearsal = waiting("6000", &[]).await;
    let mut child = spawn(&rehearsal, &["backfill", "run", "--block-rows", "100", "--rate", "2500"]);
    let begun =
        "SELECT count(*)::text FROM background_migrations WHERE locked_at IS NOT NULL AND state ? 'maxDate'";
    until("the copy", 20, async || ask(&rehearsal, begun).await == "1").await;
    for store in ["store=clickhouse", "store=postgres"] {
        tokio::time::sleep(Duration::from_millis(700)).await;
        rehearsal.fault(&["store-down", store]);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(child.try_wait().unwrap().is_none(), "{store}: it gave up");
        rehearsal.fault(&["store-down", store, "--lift"]);
    }
    // A row that v2 deletes meanwhile is nobody's trouble.
    sql(&rehearsal, "DELETE FROM scores WHERE id IN (SELECT id FROM scores ORDER BY created_at LIMIT 5)")
        .await;
    until("its end", 90, async || child.try_wait().unwrap().is_some()).await;
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(is_finished(&rehearsal).await);
    compare(&rehearsal, &[]).await;
}

/// Wires to both databases: the one to PostgreSQL can be cut, and the one to ClickHouse goes through a proxy that, while
/// it is told to, answers inserts as a server does whose disks are full. The rehearsal's engine cannot: it acknowledges a
/// streamed insert that it could not write (chdb 4.4, `insert_done`).
struct Wire {
    config: std::path::PathBuf,
    cut: tokio::sync::broadcast::Sender<()>,
    full: Arc<AtomicBool>,
    refused: Arc<AtomicU32>,
}

/// What ClickHouse 26.9 says.
const FULL: &str = "Code: 243. DB::Exception: Could not perform insert. None of the disks in volume 'default' have enough free \
    space to meet the configured threshold. (NOT_ENOUGH_SPACE) (version 26.9.2.1)\n";

fn place(url: &str) -> String {
    let rest = url.split("//").nth(1).unwrap();
    rest.split('@').next_back().unwrap().split('/').next().unwrap().to_owned()
}

impl Wire {
    /// A configuration whose PostgreSQL is at the other end.
    async fn lay(rehearsal: &Rehearsal) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = place(rehearsal.field("postgres_url"));
        let engine = place(rehearsal.field("clickhouse_url"));
        let config = rehearsal.dir().join("wire.toml");
        let text = std::fs::read_to_string(rehearsal.config()).unwrap();
        let wired = text.replace(&there, &listener.local_addr().unwrap().to_string());
        let wired = wired.replace(&engine, &proxy.local_addr().unwrap().to_string());
        assert!(!wired.contains(&there) && !wired.contains(&engine));
        std::fs::write(&config, wired).unwrap();
        let (full, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        tokio::spawn(serve(proxy, engine, Arc::clone(&full), Arc::clone(&refused)));
        let cut = tokio::sync::broadcast::channel(1).0;
        let scissors = cut.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (mut cut, there) = (scissors.subscribe(), there.clone());
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(there).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        Self { config, cut, full, refused }
    }
}

/// The proxy: one request on each connection, so that none goes by unseen.
async fn serve(listener: TcpListener, engine: String, full: Arc<AtomicBool>, refused: Arc<AtomicU32>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let (engine, full, refused) = (engine.clone(), Arc::clone(&full), Arc::clone(&refused));
        tokio::spawn(async move {
            let mut begun = Vec::new();
            let head = loop {
                let mut chunk = [0; 16 << 10];
                let Ok(read @ 1..) = near.read(&mut chunk).await else { return };
                begun.extend_from_slice(&chunk[..read]);
                if let Some(at) = begun.windows(4).position(|four| four == b"\r\n\r\n") {
                    break at;
                }
            };
            let line = String::from_utf8_lossy(&begun[..head]).lines().next().unwrap_or_default().to_owned();
            if line.contains("query=INSERT") && full.load(Ordering::SeqCst) {
                refused.fetch_add(1, Ordering::SeqCst);
                let answer = format!(
                    "HTTP/1.1 500 Internal Server Error\r\nX-ClickHouse-Exception-Code: 243\r\nConnection: close\r\n\
                     Content-Length: {}\r\n\r\n{FULL}",
                    FULL.len()
                );
                let _ = near.write_all(answer.as_bytes()).await;
                // The rest of the rows: a server reads them before it hangs up.
                let rest = async { while matches!(near.read(&mut [0; 16 << 10]).await, Ok(1..)) {} };
                let _ = tokio::time::timeout(Duration::from_secs(2), rest).await;
                return;
            }
            let Ok(mut far) = TcpStream::connect(engine).await else { return };
            let mut request = begun[..head].to_vec();
            request.extend_from_slice(b"\r\nConnection: close");
            request.extend_from_slice(&begun[head..]);
            if far.write_all(&request).await.is_ok() {
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}

/// Everything that can happen to it in one copy: no room, statements cancelled, sessions ended, the wire cut in the
/// middle of a COPY, rows and a whole project deleted under it.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_copy_nothing_is_lost() {
    let rehearsal = waiting("3000", &[]).await;
    // The last range of the traces: 40 MB of one moment are still on their way when somebody looks.
    sql(
        &rehearsal,
        "UPDATE traces SET created_at = '2020-01-01', input = to_jsonb(repeat(md5(id), 3200)) \
         WHERE id IN (SELECT id FROM traces ORDER BY id LIMIT 400)",
    )
    .await;
    let wire = Wire::lay(&rehearsal).await;
    let mut child = begun_without_room(&rehearsal, &wire).await;
    let gone = some_are_deleted(&rehearsal).await;
    caught_again_and_again(&rehearsal, &wire, &mut child).await;
    until("its end", 120, async || child.try_wait().unwrap().is_some()).await;
    let words = std::fs::read_to_string(rehearsal.dir().join(LOG)).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{words}");
    assert!(retries(&rehearsal) > 0, "no attempt was made again: {words}");
    assert!(is_finished(&rehearsal).await);
    all_but_these_is_there(&rehearsal, &gone).await;
}

/// What the copy says, and what it reports, in the rehearsal's folder.
const LOG: &str = "copy.log";
const REPORT: &str = "copy.json";

/// Attempts at a range that failed, of all tables.
fn retries(rehearsal: &Rehearsal) -> u64 {
    let text = std::fs::read_to_string(rehearsal.dir().join(REPORT)).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    told["tables"].as_array().unwrap().iter().map(|t| t["retries"].as_u64().unwrap()).sum()
}

/// A copy over the wire.
fn copy_over(wire: &Wire, rehearsal: &Rehearsal) -> Child {
    Command::new(CUTOVER)
        .arg("--config")
        .arg(&wire.config)
        .args(["backfill", "run", "--block-rows", "100", "--rate", "700", "--json"])
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(rehearsal.dir().join(REPORT)).unwrap())
        .stderr(std::fs::File::create(rehearsal.dir().join(LOG)).unwrap())
        .spawn()
        .unwrap()
}

/// A copy that waits for room on ClickHouse's disks, and goes on when there is some.
async fn begun_without_room(rehearsal: &Rehearsal, wire: &Wire) -> Child {
    let (_, clickhouse) = sides::open(rehearsal, Access::Write).await;
    let rows = async || {
        let all = "SELECT (SELECT count() FROM traces) + (SELECT count() FROM observations) AS n";
        clickhouse
            .ask
            .one::<u64>(clickhouse.query(&format!("SELECT ifNull(n, 0) AS n FROM ({all})")))
            .await
            .unwrap()
    };
    wire.full.store(true, Ordering::SeqCst);
    let mut child = copy_over(wire, rehearsal);
    let locked =
        "SELECT count(*)::text FROM background_migrations WHERE locked_at IS NOT NULL AND state ? 'maxDate'";
    until("the copy", 30, async || ask(rehearsal, locked).await == "1").await;
    until("refused inserts", 30, async || wire.refused.load(Ordering::SeqCst) > 4).await;
    assert_eq!((rows().await, child.try_wait().unwrap()), (0, None), "it waits for room");
    wire.full.store(false, Ordering::SeqCst);
    until("the first rows", 30, async || rows().await > 0).await;
    child
}

/// 57014, as a statement timeout has; then 57P01; then no word at all.
async fn caught_again_and_again(rehearsal: &Rehearsal, wire: &Wire, child: &mut Child) {
    sql(rehearsal, "CREATE TABLE met (how text)").await;
    for round in 0..30 {
        match round % 3 {
            0 => caught_within_a_copy(rehearsal, "pg_cancel_backend").await,
            1 => caught_within_a_copy(rehearsal, "pg_terminate_backend").await,
            _ => drop(wire.cut.send(())),
        }
        if child.try_wait().unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let met = ask(
        rehearsal,
        "SELECT string_agg(how || ' ' || n, ', ') FROM (SELECT how, count(*) AS n FROM met GROUP BY 1) AS m",
    )
    .await;
    eprintln!("caught within a COPY: {met}");
    for how in ["pg_cancel_backend", "pg_terminate_backend"] {
        assert!(met.contains(how), "no COPY met {how}: {met}");
    }
}

/// All that v2 has is there; what it lost meanwhile is told by its id.
async fn all_but_these_is_there(rehearsal: &Rehearsal, gone: &BTreeSet<String>) {
    let output = rehearsal.verb(&["verify", "--columns", "all", "--grace", "0", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    for finding in told["findings"].as_array().unwrap() {
        assert_eq!(finding["difference"], "extra", "{finding:#}");
        assert!(gone.contains(finding["id"].as_str().unwrap()), "{finding:#}");
    }
    let compared: u64 = told["tables"].as_array().unwrap().iter().map(|t| t["rows"].as_u64().unwrap()).sum();
    let all = "SELECT ((SELECT count(*) FROM traces) + (SELECT count(*) FROM observations) + (SELECT count(*) FROM scores))::text";
    assert_eq!(ask(rehearsal, all).await, compared.to_string());
}

/// Waits for a COPY, half a second at most, and ends it or its session.
async fn caught_within_a_copy(rehearsal: &Rehearsal, how: &str) {
    let block = format!(
        "DO $$ DECLARE hit int; BEGIN FOR turn IN 1..250 LOOP PERFORM pg_stat_clear_snapshot(); \
         SELECT count({how}(pid)) INTO hit FROM pg_stat_activity WHERE query LIKE 'COPY %' AND state = 'active' \
         AND application_name = 'cutover backfill'; IF hit > 0 THEN INSERT INTO met VALUES ('{how}'); EXIT; END IF; \
         PERFORM pg_sleep(0.002); END LOOP; END $$"
    );
    sql(rehearsal, &block).await;
}

/// A project and a few rows of another; gives the ids.
async fn some_are_deleted(rehearsal: &Rehearsal) -> BTreeSet<String> {
    let ids =
        async |sql: &str| ask(rehearsal, &format!("SELECT string_agg(id, ' ') FROM ({sql}) AS ids")).await;
    let project = ask(rehearsal, "SELECT max(project_id) FROM traces").await;
    let mut gone = BTreeSet::new();
    for table in ["traces", "observations", "scores"] {
        let few = format!(
            "SELECT id FROM (SELECT id FROM {table} WHERE project_id <> '{project}' ORDER BY id LIMIT 20) AS few"
        );
        let whose = format!("SELECT id FROM {table} WHERE project_id = '{project}'");
        for list in [ids(&few).await, ids(&whose).await] {
            gone.extend(list.split(' ').map(str::to_owned));
        }
        sql(rehearsal, &format!("DELETE FROM {table} WHERE id IN ({few})")).await;
    }
    sql(rehearsal, &format!("DELETE FROM projects WHERE id = '{project}'")).await;
    gone
}
