//! The look at one table, from the newest row to the oldest.

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::mend::Mender;
use super::strays::Strays;
use super::window::Window;
use super::{Found, Watch};
use crate::clients::work::{ClickhouseWork, PostgresWork};
use crate::data::backfill::{IN_FLIGHT_MS, Rejects, range};
use crate::data::deleted::{Noting, gone};
use crate::data::lock::{Phase, standings};
use crate::data::tables::{Live, spec};
use crate::domain::backfill::Table;
use crate::domain::{Kind, Trouble};

/// How a look is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether what is found is written, too.
    pub write: bool,
    /// Rows of v2 of one stretch: what is held in memory.
    pub stretch: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { write: false, stretch: 50_000 }
    }
}

/// Looks at one table. What was found and written up to the end, whatever ended it; nothing where the table is not copied
/// yet, or this version of Langfuse does not copy it. `rejects` lists what cannot be converted.
///
/// # Errors
/// Beside what was found: a side cannot be read or written, or it was told to stop; what was written before stays and is
/// right.
pub async fn table(
    pg: &PostgresWork,
    ch: &ClickhouseWork,
    table: Table,
    options: Options,
    watch: &Watch,
    stop: &CancellationToken,
    rejects: &mut dyn Rejects,
) -> (Option<Found>, Result<(), Trouble>) {
    let mut found = None;
    let look = look(pg, ch, table, options, watch, stop, (&mut found, rejects));
    let ended = tokio::select! {
        biased;
        ended = pg.attended(look) => ended,
        // A dry run leaves nothing behind.
        () = stop.cancelled(), if !options.write => {
            Err(Trouble::new(Kind::Timeout, "catch-up", "interrupted; nothing was written"))
        }
    };
    (found, ended)
}

async fn look(
    pg: &PostgresWork,
    ch: &ClickhouseWork,
    table: Table,
    options: Options,
    watch: &Watch,
    stop: &CancellationToken,
    (out, rejects): (&mut Option<Found>, &mut dyn Rejects),
) -> Result<(), Trouble> {
    let spec = spec(table);
    let mut session = pg.session().await?;
    let rows = standings(pg, &mut session).await?;
    let Some(row) = rows.iter().find(|row| row.name == table.migration()) else { return Ok(()) };
    let above = match (row.phase, row.cursor()) {
        (Phase::Finished, _) => None,
        // What is above the cursor is promised; the rest is the backfill's.
        (_, Some(cursor)) => Some(cursor),
        (_, None) => return Ok(()),
    };
    sqlx::raw_sql("SET enable_seqscan = off; SET enable_sort = off")
        .execute(&mut *session)
        .await
        .map_err(|e| pg.trouble(&e))?;
    let now = now(pg, &mut session).await?;
    let mapping = Live::read(&ch.ask, spec).await?.map(spec);
    let strays = Strays::search(ch, spec, stop).await?;
    let window = Window { pg, ch, mapping: &mapping, above, strays };
    let noting = Noting::ask(pg, &mut session, table).await?.must(pg)?;
    // A right that is missing is told before anything is written.
    gone(pg, &mut session, []).await?;
    let mender = Mender { pg, ch, mapping: &mapping, write: options.write, noting, stop };
    // What came within the last moments is looked at again next time.
    let found = out.insert(Found { until: now - IN_FLIGHT_MS, left_to_backfill: above, ..Found::default() });
    let mut below = Some(i64::MAX / 2_000);
    while let Some(top) = below {
        goes_on(stop)?;
        let range = range::next(pg, &mut session, spec, spec.time, 0, top, options.stretch).await?;
        let (candidates, looked_at) = window.candidates(&mut session, &range).await?;
        found.looked_at += looked_at;
        mender.mend(&mut session, candidates, found, rejects).await?;
        watch.tell(found);
        below = range.from;
    }
    Ok(())
}

/// Between two writes nothing is half done.
pub(super) fn goes_on(stop: &CancellationToken) -> Result<(), Trouble> {
    if !stop.is_cancelled() {
        return Ok(());
    }
    Err(Trouble::new(Kind::Timeout, "catch-up", "interrupted; what was written stays, and is right"))
}

async fn now(pg: &PostgresWork, session: &mut PgConnection) -> Result<i64, Trouble> {
    sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8")
        .fetch_one(session)
        .await
        .map_err(|e| pg.trouble(&e))
}
