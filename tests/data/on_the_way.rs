//! On the way to PostgreSQL an answer is lost, nobody is there any more, or a pooler keeps our settings to itself.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::clients::reach::Reach;
use cutover::clients::target::Address;
use cutover::clients::work::{Access, PostgresWork, Purpose};
use cutover::data::lock::{End, Held, Start, take};
use cutover::domain::Kind;
use cutover::domain::backfill::Table;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::common::sitting::altered;
use crate::forward::{ask, compare, document, forget, is_finished, sql, until, waiting};
use crate::sides;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_is_known_and_nothing_else_is_said() {
    let rehearsal = waiting("600", &[]).await;
    a_pooler_that_drops_settings_is_refused(&rehearsal).await;
    an_end_is_known_again(&rehearsal).await;
    forget(&rehearsal).await;
    let wire = Wire::lay(&rehearsal).await;
    a_first_cursor_whose_answer_was_lost_is_ours(&rehearsal, &wire).await;
    forget(&rehearsal).await;
    an_end_whose_answer_was_lost_is_one(&rehearsal, &wire).await;
    forget(&rehearsal).await;
    a_lock_that_cannot_be_given_back(&rehearsal, &wire).await;
}

/// Where PostgreSQL listens.
fn server(rehearsal: &Rehearsal) -> String {
    let parts = rehearsal.field("postgres_url").split(['@', '/']);
    parts.into_iter().find(|part| part.starts_with("127.0.0.1:")).unwrap().to_owned()
}

/// A way to PostgreSQL.
struct Wire {
    config: PathBuf,
    /// Whether nobody is there.
    away: watch::Sender<bool>,
    /// The answer to the next statement with these words is lost; and how many were.
    loses: Arc<Mutex<Option<&'static str>>>,
    lost: Arc<AtomicU32>,
    _dir: tempfile::TempDir,
}

