//! A PostgreSQL that goes away without a word under a statement, for a program that only waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cutover::clients::liveness::{Pulse, Session};
use cutover::clients::reach::Reach;
use cutover::clients::target::Address;
use cutover::clients::work::{Access, PostgresWork, Purpose};
use cutover::domain::{Kind, Trouble};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::common::rehearsal::Rehearsal;
use crate::forward::waiting;
use crate::sides;

const QUICK: Pulse = Pulse {
    every: Duration::from_millis(300),
    answer: Duration::from_secs(5),
    silence: Duration::from_secs(6),
};

/// Waits in PostgreSQL for so many seconds.
async fn long(work: &PostgresWork, session: &mut Session, seconds: u8) -> Result<(), Trouble> {
    let sleep = sqlx::query("SELECT pg_sleep($1)").bind(f64::from(seconds));
    work.attended(async { sleep.execute(&mut **session).await.map_err(|e| work.trouble(&e)).map(drop) }).await
}

#[tokio::test]
async fn a_server_that_falls_silent_is_not_waited_for() {
    let rehearsal = waiting("20", &[]).await;
    let (mut work, _) = sides::open(&rehearsal, Access::Read).await;
    work.pulse = QUICK;
    let mut session = work.session().await.unwrap();
    long(&work, &mut session, 3).await.expect("as long as it takes, where the server is there");

    let paused = async { rehearsal.fault(&["store-pause", "store=postgres"]) };
    let begun = Instant::now();
    let (ended, ()) = tokio::join!(long(&work, &mut session, 50), paused);
    let trouble = ended.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(30), "{trouble}");
    assert_eq!(trouble.kind, Kind::Unreachable, "{trouble}");
    assert!(trouble.detail.contains("silent for"), "{trouble}");
    drop(session);
    let away = work.session().await.unwrap_err();
    assert_eq!(away.kind, Kind::Unreachable, "who waits for a server waits for this one, too: {away}");

    rehearsal.fault(&["store-pause", "--lift"]);
    let mut session = work.session().await.unwrap();
    long(&work, &mut session, 1).await.expect("it is back");
}

/// A way to the server that, once told to, brings nothing back any more on the connections there are then.
async fn forgetful(rehearsal: &Rehearsal) -> (PostgresWork, Arc<AtomicBool>) {
    let mut url = reqwest::Url::parse(rehearsal.field("postgres_url")).unwrap();
    let server = (url.host_str().unwrap().to_owned(), url.port().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    let forgets = Arc::new(AtomicBool::new(false));
    let told = forgets.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect((server.0.as_str(), server.1)).await.unwrap();
            tokio::spawn(carry(client, server, told.clone()));
        }
    });
    let (mut target, _) = rehearsal.databases();
    target.address = Address::url(url.as_str());
    let purpose = Purpose { name: "test", access: Access::Read, statement: Duration::from_secs(60) };
    (PostgresWork::new(&Reach::new(None), &target, purpose).await.unwrap(), forgets)
}

async fn carry(client: TcpStream, server: TcpStream, forgets: Arc<AtomicBool>) {
    let later = forgets.load(Ordering::SeqCst);
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let down = async {
        let mut buffer = vec![0; 8192];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            if later || !forgets.load(Ordering::SeqCst) {
                let _ = to_client.write_all(&buffer[..count]).await;
            }
        }
    };
    // The server's end is kept from the client, whose own half stays open.
    let _ = tokio::join!(tokio::io::copy(&mut from_client, &mut to_server), down);
}

#[tokio::test]
async fn a_session_that_the_server_has_lost_is_not_waited_for() {
    let rehearsal = waiting("20", &[]).await;
    let (mut work, forgets) = forgetful(&rehearsal).await;
    work.pulse = QUICK;
    let mut lost = work.session().await.unwrap();
    let number: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *lost).await.unwrap();
    let (owner, _) = sides::open(&rehearsal, Access::Write).await;
    let mut owner = owner.session().await.unwrap();
    let end = async {
        forgets.store(true, Ordering::SeqCst);
        let end = sqlx::query_scalar("SELECT pg_terminate_backend($1)").bind(number);
        let ended: bool = end.fetch_one(&mut *owner).await.unwrap();
        assert!(ended);
    };
    let (waited, ()) = tokio::join!(long(&work, &mut lost, 50), end);
    let trouble = waited.unwrap_err();
    assert_eq!(trouble.kind, Kind::Unreachable, "{trouble}");
    assert!(trouble.detail.contains("not got our session any more"), "{trouble}");
    drop(lost);
    let mut next = work.session().await.unwrap();
    long(&work, &mut next, 2).await.expect("what was lost is not held against the next");
}
