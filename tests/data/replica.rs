//! Comparison against a streaming replica of PostgreSQL: the same differences, and its lag is told.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cutover::data::tables::spec;
use cutover::data::verify::postgres::V2;
use cutover::domain::backfill::Table;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::forward::{ask, sql, until, waiting};
use crate::halves;

/// Where the rehearsal's server and its tools are.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.max_by_key(|v| v.file_name().to_string_lossy().parse::<u32>().unwrap_or(0));
    newest.map_or_else(PathBuf::new, |version| version.path().join("bin"))
}

/// A hot standby of the rehearsal's PostgreSQL; ends with the test.
struct Replica {
    server: Child,
    _room: tempfile::TempDir,
    port: u16,
    url: String,
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.server.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        let _ = self.server.wait();
    }
}

impl Replica {
    async fn make(rehearsal: &Rehearsal) -> Self {
        // Nobody streams from the rehearsal's own server until it is told to write what they need.
        sql(rehearsal, "ALTER SYSTEM SET wal_level = replica").await;
        sql(rehearsal, "ALTER SYSTEM SET max_wal_senders = 4").await;
        rehearsal.fault(&["store-down", "store=postgres"]);
        rehearsal.fault(&["store-down", "store=postgres", "--lift"]);
        assert_eq!(ask(rehearsal, "SHOW wal_level").await, "replica");

        let data = ask(rehearsal, "SHOW data_directory").await;
        let owner = std::fs::metadata(&data).unwrap();
        let room = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(room.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        let copy = room.path().join("data");
        let address = rehearsal.field("postgres_url");
        let run = |program: &str| {
            let mut command = Command::new(programs().join(program));
            command.uid(owner.uid()).gid(owner.gid()).stdin(Stdio::null()).current_dir(room.path());
            command
        };
        let output = run("pg_basebackup")
            .args([
                "--dbname",
                address,
                "--wal-method=stream",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--pgdata",
            ])
            .arg(&copy)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(room.path().join("log")).unwrap();
        let mut server = run("postgres");
        server.arg("-D").arg(&copy).args(["-c", &format!("port={port}"), "-c", "hot_standby=on", "-c"]);
        server.arg(format!("unix_socket_directories={}", room.path().display()));
        let server = server.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let there = host(address);
        let url = address.replace(&there, &format!("127.0.0.1:{port}"));
        let replica = Self { server, _room: room, port, url };
        until("the replica", 30, async || PgConnection::connect(&replica.url).await.is_ok()).await;
        replica
    }

    async fn ask(&self, question: &str) -> String {
        let mut session = PgConnection::connect(&self.url).await.unwrap();
        let answer: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(question.to_owned()))
            .fetch_one(&mut session)
            .await
            .unwrap();
        answer.unwrap_or_default()
    }

    /// Waits until it has what the primary has.
    async fn caught_up(&self, rehearsal: &Rehearsal) {
        // Commits are not waited for (`synchronous_commit`): the last one may not be written yet.
        let there = ask(rehearsal, "SELECT pg_current_wal_insert_lsn()::text").await;
        let here = format!("SELECT (pg_last_wal_replay_lsn() >= '{there}'::pg_lsn)::text");
        until("the replica to catch up", 30, async || self.ask(&here).await == "true").await;
    }

    /// The rehearsal's configuration with this PostgreSQL in it.
    fn config(&self, rehearsal: &Rehearsal) -> PathBuf {
        let text = std::fs::read_to_string(rehearsal.config()).unwrap();
        let path = rehearsal.dir().join("replica.toml");
        let here = format!("127.0.0.1:{}", self.port);
        std::fs::write(&path, text.replace(&host(rehearsal.field("postgres_url")), &here)).unwrap();
        path
    }
}

fn host(url: &str) -> String {
    url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned()
}

