//! The state as a document: what `cutover status --json` prints. Its schema is `assets/status.schema.json`.
//!
//! One rule: what could not be read is `null`, never 0; what is only an estimate says so; every section has
//! its age and the failure that goes on.

mod parts;
mod rows;
mod state;
mod traffic;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::{Freshness, Now, SourceId, Trouble};

use super::advisor::Finding;
use super::model::Model;
use super::phase;

pub use parts::{
    EventReport, LatencyReport, QuantileReport, QueueReport, StoreReport, TallyReport, WorkloadReport,
};
pub use rows::{CountReport, MigrationReport, TableReport};
pub use state::{
    EnvironmentReport, HoldReport, MoveReport, PhaseReport, ShiftReport, SplitReport, V3OnlyReport,
};
pub use traffic::{BackendReport, MeasuredReport, RouteReport, WeightReport};

/// Version of the document; raised when a field changes its meaning or goes away.
pub const VERSION: u32 = 1;

/// The state of a migration at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = "cutover status")]
pub struct Report {
    /// Version of this document.
    pub version: u32,
    /// When it was made (UTC).
    pub at: Timestamp,
    /// What is looked at, and by whom.
    pub environment: EnvironmentReport,
    /// Where the migration stands; null while too little has been read to say.
    pub phase: Option<PhaseReport>,
    /// The share of v3, from every side.
    pub split: SplitReport,
    /// The operation under way.
    pub shift: ShiftReport,
    /// The routes.
    pub routes: Section<Vec<RouteReport>>,
    /// The rows of `background_migrations`.
    pub migrations: Section<Vec<MigrationReport>>,
    /// Rows per table, on both sides.
    pub tables: Vec<TableReport>,
    /// Ages of the two row counts.
    pub tables_read: TablesRead,
    /// BullMQ's queues.
    pub queues: Section<Vec<QueueReport>>,
    /// v2, v3 and the public address.
    pub latency: Vec<LatencyReport>,
    /// PostgreSQL, ClickHouse, Redis, S3.
    pub stores: Vec<Section<StoreReport>>,
    /// Deployments and `StatefulSets` of the namespace.
    pub workloads: Section<Vec<WorkloadReport>>,
    /// Events of the namespace, newest first.
    pub events: Vec<EventReport>,
    /// What the readings mean together, worst first.
    pub findings: Vec<FindingReport>,
}

/// A reading of one source.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Section<T> {
    /// The source.
    pub source: &'static str,
    /// How much to believe it.
    pub freshness: FreshnessWord,
    /// Seconds since it was read; null when it never was.
    pub age_seconds: Option<f64>,
    /// What goes wrong with the source now.
    pub failure: Option<FailureReport>,
    /// The last good reading, however old.
    pub value: Option<T>,
}

/// Age in the terms of the source's cadence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FreshnessWord {
    /// Within two cadences.
    Fresh,
    /// Older than two.
    Late,
    /// Older than five: not to be acted on.
    Stale,
    /// Never read.
    Unknown,
    /// Not configured.
    Off,
}

/// A failure that goes on.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FailureReport {
    /// "timeout", "unauthorized", ...
    pub kind: &'static str,
    /// The object.
    pub object: String,
    /// What was tried and what came back.
    pub detail: String,
    /// The next step; empty when there is none better than waiting.
    pub remedy: String,
}

impl From<&Trouble> for FailureReport {
    fn from(t: &Trouble) -> Self {
        Self {
            kind: t.kind.word(),
            object: t.object.clone(),
            detail: t.detail.clone(),
            remedy: t.remedy.clone(),
        }
    }
}

/// Ages of the two row counts.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TablesRead {
    /// PostgreSQL.
    pub postgres: Section<()>,
    /// ClickHouse.
    pub clickhouse: Section<()>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FindingReport {
    /// Stable id.
    pub id: &'static str,
    /// "critical", "warning", "info".
    pub severity: &'static str,
    /// What is so.
    pub title: String,
    /// The values it was concluded from, a line for each subject.
    pub evidence: String,
    /// What to do.
    pub remedy: String,
}

impl From<&Finding> for FindingReport {
    fn from(f: &Finding) -> Self {
        let severity = f.severity.word();
        let (title, evidence, remedy) = (f.title.clone(), f.evidence.clone(), f.remedy.clone());
        Self { id: f.id, severity, title, evidence, remedy }
    }
}

impl Report {
    /// The document of the model as it is now; a frozen view does not freeze it.
    pub fn of(model: &Model, now: Now) -> Self {
        let facts = &model.facts;
        let cluster = facts.cluster.value();
        Self {
            version: VERSION,
            at: now.wall,
            environment: state::environment(model),
            phase: phase::phase(model, now.wall).map(|(p, why)| PhaseReport { name: p.word(), why }),
            split: state::split(model),
            shift: state::shift(model),
            routes: section(model, SourceId::Traffic, now, traffic::routes(model)),
            migrations: section(model, SourceId::Migrations, now, rows::migrations(model)),
            tables: rows::tables(model),
            tables_read: TablesRead {
                postgres: section(
                    model,
                    SourceId::PostgresRows,
                    now,
                    facts.postgres_rows.value().map(|_| ()),
                ),
                clickhouse: section(
                    model,
                    SourceId::ClickhouseRows,
                    now,
                    facts.clickhouse_rows.value().map(|_| ()),
                ),
            },
            queues: section(model, SourceId::Queues, now, parts::queues(model)),
            latency: parts::latency(model, now),
            stores: parts::stores(model, now),
            workloads: section(model, SourceId::Cluster, now, cluster.map(parts::workloads)),
            events: cluster.map(parts::events).unwrap_or_default(),
            findings: model.findings.iter().map(FindingReport::from).collect(),
        }
    }
}

/// Its JSON schema.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Report)
}

fn section<T>(model: &Model, source: SourceId, now: Now, value: Option<T>) -> Section<T> {
    let freshness = model.facts.freshness(source, now.mono);
    let word = match freshness {
        _ if model.setup.off.contains(&source) => FreshnessWord::Off,
        Freshness::Unknown => FreshnessWord::Unknown,
        Freshness::Fresh(_) => FreshnessWord::Fresh,
        Freshness::Late(_) => FreshnessWord::Late,
        Freshness::Stale(_) => FreshnessWord::Stale,
    };
    Section {
        source: source.name(),
        freshness: word,
        age_seconds: freshness.age().map(seconds),
        failure: model.facts.failure(source).map(|f| FailureReport::from(&f.trouble)),
        value,
    }
}

/// Seconds to the millisecond.
fn seconds(d: std::time::Duration) -> f64 {
    (d.as_secs_f64() * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests;
