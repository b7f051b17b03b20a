//! Row counts of ClickHouse's tables: what is live, what the backfill wrote, what only v3 has.
//!
//! One rule: a full scan is repeated only when parts changed, and costs at most a tenth of the time.

mod sql;
mod v3_only;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::clickhouse::Row;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;

use super::Source;
use super::shared::{Link, Shared, absent};
use crate::clients::clickhouse::{self as client, Clickhouse};
use crate::clients::postgres::{self, Postgres};
use crate::domain::backfill::{RowsFact, Side, Table, TableRows};
use crate::domain::units::Count;
use crate::domain::{Fact, Kind, SourceId, Trouble};

use v3_only::V3Only;

/// Above this many raw rows distinct ids are estimated.
const AFFORDABLE: u64 = 3_000_000;
/// Time one poll may spend on looking v3's ids up in PostgreSQL, over all tables.
const BUDGET: Duration = Duration::from_millis(1500);

/// The source.
pub struct ClickhouseRows {
    shared: Arc<Shared>,
    clickhouse: Link<Clickhouse>,
    postgres: Link<Postgres>,
    tables: BTreeMap<Table, Scanned>,
}

/// What the last scan of a table said, and what it cost.
#[derive(Debug, Default)]
struct Scanned {
    fingerprint: u64,
    scan: Option<Scan>,
    not_before: Option<Instant>,
    v3_only: V3Only,
}

/// One scan's answer.
#[derive(Debug, Clone, Row, Deserialize)]
struct Scan {
    live: u64,
    backfilled: u64,
    v3_written: u64,
    newest: i64,
    newest_copied: i64,
}

/// Parts of one table.
#[derive(Debug, Clone, Row, Deserialize)]
struct Parts {
    table: String,
    rows: u64,
    fingerprint: u64,
}

impl ClickhouseRows {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, clickhouse: Link::default(), postgres: Link::default(), tables: BTreeMap::new() }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let shared = Arc::clone(&self.shared);
        let target = shared.targets.clickhouse.as_ref().ok_or_else(|| absent("ClickHouse", "clickhouse"))?;
        let ch = self.clickhouse.get(Box::pin(client::connect(&shared.reach, target))).await?;
        let parts = self.clickhouse.judge(parts(&ch).await)?;
        let pg = self.postgres().await;
        let deadline = Instant::now() + BUDGET;
        let mut tables = Vec::new();
        for table in Table::BACKFILLED {
            let of_table = parts.iter().find(|p| p.table == table.name());
            let scanned = self.tables.entry(table).or_default();
            let row = rows(&shared, &ch, pg.as_ref(), table, of_table, scanned, deadline).await;
            tables.push(self.clickhouse.judge(row)?);
        }
        Ok(Fact::Rows(RowsFact { side: Side::Clickhouse, tables, verified: vec![] }))
    }

    /// PostgreSQL, to look v3's ids up in; without it that number is unknown and the others are not.
    async fn postgres(&mut self) -> Option<Postgres> {
        let target = self.shared.targets.postgres.as_ref()?;
        let connect = postgres::connect(&self.shared.reach, target);
        let limited = tokio::time::timeout(Duration::from_secs(1), Box::pin(connect));
        self.postgres
            .get(async {
                limited
                    .await
                    .unwrap_or_else(|_| Err(Trouble::new(Kind::Timeout, "PostgreSQL", "no connection in 1s")))
            })
            .await
            .ok()
    }
}

impl Source for ClickhouseRows {
    fn id(&self) -> SourceId {
        SourceId::ClickhouseRows
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }
}

/// Active parts, free of charge. A user who may not read `system.parts` gets counts instead.
async fn parts(ch: &Clickhouse) -> Result<Vec<Parts>, Trouble> {
    match ch.all::<Parts>(ch.query(sql::PARTS)).await {
        Err(trouble) if trouble.kind == Kind::Forbidden => ch.all::<Parts>(ch.query(sql::COUNTS)).await,
        answer => answer,
    }
}

async fn rows(
    shared: &Shared,
    ch: &Clickhouse,
    pg: Option<&Postgres>,
    table: Table,
    parts: Option<&Parts>,
    scanned: &mut Scanned,
    deadline: Instant,
) -> Result<TableRows, Trouble> {
    let raw = parts.map_or(0, |p| p.rows);
    let fingerprint = parts.map_or(0, |p| p.fingerprint);
    let rested = scanned.not_before.is_none_or(|at| Instant::now() >= at);
    let changed = scanned.scan.is_none() || scanned.fingerprint != fingerprint;
    if changed && rested {
        let begun = Instant::now();
        let statement = if raw <= AFFORDABLE { sql::exact(table) } else { sql::about(table) };
        let scan: Scan = ch.one(ch.query(statement)).await?;
        if let Ok(copied) = Timestamp::from_millisecond(scan.newest_copied)
            && scan.backfilled > 0
        {
            shared.ledger.note_t0(table, copied);
        }
        scanned.fingerprint = fingerprint;
        scanned.scan = Some(scan);
        scanned.not_before = Some(begun + begun.elapsed() * 10);
    }
    let scan = scanned.scan.clone();
    let estimate = raw > AFFORDABLE || scanned.fingerprint != fingerprint;
    let count = |value: u64| Count { value, estimate };
    let v3_only = match (pg, &scan) {
        (_, Some(scan)) if scan.v3_written == 0 && !estimate => Some(Count::exact(0)),
        (Some(pg), Some(scan)) => {
            let looked_up = scanned.v3_only.look_up(ch, pg, table, scan.v3_written, deadline).await;
            // PostgreSQL being away must not hide what ClickHouse says; the other source reports it.
            looked_up.unwrap_or_else(|trouble| {
                tracing::debug!(target: "rows-ch", "v3-only {}: {trouble}", table.name());
                None
            })
        }
        _ => None,
    };
    Ok(TableRows {
        table,
        rows: scan.as_ref().map(|s| count(s.live)),
        backfill: scan.as_ref().map(|s| count(s.backfilled)),
        done: None,
        stranded: None,
        v3_only,
        raw: Some(raw),
        newest: scan.filter(|s| s.newest > 0).and_then(|s| Timestamp::from_millisecond(s.newest).ok()),
        t0: shared.ledger.t0(table),
        tie_group: None,
    })
}
