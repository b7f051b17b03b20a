//! What v3's users have deleted while PostgreSQL still has it.
//!
//! One rule: a trace that Langfuse noted in `pending_deletions` is not missing, and not copied again, nor is what
//! belongs to it. Versions of
//! v3 with that table delete in ClickHouse without a mark and leave v2's rows, so that the note is all there is to
//! tell a deleted row from a missing one; versions without it delete in PostgreSQL as well.

use std::collections::HashSet;

use sqlx::PgConnection;

use crate::clients::work::PostgresWork;
use crate::data::cell::Cell;
use crate::data::rows::{Key, Row};
use crate::data::tables::Mapping;
use crate::domain::Trouble;
use crate::domain::backfill::Table;

/// Whether this version of Langfuse notes what it deletes.
///
/// # Errors
/// PostgreSQL cannot be asked.
pub async fn is_noted(pg: &PostgresWork, session: &mut PgConnection) -> Result<bool, Trouble> {
    sqlx::query_scalar("SELECT to_regclass('pending_deletions') IS NOT NULL")
        .fetch_one(session)
        .await
        .map_err(|e| pg.trouble(&e))
}

/// Those of the traces that rows belong to which are noted as deleted, or are about to be; only where [`is_noted`].
///
/// # Errors
/// PostgreSQL cannot be asked, or the table of notes not be read.
pub async fn noted(
    pg: &PostgresWork,
    session: &mut PgConnection,
    mapping: &Mapping,
    rows: impl IntoIterator<Item = &Row>,
) -> Result<HashSet<Key>, Trouble> {
    let traces: Vec<String> =
        rows.into_iter().filter_map(|row| trace(mapping, row)).map(|key| key.id).collect();
    if traces.is_empty() {
        return Ok(HashSet::new());
    }
    let query =
        "SELECT project_id, object_id FROM pending_deletions WHERE object = 'trace' AND object_id = ANY($1)";
    let noted: Vec<(String, String)> =
        sqlx::query_as(query).bind(traces).fetch_all(session).await.map_err(|e| pg.trouble(&e))?;
    Ok(noted.into_iter().map(|(project, id)| Key { project, id }).collect())
}

/// The trace that a row is, or goes with when it is deleted; dataset runs outlive theirs.
pub fn trace(mapping: &Mapping, row: &Row) -> Option<Key> {
    match (mapping.spec.table, row.get(mapping, "trace_id")) {
        (Table::Traces, _) => Some(row.key.clone()),
        (Table::Observations | Table::Scores, Cell::Text(id)) => {
            Some(Key { project: row.key.project.clone(), id: id.clone() })
        }
        _ => None,
    }
}
