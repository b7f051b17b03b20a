//! What stands between us and ClickHouse: two servers behind one address, of which one lags, and one that is silent.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::data::census::book::ChBook;
use cutover::data::census::clickhouse::{self as ch, Came, Server, Side};
use cutover::data::census::{self, Filter};
use cutover::data::tables::spec;
use cutover::domain::Kind;
use cutover::domain::backfill::Table;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::ground::Ground;
use crate::common::rehearsal::CUTOVER;

/// What the address does: which requests a pretended second server answers, out of a database of its own.
#[derive(Debug, Default)]
struct Turns {
    /// Requests so far.
    asked: AtomicU32,
    /// Every second one, while it is set.
    both: AtomicBool,
    /// The second server alone.
    lagging: AtomicBool,
    /// What holds a request for ever that has this in it.
    held: Mutex<Option<&'static str>>,
    /// One is held.
    holds: Notify,
}

/// A request for the pretended second server: another name, another database.
fn to_the_second(request: &str) -> String {
    let (before, rest) = request.split_once("database=").unwrap();
    let end = rest.find(['&', ' ']).unwrap();
    // Of the same length, so that the length of the body stays true.
    format!("{before}database=lagging{}", &rest[end..]).replace("hostName()", "'second--'")
}

/// One request on each connection; none of them is longer than what is read at once here, and all are text.
async fn pretend_two_servers(listener: TcpListener, engine: String, turns: Arc<Turns>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let (engine, turns) = (engine.clone(), Arc::clone(&turns));
        tokio::spawn(async move {
            let mut begun = Vec::new();
            loop {
                let mut chunk = [0; 16 << 10];
                let Ok(read @ 1..) = near.read(&mut chunk).await else { return };
                begun.extend_from_slice(&chunk[..read]);
                let text = String::from_utf8_lossy(&begun);
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(": ")?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
                });
                if body.len() >= length.unwrap_or(0) {
                    break;
                }
            }
            let mut request = String::from_utf8(begun).unwrap();
            let held = *turns.held.lock().unwrap();
            if held.is_some_and(|word| request.contains(word)) {
                turns.holds.notify_one();
                std::future::pending::<()>().await;
            }
            let odd = turns.asked.fetch_add(1, Ordering::SeqCst) % 2 == 1;
            if turns.lagging.load(Ordering::SeqCst) || odd && turns.both.load(Ordering::SeqCst) {
                request = to_the_second(&request);
            }
            let request = request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
            let Ok(mut far) = TcpStream::connect(engine).await else { return };
            let mut answer = Vec::new();
            if far.write_all(request.as_bytes()).await.is_err() || far.read_to_end(&mut answer).await.is_err()
            {
                return;
            }
            let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            answer.splice(at..at, *b"\r\nConnection: close");
            let _ = near.write_all(&answer).await;
        });
    }
}

/// Stands between; gives what it does, and its address.
async fn between(g: &Ground) -> (Arc<Turns>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let engine = g.clickhouse_url().split("//").nth(1).unwrap().trim_end_matches('/').to_owned();
    let turns = Arc::new(Turns::default());
    tokio::spawn(pretend_two_servers(listener, engine, Arc::clone(&turns)));
    (turns, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_census_keeps_what_it_counted() {
    let Some(mut g) = Ground::new(200).await else { return };
    g.copy(Table::Traces, "true", 100).await;
    let (turns, url) = between(&g).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("cutover.toml");
    std::fs::write(&config, g.config().replace(&g.clickhouse_url(), &url)).unwrap();
    // The second table is never answered for: by then the first one is counted.
    *turns.held.lock().unwrap() = Some("'observations'");
    let mut verb = Command::new(CUTOVER);
    verb.arg("--config").arg(&config).arg("census").env("XDG_STATE_HOME", folder.path());
    verb.env("KUBECONFIG", "/nonexistent").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = verb.spawn().unwrap();
    tokio::time::timeout(Duration::from_secs(60), turns.holds.notified()).await.unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    let words = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(75), "{words}");
    assert!(words.contains("what was counted is remembered"), "{words}");
    let kept = walk(folder.path(), &|path| path.to_string_lossy().ends_with(".census.json")).unwrap();
    let book: census::Book = serde_json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
    let traces = &book.tables["traces"];
    assert!(traces.pg.days.len() > 30, "{} days", traces.pg.days.len());
    assert_eq!(traces.ch.totals().live, 200);
    g.stop().await;
}

/// The first file below a folder that is wanted.
pub fn walk(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find_map(|path| if path.is_dir() { walk(&path, wanted) } else { wanted(&path).then_some(path) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_is_of_one_server() {
    let Some(mut g) = Ground::new(200).await else { return };
    g.copy(Table::Traces, "true", 100).await;
    g.put("CREATE DATABASE lagging").await;
    g.put("CREATE TABLE lagging.traces AS traces").await;
    g.put("INSERT INTO lagging.traces SELECT * FROM traces ORDER BY id LIMIT 150").await;

    let (turns, url) = between(&g).await;
    let work = g.by(&url).await;
    let server = Server { ch: &work.ask, limit: Duration::from_secs(30) };
    let pass = async |book: &mut ChBook| {
        ch::count(server, spec(Table::Traces), book, &mut Side::default(), None, &mut |_| {}).await
    };

    // One of them says what it has, whichever it is.
    let mut book = ChBook::default();
    assert_eq!(pass(&mut book).await.unwrap(), Came::Whole);
    assert_eq!(book.totals().live, 200);
    turns.lagging.store(true, Ordering::SeqCst);
    let mut other = ChBook::default();
    assert_eq!(pass(&mut other).await.unwrap(), Came::Whole);
    assert_eq!(other.totals().live, 150);
    turns.lagging.store(false, Ordering::SeqCst);

    // Both of them say nothing together, and what one said stays.
    turns.both.store(true, Ordering::SeqCst);
    let known = book.clone();
    g.put("INSERT INTO traces SELECT * REPLACE (concat('new-', id) AS id) FROM traces ORDER BY id LIMIT 5")
        .await;
    let trouble = pass(&mut book).await.unwrap_err();
    assert_eq!(trouble.kind, Kind::Conflict, "{trouble}");
    assert!(trouble.detail.contains("second--"), "{trouble}");
    assert_eq!((book.totals(), known.totals().live), (known.totals(), 200));
    let (at, pg) = (jiff::Timestamp::now(), &g.pg);
    let (filter, tables) = (Filter::default(), [Table::Traces]);
    let mut counted = census::BookFile::new_book();
    let refused = census::run((pg, &work), &tables, &filter, &|_| None, at, &mut counted, &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(refused.kind, Kind::Conflict, "{refused}");

    turns.both.store(false, Ordering::SeqCst);
    assert_eq!(pass(&mut book).await.unwrap(), Came::Whole);
    assert_eq!(book.totals().live, 205);
    g.stop().await;
}
