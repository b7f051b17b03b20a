//! Row counts of PostgreSQL's tables without an unbounded count: an estimate at once, then closed stretches of
//! `created_at` counted once each by index, then only what is new.
//!
//! One rule: a poll spends its budget and no more; what it could not count is marked `~`.

mod count;
mod sql;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Source;
use super::migrations;
use super::shared::{Link, Shared, absent};
use crate::clients::postgres::{self, Postgres};
use crate::data::verify::state::results;
use crate::domain::backfill::{Migration, MigrationState, RowsFact, Side, Table, TableRows};
use crate::domain::units::Count;
use crate::domain::{Fact, SourceId, Trouble};

use count::Counting;

/// Time one poll may spend on counting closed stretches, over all tables.
const BUDGET: Duration = Duration::from_millis(1500);
/// `batchSize` where the row does not say (Langfuse >= 3.35).
const BATCH: u64 = 1000;

/// The source.
pub struct PostgresRows {
    shared: Arc<Shared>,
    link: Link<Postgres>,
    counting: BTreeMap<Table, Counting>,
}

impl PostgresRows {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, link: Link::default(), counting: BTreeMap::new() }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let shared = Arc::clone(&self.shared);
        let target = shared.targets.postgres.as_ref().ok_or_else(|| absent("PostgreSQL", "postgres"))?;
        let pg = self.link.get(Box::pin(postgres::connect(&shared.reach, target))).await?;
        let answer = self.count(&pg).await;
        self.link.judge(answer).map(Fact::Rows)
    }

    async fn count(&mut self, pg: &Postgres) -> Result<RowsFact, Trouble> {
        // Without the table of migrations there are rows to count all the same.
        let migrations = migrations::read(pg).await.unwrap_or_default();
        let deadline = Instant::now() + BUDGET;
        let mut tables = Vec::new();
        for table in Table::BACKFILLED {
            let migration = migrations.iter().find(|m| m.name == table.migration());
            // A cursor met in the middle of a run lies far below T0, and every row copied before would look
            // stranded: the newest copied row says it better, wherever ClickHouse can be asked.
            if let Some(cursor) = migration.and_then(|m| m.cursor)
                && self.shared.targets.clickhouse.is_none()
            {
                self.shared.ledger.note_t0(table, cursor);
            }
            let counting = self.counting.entry(table).or_insert_with(|| Counting::new(table));
            tables.push(rows(pg, &self.shared, counting, migration, deadline).await?);
        }
        let folder = self.shared.targets.state_file.as_deref().and_then(std::path::Path::parent);
        let verified = folder.map(results).unwrap_or_default();
        Ok(RowsFact { side: Side::Postgres, tables, verified })
    }
}

impl Source for PostgresRows {
    fn id(&self) -> SourceId {
        SourceId::PostgresRows
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }
}

/// One table's row on screen.
async fn rows(
    pg: &Postgres,
    shared: &Shared,
    counting: &mut Counting,
    migration: Option<&Migration>,
    deadline: Instant,
) -> Result<TableRows, Trouble> {
    let table = counting.table();
    let size = counting.look(pg, &shared.ledger).await?;
    counting.advance(pg, &shared.ledger, &size, deadline).await?;
    let total = counting.total(pg, &size).await?;
    let t0 = shared.ledger.t0(table);
    let below_t0 = match t0 {
        Some(t0) => counting.up_to(pg, t0, &total).await?,
        None => None,
    };
    let cursor = migration.and_then(|m| m.cursor);
    let done = match (migration.map(|m| m.state), cursor, below_t0) {
        (Some(MigrationState::Finished), _, Some(all)) => Some(all),
        (_, Some(cursor), Some(all)) => {
            counting.up_to(pg, cursor, &total).await?.map(|left| minus(all, left))
        }
        _ => None,
    };
    let unfinished = migration.is_some_and(|m| m.state != MigrationState::Finished);
    let tie_group = match cursor.filter(|_| unfinished) {
        Some(cursor) => counting.ties(pg, cursor).await?,
        None => None,
    };
    let batch = migration.and_then(|m| m.batch_size).unwrap_or(BATCH);
    Ok(TableRows {
        table,
        rows: Some(total.count),
        backfill: below_t0,
        done,
        stranded: below_t0.map(|below| minus(total.count, below)),
        v3_only: None,
        raw: None,
        newest: size.newest.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        t0,
        tie_group: tie_group.filter(|n| *n >= batch),
    })
}

/// The difference of two counts; an estimate when either is one.
fn minus(all: Count, part: Count) -> Count {
    Count { value: all.value.saturating_sub(part.value), estimate: all.estimate || part.estimate }
}
