//! Names that others gave: escape sequences and wide characters from every side; and doors to shut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::common::api;
use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::common::sitting::{Watching, rehearse, sit_at, zoom};

/// A way to the API server that can be shut: connections are cut and refused.
pub struct Doors {
    /// A configuration that goes this way.
    pub config: PathBuf,
    _dir: tempfile::TempDir,
    address: std::net::SocketAddr,
    server: String,
    open: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Doors {
    /// Stands before a rehearsal's API server.
    pub fn before(rehearsal: &Rehearsal) -> Self {
        let (dir, config) = crate::common::sitting::altered(rehearsal, &[]);
        let path = dir.path().join("kubeconfig");
        let kubeconfig = std::fs::read_to_string(&path).unwrap();
        let server = kubeconfig.split("https://").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::fs::write(&path, kubeconfig.replace(&server, &address.to_string())).unwrap();
        let doors = Self { config, _dir: dir, address, server, open: Arc::new(Mutex::new(Some(Vec::new()))) };
        doors.serve(listener);
        doors
    }

    fn serve(&self, listener: TcpListener) {
        let (open, server) = (Arc::clone(&self.open), self.server.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut open = open.lock().unwrap();
                let Some(streams) = open.as_mut() else { return };
                let Ok(behind) = TcpStream::connect(&server) else { continue };
                for (from, to) in [(&client, &behind), (&behind, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || carry(from, to));
                }
                streams.extend([client, behind]);
            }
        });
    }

    /// Cuts every connection; new ones are refused.
    pub fn shut(&self) {
        for stream in self.open.lock().unwrap().take().unwrap_or_default() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // The one that is accepted next ends the listener.
        let _ = TcpStream::connect(self.address);
    }

    /// Lets everybody in again.
    pub fn open(&self) {
        *self.open.lock().unwrap() = Some(Vec::new());
        self.serve(TcpListener::bind(self.address).unwrap());
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut chunk = [0; 16_384];
    while let Ok(n @ 1..) = from.read(&mut chunk) {
        if to.write_all(&chunk[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn queue_with_an_escape(rehearsal: &Rehearsal) {
    let url = rehearsal.field("redis_url").to_owned();
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_connection().unwrap();
    let name = "evil\x1b]0;owned\x07\x1b[2J日本";
    let () = redis::cmd("HSET")
        .arg(format!("bull:{name}:meta"))
        .arg("opts.maxLenEvents")
        .arg(10)
        .query(&mut connection)
        .unwrap();
    let () = redis::cmd("LPUSH").arg(format!("bull:{name}:wait")).arg("1").query(&mut connection).unwrap();
}

/// A server that says it is Langfuse, of a version that would set the terminal's title.
fn stranger() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = client.read(&mut [0; 8192]);
            let body = r#"{"status":"OK","version":"3.29.0\u001b]0;owned\u0007\u001b[31m版"}"#;
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ";
            let _ = client.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes());
        }
    });
    format!("http://{address}")
}

/// None of it reaches the terminal; wide characters do, and the frames stand.
#[test]
fn escape_sequences_of_strangers_never_reach_the_terminal() {
    let rehearsal = rehearse("happy");
    queue_with_an_escape(&rehearsal);
    let evil = "x\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m移行";
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "evil", "namespace": "langfuse"},
        "involvedObject": {"kind": "Pod", "name": evil, "namespace": "langfuse"}, "type": "Warning",
        "reason": evil, "message": evil, "lastTimestamp": "2099-01-01T00:00:00Z", "count": 1});
    api::create(&rehearsal, &event);
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "evil", "namespace": "langfuse", "annotations": {"note": evil}},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "evil"}},
        "template": {"metadata": {"labels": {"app": "evil"}}, "spec": {"containers": [{"name": "evil", "image": format!("r/langfuse:{evil}")}]}}}});
    api::create(&rehearsal, &deployment);
    api::annotate(&rehearsal, "nginx.ingress.kubernetes.io/canary-by-header", evil);

    let url = format!("[v3]\nurl = \"{}\"", rehearsal.field("v3_url"));
    let (_dir, config) = crate::common::sitting::altered(
        &rehearsal,
        &[(url.as_str(), &format!("[v3]\nurl = \"{}\"", stranger()))],
    );
    let mut person = sit_at(&config, 120, 36);
    zoom(&mut person, '3');
    person.wait("the stranger's queue", |screen| screen.contains("日"));
    zoom(&mut person, '3');
    zoom(&mut person, '5');
    person.wait("the stranger's event", |screen| screen.contains("移"));
    zoom(&mut person, '5');
    zoom(&mut person, '4');
    person.wait("the stranger's version", |screen| screen.contains("3.29.0"));
    zoom(&mut person, '4');
    zoom(&mut person, '1');
    person.wait("the stranger's header", |screen| screen.contains("移"));
    let bytes = String::from_utf8_lossy(&person.bytes).into_owned();
    for sequence in ["\x1b]0;owned", "owned\x07", "\u{9b}31m"] {
        assert!(!bytes.contains(sequence), "{sequence:?} reached the terminal");
    }
    let mut watching = Watching::start(&config);
    watching.until("the stranger's queue", |status| status["queues"].to_string().contains("日本"));
    for verb in [&["status", "--wait", "4"][..], &["plan", "--to", "5"]] {
        let output = Command::new(CUTOVER).arg("--config").arg(&config).args(verb).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(!text.contains(&0x1b) && !text.contains(&7), "{verb:?}: {}", String::from_utf8_lossy(&text));
    }
}