impl Wire {
    async fn lay(rehearsal: &Rehearsal) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = server(rehearsal);
        let here = listener.local_addr().unwrap().to_string();
        let (dir, config) = altered(rehearsal, &[(there.as_str(), here.as_str())]);
        let (loses, lost) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU32::new(0)));
        let (away, is_away) = watch::channel(false);
        let (also_loses, also_lost) = (Arc::clone(&loses), Arc::clone(&lost));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (loses, lost) = (Arc::clone(&also_loses), Arc::clone(&also_lost));
                let (mut is_away, there) = (is_away.clone(), there.clone());
                tokio::spawn(async move {
                    let far = TcpStream::connect(there).await.unwrap();
                    tokio::select! {
                        biased;
                        _ = is_away.wait_for(|away| *away) => {}
                        () = carry(near, far, &loses, &lost) => {}
                    }
                });
            }
        });
        Self { config, away, loses, lost, _dir: dir }
    }

    fn verb(&self, args: &[&str]) -> Command {
        let mut command = Command::new(CUTOVER);
        command.arg("--config").arg(&self.config).args(args).stdin(Stdio::null());
        command
    }

    fn backfill(&self, args: &[&str]) -> Child {
        let mut command = self.verb(&["backfill", "run"]);
        command.args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Carries messages. A statement is prepared first; the answer to its execution is lost.
async fn carry(
    mut near: TcpStream,
    mut far: TcpStream,
    loses: &Mutex<Option<&'static str>>,
    lost: &AtomicU32,
) {
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    let (mut prepared, mut executed) = (false, false);
    loop {
        tokio::select! {
            sent = near.read(&mut up) => {
                let Ok(n @ 1..) = sent else { return };
                executed |= prepared;
                let text = String::from_utf8_lossy(&up[..n]);
                prepared |= loses.lock().unwrap().is_some_and(|words| text.contains(words));
                if far.write_all(&up[..n]).await.is_err() {
                    return;
                }
            }
            answered = far.read(&mut down) => {
                let Ok(n @ 1..) = answered else { return };
                if executed {
                    loses.lock().unwrap().take();
                    lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if near.write_all(&down[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Its session takes the statements, and its settings are another's.
async fn a_pooler_that_drops_settings_is_refused(rehearsal: &Rehearsal) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (there, here) = (server(rehearsal), listener.local_addr().unwrap().to_string());
    let url = rehearsal.field("postgres_url").replace(&there, &here);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(pool(near, there.clone()));
        }
    });
    let (mut target, _) = rehearsal.databases();
    target.address = Address::url(&url);
    let purpose = Purpose { name: "test", access: Access::Read, statement: Duration::from_secs(60) };
    let trouble = PostgresWork::new(&Reach::new(None), &target, purpose).await.unwrap_err();
    assert_eq!(trouble.kind, Kind::Refused, "{trouble}");
    assert!(trouble.to_string().contains("drops our session settings"), "{trouble}");
    assert!(trouble.to_string().contains("off 0 instead of on 60000"), "{trouble}");
}

/// Passes everything on but the options of the first message, as PgBouncer does that is told to ignore them.
async fn pool(mut near: TcpStream, there: String) {
    let mut begun = message(&mut near).await;
    if begun.len() == 4 {
        // It was asked for TLS.
        near.write_all(b"N").await.unwrap();
        begun = message(&mut near).await;
    }
    let (protocol, pairs) = begun.split_at(4);
    let mut words = pairs.split(|byte| *byte == 0);
    let mut kept = protocol.to_vec();
    while let (Some(name @ [_, ..]), Some(value)) = (words.next(), words.next()) {
        if name != b"options" {
            kept.extend([name, value].into_iter().flat_map(|word| [word, &[0]].concat()));
        }
    }
    kept.push(0);
    let mut far = TcpStream::connect(there).await.unwrap();
    far.write_all(&u32::try_from(kept.len() + 4).unwrap().to_be_bytes()).await.unwrap();
    far.write_all(&kept).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}

/// One of the messages that a session begins with.
async fn message(near: &mut TcpStream) -> Vec<u8> {
    let length = near.read_u32().await.unwrap();
    let mut bytes = vec![0; length as usize - 4];
    near.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn an_end_is_known_again(rehearsal: &Rehearsal) {
    let (pg, _) = sides::open(rehearsal, Access::Write).await;
    let mut session = pg.session().await.unwrap();
    let failed = |why: &str| End::Failed(why.to_owned());
    let ends = [End::Released, failed("a"), failed("b"), End::Finished];
    for end in &ends {
        let held = take(&pg, &mut session, Table::Traces, "w", Start::Resume).await.unwrap();
        assert!(!held.has_ended(&pg, &mut session, end).await.unwrap(), "{end:?} before it ended");
        assert!(held.end(&pg, &mut session, end).await.unwrap());
        assert!(!held.end(&pg, &mut session, end).await.unwrap(), "{end:?} twice");
        for other in &ends {
            assert_eq!(held.has_ended(&pg, &mut session, other).await.unwrap(), other == end, "{other:?}");
        }
        let stranger = Held { worker: "another".into(), ..held };
        assert!(!stranger.has_ended(&pg, &mut session, end).await.unwrap());
    }
}

/// The next attempt finds a cursor, and T0 is known all the same; and it promises no row that was on its way.
async fn a_first_cursor_whose_answer_was_lost_is_ours(rehearsal: &Rehearsal, wire: &Wire) {
    let now = async || -> i64 {
        ask(rehearsal, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8::text")
            .await
            .parse()
            .unwrap()
    };
    *wire.loses.lock().unwrap() = Some("SET state = state ||");
    let before = now().await;
    let output = wire.backfill(&["--table", "traces"]).wait_with_output().unwrap();
    let words = words(&output);
    assert_eq!((output.status.code(), wire.lost.swap(0, Ordering::SeqCst)), (Some(0), 1), "{words}");
    assert!(words.contains("traces: begins at"), "{words}");
    let told = document(&wire.verb(&["backfill", "status", "--table", "traces", "--json"]).output().unwrap());
    let t0 = told["migrations"][0]["t0"].as_str().unwrap_or_else(|| panic!("{told:#}"));
    let t0 = t0.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let margin = 30_000;
    assert!((before - margin..=now().await - margin).contains(&t0), "{before} {t0}");

    // Stamped before the copy began, committed after it looked.
    let late = format!(
        "INSERT INTO traces (id, project_id, \"timestamp\", tags, created_at) SELECT 'late', min(id), now(), '{{}}', \
         timestamp 'epoch' + {} * interval '1 ms' FROM projects",
        before - 1000
    );
    sql(rehearsal, &late).await;
    let told = document(&wire.verb(&["census", "--table", "traces", "--json"]).output().unwrap());
    assert_eq!(told["tables"][0]["after_t0"]["value"], 1, "{told:#}");
    sql(rehearsal, "DELETE FROM traces WHERE id = 'late'").await;
}

async fn an_end_whose_answer_was_lost_is_one(rehearsal: &Rehearsal, wire: &Wire) {
    *wire.loses.lock().unwrap() = Some("SET finished_at =");
    let output = wire.backfill(&[]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    assert_eq!(wire.lost.swap(0, Ordering::SeqCst), 1);
    assert!(is_finished(rehearsal).await);
    compare(rehearsal, &[]).await;
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn a_lock_that_cannot_be_given_back(rehearsal: &Rehearsal, wire: &Wire) {
    let child = wire.backfill(&["--block-rows", "20", "--rate", "40"]);
    let locked =
        "SELECT count(*)::text FROM background_migrations WHERE locked_at IS NOT NULL AND state ? 'maxDate'";
    until("the copy", 30, async || ask(rehearsal, locked).await == "1").await;
    wire.away.send(true).unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let words = words(&output);
    assert_eq!(output.status.code(), Some(75), "{words}");
    assert!(words.contains("the lock could not be given back ("), "{words}");
    assert!(words.contains("nobody's in 60 s") && !words.contains("the lock is given back"), "{words}");
    assert_eq!(ask(rehearsal, locked).await, "1");
}
