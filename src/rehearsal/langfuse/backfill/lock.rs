//! The rows of `background_migrations`: picking, beating, ending. Times are this process's clock, not the
//! server's, as in the real manager.

use serde_json::Value;
use sqlx::{PgPool, Row as _};

use super::super::{LangfuseError, js};
use crate::rehearsal::clock;

/// A lock younger than this is another worker's.
const STALE_MS: i64 = 60_000;

/// A migration this worker holds.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) script: String,
    pub(super) args: Value,
}

/// Takes the first unfinished row by name, unless its lock is fresh. The row is locked, not skipped: a younger
/// migration never overtakes an older one.
pub(super) async fn claim(pool: &PgPool, worker: &str) -> Result<Option<Claimed>, LangfuseError> {
    let mut transaction = pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
    let row = sqlx::query(
        "SELECT id, name, script, args, (extract(epoch FROM locked_at) * 1000)::int8 AS locked_ms \
         FROM background_migrations WHERE finished_at IS NULL AND failed_at IS NULL ORDER BY name ASC LIMIT 1",
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let locked: Option<i64> = row.try_get("locked_ms")?;
    if locked.is_some_and(|at| at > clock::now_ms() - STALE_MS) {
        return Ok(None);
    }
    let claimed = Claimed {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        script: row.try_get("script")?,
        args: row.try_get("args")?,
    };
    sqlx::query(
        "UPDATE background_migrations SET worker_id = $2, locked_at = $3::timestamp(3) WHERE id = $1",
    )
    .bind(&claimed.id)
    .bind(worker)
    .bind(now())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Some(claimed))
}

/// The heartbeat; it revives nothing that ended.
pub(super) async fn beat(pool: &PgPool, id: &str, worker: &str) -> Result<(), LangfuseError> {
    sqlx::query(
        "UPDATE background_migrations SET locked_at = $3::timestamp(3) \
         WHERE id = $1 AND worker_id = $2 AND finished_at IS NULL AND failed_at IS NULL",
    )
    .bind(id)
    .bind(worker)
    .bind(now())
    .execute(pool)
    .await?;
    Ok(())
}

/// Marks success.
pub(super) async fn finish(pool: &PgPool, id: &str, worker: &str) -> Result<(), LangfuseError> {
    sqlx::query(
        "UPDATE background_migrations SET finished_at = $3::timestamp(3), locked_at = NULL \
         WHERE id = $1 AND worker_id = $2",
    )
    .bind(id)
    .bind(worker)
    .bind(now())
    .execute(pool)
    .await?;
    Ok(())
}

/// Marks failure; the reason is what the operator reads.
pub(super) async fn fail(pool: &PgPool, id: &str, worker: &str, reason: &str) -> Result<(), LangfuseError> {
    sqlx::query(
        "UPDATE background_migrations SET failed_at = $3::timestamp(3), failed_reason = $4, locked_at = NULL \
         WHERE id = $1 AND worker_id = $2",
    )
    .bind(id)
    .bind(worker)
    .bind(now())
    .bind(reason)
    .execute(pool)
    .await?;
    Ok(())
}

/// Gives the lock back at SIGTERM; state and the rest stay.
pub(super) async fn release(pool: &PgPool, id: &str, worker: &str) -> Result<(), LangfuseError> {
    sqlx::query("UPDATE background_migrations SET locked_at = NULL WHERE id = $1 AND worker_id = $2")
        .bind(id)
        .bind(worker)
        .execute(pool)
        .await?;
    Ok(())
}

fn now() -> String {
    js::iso(clock::now_ms())
}
