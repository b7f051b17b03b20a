//! Queues, latency, stores and workloads in the document.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Section, seconds, section};
use crate::cockpit::errors::errors;
use crate::cockpit::history::{QueueHistory, Window};
use crate::cockpit::model::Model;
use crate::cockpit::requests::{LATELY, Tally};
use crate::domain::cluster::{ClusterFact, Role};
use crate::domain::latency::Endpoint;
use crate::domain::store::StoreKind;
use crate::domain::{Now, SourceId};

/// One BullMQ queue.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct QueueReport {
    /// Its name.
    pub name: String,
    /// Work that could be done now or is being done.
    pub depth: u64,
    /// Jobs a worker could take now.
    pub waiting: u64,
    /// Jobs being worked on.
    pub active: u64,
    /// Delayed jobs, due or not.
    pub delayed: u64,
    /// Delayed jobs that are due.
    pub overdue: u64,
    /// Failed jobs.
    pub failed: u64,
    /// Age of the oldest job that waits or is overdue.
    pub oldest_seconds: Option<f64>,
    /// Jobs added a second, over the last fifteen seconds.
    pub in_per_second: Option<f64>,
    /// Jobs done a second, over the last fifteen seconds.
    pub out_per_second: Option<f64>,
    /// For how long there has been work and none of it was done; null when some was done within ten seconds.
    pub still_seconds: Option<f64>,
    /// Whether it is paused.
    pub paused: bool,
    /// Workers that wait for it.
    pub consumers: Option<u32>,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LatencyReport {
    /// "v2", "v3", "public".
    pub endpoint: &'static str,
    /// The newest round.
    pub read: Section<ProbeReport>,
    /// Health check.
    pub health: QuantileReport,
    /// Canary write until it was accepted.
    pub accept: QuantileReport,
    /// Canary write until it could be read.
    pub visible: QuantileReport,
    /// Real requests to this version in the last two minutes, by the ingress controller's counters; null when it
    /// was not read, and for the public address.
    pub requests: Option<TallyReport>,
    /// Requests of the last two minutes that v2 answered with 404 as it answers OTLP: their traces are lost. By
    /// the same counters; null when they were not read, and for the other addresses.
    pub otlp_refused: Option<u64>,
    /// The newest rounds, two minutes of them.
    pub recent_rounds: TallyReport,
    /// Rounds in a row, up to the newest, that got no answer at all.
    pub silent_rounds: u32,
    /// Rounds of the newest hundred.
    pub rounds: u32,
    /// Failed ones among them.
    pub failed_rounds: u32,
    /// Failed rounds by kind, since the start.
    pub errors: BTreeMap<String, u64>,
}

/// Attempts and failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TallyReport {
    /// All of them.
    pub all: u64,
    /// Those that failed; of requests, those answered with 5xx.
    pub failed: u64,
}

impl From<Tally> for TallyReport {
    fn from(t: Tally) -> Self {
        Self { all: t.all, failed: t.failed }
    }
}

/// One round of probes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ProbeReport {
    /// The version it answered with.
    pub version: Option<String>,
    /// Health check, in seconds; null when it failed.
    pub health_seconds: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Quantiles over the last five to ten minutes, in seconds; null with too few readings to say.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct QuantileReport {
    /// Readings they rest on.
    pub readings: u64,
    /// Half of the readings are below.
    pub p50: Option<f64>,
    /// 95 % are.
    pub p95: Option<f64>,
    /// 99 % are.
    pub p99: Option<f64>,
}

impl From<&Window> for QuantileReport {
    fn from(w: &Window) -> Self {
        let at = |q: f64| w.quantile(q).map(|d| (d.as_secs_f64() * 1e6).round() / 1e6);
        Self { readings: w.len(), p50: at(0.5), p95: at(0.95), p99: at(0.99) }
    }
}

/// One store.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StoreReport {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: String,
    /// What it is ("primary", "master").
    pub role: String,
    /// Round trip of the cheapest question, in seconds.
    pub latency_seconds: f64,
    /// Bytes used.
    pub used_bytes: Option<u64>,
    /// Their limit.
    pub limit_bytes: Option<u64>,
    /// Settings that matter.
    pub settings: Vec<SettingReport>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SettingReport {
    /// Its name in the store's words.
    pub name: &'static str,
    /// Its value.
    pub value: Option<String>,
    /// Whether it is as Langfuse needs it.
    pub ok: Option<bool>,
    /// What to do; empty when it is right.
    pub advice: String,
}

/// One Deployment or `StatefulSet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkloadReport {
    /// "Deployment" or "`StatefulSet`".
    pub kind: String,
    /// Its name.
    pub name: String,
    /// "web", "worker", "v2", "store", "controller", "other".
    pub role: &'static str,
    /// Ready pods.
    pub ready: u32,
    /// Pods asked for.
    pub desired: u32,
    /// Pods on the newest template.
    pub updated: u32,
    /// Container restarts.
    pub restarts: u32,
    /// Why the newest restart was.
    pub last_restart: Option<String>,
    /// The image's tag.
    pub tag: String,
    /// Why it is not ready.
    pub trouble: Option<String>,
    /// `LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS` as its template sets it.
    pub migrations_enabled: Option<bool>,
}

