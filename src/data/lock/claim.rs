//! Taking a migration, as a worker does.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::held::Held;
use super::standing::{COST, Phase, Standing, standings};
use super::{Denied, STALE};
use crate::clients::work::PostgresWork;
use crate::domain::backfill::Table;
use crate::domain::{Kind, Trouble};

/// How often a claim that met another one is tried again; the next look says who won.
const TRIES: u32 = 5;

/// How a migration may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Only when the manager itself would run it now.
    Run,
    /// Also when it has failed: the failure is cleared and the cursor stays, as an operator would do by hand.
    Resume,
}

/// Takes the migration of a table in one SERIALIZABLE transaction: of two claims at once one wins.
///
/// # Errors
/// [`Denied`]: nothing was written; after [`Denied::Trouble`] that is not known, and the same worker may ask again.
pub async fn take(
    work: &PostgresWork,
    session: &mut PgConnection,
    table: Table,
    worker: &str,
    start: Start,
) -> Result<Held, Denied> {
    for turn in 1.. {
        match attempt(work, session, table, worker, start).await {
            // Somebody else wrote the row between our look and our claim.
            Err(Denied::Trouble(trouble)) if turn < TRIES && trouble.kind == Kind::Conflict => {
                tokio::time::sleep(Duration::from_millis(50 * u64::from(turn))).await;
            }
            answer => return answer,
        }
    }
    Err(Denied::Trouble(Trouble::new(Kind::Conflict, &work.object, "the migration could not be claimed")))
}

async fn attempt(
    work: &PostgresWork,
    session: &mut PgConnection,
    table: Table,
    worker: &str,
    start: Start,
) -> Result<Held, Denied> {
    let trouble = |e: sqlx::Error| Denied::Trouble(work.trouble(&e));
    let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await.map_err(trouble)?;
    let rows = standings(work, &mut transaction).await?;
    let row = judged(&rows, table, start, Some(worker))?;
    sqlx::query(
        "UPDATE background_migrations SET worker_id = $2, failed_at = NULL, failed_reason = NULL, \
         locked_at = (clock_timestamp() AT TIME ZONE 'UTC')::timestamp(3) WHERE id = $1",
    )
    .bind(&row.id)
    .bind(worker)
    .execute(&mut *transaction)
    .await
    .map_err(trouble)?;
    transaction.commit().await.map_err(trouble)?;
    Ok(Held::of(row, worker))
}

/// Whether the manager's rules let this migration be taken now.
///
/// # Errors
/// [`Denied`] says why not.
pub fn judge(rows: &[Standing], table: Table, start: Start) -> Result<&Standing, Denied> {
    judged(rows, table, start, None)
}

/// The same for a worker whose own lock, from a claim that was not answered, is not in its way.
fn judged<'r>(
    rows: &'r [Standing],
    table: Table,
    start: Start,
    own: Option<&str>,
) -> Result<&'r Standing, Denied> {
    let name = table.migration();
    let row = rows.iter().find(|r| r.name == name).ok_or_else(|| Denied::Absent { name: name.into() })?;
    match row.phase {
        Phase::Finished => return Err(Denied::Finished { name: name.into() }),
        Phase::Failed if start == Start::Run => {
            let reason = row.failed_reason.clone().unwrap_or_default();
            return Err(Denied::Failed { name: name.into(), reason });
        }
        _ => {}
    }
    let earlier = rows.iter().find(|r| in_the_way(r, name));
    if let Some(earlier) = earlier.filter(|_| !waits_for_cost(rows, table)) {
        return Err(Denied::Turn {
            name: name.into(),
            earlier: earlier.name.clone(),
            phase: earlier.phase.word(),
            hint: hint(earlier),
        });
    }
    if own.is_none() || row.worker.as_deref() != own {
        not_foreign(row)?;
    }
    Ok(row)
}

fn not_foreign(row: &Standing) -> Result<(), Denied> {
    match (&row.worker, row.lock_age) {
        (worker, Some(age)) if age < STALE => Err(Denied::Foreign {
            name: row.name.clone(),
            worker: worker.clone().unwrap_or_else(|| "without a name".into()),
            age,
        }),
        _ => Ok(()),
    }
}

/// Whether only the cost backfill is in the way, and a worker is at it: the migration may be taken and wait. When that
/// worker is done, it meets a fresh lock and leaves the rest to us, as it would to another worker.
pub fn waits_for_cost(rows: &[Standing], table: Table) -> bool {
    let name = table.migration();
    let mut earlier = rows.iter().filter(|r| in_the_way(r, name)).peekable();
    earlier.peek().is_some() && earlier.all(|r| r.name == COST && r.phase == Phase::Running)
}

/// The manager goes past what failed; costs that were never written would be copied as nothing, so a failed cost
/// backfill is in the way of ours.
fn in_the_way(row: &Standing, name: &str) -> bool {
    let earlier = row.name.as_str() < name;
    earlier && (row.phase.is_pending() || (row.name == COST && row.phase == Phase::Failed))
}

fn hint(earlier: &Standing) -> String {
    if earlier.name != COST {
        return String::new();
    }
    "; it writes the costs that are then copied and is left to Langfuse's worker: let the worker run it \
     (LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS=true), or set its finished_at to copy without those costs"
        .into()
}
