//! Models as they come up in a migration, built from readings and nothing else.

use cutover::cockpit::Model;
use cutover::cockpit::advisor::{Finding, Severity};
use cutover::cockpit::model::{Setup, Strategy};
use cutover::cockpit::msg::{JournalState, Lease, Level, LogLine};
use cutover::cockpit::remedy::Remedy;
use cutover::domain::backfill::{Migration, MigrationState, Table};
use cutover::domain::cluster::Role;
use cutover::domain::latency::{ControllerFact, Endpoint, ShareFact};
use cutover::domain::store::StoreKind;
use cutover::domain::traffic::{Owner, PathGroup};
use cutover::domain::{Fact, Now, SourceId, Split, Trouble};
use cutover::shift::Ladder;

use super::readings::{
    clickhouse_rows, cluster, migration, postgres_rows, probe, queues, route, store, workload,
};

/// The moment that every fixture is looked at.
pub(crate) const NOW: u64 = 600;

/// That moment.
pub(crate) fn now() -> Now {
    Now::at(NOW)
}

/// A split.
pub(crate) fn split(percent: u8) -> Split {
    Split::new(percent).unwrap()
}

/// A production environment that nobody has read yet.
pub(crate) fn unread() -> Model {
    Model::new(Setup {
        environment: "eu-prod".into(),
        production: true,
        context: "eks-eu-1".into(),
        namespace: "langfuse".into(),
        strategy: Strategy::BackfillFirst,
        ladder: Ladder::default(),
        armed: true,
        operator: "ops@bastion-1".into(),
        off: vec![],
        started: Now::at(0),
    })
}

/// Puts a reading in, read `age` seconds before [`NOW`].
pub(crate) fn read(model: &mut Model, id: SourceId, fact: Fact, age: u64) {
    model.facts.take(id, Ok(fact), Now::at(NOW - age).mono);
}

/// Lets a source fail since `age` seconds.
pub(crate) fn fail(model: &mut Model, id: SourceId, trouble: Trouble, age: u64) {
    model.facts.take(id, Err(trouble), Now::at(NOW - age).mono);
}

fn accumulate(model: &mut Model) {
    for step in 0..60u64 {
        let at = Now::at(NOW - 120 + step * 2).mono;
        for (table, rate) in Table::ALL.into_iter().zip([0.0, 640.0, 0.0]) {
            let top = [200_000.0, 151_000.0, 0.0][table as usize];
            model.history.done[table as usize].push(at, top - rate * (59 - step) as f64 * 2.0);
        }
        for q in &queues().queues {
            let busy = q.waiting > 0;
            let back = (59 - step) as f64 * 2.0;
            let history = model.history.queue(&q.name).unwrap();
            history.depth.push(at, if busy { (step * 37 % 130) as f64 } else { 0.0 });
            history.added.push(at, q.added.unwrap() as f64 - if busy { back * 61.5 } else { 0.0 });
            history
                .left
                .push(at, q.added.unwrap() as f64 - q.waiting as f64 - if busy { back * 60.8 } else { 0.0 });
        }
        for endpoint in [Endpoint::V2, Endpoint::V3, Endpoint::Public] {
            let round = probe(endpoint, step);
            let history = &mut model.history.latency[endpoint as usize];
            for _ in 0..2 {
                history.health.push(at, round.health.clone().unwrap());
                history.accept.push(at, round.accept.clone().unwrap().unwrap());
                history.visible.push(at, round.visible.clone().unwrap().unwrap());
                history.recent.push(false);
            }
        }
    }
    model.history.share.restart(Now::at(130).mono);
    for (age, fact) in [(100, counters(90_000, 4_000, 0)), (3, counters(91_688, 4_417, 0))] {
        model.history.share.count(&fact);
        model.history.requests.count(Now::at(NOW - age).mono, &fact);
    }
}

pub(crate) fn counters(v2: u64, v3: u64, v3_errors: u64) -> ControllerFact {
    ControllerFact { v2_requests: v2, v3_requests: v3, v3_errors, replicas: 2, ..ControllerFact::default() }
}

pub(crate) fn log(model: &mut Model, at: u64, level: Level, target: &str, text: &str) {
    model.log.push_back(LogLine { at: Now::at(at).wall, level, target: target.into(), text: text.into() });
}

