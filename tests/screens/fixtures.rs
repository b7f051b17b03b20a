//! Models as they come up in a migration, built from readings and nothing else.

use std::time::Duration;

use cutover::cockpit::Model;
use cutover::cockpit::advisor::{Finding, Severity};
use cutover::cockpit::model::{Setup, Strategy};
use cutover::cockpit::msg::{Hold, JournalState, Lease, Level, LogLine};
use cutover::cockpit::remedy::Remedy;
use cutover::domain::backfill::{Migration, MigrationState, Table};
use cutover::domain::cluster::{Role, Workload};
use cutover::domain::latency::{ControllerFact, Endpoint, ShareFact};
use cutover::domain::queue::Queue;
use cutover::domain::store::{Setting, StoreKind};
use cutover::domain::traffic::{Owner, PathGroup, Trap};
use cutover::domain::{Fact, Kind, Now, SourceId, Split, Trouble, Weight};
use cutover::shift::Ladder;

use super::readings::{
    clickhouse_rows, cluster, migration, postgres_rows, probe, queue, queues, route, store, workload,
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

fn counters(v2: u64, v3: u64, v3_errors: u64) -> ControllerFact {
    ControllerFact { v2_requests: v2, v3_requests: v3, v3_errors, replicas: 2, ..ControllerFact::default() }
}

fn log(model: &mut Model, at: u64, level: Level, target: &str, text: &str) {
    model.log.push_back(LogLine { at: Now::at(at).wall, level, target: target.into(), text: text.into() });
}

/// A migration that goes well: 20 % on v3, the backfill half done.
pub(crate) fn happy() -> Model {
    let mut m = unread();
    read(&mut m, SourceId::Cluster, Fact::Cluster(cluster()), 1);
    read(&mut m, SourceId::Traffic, Fact::Traffic(vec![route("langfuse-canary", PathGroup::All, 20)]), 1);
    let states = [MigrationState::Finished, MigrationState::Running, MigrationState::Queued];
    let mut all: Vec<Migration> = Table::ALL.into_iter().zip(states).map(|(t, s)| migration(t, s)).collect();
    all.push(Migration {
        name: "20250522_1140_clean_up_media".into(),
        lock_age: None,
        worker: None,
        ..migration(Table::Traces, MigrationState::Dormant)
    });
    read(&mut m, SourceId::Migrations, Fact::Migrations(all), 1);
    read(&mut m, SourceId::PostgresRows, Fact::Rows(postgres_rows()), 2);
    read(&mut m, SourceId::ClickhouseRows, Fact::Rows(clickhouse_rows()), 2);
    read(&mut m, SourceId::Queues, Fact::Queues(queues()), 1);
    for e in [Endpoint::V2, Endpoint::V3, Endpoint::Public] {
        read(&mut m, SourceId::Probe(e), Fact::Probe(probe(e, 1)), 3);
    }
    read(&mut m, SourceId::Share, Fact::Share(ShareFact { v2: 8, v3: 2, unknown: 0 }), 1);
    read(
        &mut m,
        SourceId::Controller,
        Fact::Controller(ControllerFact { replicas: 2, ..ControllerFact::default() }),
        2,
    );
    for kind in StoreKind::ALL {
        read(&mut m, SourceId::Store(kind), Fact::Store(store(kind)), 4);
    }
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
    m.findings = vec![
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
    ];
    log(&mut m, 1, Level::Info, "cockpit", "started, armed, as ops@bastion-1");
    log(&mut m, 4, Level::Info, "traffic", "the routes stand at 5 %");
    log(&mut m, 64, Level::Warn, "probe-v3", "probe-v3: timeout: no answer within 5 s");
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

fn trouble(kind: Kind, object: &str, detail: &str, remedy: &str) -> Trouble {
    Trouble::new(kind, object, detail).remedy(remedy)
}

/// Nothing answers, and nothing ever did.
pub(crate) fn failing() -> Model {
    let mut m = unread();
    m.setup.armed = false;
    let refused = "connection refused (os error 111)";
    let forbidden = trouble(
        Kind::Forbidden,
        "Ingress langfuse/*",
        "ingresses.networking.k8s.io is forbidden: User \"ops\" cannot list resource \"ingresses\"",
        "grant get, list, watch and patch on ingresses in namespace langfuse",
    );
    let unreachable = |what: &str| {
        trouble(Kind::Unreachable, what, refused, "check the address in cutover.toml and the port-forward")
    };
    for id in SourceId::ALL {
        let trouble = match id {
            SourceId::Cluster | SourceId::Traffic => forbidden.clone(),
            SourceId::Store(k) => unreachable(k.name()),
            SourceId::Probe(e) => {
                self::trouble(Kind::Timeout, e.word(), "no answer within 5 s", "look at its Service and Pods")
            }
            SourceId::Migrations | SourceId::PostgresRows => self::trouble(
                Kind::Unauthorized,
                "PostgreSQL langfuse@10.0.0.5:5432/langfuse",
                "password authentication failed",
                "set postgres.password in cutover.toml",
            ),
            _ => unreachable(id.name()),
        };
        for age in [90, 60, 30, 2] {
            fail(&mut m, id, trouble.clone(), age);
        }
    }
    m.lease =
        Lease::Failed(trouble(Kind::Forbidden, "Lease langfuse/cutover", "cannot create leases", "grant it"));
    log(&mut m, 500, Level::Error, "traffic", "Ingress langfuse/*: forbidden");
    m
}

/// It went well until everything but the API server fell silent, two and a half minutes ago.
pub(crate) fn stale() -> Model {
    let mut m = happy();
    let later = |m: &mut Model| {
        for id in SourceId::ALL.into_iter().filter(|id| !matches!(id, SourceId::Cluster | SourceId::Traffic))
        {
            let t = trouble(Kind::Timeout, id.name(), "no answer within 5 s", "");
            m.facts.take(id, Err(t), Now::at(NOW + 148).mono);
        }
    };
    later(&mut m);
    let Some(cluster) = m.facts.cluster.value().cloned() else { unreachable!() };
    m.facts.cluster.take(Ok(cluster), Now::at(NOW + 149).mono);
    let routes = m.routes().to_vec();
    m.facts.routes.take(Ok(routes), Now::at(NOW + 149).mono);
    m
}

/// The moment to look at [`stale`].
pub(crate) fn stale_now() -> Now {
    Now::at(NOW + 150)
}

/// Much is wrong at once.
pub(crate) fn troubled() -> Model {
    let mut m = happy();
    let mut routes = vec![
        route("langfuse-api-canary", PathGroup::Api, 25),
        route("langfuse-otel-canary", PathGroup::Otel, 25),
        route("langfuse-ui-canary", PathGroup::Ui, 0),
    ];
    routes[0].owner = Some(Owner {
        manager: "argocd-controller".into(),
        operation: "Apply".into(),
        at: Some(Now::at(590).wall),
    });
    routes[1].canary.endpoints = Some(0);
    routes[1].effective = Weight { value: 0, total: 100 };
    routes[1].traps = vec![Trap {
        id: "canary-no-endpoints",
        text: "the canary Service has no ready endpoint: its share goes to v2".into(),
        blocks: true,
    }];
    routes[2].pins = vec!["header X-Langfuse-Version = 3 goes to v3 whatever the weight".into()];
    routes[2].traps = vec![Trap {
        id: "affinity",
        text: "session affinity keeps browsers where they are".into(),
        blocks: false,
    }];
    read(&mut m, SourceId::Traffic, Fact::Traffic(routes), 1);
    let mut failed = migration(Table::Traces, MigrationState::Failed);
    failed.failed_reason =
        Some("Code: 241. DB::Exception: Memory limit (total) exceeded: would use 7.21 GiB".into());
    let mut stalled = migration(Table::Observations, MigrationState::Stalled);
    stalled.lock_age = Some(Duration::from_secs(437));
    read(
        &mut m,
        SourceId::Migrations,
        Fact::Migrations(vec![failed, stalled, migration(Table::Scores, MigrationState::Queued)]),
        1,
    );
    let mut rows = postgres_rows();
    rows.tables[1].tie_group = Some(4_000);
    read(&mut m, SourceId::PostgresRows, Fact::Rows(rows), 2);
    let mut fact = queues();
    fact.queues[4] = Queue {
        waiting: 48_211,
        overdue: 310,
        failed: 12,
        oldest: Some(Duration::from_secs(412)),
        consumers: Some(0),
        ..queue("ingestion-queue", 48_211, 91_204)
    };
    fact.queues[5].paused = true;
    read(&mut m, SourceId::Queues, Fact::Queues(fact), 1);
    let mut c = cluster();
    c.workloads[1] = Workload {
        ready: 0,
        restarts: 9,
        trouble: Some("CrashLoopBackOff".into()),
        ..c.workloads[1].clone()
    };
    c.pods_ready = 9;
    read(&mut m, SourceId::Cluster, Fact::Cluster(c), 1);
    let mut redis = store(StoreKind::Redis);
    redis.used = Some(520_000_000);
    redis.settings[0] = Setting {
        name: "maxmemory-policy",
        value: Some("allkeys-lru".into()),
        ok: Some(false),
        advice: "jobs can be evicted: set it to noeviction".into(),
    };
    read(&mut m, SourceId::Store(StoreKind::Redis), Fact::Store(redis), 4);
    fail(
        &mut m,
        SourceId::Store(StoreKind::S3),
        trouble(
            Kind::Tls,
            "S3 langfuse-events",
            "certificate has expired",
            "renew it, or name its CA in cutover.toml",
        ),
        2,
    );
    for n in 0..12 {
        m.history.latency[Endpoint::V3 as usize].recent.push(n % 3 == 0);
    }
    m.history.requests.count(Now::at(NOW - 1).mono, &counters(91_720, 4_426, 83));
    let errors = &mut m.history.latency[Endpoint::V3 as usize].errors;
    errors.extend([("503".to_owned(), 3), ("timeout".to_owned(), 1)]);
    m.findings.insert(0, Finding {
        id: "no-worker",
        severity: Severity::Critical,
        title: "nothing works off what v3 accepts".into(),
        evidence: "ingestion-queue: 48 211 waiting, the oldest for 6m30s, no worker connected; langfuse-worker 0/2 ready".into(),
        remedy: "take the traffic back (R), then read the worker's log: kubectl -n langfuse logs deploy/langfuse-worker".into(),
        act: None,
    });
    m.hold = Some(Hold { by: "anna@bastion-2".into(), since: Now::at(400).wall });
    m.lease = Lease::Other("anna@bastion-2 pid 4711".into(), Some(Now::at(380).wall));
    m.intended = Some(split(25));
    m.screen.notice = Some((
        "Ingress langfuse/langfuse-ui-canary was set to 0 % by argocd-controller; 25 % was asked for here"
            .into(),
        Level::Error,
        Now::at(NOW + 5).mono,
    ));
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