/// One Event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EventReport {
    /// Last time seen.
    pub at: Option<Timestamp>,
    /// A warning.
    pub warning: bool,
    /// The object.
    pub object: String,
    /// The reason.
    pub reason: String,
    /// The text.
    pub message: String,
}

/// All queues, when they were read.
pub(super) fn queues(model: &Model) -> Option<Vec<QueueReport>> {
    let fact = model.facts.queues.value()?;
    let report = |q: &crate::domain::queue::Queue| {
        let history = model.history.queues.get(&q.name);
        QueueReport {
            name: q.name.clone(),
            depth: q.depth(),
            waiting: q.waiting,
            active: q.active,
            delayed: q.delayed,
            overdue: q.overdue,
            failed: q.failed,
            oldest_seconds: q.oldest.map(seconds),
            in_per_second: history.and_then(QueueHistory::arriving),
            out_per_second: history.and_then(QueueHistory::leaving),
            still_seconds: history.and_then(QueueHistory::still).map(seconds),
            paused: q.paused,
            consumers: q.consumers,
        }
    };
    Some(fact.queues.iter().map(report).collect())
}

/// The three addresses, whether or not they answer.
pub(super) fn latency(model: &Model, now: Now) -> Vec<LatencyReport> {
    let all = [Endpoint::V2, Endpoint::V3, Endpoint::Public];
    all.into_iter().map(|e| endpoint(model, now, e)).collect()
}

fn endpoint(model: &Model, now: Now, endpoint: Endpoint) -> LatencyReport {
    let history = &model.history.latency[endpoint as usize];
    let known = errors(&model.history, endpoint, now.mono);
    let probe = model.facts.probe(endpoint).value().map(|p| ProbeReport {
        version: p.version.clone(),
        health_seconds: p.health.as_ref().ok().map(std::time::Duration::as_secs_f64),
        error: p.health.as_ref().err().map(crate::domain::latency::ProbeError::word),
    });
    LatencyReport {
        endpoint: endpoint.word(),
        read: section(model, SourceId::Probe(endpoint), now, probe),
        health: (&history.health).into(),
        accept: (&history.accept).into(),
        visible: (&history.visible).into(),
        requests: known.requests.map(TallyReport::from),
        otlp_refused: (endpoint == Endpoint::V2)
            .then(|| model.history.requests.otlp_refused(LATELY, now.mono))
            .flatten(),
        recent_rounds: known.rounds.into(),
        silent_rounds: known.silent,
        rounds: history.recent.rounds(),
        failed_rounds: history.recent.failed(),
        errors: history.errors.clone(),
    }
}

/// The four stores, whether or not they answer.
pub(super) fn stores(model: &Model, now: Now) -> Vec<Section<StoreReport>> {
    StoreKind::ALL.into_iter().map(|k| section(model, SourceId::Store(k), now, store(model, k))).collect()
}

fn store(model: &Model, kind: StoreKind) -> Option<StoreReport> {
    let fact = model.facts.store(kind).value()?;
    let setting = |s: &crate::domain::store::Setting| SettingReport {
        name: s.name,
        value: s.value.clone(),
        ok: s.ok,
        advice: s.advice.clone(),
    };
    Some(StoreReport {
        name: kind.name(),
        version: fact.version.clone(),
        role: fact.role.clone(),
        latency_seconds: fact.latency.as_secs_f64(),
        used_bytes: fact.used,
        limit_bytes: fact.limit,
        settings: fact.settings.iter().map(setting).collect(),
    })
}

/// The workloads.
pub(super) fn workloads(cluster: &ClusterFact) -> Vec<WorkloadReport> {
    let report = |w: &crate::domain::cluster::Workload| WorkloadReport {
        kind: w.kind.clone(),
        name: w.name.clone(),
        role: role(w.role),
        ready: w.ready,
        desired: w.desired,
        updated: w.updated,
        restarts: w.restarts,
        last_restart: w.last_restart.as_ref().map(|r| r.reason.clone()),
        tag: w.tag.clone(),
        trouble: w.trouble.clone(),
        migrations_enabled: w.migrations_enabled,
    };
    cluster.workloads.iter().map(report).collect()
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Web => "web",
        Role::Worker => "worker",
        Role::V2 => "v2",
        Role::Store => "store",
        Role::Controller => "controller",
        Role::Other => "other",
    }
}

/// The events.
pub(super) fn events(cluster: &ClusterFact) -> Vec<EventReport> {
    let report = |e: &crate::domain::cluster::ClusterEvent| EventReport {
        at: e.at,
        warning: e.warning,
        object: e.object.clone(),
        reason: e.reason.clone(),
        message: e.message.clone(),
    };
    cluster.events.iter().map(report).collect()
}
