//! The newest reading of each source.

use crate::domain::backfill::{Migration, RowsFact, Side};
use crate::domain::cluster::ClusterFact;
use crate::domain::latency::{ControllerFact, Endpoint, Probe, ShareFact};
use crate::domain::queue::QueuesFact;
use crate::domain::store::{StoreFact, StoreKind};
use crate::domain::traffic::Route;
use crate::domain::{Fact, Failure, Freshness, Mono, Sample, SourceId, Trouble};

/// All readings. What has not been read is [`Sample::Never`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The namespace.
    pub cluster: Sample<ClusterFact>,
    /// The routes.
    pub routes: Sample<Vec<Route>>,
    /// `background_migrations`.
    pub migrations: Sample<Vec<Migration>>,
    /// Rows in PostgreSQL.
    pub postgres_rows: Sample<RowsFact>,
    /// Rows in ClickHouse.
    pub clickhouse_rows: Sample<RowsFact>,
    /// The queues.
    pub queues: Sample<QueuesFact>,
    /// Probes of v2, v3 and the public address.
    pub probes: [Sample<Probe>; 3],
    /// The newest round of measured share.
    pub share: Sample<ShareFact>,
    /// The controller's counters.
    pub controller: Sample<ControllerFact>,
    /// PostgreSQL, ClickHouse, Redis, S3.
    pub stores: [Sample<StoreFact>; 4],
}

/// Applies one expression to the sample that belongs to a source, whatever its type.
macro_rules! with_sample {
    ($facts:expr, $id:expr, |$sample:ident| $body:expr) => {
        match $id {
            SourceId::Cluster => {
                let $sample = &$facts.cluster;
                $body
            }
            SourceId::Traffic => {
                let $sample = &$facts.routes;
                $body
            }
            SourceId::Migrations => {
                let $sample = &$facts.migrations;
                $body
            }
            SourceId::PostgresRows => {
                let $sample = &$facts.postgres_rows;
                $body
            }
            SourceId::ClickhouseRows => {
                let $sample = &$facts.clickhouse_rows;
                $body
            }
            SourceId::Queues => {
                let $sample = &$facts.queues;
                $body
            }
            SourceId::Probe(e) => {
                let $sample = &$facts.probes[e as usize];
                $body
            }
            SourceId::Share => {
                let $sample = &$facts.share;
                $body
            }
            SourceId::Controller => {
                let $sample = &$facts.controller;
                $body
            }
            SourceId::Store(k) => {
                let $sample = &$facts.stores[k as usize];
                $body
            }
        }
    };
}

impl Facts {
    /// How old the reading of a source is, by its own cadence.
    pub fn freshness(&self, id: SourceId, now: Mono) -> Freshness {
        with_sample!(self, id, |s| s.freshness(now, id.cadence()))
    }

    /// What goes wrong with a source now.
    pub fn failure(&self, id: SourceId) -> Option<&Failure> {
        with_sample!(self, id, |s| s.failure())
    }

    /// The probe of one address.
    pub fn probe(&self, endpoint: Endpoint) -> &Sample<Probe> {
        &self.probes[endpoint as usize]
    }

    /// One store.
    pub fn store(&self, kind: StoreKind) -> &Sample<StoreFact> {
        &self.stores[kind as usize]
    }

    /// The row counts of one side.
    pub fn rows(&self, side: Side) -> &Sample<RowsFact> {
        match side {
            Side::Postgres => &self.postgres_rows,
            Side::Clickhouse => &self.clickhouse_rows,
        }
    }

    /// Takes in one answer of a source. A fact of another kind than its source's is dropped.
    pub fn take(&mut self, id: SourceId, answer: Result<Fact, Trouble>, now: Mono) {
        match answer {
            Ok(fact) => self.take_fact(id, fact, now),
            Err(trouble) => self.take_trouble(id, trouble, now),
        }
    }

    fn take_fact(&mut self, id: SourceId, fact: Fact, now: Mono) {
        match (id, fact) {
            (SourceId::Cluster, Fact::Cluster(f)) => self.cluster.take(Ok(f), now),
            (SourceId::Traffic, Fact::Traffic(f)) => self.routes.take(Ok(f), now),
            (SourceId::Migrations, Fact::Migrations(f)) => self.migrations.take(Ok(f), now),
            (SourceId::PostgresRows, Fact::Rows(f)) => self.postgres_rows.take(Ok(f), now),
            (SourceId::ClickhouseRows, Fact::Rows(f)) => self.clickhouse_rows.take(Ok(f), now),
            (SourceId::Queues, Fact::Queues(f)) => self.queues.take(Ok(f), now),
            (SourceId::Probe(e), Fact::Probe(f)) => self.probes[e as usize].take(Ok(f), now),
            (SourceId::Share, Fact::Share(f)) => self.share.take(Ok(f), now),
            (SourceId::Controller, Fact::Controller(f)) => self.controller.take(Ok(f), now),
            (SourceId::Store(k), Fact::Store(f)) => self.stores[k as usize].take(Ok(f), now),
            _ => {}
        }
    }

    fn take_trouble(&mut self, id: SourceId, trouble: Trouble, now: Mono) {
        match id {
            SourceId::Cluster => self.cluster.take(Err(trouble), now),
            SourceId::Traffic => self.routes.take(Err(trouble), now),
            SourceId::Migrations => self.migrations.take(Err(trouble), now),
            SourceId::PostgresRows => self.postgres_rows.take(Err(trouble), now),
            SourceId::ClickhouseRows => self.clickhouse_rows.take(Err(trouble), now),
            SourceId::Queues => self.queues.take(Err(trouble), now),
            SourceId::Probe(e) => self.probes[e as usize].take(Err(trouble), now),
            SourceId::Share => self.share.take(Err(trouble), now),
            SourceId::Controller => self.controller.take(Err(trouble), now),
            SourceId::Store(k) => self.stores[k as usize].take(Err(trouble), now),
        }
    }
}
