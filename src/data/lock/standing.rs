//! The rows of `background_migrations` as they stand.

use std::time::Duration;

use serde_json::Value;
use sqlx::{PgConnection, Row as _};

use super::STALE;
use crate::clients::work::PostgresWork;
use crate::domain::Trouble;
use crate::domain::backfill::Table;
use crate::domain::text::clean;

/// The migration that must be over before anything is copied: it writes the costs that are then copied. It is the
/// worker's alone: it prices every observation with Langfuse's model tables and tokenizers.
pub use crate::domain::backfill::COST;

/// What a migration does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody has begun it.
    Queued,
    /// Its heartbeat is younger than 60 s.
    Running,
    /// Begun, and nobody works on it.
    Stalled,
    /// `failed_at` is set.
    Failed,
    /// `finished_at` is set.
    Finished,
    /// It waits for an environment variable that nobody has to set.
    Dormant,
}

impl Phase {
    /// The word in messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Stalled => "begun, and nobody works on it",
            Self::Failed => "failed",
            Self::Finished => "finished",
            Self::Dormant => "dormant",
        }
    }

    /// Whether the manager would still pick it.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Stalled)
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// `id`.
    pub id: String,
    /// `name`: the order of execution.
    pub name: String,
    /// What it does now.
    pub phase: Phase,
    /// `args`, as the operator set them.
    pub args: Value,
    /// `state`: the cursor.
    pub state: Value,
    /// `worker_id`.
    pub worker: Option<String>,
    /// Age of the heartbeat by the database's clock.
    pub lock_age: Option<Duration>,
    /// `failed_reason`.
    pub failed_reason: Option<String>,
}

impl Standing {
    /// The key of the cursor in `state`; only the script of observations knows a suffix.
    pub fn cursor_key(&self) -> String {
        let suffix = match self.args["stateSuffix"].as_str() {
            Some(suffix) if self.name == Table::Observations.migration() => suffix,
            _ => "",
        };
        format!("maxDate{suffix}")
    }

    /// `state.maxDate` in milliseconds: nothing newer, up to the start of the copy, is uncopied.
    pub fn cursor(&self) -> Option<i64> {
        moment(self.state[self.cursor_key()].as_str()?)
    }

    /// `args.maxDate` in milliseconds: where the copy begins when nothing was copied yet.
    pub fn wanted_start(&self) -> Option<i64> {
        moment(self.args["maxDate"].as_str()?)
    }
}

/// Every row, in the order of execution.
///
/// # Errors
/// The table cannot be read.
pub async fn standings(work: &PostgresWork, session: &mut PgConnection) -> Result<Vec<Standing>, Trouble> {
    let rows = sqlx::query(
        "SELECT id, name, args, state, worker_id, failed_reason, finished_at IS NOT NULL AS finished, \
         failed_at IS NOT NULL AS failed, \
         extract(epoch FROM ((clock_timestamp() AT TIME ZONE 'UTC') - locked_at))::float8 AS age \
         FROM background_migrations ORDER BY name ASC",
    )
    .fetch_all(session)
    .await
    .map_err(|e| work.trouble(&e))?;
    let read = |row: &sqlx::postgres::PgRow| -> Result<Standing, sqlx::Error> {
        let age: Option<f64> = row.try_get("age")?;
        let mut standing = Standing {
            id: row.try_get("id")?,
            name: clean(row.try_get("name")?),
            phase: Phase::Queued,
            args: row.try_get("args")?,
            state: row.try_get("state")?,
            worker: row.try_get::<Option<String>, _>("worker_id")?.as_deref().map(clean),
            lock_age: age.map(|age| Duration::from_secs_f64(age.max(0.0))),
            failed_reason: row.try_get::<Option<String>, _>("failed_reason")?.as_deref().map(clean),
        };
        standing.phase = phase(&standing, row.try_get("finished")?, row.try_get("failed")?);
        Ok(standing)
    };
    rows.iter().map(read).collect::<Result<_, _>>().map_err(|e| work.trouble(&e))
}

pub(super) fn phase(row: &Standing, finished: bool, failed: bool) -> Phase {
    if finished {
        Phase::Finished
    } else if failed {
        Phase::Failed
    } else if row.lock_age.is_some_and(|age| age < STALE) {
        Phase::Running
    } else if row.worker.is_some() || row.lock_age.is_some() {
        Phase::Stalled
    } else if row.args.get("envGate").is_some() {
        Phase::Dormant
    } else {
        Phase::Queued
    }
}

/// A date as `new Date(..)` reads it: with a zone, without one, or a day. Without a zone it means UTC, as in
/// Langfuse's containers.
pub(super) fn moment(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.as_millisecond());
    }
    let civil = text
        .parse::<jiff::civil::DateTime>()
        .or_else(|_| text.parse::<jiff::civil::Date>().map(|day| day.at(0, 0, 0, 0)))
        .ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp().as_millisecond())
}
