//! Two servers of ClickHouse behind one address, of which one lags: nothing is counted half here and half there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use cutover::data::census::book::ChBook;
use cutover::data::census::clickhouse::{self as ch, Came, Server, Side};
use cutover::data::census::{self, Filter};
use cutover::data::tables::spec;
use cutover::domain::Kind;
use cutover::domain::backfill::Table;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::ground::Ground;

/// What the address does: which requests a pretended second server answers, out of a database of its own.
#[derive(Debug, Default)]
struct Turns {
    /// Requests so far.
    asked: AtomicU32,
    /// Every second one, while it is set.
    both: AtomicBool,
    /// The second server alone.
    lagging: AtomicBool,
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
            let odd = turns.asked.fetch_add(1, Ordering::SeqCst) % 2 == 1;
            if turns.lagging.load(Ordering::SeqCst) || odd && turns.both.load(Ordering::SeqCst) {
                request = to_the_second(&request);
            }
            let request = request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
            let Ok(mut far) = TcpStream::connect(engine).await else { return };
            let mut answer = Vec::new();
            if far.write_all(request.as_bytes()).await.is_err() || far.read_to_end(&mut answer).await.is_err() {
                return;
            }
            let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            answer.splice(at..at, *b"\r\nConnection: close");
            let _ = near.write_all(&answer).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_is_of_one_server() {
    let Some(mut g) = Ground::new(200).await else { return };
    g.copy(Table::Traces, "true", 100).await;
    g.put("CREATE DATABASE lagging").await;
    g.put("CREATE TABLE lagging.traces AS traces").await;
    g.put("INSERT INTO lagging.traces SELECT * FROM traces ORDER BY id LIMIT 150").await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let turns = Arc::new(Turns::default());
    let work = g
        .by(|url| {
            let engine = url.split("//").nth(1).unwrap().trim_end_matches('/').to_owned();
            tokio::spawn(pretend_two_servers(listener, engine, Arc::clone(&turns)));
            format!("http://{address}")
        })
        .await;
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
    g.put("INSERT INTO traces SELECT * REPLACE (concat('new-', id) AS id) FROM traces ORDER BY id LIMIT 5").await;
    let trouble = pass(&mut book).await.unwrap_err();
    assert_eq!(trouble.kind, Kind::Conflict, "{trouble}");
    assert!(trouble.detail.contains("second--"), "{trouble}");
    assert_eq!((book.totals(), known.totals().live), (known.totals(), 200));
    let (at, pg) = (jiff::Timestamp::now(), &g.pg);
    let (filter, tables) = (Filter::default(), [Table::Traces]);
    let mut counted = census::BookFile::new_book();
    let refused =
        census::run((pg, &work), &tables, &filter, &|_| None, at, &mut counted, &mut |_| {}).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Conflict, "{refused}");

    turns.both.store(false, Ordering::SeqCst);
    assert_eq!(pass(&mut book).await.unwrap(), Came::Whole);
    assert_eq!(book.totals().live, 205);
    g.stop().await;
}
