//! The ClickHouse front with the real clients: the `clickhouse` crate and plain HTTP.
#![allow(clippy::print_stderr, reason = "a test that skips says why, and one that measures what")]

use std::{io::Write, time::Duration};

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::*;
use crate::rehearsal::{clock, stores::StoreError};

async fn started() -> Option<(Stage, ClickHouse)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stage = Stage::open(None).await.unwrap();
    match start(&stage, &|line| eprintln!("{line}")).await {
        Ok(store) => Some((stage, store)),
        Err(StoreError::Stage(absent @ StageError::Missing { .. })) => {
            assert!(std::env::var_os("CI").is_none(), "CI skips nothing: {absent}");
            eprintln!("SKIPPED: {absent}");
            None
        }
        Err(failure) => panic!("{failure}"),
    }
}

async fn ended(stage: Stage, store: ClickHouse) {
    store.stop().await;
    stage.close().await.unwrap();
}

fn client(store: &ClickHouse) -> Client {
    let server = store.server();
    Client::default()
        .with_url(server.url())
        .with_user(USER)
        .with_password(server.password())
        .with_database(DATABASE)
}

fn reader(store: &ClickHouse) -> Client {
    client(store).with_user(READER).with_password(store.server().reader_password())
}

/// One POST as curl sends it; status, headers, text.
async fn post(
    store: &ClickHouse,
    path: &str,
    body: impl Into<reqwest::Body>,
) -> (u16, reqwest::header::HeaderMap, String) {
    let server = store.server();
    let request =
        server.http.post(format!("{}{path}", server.url())).basic_auth(USER, Some(server.password()));
    let answer = request.body(body).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.text().await.unwrap())
}

#[derive(Debug, Row, Serialize, Deserialize, PartialEq)]
struct Line {
    id: String,
    at: i64,
    tags: Vec<String>,
    metadata: Vec<(String, String)>,
    output: Option<String>,
}

