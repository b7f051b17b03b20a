//! What a source can say, and which source said it.

use std::time::Duration;

use super::Cadence;
use super::backfill::{Migration, RowsFact};
use super::cluster::ClusterFact;
use super::latency::{ControllerFact, Endpoint, Probe, ShareFact};
use super::queue::QueuesFact;
use super::store::{StoreFact, StoreKind};
use super::traffic::Route;

/// The sources; each polls or watches by itself, so that a slow one never delays another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceId {
    /// Workloads, pods and events of the namespace (watch).
    Cluster,
    /// The routes and their weights (watch, with a heartbeat).
    Traffic,
    /// The rows of `background_migrations`.
    Migrations,
    /// Row counts on the PostgreSQL side.
    PostgresRows,
    /// Row counts on the ClickHouse side.
    ClickhouseRows,
    /// BullMQ's queues.
    Queues,
    /// Health, accept latency and visible-after of one address.
    Probe(Endpoint),
    /// Which version answers at the public address.
    Share,
    /// The ingress controller's own request counters.
    Controller,
    /// One store's health and settings.
    Store(StoreKind),
}

impl SourceId {
    /// Every source, in the order of the screen.
    pub const ALL: [Self; 15] = [
        Self::Cluster,
        Self::Traffic,
        Self::Migrations,
        Self::PostgresRows,
        Self::ClickhouseRows,
        Self::Queues,
        Self::Probe(Endpoint::V2),
        Self::Probe(Endpoint::V3),
        Self::Probe(Endpoint::Public),
        Self::Share,
        Self::Controller,
        Self::Store(StoreKind::Postgres),
        Self::Store(StoreKind::Clickhouse),
        Self::Store(StoreKind::Redis),
        Self::Store(StoreKind::S3),
    ];

    /// The name on screen and in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Traffic => "traffic",
            Self::Migrations => "migrations",
            Self::PostgresRows => "rows-pg",
            Self::ClickhouseRows => "rows-ch",
            Self::Queues => "queues",
            Self::Probe(Endpoint::V2) => "probe-v2",
            Self::Probe(Endpoint::V3) => "probe-v3",
            Self::Probe(Endpoint::Public) => "probe-public",
            Self::Share => "share",
            Self::Controller => "controller",
            Self::Store(StoreKind::Postgres) => "postgres",
            Self::Store(StoreKind::Clickhouse) => "clickhouse",
            Self::Store(StoreKind::Redis) => "redis",
            Self::Store(StoreKind::S3) => "s3",
        }
    }

    /// How often it means to deliver.
    pub const fn cadence(self) -> Cadence {
        Cadence(Duration::from_secs(match self {
            Self::Cluster | Self::Traffic | Self::Queues | Self::Migrations | Self::Share => 2,
            Self::Probe(_) | Self::PostgresRows | Self::ClickhouseRows | Self::Controller => 5,
            Self::Store(_) => 10,
        }))
    }
}

/// One answer of a source.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// From [`SourceId::Cluster`].
    Cluster(ClusterFact),
    /// From [`SourceId::Traffic`]: every route found, in a stable order.
    Traffic(Vec<Route>),
    /// From [`SourceId::Migrations`], by name.
    Migrations(Vec<Migration>),
    /// From [`SourceId::PostgresRows`] or [`SourceId::ClickhouseRows`].
    Rows(RowsFact),
    /// From [`SourceId::Queues`].
    Queues(QueuesFact),
    /// From [`SourceId::Probe`].
    Probe(Probe),
    /// From [`SourceId::Share`].
    Share(ShareFact),
    /// From [`SourceId::Controller`].
    Controller(ControllerFact),
    /// From [`SourceId::Store`].
    Store(StoreFact),
}
