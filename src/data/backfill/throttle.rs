//! Back-pressure: a rate that was asked for, and databases that have other things to do.
//!
//! One rule: a copy waits between inserts, never within one; what is still to be read of its range waits in PostgreSQL's
//! COPY, and a range is 64 MiB at most but for a single moment.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::line::Line;
use super::{Options, Tools, Wait, Watch};
use crate::data::clock;
use crate::domain::Trouble;

/// Active parts of one partition at which inserts wait for merges; the server itself slows down at 1000 and refuses at
/// 3000 (`parts_to_delay_insert`, `parts_to_throw_insert`).
const MANY_PARTS: u64 = 600;
/// Between two looks at a busy database.
const LOOK: Duration = Duration::from_secs(1);

/// Shared by the jobs of one copy.
#[derive(Debug)]
pub(super) struct Throttle {
    rate: Option<f64>,
    max_load: Option<u32>,
    /// Statements of our own that may be at work in ClickHouse: the inserts, and the question.
    own: u64,
    /// When the next row may be sent at this rate.
    due: Mutex<Instant>,
    /// One job looks for all of them; the others wait for what it sees.
    looked: tokio::sync::Mutex<Looked>,
}

/// What the last look saw.
#[derive(Debug)]
struct Looked {
    at: Option<Instant>,
    wait: Option<Wait>,
    line: Line,
}

#[derive(::clickhouse::Row, Deserialize)]
struct Load {
    queries: u64,
    parts: u64,
}

impl Throttle {
    pub(super) fn new(tools: &Tools, options: &Options) -> Self {
        Self {
            rate: options.rate.filter(|rate| *rate > 0.0),
            max_load: options.max_load,
            own: options.jobs as u64 + 1,
            due: Mutex::new(clock::mono()),
            looked: tokio::sync::Mutex::new(Looked {
                at: None,
                wait: None,
                line: Line::new(&tools.pg, &["SET statement_timeout = '5s'"]),
            }),
        }
    }

    /// Counts rows that were sent.
    pub(super) fn spend(&self, rows: u64) {
        if let Some(rate) = self.rate {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            *due = (*due).max(clock::mono()) + Duration::from_secs_f64(rows as f64 / rate);
        }
    }

    /// Waits until what was sent is not too much: several jobs begin at once, and each owes its time afterwards.
    pub(super) async fn rest(&self, watch: &Watch) {
        let due = *self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = due.saturating_duration_since(clock::mono());
        if self.rate.is_some() && !wait.is_zero() {
            watch.change(|p| p.waiting = Some(Wait::Rate));
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits until more may be sent and the databases have room.
    pub(super) async fn pass(&self, tools: &Tools, table: &str, watch: &Watch) {
        self.rest(watch).await;
        while let Some(wait) = self.seen(tools, table).await {
            watch.change(|p| p.waiting = Some(wait));
            tokio::time::sleep(LOOK).await;
        }
        watch.change(|p| p.waiting = None);
    }

    /// What the databases are busy with, as of a look not longer ago than [`LOOK`].
    async fn seen(&self, tools: &Tools, table: &str) -> Option<Wait> {
        let mut looked = self.looked.lock().await;
        if looked.at.is_none_or(|at| clock::since(at) >= LOOK) {
            looked.at = Some(clock::mono());
            // A question that is not answered holds nobody up: the insert itself will say what is wrong.
            let seen = self.look(tools, table, &mut looked.line).await;
            looked.wait = seen.unwrap_or_else(|trouble| {
                tracing::warn!(target: "backfill", "how busy the databases are is not known: {trouble}");
                None
            });
        }
        looked.wait
    }

    /// A subquery is Nullable to ClickHouse, whatever it selects.
    async fn look(&self, tools: &Tools, table: &str, line: &mut Line) -> Result<Option<Wait>, Trouble> {
        let query = tools.ch.query(
            "SELECT ifNull((SELECT toUInt64(sum(value)) FROM system.metrics WHERE metric = 'Query'), 0) AS queries, \
             ifNull((SELECT toUInt64(max(parts)) FROM (SELECT count() AS parts FROM system.parts \
              WHERE active AND database = currentDatabase() AND table = ? GROUP BY partition)), 0) AS parts",
        );
        let load: Load = tools.ch.ask.one(query.bind(table)).await?;
        if load.parts > MANY_PARTS {
            return Ok(Some(Wait::Parts));
        }
        let Some(most) = self.max_load.map(u64::from) else { return Ok(None) };
        let active: Result<i64, Trouble> = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend' \
             AND application_name NOT LIKE 'cutover %'",
        )
        .fetch_one(line.get().await?)
        .await
        .map_err(|e| tools.pg.trouble(&e));
        let active = active.inspect_err(|_| line.drop_session())?;
        let busy = active.unsigned_abs() > most || load.queries.saturating_sub(self.own) > most;
        Ok(busy.then_some(Wait::Load))
    }
}