const LINES: &str = "CREATE TABLE lines (id String, at DateTime64(3), tags Array(String),
    metadata Map(LowCardinality(String), String), output Nullable(String)) ENGINE = MergeTree ORDER BY id";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_crate_writes_and_reads_rows() {
    let Some((stage, store)) = started().await else {
        return;
    };
    let client = client(&store); // LZ4 both ways, by default
    client.query(LINES).execute().await.unwrap();
    let mut insert = client.insert::<Line>("lines").await.unwrap();
    for number in 0..50_000_i64 {
        let line = Line {
            id: format!("{number:06}"),
            at: 1_730_000_000_000 + number,
            tags: vec!["é".into(); (number % 3) as usize],
            metadata: vec![("k".into(), "v".repeat(20))],
            output: (number % 2 == 0).then(|| "東京".to_owned()),
        };
        insert.write(&line).await.unwrap();
    }
    insert.end().await.unwrap();

    let one: Vec<Line> = client
        .query("SELECT ?fields FROM lines WHERE id = {id:String} AND at < {until:DateTime64(3)}")
        .param("id", "000002")
        .param("until", "2024-10-27 03:33:21.000")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(one.len(), 1);
    assert_eq!(
        (one[0].at, one[0].tags.len(), one[0].output.as_deref()),
        (1_730_000_000_002, 2, Some("東京"))
    );
    let all: Vec<Line> = client.query("SELECT ?fields FROM lines ORDER BY id").fetch_all().await.unwrap();
    assert_eq!(all.len(), 50_000);
    assert_eq!(all[49_999].id, "049999");
    let none: Vec<Line> = client.query("SELECT ?fields FROM lines WHERE id = ''").fetch_all().await.unwrap();
    assert!(none.is_empty());
    ended(stage, store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_those_of_clickhouse() {
    let Some((stage, store)) = started().await else {
        return;
    };
    let words = |result: Result<(), clickhouse::error::Error>| result.unwrap_err().to_string();
    let (client, reader) = (client(&store), reader(&store));

    let unknown = words(client.query("SELECT * FROM nowhere").execute().await);
    assert!(unknown.contains("Code: 60. DB::Exception: ") && unknown.contains("UNKNOWN_TABLE"), "{unknown}");
    let forbidden = words(reader.query(LINES).execute().await);
    assert!(forbidden.contains("Code: 164") && forbidden.contains("READONLY"), "{forbidden}");
    let raised = words(reader.query("SELECT 1").with_setting("readonly", "0").execute().await);
    assert!(raised.contains("Code: 164"), "{raised}");
    reader.query("SELECT 1").with_setting("max_threads", "1").execute().await.unwrap();
    let late = "SELECT sleepEachRow(0.1) FROM numbers(100) SETTINGS max_block_size = 1";
    let late = words(reader.query(late).with_setting("max_execution_time", "1").execute().await);
    assert!(late.contains("Code: 159"), "{late}");
    let wrong = words(client.clone().with_password("wrong").query("SELECT 1").execute().await);
    assert!(wrong.contains("Code: 516"), "{wrong}");
    // Megabytes have been sent when this one fails: the error comes at the end of the answer.
    let torn = "SELECT number, throwIf(number = 900000) FROM numbers(1000000)";
    let torn = client.query(torn).fetch_all::<(u64, u8)>().await.unwrap_err().to_string();
    assert!(torn.contains("Code: 395"), "{torn}");
    ended(stage, store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_speaks_as_to_the_real_server() {
    let Some((stage, store)) = started().await else {
        return;
    };
    for statement in clickhouse_schema().iter().chain(clickhouse_schema()) {
        let (status, _, text) = post(&store, "/", *statement).await;
        assert_eq!(status, 200, "{text}\n{statement}");
    }
    let version = post(&store, "/", "SELECT version, dirty FROM schema_migrations").await.2;
    assert_eq!(version, "8\t0\n", "run twice, written once");

    // Langfuse's worker: epoch milliseconds in JSON, which 26.8 and later read as seconds by default.
    let row = r#"{"id":"t","project_id":"p","timestamp":1730000000123,"metadata":{"a":"b"},"tags":["x"],"event_ts":1730000000123,"is_deleted":0}"#;
    let path = "/?query=INSERT+INTO+traces+FORMAT+JSONEachRow&async_insert=1&wait_for_async_insert=1";
    let (status, headers, text) = post(&store, path, row).await;
    assert_eq!(status, 200, "{text}");
    assert!(headers["x-clickhouse-summary"].to_str().unwrap().contains("\"written_rows\":\"1\""));
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(row.replace("\"t\"", "\"z\"").as_bytes()).unwrap();
    let server = store.server();
    let path = format!(
        "{}/?query=INSERT+INTO+traces+FORMAT+JSONEachRow&user={USER}&password={}",
        server.url(),
        server.password()
    );
    let gzip = server.http.post(path).header("Content-Encoding", "gzip").body(zipped.finish().unwrap());
    assert_eq!(gzip.send().await.unwrap().status(), 200);
    let inline = format!(
        "INSERT INTO traces (id, project_id, timestamp) VALUES ('v', 'p', '2024-10-27 03:33:20.123'){}",
        " "
    );
    assert_eq!(post(&store, "/", inline).await.0, 200);
    let select =
        "SELECT id, timestamp FROM traces WHERE project_id = {p:String} ORDER BY id FORMAT JSONEachRow";
    let (_, headers, text) = post(&store, "/?param_p=p&query_id=mine", select).await;
    let line = |id| format!("{{\"id\":\"{id}\",\"timestamp\":\"2024-10-27 03:33:20.123\"}}\n");
    assert_eq!(text, ["t", "v", "z"].map(line).concat());
    assert_eq!(headers["x-clickhouse-query-id"], "mine");

    let (status, headers, text) = post(&store, "/", "SELECT nothing").await;
    assert_eq!((status, headers["x-clickhouse-exception-code"].to_str().unwrap()), (404, "47"), "{text}");
    assert!(text.starts_with("Code: 47. DB::Exception: ") && text.contains("(version 26."), "{text}");
    let ping = server.http.get(format!("{}/ping", server.url())).send().await.unwrap();
    assert_eq!(ping.text().await.unwrap(), "Ok.\n");
    let get = server
        .http
        .get(format!("{}/?query=DROP+TABLE+traces", server.url()))
        .basic_auth(USER, Some(server.password()));
    assert!(get.send().await.unwrap().text().await.unwrap().contains("Code: 164"), "GET means read-only");
    assert!(post(&store, "/", "SELECT 1; SELECT 2").await.2.contains("Code: 62"));
    assert!(post(&store, "/?nonsense=1", "SELECT 1").await.2.contains("Code: 115"));
    ended(stage, store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_keeps_what_statements_set_and_nothing_of_a_url() {
    let Some((stage, store)) = started().await else {
        return;
    };
    let say = async |path: &str, sql: &str| post(&store, path, sql.to_owned()).await.2;
    let setting = "SELECT getSetting('max_block_size')";
    assert!(say("/?session_id=s&session_check=1", "SELECT 1").await.contains("Code: 372"), "nobody began it");
    assert_eq!(say("/?session_id=s", "CREATE TEMPORARY TABLE mine (n UInt8)").await, "");
    assert_eq!(say("/?session_id=s", "INSERT INTO mine VALUES (1), (2)").await, "");
    assert_eq!(say("/?session_id=s", "SET max_block_size = 7").await, "");
    assert_eq!(say("/?session_id=s&max_block_size=9&database=system", setting).await, "9\n");
    assert_eq!(say("/?session_id=s&session_check=1", setting).await, "7\n");
    assert_eq!(say("/?session_id=s", "SELECT sum(n) FROM mine").await, "3\n");
    assert_ne!(say("/", setting).await, "7\n");
    assert!(say("/?session_id=other", "SELECT * FROM mine").await.contains("Code: 60"));

    let over = std::cell::Cell::new(false);
    let long = async {
        // The short question may be in the session just then.
        while say("/?session_id=s", "SELECT sleep(3)").await.contains("Code: 373") {}
        over.set(true);
    };
    let meanwhile = async {
        // Asked again until the long query has begun.
        while !say("/?session_id=s", "SELECT 1").await.contains("Code: 373") {
            assert!(!over.get(), "two requests were in one session");
        }
    };
    tokio::join!(long, meanwhile);
    assert_eq!(say("/?session_id=s&close_session=1", "SELECT 1").await, "1\n");
    assert!(say("/?session_id=s", "SELECT * FROM mine").await.contains("Code: 60"), "it was closed");
    assert!(say("/?session_id=s&session_timeout=9999", "SELECT 1").await.contains("Code: 374"));
    ended(stage, store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_do_not_wait_for_a_long_query() {
    let Some((stage, store)) = started().await else {
        return;
    };
    let (slow, quick) = (reader(&store), reader(&store));
    let long = tokio::spawn(async move {
        let query = "SELECT sum(sleepEachRow(0.25)) FROM numbers(10) SETTINGS max_block_size = 1";
        slow.query(query).fetch_one::<u64>().await
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = clock::mono();
    for _ in 0..20 {
        assert_eq!(quick.query("SELECT 1").fetch_one::<u8>().await.unwrap(), 1);
    }
    let took = clock::since(begun);
    assert!(!long.is_finished(), "20 short queries took {took:?}, the long one 2.5 s");
    long.await.unwrap().unwrap();
    ended(stage, store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_survives_kill_and_stop() {
    let Some((stage, store)) = started().await else {
        return;
    };
    let client = client(&store);
    client.query(LINES).execute().await.unwrap();
    client.query("INSERT INTO lines (id) VALUES ('a')").execute().await.unwrap();
    store.kill().await;
    assert!(client.query("SELECT 1").execute().await.is_err());
    store.start().await.unwrap();
    client.query("INSERT INTO lines (id) VALUES ('b')").execute().await.unwrap();
    store.stop().await;
    assert_eq!(store.pid().await, None);
    store.start().await.unwrap();
    assert_eq!(client.query("SELECT count() FROM lines").fetch_one::<u64>().await.unwrap(), 2);
    store.pause().await;
    let frozen = tokio::time::timeout(Duration::from_millis(400), client.query("SELECT 1").execute()).await;
    assert!(frozen.is_err(), "a paused engine answers nothing");
    store.resume().await;
    client.query("SELECT 1").execute().await.unwrap();
    ended(stage, store).await;
}
