//! The driver: panics, slow readers, and a frozen server that delays nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::clients::target::LangfuseTarget;
use crate::cockpit::msg::Msg;
use crate::domain::latency::{Endpoint, Probe, ProbeError, ShareFact};
use crate::domain::store::StoreKind;
use crate::domain::{Fact, Kind, SourceId, Trouble};
use crate::sources::driver::back_off;
use crate::sources::{Handle, Make, Source, SourceSet};

struct Scripted(Arc<AtomicU32>);

impl Source for Scripted {
    fn id(&self) -> SourceId {
        SourceId::Share
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        let turn = self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            assert!(turn != 1, "the second turn dies");
            Ok(Fact::Share(ShareFact { v2: turn, ..ShareFact::default() }))
        })
    }
}

fn scripted(turns: &Arc<AtomicU32>) -> Vec<(SourceId, Make)> {
    let turns = Arc::clone(turns);
    let make: Make = Box::new(move || Box::new(Scripted(Arc::clone(&turns))));
    vec![(SourceId::Share, make)]
}

fn v2(msg: &Msg) -> Option<u32> {
    match msg {
        Msg::Fact(SourceId::Share, answer) => match answer.as_ref() {
            Ok(Fact::Share(fact)) => Some(fact.v2),
            _ => None,
        },
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_told_and_the_source_starts_again() {
    let (to, mut from) = mpsc::channel(8);
    let handle = Handle::start(scripted(&Arc::default()), &to);
    assert_eq!(v2(&from.recv().await.unwrap()), Some(0));
    match from.recv().await.unwrap() {
        Msg::TaskDied { task, cause } => {
            assert_eq!(task, "share");
            assert!(cause.contains("the second turn dies"), "{cause}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(v2(&from.recv().await.unwrap()), Some(2));
    handle.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_newest() {
    let (to, mut from) = mpsc::channel(1);
    let turns = Arc::new(AtomicU32::new(2));
    let handle = Handle::start(scripted(&turns), &to);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let polled = turns.load(Ordering::SeqCst) - 2;
    assert!((28..=31).contains(&polled), "{polled} polls in 60 s");
    // One waits in the channel, the next in the slot: nothing in between was queued.
    let (first, second) =
        (v2(&from.recv().await.unwrap()).unwrap(), v2(&from.recv().await.unwrap()).unwrap());
    assert_eq!(first, 2);
    assert!(second + 2 >= turns.load(Ordering::SeqCst), "{second}");
    handle.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn paused_and_asked_for() {
    let (to, mut from) = mpsc::channel(8);
    let turns = Arc::new(AtomicU32::new(2));
    let handle = Handle::start(scripted(&turns), &to);
    from.recv().await.unwrap();
    let begun = Instant::now();
    handle.poll_now(Some(SourceId::Share));
    from.recv().await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    handle.pause(true);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = turns.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(turns.load(Ordering::SeqCst), before);
    handle.shutdown().await;
}

#[test]
fn back_off_is_bounded() {
    for failures in 1..40 {
        let wait = back_off(SourceId::Share, failures);
        assert!(wait >= Duration::from_millis(500) && wait <= Duration::from_secs(30), "{wait:?}");
    }
}

/// Every server accepts and is silent, except one that is not there: that one's answer comes at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_times_out_and_delays_nobody() {
    let at = frozen().await;
    let langfuse = |url: String| LangfuseTarget {
        address: Address::url(url),
        host_header: None,
        probe_key: None,
        tls: TlsOptions::default(),
    };
    let targets = Targets {
        postgres: Some(postgres(&format!("postgres://u:p@{at}/db"))),
        redis: Some(redis(&format!("redis://{at}"))),
        clickhouse: Some(ClickhouseTarget {
            address: Address::url(format!("http://{at}")),
            user: None,
            password: None,
            database: None,
            compression: true,
            tls: TlsOptions::default(),
        }),
        v2: Some(langfuse(format!("http://{at}"))),
        v3: Some(langfuse("http://127.0.0.1:1".into())),
        ..Targets::default()
    };
    let (to, mut from) = mpsc::channel(64);
    let handle = SourceSet::spawn(targets, &to);
    let begun = Instant::now();
    let mut seen = std::collections::BTreeMap::new();
    while seen.len() < SourceId::ALL.len() && begun.elapsed() < Duration::from_secs(25) {
        let Ok(Some(Msg::Fact(id, answer))) =
            tokio::time::timeout(Duration::from_secs(20), from.recv()).await
        else {
            break;
        };
        seen.entry(id).or_insert((begun.elapsed(), *answer));
    }
    handle.shutdown().await;
    let kind = |id: SourceId| seen[&id].1.as_ref().unwrap_err().kind;
    for id in [
        SourceId::Migrations,
        SourceId::PostgresRows,
        SourceId::ClickhouseRows,
        SourceId::Queues,
        SourceId::Store(StoreKind::Postgres),
        SourceId::Store(StoreKind::Clickhouse),
        SourceId::Store(StoreKind::Redis),
    ] {
        assert_eq!(kind(id), Kind::Timeout, "{id:?}: {:?}", seen[&id].1);
    }
    assert_eq!(kind(SourceId::Store(StoreKind::S3)), Kind::NotConfigured);
    assert!(seen[&SourceId::Store(StoreKind::S3)].0 < Duration::from_secs(1));
    let (after, answer) = &seen[&SourceId::Probe(Endpoint::V3)];
    assert!(*after < Duration::from_secs(2), "{after:?}");
    let Ok(Fact::Probe(Probe { health: Err(error), .. })) = answer else { panic!("{answer:?}") };
    assert_eq!(*error, ProbeError::Transport(Kind::Unreachable));
}
