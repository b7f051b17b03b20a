//! Single readings as they come up in a migration.

use std::time::Duration;

use cutover::domain::Now;
use cutover::domain::Weight;
use cutover::domain::backfill::{Migration, MigrationState, RowsFact, Side, Table, TableRows};
use cutover::domain::cluster::{ClusterEvent, ClusterFact, Restart, Role, Workload};
use cutover::domain::latency::{Endpoint, Probe};
use cutover::domain::queue::{Queue, QueuesFact};
use cutover::domain::store::{Setting, StoreFact, StoreKind};
use cutover::domain::traffic::{Accepted, Backend, ObjectRef, Owner, PathGroup, Route, RouterKind};
use cutover::domain::units::Count;

/// A canary Ingress.
pub(crate) fn route(name: &str, group: PathGroup, percent: u8) -> Route {
    let weight = Weight { value: percent.into(), total: 100 };
    let backend = |s: &str, n| Backend { service: s.into(), port: "3000".into(), endpoints: Some(n) };
    Route {
        object: ObjectRef { kind: "Ingress".into(), namespace: "langfuse".into(), name: name.into() },
        router: RouterKind::IngressNginx,
        group,
        rules: vec!["langfuse.example.com/".into()],
        primary: backend("langfuse-v2", 2),
        canary: backend("langfuse-web", 3),
        stored: weight,
        raw: Some(percent.to_string()),
        accepted: Accepted::NotReported,
        effective: weight,
        owner: Some(Owner {
            manager: "cutover".into(),
            operation: "Update".into(),
            at: Some(Now::at(120).wall),
        }),
        resource_version: "184467".into(),
        uid: "5f0c1de2-7a2b-4a51-9d0e-0b9b6f6f8c11".into(),
        pins: vec![],
        traps: vec![],
    }
}

pub(crate) fn migration(table: Table, state: MigrationState) -> Migration {
    let running = state == MigrationState::Running;
    Migration {
        name: table.migration().into(),
        state,
        cursor: (state != MigrationState::Queued).then(|| "2025-11-02T14:03:00Z".parse().unwrap()),
        lock_age: running.then_some(Duration::from_secs(4)),
        worker: running.then(|| "a81f0c1e-44d2-4d9c-b7b4-3a61b1a3f0de".into()),
        failed_reason: None,
        batch_size: Some(1_000),
        finished_at: None,
    }
}

pub(crate) fn counted(table: Table, rows: Option<Count>) -> TableRows {
    TableRows { rows, ..TableRows::unread(table) }
}

pub(crate) fn postgres_rows() -> RowsFact {
    let row = |table, rows: Count, done, stranded| TableRows {
        backfill: Some(Count::exact(rows.value - stranded)),
        done: Some(Count::exact(done)),
        stranded: Some(Count::exact(stranded)),
        ..counted(table, Some(rows))
    };
    RowsFact {
        side: Side::Postgres,
        tables: vec![
            row(Table::Traces, Count::exact(200_412), 200_000, 412),
            row(Table::Observations, Count::about(401_873), 151_000, 1_073),
            row(Table::Scores, Count::exact(100_206), 0, 0),
        ],
        verified: vec![],
    }
}

pub(crate) fn clickhouse_rows() -> RowsFact {
    let row = |table, rows, v3_only| TableRows {
        v3_only: Some(Count::exact(v3_only)),
        shared: Some(Count::exact(0)),
        ..counted(table, Some(Count::exact(rows)))
    };
    RowsFact {
        side: Side::Clickhouse,
        tables: vec![
            row(Table::Traces, 201_317, 1_317),
            row(Table::Observations, 154_021, 2_640),
            row(Table::Scores, 655, 655),
        ],
        verified: vec![],
    }
}

pub(crate) fn queue(name: &str, waiting: u64, added: u64) -> Queue {
    Queue {
        name: name.into(),
        waiting,
        active: waiting.min(8),
        delayed: 0,
        overdue: 0,
        failed: 0,
        oldest: (waiting > 0).then_some(Duration::from_secs(3)),
        added: Some(added),
        paused: false,
        consumers: Some(2),
        version: Some("bullmq:5.34.10".into()),
    }
}

