//! Databases that go away in the middle, replicas that answer in turn, and more wrong rows than can be looked at one by one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cutover::clients::work::Access;
use cutover::data::tables::{Live, spec};
use cutover::data::verify::cost::Size;
use cutover::data::verify::postgres::V2;
use cutover::domain::backfill::Table;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{again, ch, document, findings, sql, still, verify};
use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::forward::ask;
use crate::sides;

/// Days that are remembered of the first table.
fn known(rehearsal: &Rehearsal) -> usize {
    let file = rehearsal.dir().join("state/verify.json");
    let book = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let days =
        |b: Value| b["known"].as_object()?.values().next()?["days"].as_object().map(serde_json::Map::len);
    book.and_then(days).unwrap_or(0)
}

/// Both databases, one after the other, killed while they are read: the run goes on when they are back, and finds
/// nothing that is not there.
#[tokio::test]
async fn a_database_that_comes_back_is_waited_for_and_nothing_is_made_up() {
    let rehearsal = still("3000").await;
    let mut child = Command::new(CUTOVER)
        .arg("--config")
        .arg(rehearsal.config())
        .args([
            "verify",
            "--columns",
            "all",
            "--table",
            "traces",
            "--max-load",
            "25",
            "--step",
            "60",
            "--json",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for store in ["store=clickhouse", "store=postgres"] {
        let (begun, before) = (Instant::now(), known(&rehearsal));
        while known(&rehearsal) < before + 3 {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is remembered");
            assert!(child.try_wait().unwrap().is_none(), "it was faster than that");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        rehearsal.fault(&["store-down", store]);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(child.try_wait().unwrap().is_none(), "{store}: it gave up");
        rehearsal.fault(&["store-down", store, "--lift"]);
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let told = document(&output);
    assert_eq!((&told["wrong"], findings(&told).len()), (&Value::from(0), 0), "{told:#}");
    assert_eq!(told["tables"][0]["rows"], 3000, "{told:#}");

    ids_come_with_pauses(&rehearsal).await;
    statistics_say_how_rows_are_spread(&rehearsal).await;
    ids_do_not_say_whose(&rehearsal).await;
    what_is_not_looked_at_is_called_so(&rehearsal).await;
}

/// The way by ids is slowed down, too.
async fn ids_come_with_pauses(rehearsal: &Rehearsal) {
    let explain = |args: &[&str]| {
        let output = rehearsal.verb(&[&["verify", "--explain", "--columns", "key"], args].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // As after a restore: what nobody counted is not none.
    sql(
        rehearsal,
        "UPDATE pg_class SET reltuples = -1, relpages = 0, relallvisible = 0 WHERE relname = 'traces'",
    )
    .await;
    let said = explain(&["--table", "traces"]);
    assert!(said.contains("never analysed") && !said.contains("~0 "), "{said}");
    sql(rehearsal, "VACUUM ANALYZE traces").await;
    sql(rehearsal, "VACUUM ANALYZE scores").await;
    // A file that is there is not touched by a run that reads nothing.
    let csv = rehearsal.dir().join("there.csv");
    std::fs::write(&csv, "kept").unwrap();
    let said = explain(&["--table", "traces", "--csv", &csv.display().to_string()]);
    assert!(said.contains("the index of ids is enough"), "{said}");
    assert!(said.contains("begins anew") && said.contains("another project"), "{said}");
    assert_eq!(std::fs::read_to_string(&csv).unwrap(), "kept");

    let took = |load: &str| {
        let args = ["--table", "traces", "--columns", "key", "--step", "500", "--max-load", load];
        let told = verify(rehearsal, &args);
        let table = &told["tables"][0];
        assert_eq!(
            (&table["strategy"], &table["rows"]),
            (&Value::from("ids"), &Value::from(3000)),
            "{told:#}"
        );
        table["seconds"].as_f64().unwrap()
    };
    let (full, tenth) = (took("100"), took("10"));
    assert!(tenth > full * 2.0, "{tenth} s at a tenth, {full} s at full speed");
}

/// What says whether sums are held for all months at once.
async fn statistics_say_how_rows_are_spread(rehearsal: &Rehearsal) {
    let (postgres, clickhouse) = sides::open(rehearsal, Access::Read).await;
    for table in [Table::Traces, Table::Scores] {
        let spec = spec(table);
        let mapping = Live::read(&clickhouse.ask, spec).await.unwrap().map(spec);
        let size = Size::read(&V2::new(postgres.clone(), spec), &clickhouse, &mapping).await.unwrap();
        let projects = ask(rehearsal, "SELECT count(*)::text FROM projects").await;
        assert_eq!(size.projects.to_string(), projects);
        let v3: Vec<u32> = size.months.iter().map(|(month, _)| *month).collect();
        assert!(
            !size.v2_months.is_empty() && size.v2_months.iter().all(|month| v3.contains(month)),
            "{size:?}"
        );
    }
}

/// A row under another project is there by its id, and missing by everything else.
async fn ids_do_not_say_whose(rehearsal: &Rehearsal) {
    let (_, clickhouse) = sides::open(rehearsal, Access::Write).await;
    let id = ask(rehearsal, "SELECT min(id) FROM traces").await;
    again(&clickhouse, &id, "'another' AS project_id").await;
    let gone = format!(
        "ALTER TABLE traces DELETE WHERE id = '{id}' AND project_id != 'another' SETTINGS mutations_sync = 2"
    );
    ch(&clickhouse, &gone).await;
    assert_eq!(verify(rehearsal, &["--table", "traces", "--columns", "key"])["wrong"], 0);
    let told = verify(rehearsal, &["--table", "traces"]);
    let found = told["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["difference"].as_str(), f["project"] == "another"));
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    assert_eq!(found, [(Some("extra"), true), (Some("missing"), false)], "{told:#}");
}

/// Of more rows than are looked at one by one, no word is said that nobody knows, and each is named with its project.
async fn what_is_not_looked_at_is_called_so(rehearsal: &Rehearsal) {
    let (_, clickhouse) = sides::open(rehearsal, Access::Write).await;
    ch(&clickhouse, "TRUNCATE TABLE traces").await;
    sql(rehearsal, "DELETE FROM scores").await;
    for columns in ["key", "scalar"] {
        let looked = |table: &str| {
            let told = verify(rehearsal, &["--table", table, "--columns", columns, "--closely", "100"]);
            let found = told["findings"].as_array().unwrap();
            assert!(found.iter().all(|f| !f["project"].as_str().unwrap().is_empty()), "{columns}: {told:#}");
            let mut kinds = BTreeMap::new();
            for finding in found {
                *kinds.entry(finding["difference"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            }
            kinds.into_iter().collect::<Vec<_>>()
        };
        let both = |one: &str, other: &str, rest| vec![(one.to_owned(), 100), (other.to_owned(), rest)];
        assert_eq!(looked("traces"), both("missing", "v2-alone", 2900), "{columns}");
        assert_eq!(looked("scores"), both("extra", "v3-alone", 1400), "{columns}");
    }
}

const NAME: &[u8] = b"hostName()";

/// Leads requests to ClickHouse, and some of its questions for the host's name to another replica: two engines of one
/// machine have one name.
async fn balance_to_another_replica(near: TcpListener, engine: String, rows: bool) {
    while let Ok((near, _)) = near.accept().await {
        let Ok(far) = TcpStream::connect(&engine).await else { return };
        let ((mut asks, mut hears), (mut says, mut takes)) = (near.into_split(), far.into_split());
        tokio::spawn(async move { tokio::io::copy(&mut says, &mut hears).await });
        tokio::spawn(async move {
            let mut chunk = vec![0; 64 << 10];
            while let Ok(read @ 1..) = asks.read(&mut chunk).await {
                let mut request = chunk[..read].to_vec();
                let of_rows = request.windows(12).any(|part| part == b" FROM traces");
                let led = if rows { of_rows } else { request.ends_with(b"SELECT hostName()") };
                let at = request.windows(NAME.len()).rposition(|part| part == NAME).filter(|_| led);
                if let Some(at) = at {
                    // As long as the other.
                    request[at..at + NAME.len()].copy_from_slice(b"'replica2'");
                }
                if takes.write_all(&request).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// A configuration that leads to ClickHouse over such a way.
async fn balanced(rehearsal: &Rehearsal, rows: bool) -> PathBuf {
    let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let engine =
        rehearsal.field("clickhouse_url").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let text = std::fs::read_to_string(rehearsal.config()).unwrap();
    let wired = text.replace(&engine, &near.local_addr().unwrap().to_string());
    assert_ne!(text, wired);
    let config = rehearsal.dir().join(format!("balanced-{rows}.toml"));
    std::fs::write(&config, wired).unwrap();
    tokio::spawn(balance_to_another_replica(near, engine, rows));
    config
}

/// What several replicas said in turn is no proof, and nothing of it is remembered: whether the question for the name
/// goes to another one, or what the rows are read with.
#[tokio::test(flavor = "multi_thread")]
async fn several_replicas_of_clickhouse_prove_nothing() {
    let rehearsal = still("600").await;
    sql(&rehearsal, "VACUUM ANALYZE traces").await;
    for (rows, who, args) in [
        (false, "and replica2", &["--columns", "scalar"][..]),
        (true, "and another", &["--columns", "scalar", "--table", "traces"]),
        (true, "and another", &["--columns", "key", "--table", "traces"]),
    ] {
        let config = balanced(&rehearsal, rows).await;
        let mut command = Command::new(CUTOVER);
        command.arg("--config").arg(&config).args(["verify", "--grace", "0", "--json"]).args(args);
        let told = document(&command.stdin(Stdio::null()).output().unwrap());
        assert_eq!(told["wrong"], 0, "{args:?}: {told:#}");
        let notes = told["notes"].to_string();
        assert!(notes.contains(who) && notes.contains("traces: no proof"), "{args:?}: {told:#}");
        let file =
            std::fs::read(rehearsal.dir().join("state/verify.json")).unwrap_or_else(|_| b"{}".to_vec());
        let book: Value = serde_json::from_slice(&file).unwrap();
        let is_empty = |of: &Value| of.as_object().is_none_or(serde_json::Map::is_empty);
        assert!(is_empty(&book["found"]) && is_empty(&book["known"]), "{args:?}: {book:#}");
    }
}