/// Lets every source answer once, as it does while all goes well.
fn answer(m: &mut Model) {
    read(m, SourceId::Cluster, Fact::Cluster(cluster()), 1);
    read(m, SourceId::Traffic, Fact::Traffic(vec![route("langfuse-canary", PathGroup::All, 20)]), 1);
    let states = [MigrationState::Finished, MigrationState::Running, MigrationState::Queued];
    let mut all: Vec<Migration> = Table::ALL.into_iter().zip(states).map(|(t, s)| migration(t, s)).collect();
    all.push(Migration {
        name: "20250522_1140_clean_up_media".into(),
        lock_age: None,
        worker: None,
        ..migration(Table::Traces, MigrationState::Dormant)
    });
    read(m, SourceId::Migrations, Fact::Migrations(all), 1);
    read(m, SourceId::PostgresRows, Fact::Rows(postgres_rows()), 2);
    read(m, SourceId::ClickhouseRows, Fact::Rows(clickhouse_rows()), 2);
    read(m, SourceId::Queues, Fact::Queues(queues()), 1);
    for e in [Endpoint::V2, Endpoint::V3, Endpoint::Public] {
        read(m, SourceId::Probe(e), Fact::Probe(probe(e, 1)), 3);
    }
    read(m, SourceId::Share, Fact::Share(ShareFact { v2: 8, v3: 2, unknown: 0 }), 1);
    read(
        m,
        SourceId::Controller,
        Fact::Controller(ControllerFact { replicas: 2, ..ControllerFact::default() }),
        2,
    );
    for kind in StoreKind::ALL {
        read(m, SourceId::Store(kind), Fact::Store(store(kind)), 4);
    }
}

fn findings() -> Vec<Finding> {
    vec![
        Finding {
            id: "stranded-rows",
            severity: Severity::Warning,
            title: "v2 goes on writing rows that nobody copies".into(),
            evidence: "412 traces and 1 073 observations were written by v2 after T0".into(),
            remedy: "shift to 100 % soon, then `cutover catch-up`".into(),
            act: Some(Remedy::CatchUp),
        },
        Finding {
            id: "worker-restarted",
            severity: Severity::Info,
            title: "a worker was killed for its memory".into(),
            evidence: "langfuse-worker: OOMKilled, exit 137, at 00:01 UTC".into(),
            remedy: "raise its memory limit above 2 GiB".into(),
            act: None,
        },
    ]
}

/// A migration that goes well: 20 % on v3, the backfill half done.
pub(crate) fn happy() -> Model {
    let mut m = unread();
    answer(&mut m);
    accumulate(&mut m);
    m.intended = Some(split(20));
    m.last_safe = split(5);
    m.last_shift = Some(("5 % to 20 %".into(), Now::at(120).wall));
    m.lease = Lease::Ours;
    m.journal = JournalState {
        path: "/var/lib/cutover/eu-prod.jsonl".into(),
        intact: true,
        ..JournalState::default()
    };
    m.findings = findings();
    log(&mut m, 1, Level::Info, "cockpit", "started, armed, as ops@bastion-1");
    log(&mut m, 4, Level::Info, "traffic", "the routes stand at 5 %");
    log(&mut m, 64, Level::Warn, "probe-v3", "timeout: no answer within 5 s");
    log(
        &mut m,
        120,
        Level::Info,
        "shift",
        "op-3 shift 5 % to 20 %: seen in Ingress langfuse/langfuse-canary",
    );
    m.next_op = 4;
    m
}

/// The happy one, frozen 25 s ago while readings went on.
pub(crate) fn frozen() -> Model {
    let mut m = happy();
    m.screen.frozen = Some(Box::new(cutover::cockpit::screen::Frozen {
        facts: m.facts.clone(),
        history: m.history.clone(),
        at: Now::at(NOW),
    }));
    read(&mut m, SourceId::Traffic, Fact::Traffic(vec![route("langfuse-canary", PathGroup::All, 50)]), 0);
    m
}

/// The moment to look at [`frozen`].
pub(crate) fn frozen_now() -> Now {
    Now::at(NOW + 25)
}

/// Long and wide names, many pods, hostile text.
pub(crate) fn wide() -> Model {
    let mut m = happy();
    m.setup.environment = "本番環境・東京リージョン第一データセンター".into();
    m.setup.context =
        "arn:aws:eks:ap-northeast-1:123456789012:cluster/langfuse-production-ap-northeast-1".into();
    m.setup.namespace = "langfuse-migration-2026".into();
    let mut long = route(
        "とても長い名前のイングレス-canary-with-a-very-long-suffix-that-never-ends",
        PathGroup::All,
        20,
    );
    long.owner =
        Some(Owner { manager: "フラックス-controller".into(), operation: "Apply".into(), at: None });
    long.pins = vec!["\u{1b}[31mheader\u{202e} X-Evil".into()];
    read(&mut m, SourceId::Traffic, Fact::Traffic(vec![long]), 1);
    let mut fact = queues();
    fact.queues[4].name = "{取り込み}:ingestion-queue-with-a-long-tail".into();
    fact.queues[4].waiting = 18_446_744_073_709_551_615 / 4;
    read(&mut m, SourceId::Queues, Fact::Queues(fact), 1);
    let mut c = cluster();
    c.pods = 5_000;
    c.pods_ready = 4_987;
    c.workloads[0] = workload(
        "ラングフューズ-web-with-a-long-name",
        Role::Web,
        "3.29.0-ee.20260131.sha-0123456789abcdef",
        4_987,
        5_000,
    );
    c.events[0].message = "メッセージ".repeat(60);
    read(&mut m, SourceId::Cluster, Fact::Cluster(c), 1);
    m.findings[0].title = "とても長い所見のタイトル".repeat(8);
    log(&mut m, 599, Level::Error, "クラスター", "制御\u{1b}[2J文字 👩‍👩‍👧 e\u{301}\u{301}");
    m
}
