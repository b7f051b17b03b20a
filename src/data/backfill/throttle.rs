//! Back-pressure: a rate that was asked for, and databases that have other things to do.
//!
//! One rule: a copy waits between inserts, never within one; what is still to be read of its range waits in PostgreSQL's
//! COPY, and a range is 64 MiB at most but for a single moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::line::Line;
use super::{Options, Tools, Wait, Watch};
use crate::clients::work::PostgresWork;
use crate::data::clock;
use crate::domain::{Kind, Trouble};

/// Active parts of one partition at which inserts wait for merges; the server itself slows down at 1000 and refuses at
/// 3000 (`parts_to_delay_insert`, `parts_to_throw_insert`).
const MANY_PARTS: u64 = 600;
/// Between two looks at a busy database.
const LOOK: Duration = Duration::from_secs(1);

/// A busy database may not answer: so long that is taken for busy, then the copy's own statements say what is wrong.
const BLIND: Duration = Duration::from_secs(30);

/// Whether this user sees what others' sessions do, without which `--max-load` waits for nobody.
///
/// # Errors
/// It does not, or cannot be asked.
pub async fn may_see_load(pg: &PostgresWork) -> Result<(), Trouble> {
    let mut session = pg.session().await?;
    // Superusers have every role.
    let sees: bool = sqlx::query_scalar("SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')")
        .fetch_one(&mut *session)
        .await
        .map_err(|e| pg.trouble(&e))?;
    if sees {
        return Ok(());
    }
    Err(Trouble::new(Kind::Refused, &pg.object, "--max-load cannot see what others' sessions do")
        .remedy("GRANT pg_read_all_stats TO this user, or use --rate instead"))
}

/// Shared by the jobs of one copy.
#[derive(Debug)]
pub(super) struct Throttle {
    rate: Option<f64>,
    max_load: Option<u32>,
    /// Inserts of our own that are at work in ClickHouse.
    own: AtomicU64,
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
    /// Since when there is no answer.
    blind: Option<Instant>,
    line: Line,
}

/// An insert at work, until it is dropped.
#[derive(Debug)]
pub(super) struct Working<'a>(&'a AtomicU64);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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
            own: AtomicU64::new(0),
            due: Mutex::new(clock::mono()),
            looked: tokio::sync::Mutex::new(Looked {
                at: None,
                wait: None,
                blind: None,
                line: Line::new(&tools.pg, &["SET statement_timeout = '5s'"]),
            }),
        }
    }

    /// Counts an insert as our own.
    pub(super) fn works(&self) -> Working<'_> {
        self.own.fetch_add(1, Ordering::Relaxed);
        Working(&self.own)
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
            let seen = self.look(tools, table, &mut looked.line).await;
            looked.wait = match seen {
                Ok(wait) => {
                    looked.blind = None;
                    wait
                }
                Err(trouble) => {
                    tracing::warn!(target: "backfill", "how busy the databases are is not known: {trouble}");
                    let since = *looked.blind.get_or_insert_with(clock::mono);
                    let asked = self.max_load.is_some() && clock::since(since) < BLIND;
                    asked.then_some(Wait::Trouble)
                }
            };
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
        // The question itself is one of them.
        let own = self.own.load(Ordering::Relaxed) + 1;
        let busy = active.unsigned_abs() > most || load.queries.saturating_sub(own) > most;
        Ok(busy.then_some(Wait::Load))
    }
}
