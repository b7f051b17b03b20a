//! Entities that v3 wrote, held against what PostgreSQL has of them.
//!
//! One rule: the newer `updated_at` wins; of equal ones v2's stays, and that makes a second run find nothing to do. Only
//! whether a trace is public or bookmarked, and its tags, go by the moment v3 wrote the row: its screens change them
//! and leave `updated_at` as it was.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _};

use super::source::{Slice, Written};
use super::target::Target;
use crate::clients::work::PostgresWork;
use crate::domain::Trouble;

/// What PostgreSQL says about a page of ids.
#[derive(Debug, Default)]
pub(super) struct Known {
    rows: HashMap<String, Entry>,
}

/// One row of PostgreSQL.
#[derive(Debug)]
struct Entry {
    project: String,
    updated_at: i64,
    flags: Option<Flags>,
}

/// What v3's screens decide about a trace.
#[derive(Debug)]
struct Flags {
    public: bool,
    bookmarked: bool,
    tags: Vec<String>,
}

/// What is to be done with one entity, before its row was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    Insert,
    /// `doubt`: v2 says it is public or bookmarked, and v3 does not.
    Update {
        doubt: bool,
    },
    /// v2's row is as new or newer; what v3's screens decided since is another.
    Flags,
    Known,
    OtherProject,
}

impl Judged {
    /// Whether v3's `false` may be nobody's decision.
    pub(super) const fn is_doubtful(self) -> bool {
        matches!(self, Self::Update { doubt: true } | Self::Flags)
    }
}

impl Known {
    /// Looks ids up by the primary key.
    pub(super) async fn read(
        work: &PostgresWork,
        session: &mut PgConnection,
        target: &Target,
        page: &[Written],
    ) -> Result<Self, Trouble> {
        let flags =
            if target.has_flags() { ", public, bookmarked, coalesce(tags, '{}') AS tags" } else { "" };
        let ids: Vec<&str> = page.iter().map(|w| w.id.as_str()).filter(|id| !id.contains('\0')).collect();
        let statement = format!(
            "SELECT id, project_id, round(extract(epoch FROM updated_at) * 1000)::bigint AS updated_at{flags} \
             FROM {} WHERE id = ANY($1)",
            target.table
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(&ids);
        let found = query.fetch_all(session).await.map_err(|e| work.trouble(&e))?;
        let mut rows = HashMap::with_capacity(found.len());
        for row in found {
            let read = || -> Result<_, sqlx::Error> {
                let flags = if target.has_flags() {
                    let tags = row.try_get("tags")?;
                    Some(Flags {
                        public: row.try_get("public")?,
                        bookmarked: row.try_get("bookmarked")?,
                        tags,
                    })
                } else {
                    None
                };
                let (project, updated_at) = (row.try_get("project_id")?, row.try_get("updated_at")?);
                Ok((row.try_get("id")?, Entry { project, updated_at, flags }))
            };
            let (id, entry) = read().map_err(|e| work.trouble(&e))?;
            rows.insert(id, entry);
        }
        Ok(Self { rows })
    }

    pub(super) fn judge(&self, slice: &Slice, written: &Written) -> Judged {
        match self.rows.get(&written.id) {
            None => Judged::Insert,
            Some(entry) if entry.project != slice.project => Judged::OtherProject,
            Some(entry) if entry.updated_at < written.updated => {
                Judged::Update { doubt: entry.flags.as_ref().is_some_and(|v2| v2.says_more(written)) }
            }
            Some(entry) if entry.updated_at < written.touched && entry.differs(written) => Judged::Flags,
            Some(_) => Judged::Known,
        }
    }
}

impl Flags {
    fn says_more(&self, v3: &Written) -> bool {
        (self.public && !v3.public) || (self.bookmarked && !v3.bookmarked)
    }
}

impl Entry {
    /// Tags are united: those that v2 has more are no difference.
    fn differs(&self, written: &Written) -> bool {
        let Some(v2) = &self.flags else { return false };
        (v2.public, v2.bookmarked) != (written.public, written.bookmarked)
            || !written.tags.iter().all(|tag| v2.tags.contains(tag))
    }
}
