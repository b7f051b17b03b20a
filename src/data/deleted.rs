//! What v3's users have deleted while PostgreSQL still has it.
//!
//! One rule: a row that was last written before Langfuse noted the deletion of its trace in `pending_deletions` is not
//! missing, and not copied again; what v2 wrote later is. Versions of v3 with that table delete in ClickHouse without a
//! mark and leave v2's rows, so that the note is all there is to tell a deleted row from a missing one; versions without
//! it delete in PostgreSQL as well. A score that was deleted by itself has no note.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::clients::work::PostgresWork;
use crate::data::catch_up::merge::millis;
use crate::data::cell::Cell;
use crate::data::rows::{Key, Row};
use crate::data::tables::Mapping;
use crate::domain::backfill::Table;
use crate::domain::{Kind, Trouble};

/// Whether there are notes, and whether this user may read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noting {
    /// This version of Langfuse does not note what it deletes.
    Absent,
    /// They can be read.
    Shown,
    /// The user lacks `SELECT`.
    Hidden,
}

impl Noting {
    /// Asks for the table and the right to read it.
    ///
    /// # Errors
    /// PostgreSQL cannot be asked.
    pub async fn ask(pg: &PostgresWork, session: &mut PgConnection) -> Result<Self, Trouble> {
        let sql = "SELECT has_table_privilege(to_regclass('pending_deletions'), 'SELECT')";
        let may: Option<bool> =
            sqlx::query_scalar(sql).fetch_one(session).await.map_err(|e| pg.trouble(&e))?;
        Ok(match may {
            None => Self::Absent,
            Some(true) => Self::Shown,
            Some(false) => Self::Hidden,
        })
    }

    /// Whether there are notes, for one who may not go on without them.
    ///
    /// # Errors
    /// There are, and they cannot be read.
    pub fn must(self, pg: &PostgresWork) -> Result<bool, Trouble> {
        match self {
            Self::Absent => Ok(false),
            Self::Shown => Ok(true),
            Self::Hidden => {
                let text = "pending_deletions cannot be read: what users of v3 deleted would be copied again";
                let trouble = Trouble::new(Kind::Forbidden, &pg.object, text);
                Err(trouble.remedy("GRANT SELECT ON pending_deletions TO this user"))
            }
        }
    }
}

/// Traces that were deleted, and until when what belonged to them went with them, in epoch milliseconds.
#[derive(Debug, Default)]
pub struct Notes(HashMap<Key, i64>);

impl Notes {
    /// Reads those of the traces that rows belong to; only where there are any.
    ///
    /// # Errors
    /// PostgreSQL cannot be asked.
    pub async fn read(
        pg: &PostgresWork,
        session: &mut PgConnection,
        mapping: &Mapping,
        rows: impl IntoIterator<Item = &Row>,
    ) -> Result<Self, Trouble> {
        let traces: Vec<String> =
            rows.into_iter().filter_map(|row| trace(mapping, row)).map(|key| key.id).collect();
        if traces.is_empty() {
            return Ok(Self::default());
        }
        // The worker deletes some time after the user asked for it, and then writes the note again.
        let query = "SELECT project_id, object_id, (extract(epoch FROM max(greatest(created_at, updated_at))) * 1000)::bigint \
                     FROM pending_deletions WHERE object = 'trace' AND object_id = ANY($1) GROUP BY 1, 2";
        let noted: Vec<(String, String, i64)> =
            sqlx::query_as(query).bind(traces).fetch_all(session).await.map_err(|e| pg.trouble(&e))?;
        Ok(Self(noted.into_iter().map(|(project, id, until)| (Key { project, id }, until)).collect()))
    }

    /// Whether a row of v2 went with its trace.
    pub fn took(&self, mapping: &Mapping, row: &Row) -> bool {
        let touched = millis(mapping, row, "created_at").max(millis(mapping, row, "updated_at"));
        let until = trace(mapping, row).and_then(|trace| self.0.get(&trace));
        until.is_some_and(|until| touched <= *until)
    }
}

/// The trace that a row is, or goes with when it is deleted; dataset runs outlive theirs.
fn trace(mapping: &Mapping, row: &Row) -> Option<Key> {
    match (mapping.spec.table, row.get(mapping, "trace_id")) {
        (Table::Traces, _) => Some(row.key.clone()),
        (Table::Observations | Table::Scores, Cell::Text(id)) => {
            Some(Key { project: row.key.project.clone(), id: id.clone() })
        }
        _ => None,
    }
}
