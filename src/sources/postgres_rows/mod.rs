//! Row counts of PostgreSQL's tables without an unbounded count: an estimate at once, then the census's closed
//! days counted once each by index, then only what is new.
//!
//! One rule: a poll spends its budget and no more; what it could not count is marked `~`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Source;
use super::migrations;
use super::shared::{Link, Shared, absent};
use crate::clients::clickhouse::{self, Clickhouse};
use crate::clients::postgres::{self, Postgres};
use crate::data::census::postgres::Session;
use crate::data::census::postgres::poll::Poll;
use crate::data::tables::spec;
use crate::data::verify::state::{State, pair};
use crate::domain::backfill::{Migration, MigrationState, RowsFact, SMALLEST_BATCH, Side, Table, TableRows};
use crate::domain::units::Count;
use crate::domain::verified::Verified;
use crate::domain::{Fact, Kind, SourceId, Trouble};

/// Time one poll may spend on counting closed stretches, over all tables.
const BUDGET: Duration = Duration::from_millis(1500);
/// Between two writes of what was counted.
const KEEP: Duration = Duration::from_secs(20);
/// Longest wait for ClickHouse, which is asked only which tables it has.
const ANSWER: Duration = Duration::from_secs(2);

/// The source.
pub struct PostgresRows {
    shared: Arc<Shared>,
    link: Link<Postgres>,
    clickhouse: Link<Clickhouse>,
    polls: BTreeMap<Table, Poll>,
    /// What was last read of each.
    last: BTreeMap<Table, TableRows>,
    kept: Option<Instant>,
}

impl PostgresRows {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            link: Link::default(),
            clickhouse: Link::default(),
            polls: BTreeMap::new(),
            last: BTreeMap::new(),
            kept: None,
        }
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
        let (mut tables, mut relations, mut read, mut late) = (Vec::new(), Vec::new(), 0, None);
        let mut connection = match pg.pool.acquire().await {
            Ok(connection) => connection,
            Err(error) => return Err(pg.trouble(&error).await),
        };
        for table in Table::moving(&migrations) {
            let migration = migrations.iter().find(|m| m.name == table.migration());
            // A cursor met in the middle of a run lies far below T0, a finished one at the oldest row, and every row
            // copied before would look stranded: the newest copied row says it better, wherever ClickHouse can be asked.
            let running = migration.filter(|m| m.state == MigrationState::Running);
            if let Some(cursor) = running.and_then(|m| m.cursor)
                && self.shared.targets.clickhouse.is_none()
            {
                self.shared.ledger.note_t0(table, cursor);
            }
            let shelf = &self.shared.shelf;
            let poll = self.polls.entry(table).or_insert_with(|| Poll::new(table, shelf.table(table).pg));
            let mut session = Session { connection: &mut connection, object: &pg.object };
            match rows(&mut session, &self.shared, table, poll, migration, deadline).await {
                Ok(row) => {
                    read += 1;
                    self.last.insert(table, row.clone());
                    tables.push(row);
                }
                // One table that is locked, or slow, hides no other, and not what was read of it before.
                Err(trouble) if trouble.kind == Kind::Timeout => {
                    tracing::warn!(target: "census", "{}: {trouble}", table.name());
                    let last = self.last.get(&table).cloned();
                    tables.push(last.map_or_else(|| TableRows::unread(table), TableRows::of_before));
                    late = Some(trouble);
                }
                Err(trouble) => return Err(trouble),
            }
            relations.push((table, poll.book.relation.clone()));
        }
        drop(connection);
        self.keep();
        if let Some(trouble) = late.filter(|_| read == 0) {
            return Err(trouble);
        }
        let verified = self.verified(&pg.object, &relations).await;
        Ok(RowsFact { side: Side::Postgres, tables, verified })
    }
}

impl PostgresRows {
    /// What was found of these very tables and those of ClickHouse; nothing where that cannot be asked which they are.
    async fn verified(&mut self, object: &str, relations: &[(Table, String)]) -> Vec<Verified> {
        let folder = self.shared.targets.state_file.as_deref().and_then(std::path::Path::parent);
        let found = State::open(folder);
        let shared = Arc::clone(&self.shared);
        let Some(target) = shared.targets.clickhouse.as_ref().filter(|_| found.has_results()) else {
            return vec![];
        };
        let ask = async {
            let ch = self.clickhouse.get(Box::pin(clickhouse::connect(&shared.reach, target))).await?;
            let query =
                ch.query("SELECT name, toString(uuid) FROM system.tables WHERE database = currentDatabase()");
            let tables = ch.all::<(String, String)>(query).await;
            Ok::<_, Trouble>((ch.object.clone(), self.clickhouse.judge(tables)?))
        };
        let Ok(Ok((copy, uuids))) = tokio::time::timeout(ANSWER, ask).await else { return vec![] };
        let of = |(table, relation): &(Table, String)| {
            let (_, uuid) = uuids.iter().find(|(name, _)| name == spec(*table).ch)?;
            Some(found.results(*table, &pair([object, relation], [&copy, uuid])))
        };
        relations.iter().filter_map(of).flatten().collect()
    }

    /// Keeps what was counted, now and then.
    fn keep(&mut self) {
        if self.kept.is_some_and(|at| at.elapsed() < KEEP) {
            return;
        }
        for (table, poll) in &mut self.polls {
            if std::mem::take(&mut poll.dirty) {
                self.shared.shelf.keep_pg(*table, &poll.book);
                self.kept = Some(Instant::now());
            }
        }
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
    session: &mut Session<'_>,
    shared: &Shared,
    table: Table,
    poll: &mut Poll,
    migration: Option<&Migration>,
    deadline: Instant,
) -> Result<TableRows, Trouble> {
    let look = poll.look(session).await?;
    shared.ledger.note_relation(table, &look.relation);
    poll.advance(session, &look, deadline).await?;
    let total = poll.total(session, &look, deadline).await?;
    let t0 = shared.ledger.t0(table);
    let below_t0 = match t0 {
        Some(t0) => poll.up_to(session, t0.as_millisecond(), &total, deadline).await?,
        None => None,
    };
    let cursor = migration.and_then(|m| m.cursor);
    let finished = migration.is_some_and(|m| m.state == MigrationState::Finished);
    let done = match (cursor, below_t0) {
        (_, Some(all)) if finished => Some(all),
        (Some(cursor), Some(all)) => {
            let left = poll.up_to(session, cursor.as_millisecond(), &total, deadline).await?;
            left.map(|left| minus(all, left))
        }
        _ => None,
    };
    let tie_group = match cursor.filter(|_| !finished) {
        Some(cursor) => poll.ties(session, cursor.as_millisecond(), deadline).await?,
        None => None,
    };
    let batch = migration.and_then(|m| m.batch_size).unwrap_or(SMALLEST_BATCH);
    Ok(TableRows {
        table,
        rows: Some(total.count),
        backfill: below_t0,
        done,
        stranded: below_t0.map(|below| minus(total.count, below)),
        changed: shared.ledger.changed(table).and_then(|found| {
            let count = Count { value: found.rows, estimate: found.estimate };
            Some((count, Timestamp::from_millisecond(found.at).ok()?))
        }),
        v3_only: None,
        shared: None,
        doubled: None,
        raw: None,
        newest: look.newest.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        t0,
        tie_group: tie_group.filter(|n| *n >= batch),
    })
}

/// The difference of two counts; an estimate when either is one.
fn minus(all: Count, part: Count) -> Count {
    Count { value: all.value.saturating_sub(part.value), estimate: all.estimate || part.estimate }
}
