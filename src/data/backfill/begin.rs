//! A table's migration, taken, and where its copy begins.
//!
//! One rule: T0 is told by the run that wrote the first cursor, also when the answer to that was lost, and it promises no
//! row that may have been committed after it was looked for.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::halt::unmarked;
use super::line::Patience;
use super::{Halt, IN_FLIGHT_MS, Tools, cost};
use crate::clients::work::PostgresWork;
use crate::data::clock;
use crate::data::deleted::Noting;
use crate::data::lock::{Denied, Held, Start, judge, standings, take};
use crate::domain::Trouble;
use crate::domain::backfill::Table;

/// How long a claim is tried.
const CLAIMING: Duration = Duration::from_secs(60);

/// A table whose migration is ours.
#[derive(Debug)]
pub struct Begun {
    pub(super) table: Table,
    pub(super) held: Arc<Held>,
    /// Everything created up to this moment, in milliseconds, will be copied; unknown where an earlier run began.
    pub t0: Option<i64>,
    /// Where the copy goes on from.
    pub from: i64,
    /// Whether an earlier run, of a worker or of this program, left a cursor.
    pub resumed: bool,
    /// Whether Langfuse notes what is deleted in v3, and this user may read it.
    pub(super) noted: bool,
    /// Whether it does, and this user may not: the copy brings deleted rows back, as the worker's does.
    pub blind: bool,
}

/// Where a copy begins that nobody began before.
#[derive(Debug, Clone, Copy)]
struct First {
    from: i64,
    t0: i64,
}

/// Tries what a claim is made of until the database answers: between two tables it may be away as within one.
async fn patiently<T>(
    stop: &CancellationToken,
    mut attempt: impl AsyncFnMut() -> Result<T, Halt>,
) -> Result<T, Halt> {
    let mut patience = Patience::new(CLAIMING);
    loop {
        let begun = clock::mono();
        let trouble = match attempt().await {
            Err(Halt::Denied(Denied::Trouble(trouble)) | Halt::Failed { trouble, marked: false }) => trouble,
            answer => return answer,
        };
        // One that waited for the costs for hours was well until now.
        if clock::since(begun) > 2 * CLAIMING {
            patience.calm();
        }
        tokio::select! {
            () = stop.cancelled() => return Err(unmarked(trouble)),
            waited = patience.wait(trouble.clone()) => waited.map_err(unmarked)?,
        }
    }
}

/// Whether the migration of a table could be taken now; writes nothing.
///
/// # Errors
/// Why not.
pub async fn could_begin(
    tools: &Tools,
    table: Table,
    start: Start,
    stop: &CancellationToken,
) -> Result<(), Halt> {
    patiently(stop, async || could_begin_now(tools, table, start).await.map_err(Halt::Denied)).await
}

async fn could_begin_now(tools: &Tools, table: Table, start: Start) -> Result<(), Denied> {
    let mut session = tools.pg.session().await?;
    let rows = standings(&tools.pg, &mut session).await?;
    judge(&rows, table, start).map(drop)
}

/// Takes the migration of a table and writes where the copy begins. While a worker still writes costs, it waits for
/// them first, and says so by `waits`.
///
/// # Errors
/// The migration was not taken, or is given back.
pub async fn begin(
    tools: &Tools,
    table: Table,
    worker: &str,
    start: Start,
    stop: &CancellationToken,
    waits: &dyn Fn(),
) -> Result<Begun, Halt> {
    // The answer to the first cursor may be lost: the next attempt finds it, and it is still the first.
    let mut first = None;
    patiently(stop, async || begin_now(tools, (table, worker, start), &mut first, stop, waits).await).await
}

async fn begin_now(
    tools: &Tools,
    (table, worker, start): (Table, &str, Start),
    first: &mut Option<First>,
    stop: &CancellationToken,
    waits: &dyn Fn(),
) -> Result<Begun, Halt> {
    let work = &tools.pg;
    let mut session = work.session().await.map_err(unmarked)?;
    let held = take(work, &mut session, table, worker, start).await?;
    cost::wait(work, &mut session, table, &held, stop, waits).await?;
    // Of traces, and what goes with them; a score that was deleted by itself is copied once more, as by the worker.
    let noting = Noting::ask(work, &mut session, Table::Traces).await.map_err(unmarked)?;
    let (from, t0) = match (held.row.cursor(), *first) {
        (Some(cursor), Some(ours)) if cursor == ours.from => (cursor, Some(ours.t0)),
        (Some(cursor), _) => (cursor, None),
        (None, _) => {
            let ours = begins(work, &mut session, &held).await.map_err(unmarked)?;
            *first = Some(ours);
            if !held.move_cursor(work, &mut session, ours.from).await.map_err(unmarked)? {
                return Err(Halt::Lost(held.row.name));
            }
            (ours.from, Some(ours.t0))
        }
    };
    Ok(Begun {
        table,
        held: Arc::new(held),
        t0,
        from,
        resumed: t0.is_none(),
        noted: noting.is_shown(),
        blind: noting.is_hidden(),
    })
}

/// Now, or where the operator wants it. T0 is older than now: v2 stamps a row and commits it later, and the newest range
/// is read at once.
async fn begins(work: &PostgresWork, session: &mut PgConnection, held: &Held) -> Result<First, Trouble> {
    let now: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8")
        .fetch_one(session)
        .await
        .map_err(|e| work.trouble(&e))?;
    let from = held.row.wanted_start().unwrap_or(now);
    Ok(First { from, t0: from.min(now - IN_FLIGHT_MS) })
}
