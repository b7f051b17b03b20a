//! Rows that v3's users have deleted while PostgreSQL still has them: a range that is copied once more, after a kill, would
//! bring them back.
//!
//! One rule: the same rows as in [`crate::data::deleted`], told by SQL: what was last written before the deletion of its
//! trace was noted. Where nothing of a range was deleted, its COPY is what it would be without notes.

use std::time::Duration;

use sqlx::PgConnection;

use super::range::Range;
use crate::clients::failure::within;
use crate::clients::work::PostgresWork;
use crate::data::tables::Spec;
use crate::domain::backfill::Table;
use crate::domain::{Kind, Trouble};

/// How long the deleted rows of a range are counted at most, by PostgreSQL and by us: a range of one moment may hold
/// millions. What cannot be counted is left out all the same.
const LIMIT: &str = "SET statement_timeout = '5min'";
const NO_LIMIT: &str = "SET statement_timeout = 0";
const COUNTING: Duration = Duration::from_mins(6);

/// The trace that `t` went with; nothing for run items, which outlive theirs.
const fn trace(table: Table) -> Option<&'static str> {
    match table {
        Table::Traces => Some("t.id"),
        Table::Observations | Table::Scores => Some("t.trace_id"),
        Table::DatasetRunItems => None,
    }
}

/// What is left out of a range.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// Rows, as of a moment before the range is read.
    pub(super) rows: u64,
    /// What the condition of the range ends with.
    pub(super) but: String,
}

/// Counts what is to be left out of a range.
///
/// # Errors
/// The notes or the range cannot be read.
pub(super) async fn left_out(
    work: &PostgresWork,
    session: &mut PgConnection,
    spec: &Spec,
    range: &Range,
) -> Result<LeftOut, Trouble> {
    let Some(trace) = trace(spec.table) else { return Ok(LeftOut::default()) };
    // From the notes, which are few, to their rows: without a note the range is not looked at.
    let sql = format!(
        "SELECT count(*) FROM (SELECT project_id, object_id, max(greatest(created_at, updated_at)) AS until \
         FROM pending_deletions WHERE object = 'trace' GROUP BY 1, 2) AS d \
         JOIN {} t ON {trace} = d.object_id AND t.project_id = d.project_id \
         WHERE {} AND d.until >= greatest(t.created_at, t.updated_at)",
        spec.pg(),
        range.condition()
    );
    let trouble = |e| work.trouble(&e);
    let counted = within(COUNTING, &work.object, "deleted rows of a range", async {
        sqlx::query(LIMIT).execute(&mut *session).await.map_err(trouble)?;
        let counted: sqlx::Result<i64> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut *session).await;
        let counted = match counted.map_err(trouble) {
            Ok(rows) => Some(rows.unsigned_abs()),
            Err(told) if told.kind == Kind::Timeout => None,
            Err(told) => return Err(told),
        };
        sqlx::query(NO_LIMIT).execute(&mut *session).await.map_err(trouble)?;
        Ok(counted)
    });
    let counted = counted.await?;
    let but = match counted {
        Some(0) => String::new(),
        // The worker deletes some time after the user asked for it, and then writes the note again.
        _ => format!(
            " AND NOT EXISTS (SELECT FROM pending_deletions d WHERE d.object = 'trace' AND d.object_id = {trace} \
             AND d.project_id = t.project_id \
             AND greatest(d.created_at, d.updated_at) >= greatest(t.created_at, t.updated_at))"
        ),
    };
    Ok(LeftOut { rows: counted.unwrap_or(0), but })
}
