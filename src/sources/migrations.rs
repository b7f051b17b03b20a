//! The rows of `background_migrations`, with what Langfuse's own screen cannot tell: running or dead.
//!
//! One rule: the age of a lock is measured by the database's clock, never by ours.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::Source;
use super::shared::{Link, Shared, absent};
use crate::clients::postgres::{self, Postgres, from_row};
use crate::domain::backfill::{Migration, MigrationState};
use crate::domain::text::clean;
use crate::domain::{Fact, SourceId, Trouble};

/// Nobody works under a lock older than this: six heartbeats, one every 15 s, did not come (backgroundMigrationManager.ts).
/// A claim may take it after 60 s; what is told and offered to a person waits for a worker that was only slow.
const SILENT: Duration = Duration::from_secs(90);

/// Locks are `timestamp` without zone and mean UTC.
const ROWS: &str = "SELECT name, args::text AS args, state::text AS state, failed_reason, worker_id, \
     failed_at IS NOT NULL AS failed, \
     (extract(epoch FROM finished_at) * 1000)::float8 AS finished_ms, \
     extract(epoch FROM ((now() AT TIME ZONE 'UTC') - locked_at))::float8 AS lock_age_s \
     FROM background_migrations ORDER BY name";

/// One row as it stands in the table.
#[derive(Debug, Clone)]
pub struct Row {
    name: String,
    args: Option<String>,
    state: Option<String>,
    failed_reason: Option<String>,
    worker_id: Option<String>,
    failed: bool,
    finished_ms: Option<f64>,
    lock_age_s: Option<f64>,
}

from_row!(Row { name, args, state, failed_reason, worker_id, failed, finished_ms, lock_age_s });

/// The source.
#[derive(Debug)]
pub struct Migrations {
    shared: Arc<Shared>,
    link: Link<Postgres>,
}

impl Migrations {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, link: Link::default() }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let target = self.shared.targets.postgres.as_ref().ok_or_else(|| absent("PostgreSQL", "postgres"))?;
        let pg = self.link.get(Box::pin(postgres::connect(&self.shared.reach, target))).await?;
        self.link.judge(read(&pg).await).map(Fact::Migrations)
    }
}

impl Source for Migrations {
    fn id(&self) -> SourceId {
        SourceId::Migrations
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }
}

/// Every migration, by name.
pub async fn read(pg: &Postgres) -> Result<Vec<Migration>, Trouble> {
    match sqlx::query_as::<_, Row>(ROWS).fetch_all(&pg.pool).await {
        Ok(rows) => Ok(rows.iter().map(migration).collect()),
        Err(error) => {
            let trouble = pg.trouble(&error).await;
            Err(if trouble.kind == crate::domain::Kind::Missing {
                trouble.remedy("background_migrations is not there: v2 must be at least 2.92, and its own migrations applied")
            } else {
                trouble
            })
        }
    }
}

fn migration(row: &Row) -> Migration {
    let json = |text: Option<&String>| {
        text.and_then(|t| serde_json::from_str::<serde_json::Value>(t).ok()).unwrap_or_default()
    };
    let (args, state) = (json(row.args.as_ref()), json(row.state.as_ref()));
    Migration {
        name: clean(&row.name),
        state: classify(row, &args),
        cursor: cursor(&args, &state),
        lock_age: row.lock_age_s.map(|s| Duration::from_secs_f64(s.max(0.0))),
        worker: row.worker_id.as_deref().map(clean),
        failed_reason: row.failed_reason.as_deref().map(clean),
        batch_size: args["batchSize"].as_u64().or_else(|| args["batchSize"].as_str()?.parse().ok()),
        finished_at: row.finished_ms.and_then(|ms| Timestamp::from_millisecond(ms as i64).ok()),
    }
}

/// langfuse.md 1.2 and 1.5. A dormant row waits for an environment variable that nobody has to set.
fn classify(row: &Row, args: &serde_json::Value) -> MigrationState {
    if row.finished_ms.is_some() {
        MigrationState::Finished
    } else if row.failed {
        MigrationState::Failed
    } else if row.lock_age_s.is_some_and(|age| age < SILENT.as_secs_f64()) {
        MigrationState::Running
    } else if row.worker_id.is_some() || row.lock_age_s.is_some() {
        MigrationState::Stalled
    } else if args.get("envGate").is_some() {
        MigrationState::Dormant
    } else {
        MigrationState::Queued
    }
}

/// `state.maxDate`; the observations' script adds `args.stateSuffix` to the key, and other suffixes are other runs'.
fn cursor(args: &serde_json::Value, state: &serde_json::Value) -> Option<Timestamp> {
    let suffix = args["stateSuffix"].as_str().unwrap_or_default();
    let others = || state.as_object()?.iter().find(|(key, _)| key.starts_with("maxDate")).map(|(_, at)| at);
    state.get(format!("maxDate{suffix}")).or_else(others)?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(worker: Option<&str>, lock: Option<f64>) -> Row {
        Row {
            name: "x".into(),
            args: Some("{}".into()),
            state: Some("{}".into()),
            failed_reason: None,
            worker_id: worker.map(Into::into),
            failed: false,
            finished_ms: None,
            lock_age_s: lock,
        }
    }

    #[test]
    fn states_that_look_alike_in_langfuse() {
        let state = |row: &Row| migration(row).state;
        assert_eq!(state(&row(None, None)), MigrationState::Queued);
        assert_eq!(state(&row(Some("w"), Some(10.0))), MigrationState::Running);
        assert_eq!(state(&row(Some("w"), Some(61.0))), MigrationState::Running, "it may be slow");
        assert_eq!(state(&row(Some("w"), Some(90.0))), MigrationState::Stalled);
        assert_eq!(state(&row(Some("w"), None)), MigrationState::Stalled);
        let gated = Row { args: Some(r#"{"envGate":"X"}"#.into()), ..row(None, None) };
        assert_eq!(state(&gated), MigrationState::Dormant);
        let failed = Row { failed: true, ..row(Some("w"), None) };
        assert_eq!(state(&failed), MigrationState::Failed);
        let finished = Row { finished_ms: Some(1.0), ..row(Some("w"), None) };
        assert_eq!(state(&finished), MigrationState::Finished);
    }

    #[test]
    fn the_cursor_is_found_under_its_suffix() {
        let state = serde_json::json!({"maxDate-a": "2024-10-24T17:30:00.123Z"});
        let none = serde_json::json!({});
        assert_eq!(cursor(&none, &state).unwrap().as_millisecond(), 1_729_791_000_123);
        assert_eq!(cursor(&none, &none), None);
        let both = serde_json::json!({"maxDate": "2020-01-01T00:00:00.000Z", "maxDate-a": "2024-10-24T17:30:00.123Z"});
        let args = serde_json::json!({"stateSuffix": "-a"});
        assert_eq!(cursor(&args, &both).unwrap().as_millisecond(), 1_729_791_000_123);
        assert_eq!(cursor(&none, &both).unwrap().as_millisecond(), 1_577_836_800_000);
    }
}
