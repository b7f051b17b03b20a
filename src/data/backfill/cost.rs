//! The cost backfill, watched: a worker of Langfuse writes the costs that are then copied.
//!
//! One rule: nothing is copied before it has finished; meanwhile the next migration is held, so that the worker, when it
//! is done, leaves the rest to us.

use std::time::Duration;

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::Halt;
use super::halt::unmarked;
use crate::clients::work::PostgresWork;
use crate::data::lock::{COST, Denied, End, Held, Phase, standings};
use crate::domain::backfill::Table;

/// Between two looks; each is a heartbeat, too.
const LOOK: Duration = Duration::from_secs(5);

/// Waits until the costs are written.
///
/// # Errors
/// The cost backfill failed, was interrupted, or the lock was lost; ours is given back.
pub(super) async fn wait(
    work: &PostgresWork,
    session: &mut PgConnection,
    table: Table,
    held: &Held,
    stop: &CancellationToken,
    waits: &dyn Fn(),
) -> Result<(), Halt> {
    let mut told = false;
    loop {
        let rows = standings(work, session).await.map_err(unmarked)?;
        let phase = rows.iter().find(|row| row.name == COST).map_or(Phase::Finished, |row| row.phase);
        match phase {
            Phase::Finished | Phase::Dormant => return Ok(()),
            Phase::Failed => {
                held.end(work, session, &End::Released).await.map_err(unmarked)?;
                return Err(Halt::Denied(Denied::Turn {
                    name: table.migration().into(),
                    earlier: COST.into(),
                    phase: phase.word(),
                    hint: "; clear its failed_at and restart the worker, or set its finished_at to copy without those costs"
                        .into(),
                }));
            }
            // A worker that died is followed by another: its place in the order stays.
            Phase::Queued | Phase::Running | Phase::Stalled => {}
        }
        if !std::mem::replace(&mut told, true) {
            waits();
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
            held.end(work, session, &End::Released).await.map_err(Halt::Unreleased)?;
            return Err(Halt::Interrupted);
        }
        if !held.beat(work, session).await.map_err(unmarked)? {
            return Err(Halt::Lost(held.row.name.clone()));
        }
    }
}
