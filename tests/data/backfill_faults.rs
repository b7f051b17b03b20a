//! A database goes away in the middle of the copy, and rows go away under it.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use cutover::clients::work::Access;
use serde_json::Value;

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

/// A wire to PostgreSQL that can be cut.
struct Wire {
    config: std::path::PathBuf,
    cut: tokio::sync::broadcast::Sender<()>,
}

impl Wire {
    /// A configuration whose PostgreSQL is at the other end.
    async fn lay(rehearsal: &Rehearsal) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().to_string();
        let url = rehearsal.field("postgres_url").to_owned();
        let there = url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
        let config = rehearsal.dir().join("wire.toml");
        let text = std::fs::read_to_string(rehearsal.config()).unwrap();
        assert!(text.contains(&there));
        std::fs::write(&config, text.replace(&there, &here)).unwrap();
        let cut = tokio::sync::broadcast::channel(1).0;
        let scissors = cut.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (mut cut, there) = (scissors.subscribe(), there.clone());
                tokio::spawn(async move {
                    let Ok(mut far) = tokio::net::TcpStream::connect(there).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        Self { config, cut }
    }
}

/// Everything that can happen to it in one copy: no room, statements cancelled, sessions ended, the wire cut in the
/// middle of a COPY, rows and a whole project deleted under it.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_copy_nothing_is_lost() {
    let rehearsal = waiting("3000", &[]).await;
    let wire = Wire::lay(&rehearsal).await;
    let (_, clickhouse) = sides::open(&rehearsal, Access::Write).await;
    let rows = async || {
        let all = "SELECT (SELECT count() FROM traces) + (SELECT count() FROM observations) AS n";
        clickhouse
            .ask
            .one::<u64>(clickhouse.query(&format!("SELECT ifNull(n, 0) AS n FROM ({all})")))
            .await
            .unwrap()
    };
    let room = async |setting: &str| {
        for table in ["traces", "observations", "scores"] {
            let alter = format!("ALTER TABLE {table} {setting}");
            clickhouse.execute(clickhouse.query(&alter)).await.unwrap();
        }
    };
    // A real NOT_ENOUGH_SPACE (243): no disk has so many bytes free.
    room("MODIFY SETTING min_free_disk_bytes_to_perform_insert = 100000000000000").await;
    let mut child = Command::new(CUTOVER)
        .arg("--config")
        .arg(&wire.config)
        .args(["backfill", "run", "--block-rows", "100", "--rate", "700"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(rehearsal.dir().join("copy.log")).unwrap())
        .spawn()
        .unwrap();
    let locked =
        "SELECT count(*)::text FROM background_migrations WHERE locked_at IS NOT NULL AND state ? 'maxDate'";
    until("the copy", 30, async || ask(&rehearsal, locked).await == "1").await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!((rows().await, child.try_wait().unwrap()), (0, None), "it waits for room");
    room("RESET SETTING min_free_disk_bytes_to_perform_insert").await;
    until("the first rows", 30, async || rows().await > 0).await;

    let gone = some_are_deleted(&rehearsal).await;
    let copies = "FROM pg_stat_activity WHERE query LIKE 'COPY %' AND state = 'active' AND application_name = 'cutover backfill'";
    let mut met = [0; 2];
    for round in 0..40 {
        // 57014, as a statement timeout has; then 57P01; then no word at all.
        match round % 3 {
            0 | 1 => {
                let how = ["pg_cancel_backend", "pg_terminate_backend"][round % 3];
                let done = ask(&rehearsal, &format!("SELECT count({how}(pid))::text {copies}")).await;
                met[round % 3] += done.parse::<u32>().unwrap();
            }
            _ => drop(wire.cut.send(())),
        }
        if child.try_wait().unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    eprintln!("copies cancelled and ended: {met:?}");
    until("its end", 120, async || child.try_wait().unwrap().is_some()).await;
    let words = std::fs::read_to_string(rehearsal.dir().join("copy.log")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{words}");
    assert!(is_finished(&rehearsal).await);

    // All that v2 has is there; what it lost meanwhile is told by its id.
    let output = rehearsal.verb(&["verify", "--columns", "all", "--grace", "0", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    for finding in told["findings"].as_array().unwrap() {
        assert_eq!(finding["difference"], "extra", "{finding:#}");
        assert!(gone.contains(finding["id"].as_str().unwrap()), "{finding:#}");
    }
    let compared: u64 = told["tables"].as_array().unwrap().iter().map(|t| t["rows"].as_u64().unwrap()).sum();
    let all = "SELECT ((SELECT count(*) FROM traces) + (SELECT count(*) FROM observations) + (SELECT count(*) FROM scores))::text";
    assert_eq!(ask(&rehearsal, all).await, compared.to_string());
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
