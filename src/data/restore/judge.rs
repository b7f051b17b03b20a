//! Entities that v3 wrote, held against what PostgreSQL has of them.
//!
//! One rule: the newer `updated_at` wins; of equal ones v2's stays, and that makes a second run find nothing to do.

use std::collections::{BTreeSet, HashMap};

use sqlx::{PgConnection, Row as _};

use super::source::{Slice, Written};
use crate::clients::work::PostgresWork;
use crate::domain::Trouble;

/// What PostgreSQL says about a page of ids.
#[derive(Debug, Default)]
pub(super) struct Known {
    rows: HashMap<String, (String, i64)>,
}

/// What is to be done with one entity, before its row was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    Insert,
    Update,
    Known,
    OtherProject,
}

impl Known {
    /// Looks ids up by the primary key.
    pub(super) async fn read(
        work: &PostgresWork,
        session: &mut PgConnection,
        table: &str,
        page: &[Written],
    ) -> Result<Self, Trouble> {
        let ids: Vec<&str> = page.iter().map(|w| w.id.as_str()).filter(|id| !id.contains('\0')).collect();
        let statement = format!(
            "SELECT id, project_id, round(extract(epoch FROM updated_at) * 1000)::bigint AS updated_at \
             FROM {table} WHERE id = ANY($1)"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(&ids);
        let found = query.fetch_all(session).await.map_err(|e| work.trouble(&e))?;
        let mut rows = HashMap::with_capacity(found.len());
        for row in found {
            let read = || -> Result<_, sqlx::Error> {
                Ok((row.try_get("id")?, (row.try_get("project_id")?, row.try_get("updated_at")?)))
            };
            let (id, entry) = read().map_err(|e| work.trouble(&e))?;
            rows.insert(id, entry);
        }
        Ok(Self { rows })
    }

    pub(super) fn judge(&self, slice: &Slice, written: &Written) -> Judged {
        match self.rows.get(&written.id) {
            None => Judged::Insert,
            Some((project, _)) if *project != slice.project => Judged::OtherProject,
            Some((_, updated_at)) if *updated_at < written.updated_at => Judged::Update,
            Some(_) => Judged::Known,
        }
    }
}

/// Which of these projects are gone, or being deleted (`deleted_at` since v3.0.0).
pub(super) async fn gone(
    work: &PostgresWork,
    session: &mut PgConnection,
    slices: &[Slice],
) -> Result<BTreeSet<String>, Trouble> {
    let asked: BTreeSet<&str> = slices.iter().map(|s| s.project.as_str()).collect();
    let asked: Vec<&str> = asked.into_iter().collect();
    sqlx::query_scalar::<_, String>(
        "SELECT a.id FROM unnest($1::text[]) AS a(id) WHERE NOT EXISTS (SELECT 1 FROM projects p \
         WHERE p.id = a.id AND to_jsonb(p) ->> 'deleted_at' IS NULL)",
    )
    .bind(&asked)
    .fetch_all(session)
    .await
    .map(|ids| ids.into_iter().collect())
    .map_err(|e| work.trouble(&e))
}