/// A name of a stranger: escape sequences of both kinds, a bell, text that runs backwards, nothing at all, and no end.
fn evil_id() -> String {
    format!("evil\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}gnp\u{200b}\u{feff}日本{}", "x".repeat(5_000))
}

async fn rows_of_a_stranger(rehearsal: &Rehearsal) {
    use sqlx::Connection as _;
    let mut session = sqlx::PgConnection::connect(rehearsal.field("postgres_url")).await.unwrap();
    let trace = "INSERT INTO traces (id, project_id, \"timestamp\", name, metadata, tags, created_at, updated_at) \
        SELECT $1, id, now() - interval '3 h', $1, '7', ARRAY[$1], now() - interval '3 h', now() - interval '3 h' \
        FROM projects ORDER BY id LIMIT 1";
    sqlx::query(trace).bind(evil_id()).execute(&mut session).await.unwrap();
    let project = "UPDATE background_migrations SET worker_id = $1, failed_reason = $1";
    sqlx::query(project).bind(evil_id()).execute(&mut session).await.unwrap();
    let config: toml::Table = std::fs::read_to_string(rehearsal.config()).unwrap().parse().unwrap();
    let told = |key: &str| config["clickhouse"][key].as_str().unwrap().to_owned();
    // As JSON, which escapes what a statement cannot hold.
    let row = json!({"id": format!("{}3", evil_id()), "project_id": evil_id(), "name": evil_id(),
        "timestamp": "2026-11-22 09:00:00.000", "created_at": "2026-11-22 09:00:00.000",
        "updated_at": "2026-11-22 09:00:00.000", "event_ts": "2026-11-22 09:00:00.000", "is_deleted": 0});
    cutover::clients::tls::install_provider();
    let answer = reqwest::Client::new()
        .post(rehearsal.field("clickhouse_url"))
        .query(&[("database", told("database"))])
        .header("x-clickhouse-user", told("user"))
        .header("x-clickhouse-key", told("password"))
        .body(format!("INSERT INTO traces FORMAT JSONEachRow {row}"))
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

/// Each pane with the whole screen to itself, and the findings.
fn in_no_pane(rehearsal: &Rehearsal) {
    let mut person = sit_at(&rehearsal.config(), 160, 50);
    person.see("trace-upsert");
    for pane in '1'..='7' {
        zoom(&mut person, pane);
        person.look(std::time::Duration::from_millis(1_500));
        zoom(&mut person, pane);
    }
    let bytes = String::from_utf8_lossy(&person.bytes).into_owned();
    for sequence in ["\x1b]0;owned", "owned\x07", "\u{9b}31m", "\u{202e}", "\u{200b}", "\u{feff}"] {
        assert!(!bytes.contains(sequence), "{sequence:?} reached the terminal");
    }
    assert!(bytes.contains("evil"), "no pane named the stranger");
}

/// Every verb that prints names, as text for people: nothing of a stranger's steers the terminal or turns the text round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_verb_prints_what_a_stranger_named() {
    let rehearsal = tokio::task::spawn_blocking(|| rehearse("happy")).await.unwrap();
    rows_of_a_stranger(&rehearsal).await;
    tokio::task::spawn_blocking(move || {
        queue_with_an_escape(&rehearsal);
        in_no_pane(&rehearsal);
        let mut named = false;
        for verb in [
            &["status", "--wait", "6"][..],
            &["plan", "--to", "5"],
            &["census", "--days"],
            &["verify"],
            &["catch-up"],
            &["catch-up", "--yes"],
            &["restore"],
            &["restore", "--yes"],
            &["backfill"],
            &["journal"],
        ] {
            let output = rehearsal.verb(verb);
            let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            named |= text.contains("evil");
            let bad = |c: &char| {
                c.is_control() && *c != '\n'
                    || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}')
            };
            assert_eq!(text.chars().find(bad), None, "{verb:?}: {text:?}");
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(longest < 7_000, "{verb:?}: a line of {longest} characters");
        }
        assert!(named, "no verb named the stranger");
    })
    .await
    .unwrap();
}