fn verify(config: &Path) -> Value {
    let mut command = Command::new(CUTOVER);
    command.arg("--config").arg(config);
    let output = command
        .args(["verify", "--columns", "all", "--grace", "0", "--fresh", "--json", "--values"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Differences in an order of their own.
fn findings(told: &Value) -> Vec<String> {
    let mut findings: Vec<_> = told["findings"].as_array().unwrap().iter().map(Value::to_string).collect();
    findings.sort_unstable();
    findings
}

/// What was found, by table and pair of tables.
fn found(rehearsal: &Rehearsal) -> serde_json::Map<String, Value> {
    let file = std::fs::read(rehearsal.dir().join("state/verify.json")).unwrap();
    serde_json::from_slice::<Value>(&file).unwrap()["found"].as_object().unwrap().clone()
}

/// What a replica proves is of the moment up to which it has replayed.
async fn a_proof_is_as_old_as_its_rows(rehearsal: &Rehearsal, replica: &Replica) {
    sql(rehearsal, "UPDATE traces SET name = name WHERE id = (SELECT min(id) FROM traces)").await;
    replica.caught_up(rehearsal).await;
    replica.ask("SELECT pg_wal_replay_pause()::text").await;
    let paused = jiff::Timestamp::now();
    let told = verify(&replica.config(rehearsal));
    assert_eq!(told["wrong"], 0, "{told:#}");
    let began: jiff::Timestamp = told["at"].as_str().unwrap().parse().unwrap();
    assert!(began > paused);
    let found = found(rehearsal);
    let results = found.values().flat_map(|pairs| pairs.as_object().unwrap().values());
    let ats: Vec<jiff::Timestamp> = results.map(|r| r[0]["at"].as_str().unwrap().parse().unwrap()).collect();
    let notes = &told["notes"];
    assert!(ats.len() == 3 && ats.iter().all(|at| *at <= paused), "{ats:?}, paused at {paused}: {notes:#}");
    replica.ask("SELECT pg_wal_replay_resume()::text").await;
}

#[tokio::test]
async fn a_replica_says_the_same_and_its_lag_is_told() {
    let rehearsal = waiting("1500", &[]).await;
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(0));
    let replica = Replica::make(&rehearsal).await;
    a_proof_is_as_old_as_its_rows(&rehearsal, &replica).await;
    let v2 = V2::new(halves::at(&rehearsal, &replica.url).await, spec(Table::Traces));
    assert_eq!(halves::sessions(&v2).await.unwrap(), 2, "a standby lets two sessions see one snapshot");
    sql(
        &rehearsal,
        r#"
        UPDATE traces SET name = 'changed' WHERE id IN (SELECT id FROM traces ORDER BY id LIMIT 7);
        UPDATE traces SET input = '{"other": 1}', updated_at = now() WHERE id IN (SELECT id FROM traces ORDER BY id DESC LIMIT 5);
        DELETE FROM observations WHERE id IN (SELECT id FROM observations ORDER BY id LIMIT 3);
        INSERT INTO scores SELECT ('new-' || id), "timestamp", name, value, observation_id, trace_id, comment, source, project_id
          FROM scores ORDER BY id LIMIT 4;
        "#,
    )
    .await;
    replica.caught_up(&rehearsal).await;
    let (config, primary) = (replica.config(&rehearsal), verify(&rehearsal.config()));
    let same = verify(&config);
    assert_eq!(findings(&primary).len(), 7 + 5 + 3 + 4, "{primary:#}");
    assert_eq!(findings(&primary), findings(&same));

    // What happens while the replay stands still is not seen, and that is said.
    replica.ask("SELECT pg_wal_replay_pause()::text").await;
    sql(&rehearsal, "UPDATE traces SET name = 'later', updated_at = now() WHERE id IN (SELECT id FROM traces ORDER BY id LIMIT 20)")
        .await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let late = verify(&config);
    assert_eq!(findings(&late), findings(&same));
    let notes = late["notes"].to_string();
    assert!(notes.contains("replay is paused") && notes.contains("its last transaction is "), "{late:#}");
    replica.ask("SELECT pg_wal_replay_resume()::text").await;
    replica.caught_up(&rehearsal).await;
    let after = verify(&config);
    assert_eq!(findings(&after), findings(&verify(&rehearsal.config())));
    assert_eq!(findings(&after).len(), 20 + 5 + 3 + 4);
    assert!(!after["notes"].to_string().contains("paused"), "{after:#}");
    // What one of them proves counts for the other: they are the same table.
    assert!(found(&rehearsal).values().all(|pairs| pairs.as_object().unwrap().len() == 1));
    counted(&rehearsal, &replica, &config).await;
}

/// A standby counts no movements: what happens in closed days is in the next census all the same.
async fn counted(rehearsal: &Rehearsal, replica: &Replica, config: &Path) {
    let census = || {
        let mut command = Command::new(CUTOVER);
        command.arg("--config").arg(config).args(["census", "--table", "scores", "--json"]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let number = |name: &str| {
            assert_eq!(told["tables"][0][name]["estimate"], false, "{name}: {told:#}");
            told["tables"][0][name]["value"].as_i64().unwrap()
        };
        (number("postgres"), number("gone"), number("changed"))
    };
    let (rows, gone, changed) = census();
    assert_eq!(census(), (rows, gone, changed));
    let old = "(SELECT id FROM scores ORDER BY created_at LIMIT 1)";
    sql(rehearsal, &format!("DELETE FROM scores WHERE id = {old}")).await;
    sql(rehearsal, &format!("UPDATE scores SET updated_at = now() WHERE id = {old}")).await;
    replica.caught_up(rehearsal).await;
    assert_eq!(census(), (rows - 1, gone + 1, changed + 1));
}
