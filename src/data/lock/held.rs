//! A migration that is ours: heartbeat, cursor, end. Each answers whether it still is.

use jiff::Timestamp;
use serde_json::json;
use sqlx::PgConnection;

use super::standing::Standing;
use crate::clients::work::PostgresWork;
use crate::domain::Trouble;

/// What every write is conditional on: the row is ours and has not ended. Times are the server's own.
macro_rules! ours {
    ($set:literal) => {
        concat!(
            "UPDATE background_migrations SET ",
            $set,
            " WHERE id = $1 AND worker_id = $2 AND finished_at IS NULL AND failed_at IS NULL AND locked_at IS NOT NULL"
        )
    };
}

/// Whether the row is ours, without a lock, and like this.
macro_rules! ended {
    ($like:literal) => {
        concat!(
            "SELECT EXISTS (SELECT FROM background_migrations WHERE id = $1 AND worker_id = $2 AND locked_at IS NULL AND ",
            $like,
            ")"
        )
    };
}

/// The claim on one migration.
#[derive(Debug, Clone)]
pub struct Held {
    /// The row as it stood when it was taken.
    pub row: Standing,
    /// Our `worker_id`.
    pub worker: String,
}

impl Held {
    pub(super) fn of(row: &Standing, worker: &str) -> Self {
        Self { row: row.clone(), worker: worker.to_owned() }
    }

    /// The heartbeat; `false` when the lock is lost.
    ///
    /// # Errors
    /// The database could not be asked: the lock may be held or lost.
    pub async fn beat(&self, work: &PostgresWork, session: &mut PgConnection) -> Result<bool, Trouble> {
        let sql = ours!("locked_at = (clock_timestamp() AT TIME ZONE 'UTC')::timestamp(3)");
        let query = sqlx::query(sql).bind(&self.row.id).bind(&self.worker);
        let done = query.execute(session).await.map_err(|e| work.trouble(&e))?;
        Ok(done.rows_affected() == 1)
    }

    /// Says that everything newer than `millis` up to the start of the copy is copied; `false` when the lock is lost.
    ///
    /// # Errors
    /// The database could not be asked: the cursor may have moved, which is as true as before.
    pub async fn move_cursor(
        &self,
        work: &PostgresWork,
        session: &mut PgConnection,
        millis: i64,
    ) -> Result<bool, Trouble> {
        // Other keys stay: the script of observations keeps one cursor for each suffix.
        // A year that JavaScript spells otherwise is not written: the cursor then stands higher, which is true, too.
        let Some(cursor) = iso(millis) else { return self.beat(work, session).await };
        let state = json!({self.row.cursor_key(): cursor});
        let sql = ours!("state = state || $3");
        let query = sqlx::query(sql).bind(&self.row.id).bind(&self.worker).bind(state);
        let done = query.execute(session).await.map_err(|e| work.trouble(&e))?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends the claim, or fails to: `false` when the lock was lost before.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn end(
        &self,
        work: &PostgresWork,
        session: &mut PgConnection,
        end: &End,
    ) -> Result<bool, Trouble> {
        let query = match end {
            End::Finished => sqlx::query(ours!(
                "finished_at = (clock_timestamp() AT TIME ZONE 'UTC')::timestamp(3), locked_at = NULL"
            )),
            End::Failed(_) => sqlx::query(ours!(
                "failed_at = (clock_timestamp() AT TIME ZONE 'UTC')::timestamp(3), locked_at = NULL, failed_reason = $3"
            )),
            End::Released => sqlx::query(ours!("locked_at = NULL")),
        };
        let mut query = query.bind(&self.row.id).bind(&self.worker);
        if let End::Failed(reason) = end {
            query = query.bind(reason);
        }
        let done = query.execute(session).await.map_err(|e| work.trouble(&e))?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether the row stands as this end leaves it, still in our name: what an answer that was lost had to say.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn has_ended(
        &self,
        work: &PostgresWork,
        session: &mut PgConnection,
        end: &End,
    ) -> Result<bool, Trouble> {
        let sql = match end {
            End::Finished => ended!("finished_at IS NOT NULL"),
            End::Failed(_) => ended!("finished_at IS NULL AND failed_at IS NOT NULL AND failed_reason = $3"),
            End::Released => ended!("finished_at IS NULL AND failed_at IS NULL"),
        };
        let mut query = sqlx::query_scalar(sql).bind(&self.row.id).bind(&self.worker);
        if let End::Failed(reason) = end {
            query = query.bind(reason);
        }
        query.fetch_one(session).await.map_err(|e| work.trouble(&e))
    }
}

/// How a claim ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Everything is copied.
    Finished,
    /// It could not be done; what the operator reads. The manager goes on with the next migration.
    Failed(String),
    /// As a worker at SIGTERM: state and everything else stay.
    Released,
}

/// A moment as `toISOString` writes it, which is how Langfuse's scripts keep it; years 0 to 9999.
pub(super) fn iso(millis: i64) -> Option<String> {
    let at = Timestamp::from_millisecond(millis).ok()?;
    let text = at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    (text.len() == 24).then_some(text)
}
