//! Models of a migration in which something is wrong: nothing answers, nothing answers any more, much is wrong at once.

use std::time::Duration;

use cutover::cockpit::Model;
use cutover::cockpit::advisor::{Finding, Severity};
use cutover::cockpit::msg::{Hold, Lease, Level};
use cutover::domain::backfill::{MigrationState, Table};
use cutover::domain::cluster::Workload;
use cutover::domain::latency::Endpoint;
use cutover::domain::queue::Queue;
use cutover::domain::store::{Setting, StoreKind};
use cutover::domain::traffic::{Owner, PathGroup, Trap};
use cutover::domain::{Fact, Kind, Now, SourceId, Trouble, Weight};

use super::fixtures::{NOW, counters, fail, happy, log, read, split, unread};
use super::readings::{cluster, migration, postgres_rows, queue, queues, route, store};

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
    traffic(&mut m);
    data(&mut m);
    servers(&mut m);
    v3_errs(&mut m);
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

/// A route of another owner's, one without endpoints, one with pins.
fn traffic(m: &mut Model) {
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
    read(m, SourceId::Traffic, Fact::Traffic(routes), 1);
}

/// A failed migration, a stalled one, a tie group, a queue that grows and one that is paused.
fn data(m: &mut Model) {
    let mut failed = migration(Table::Traces, MigrationState::Failed);
    failed.failed_reason =
        Some("Code: 241. DB::Exception: Memory limit (total) exceeded: would use 7.21 GiB".into());
    let mut stalled = migration(Table::Observations, MigrationState::Stalled);
    stalled.lock_age = Some(Duration::from_secs(437));
    stalled.batch_size = Some(1_000);
    read(
        m,
        SourceId::Migrations,
        Fact::Migrations(vec![failed, stalled, migration(Table::Scores, MigrationState::Queued)]),
        1,
    );
    let mut rows = postgres_rows();
    rows.tables[1].tie_group = Some(4_000);
    read(m, SourceId::PostgresRows, Fact::Rows(rows), 2);
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
    read(m, SourceId::Queues, Fact::Queues(fact), 1);
}

/// A crashing worker, a Redis that evicts, an S3 whose certificate has expired.
fn servers(m: &mut Model) {
    let mut c = cluster();
    c.workloads[1] = Workload {
        ready: 0,
        restarts: 9,
        trouble: Some("CrashLoopBackOff".into()),
        ..c.workloads[1].clone()
    };
    c.pods_ready = 9;
    read(m, SourceId::Cluster, Fact::Cluster(c), 1);
    let mut redis = store(StoreKind::Redis);
    redis.used = Some(520_000_000);
    redis.settings[0] = Setting {
        name: "maxmemory-policy",
        value: Some("allkeys-lru".into()),
        ok: Some(false),
        advice: "jobs can be evicted: set it to noeviction".into(),
    };
    read(m, SourceId::Store(StoreKind::Redis), Fact::Store(redis), 4);
    fail(
        m,
        SourceId::Store(StoreKind::S3),
        trouble(
            Kind::Tls,
            "S3 langfuse-events",
            "certificate has expired",
            "renew it, or name its CA in cutover.toml",
        ),
        2,
    );
}

fn v3_errs(m: &mut Model) {
    for n in 0..12 {
        m.history.latency[Endpoint::V3 as usize].recent.push(n % 3 == 0);
    }
    m.history.requests.count(Now::at(NOW - 1).mono, &counters(91_720, 4_426, 83));
    let errors = &mut m.history.latency[Endpoint::V3 as usize].errors;
    errors.extend([("503".to_owned(), 3), ("timeout".to_owned(), 1)]);
}
