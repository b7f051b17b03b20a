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
use crate::domain::Trouble;
use crate::domain::backfill::Table;

/// How long the deleted rows of a range are counted at most: a range of one moment may hold millions.
const COUNTING: Duration = Duration::from_mins(30);

/// Whether `t` went with its trace; nothing for run items, which outlive theirs.
fn went(table: Table) -> Option<String> {
    let trace = match table {
        Table::Traces => "t.id",
        Table::Observations | Table::Scores => "t.trace_id",
        Table::DatasetRunItems => return None,
    };
    // The worker deletes some time after the user asked for it, and then writes the note again.
    Some(format!(
        "EXISTS (SELECT FROM pending_deletions d WHERE d.object = 'trace' AND d.object_id = {trace} \
         AND d.project_id = t.project_id \
         AND greatest(d.created_at, d.updated_at) >= greatest(t.created_at, t.updated_at))"
    ))
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
    let Some(went) = went(spec.table) else { return Ok(LeftOut::default()) };
    // Without a note the range is not looked at.
    let sql = format!(
        "SELECT CASE WHEN EXISTS (SELECT FROM pending_deletions WHERE object = 'trace') \
         THEN (SELECT count(*) FROM {} t WHERE {} AND {went}) ELSE 0 END",
        spec.pg(),
        range.condition()
    );
    let rows: i64 = within(COUNTING, &work.object, "deleted rows of a range", async {
        let counted = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(session).await;
        counted.map_err(|e| work.trouble(&e))
    })
    .await?;
    let but = if rows == 0 { String::new() } else { format!(" AND NOT {went}") };
    Ok(LeftOut { rows: rows.unsigned_abs(), but })
}