pub(crate) fn queues() -> QueuesFact {
    let mut all = vec![
        queue("batch-export-queue", 0, 12),
        queue("cloud-usage-metering-queue", 0, 0),
        queue("dataset-run-item-upsert-queue", 0, 310),
        queue("evaluation-execution-queue", 0, 0),
        queue("ingestion-queue", 124, 91_204),
        queue("otel-ingestion-queue", 7, 4_101),
        queue("trace-upsert", 12, 44_031),
    ];
    all[6].failed = 3;
    QueuesFact { queues: all }
}

pub(crate) fn workload(name: &str, role: Role, tag: &str, ready: u32, desired: u32) -> Workload {
    Workload {
        kind: "Deployment".into(),
        name: name.into(),
        role,
        ready,
        desired,
        updated: desired,
        restarts: 0,
        last_restart: None,
        image: format!("docker.io/langfuse/{name}"),
        tag: tag.into(),
        trouble: None,
        migrations_enabled: None,
    }
}

pub(crate) fn cluster() -> ClusterFact {
    let mut worker = workload("langfuse-worker", Role::Worker, "3.29.0", 2, 2);
    worker.restarts = 1;
    worker.last_restart = Some(Restart { reason: "OOMKilled, exit 137".into(), at: Some(Now::at(60).wall) });
    let event = |warning, object: &str, reason: &str, message: &str| ClusterEvent {
        at: Some(Now::at(180).wall),
        warning,
        object: object.into(),
        reason: reason.into(),
        message: message.into(),
    };
    ClusterFact {
        workloads: vec![
            workload("langfuse-web", Role::Web, "3.29.0", 3, 3),
            worker,
            workload("langfuse-v2", Role::V2, "2.95.1", 2, 2),
        ],
        pods: 11,
        pods_ready: 11,
        events: vec![
            event(true, "Pod/langfuse-worker-7c9", "Unhealthy", "Readiness probe failed: HTTP 503"),
            event(
                false,
                "Deployment/langfuse-web",
                "ScalingReplicaSet",
                "Scaled up replica set langfuse-web-6b to 3",
            ),
        ],
        server_version: "v1.33.2".into(),
    }
}

pub(crate) fn store(kind: StoreKind) -> StoreFact {
    let (version, role, used, limit) = match kind {
        StoreKind::Postgres => ("15.18", "primary", Some(13_314_398_617), Some(107_374_182_400)),
        StoreKind::Clickhouse => ("26.1.2", "single", Some(4_831_838_208), Some(214_748_364_800)),
        StoreKind::Redis => ("7.2.7", "master", Some(327_155_712), Some(536_870_912)),
        StoreKind::S3 => ("", "langfuse-events", None, None),
    };
    let settings = match kind {
        StoreKind::Redis => vec![Setting {
            name: "maxmemory-policy",
            value: Some("noeviction".into()),
            ok: Some(true),
            advice: String::new(),
        }],
        _ => vec![],
    };
    StoreFact {
        kind,
        version: version.into(),
        role: role.into(),
        latency: Duration::from_micros(730),
        used,
        limit,
        settings,
    }
}

pub(crate) fn probe(endpoint: Endpoint, round: u64) -> Probe {
    let base = match endpoint {
        Endpoint::V2 => 21,
        Endpoint::V3 => 34,
        Endpoint::Public => 25,
    };
    let ms = |n: u64| Ok(Duration::from_millis(n));
    Probe {
        endpoint,
        version: match endpoint {
            Endpoint::V2 => Some("2.95.1".into()),
            Endpoint::V3 => Some("3.29.0".into()),
            Endpoint::Public => None,
        },
        health: ms(2 + round % 3),
        accept: Some(ms(base + round * 7 % 23)),
        visible: Some(ms(if endpoint == Endpoint::V2 { base + 3 } else { 900 + round * 31 % 700 })),
    }
}
