//! What v3's users have deleted while PostgreSQL still has it.
//!
//! One rule: a row that was last written before Langfuse noted its deletion is not missing, and not copied again; what v2
//! wrote later is. Versions of v3 with `pending_deletions` delete in ClickHouse without a mark and leave v2's rows, so
//! that the note of a trace is all there is to tell a deleted row from a missing one; versions without it delete in
//! PostgreSQL as well. A score that is deleted by itself is noted in `audit_logs` alone (`auditLog` in Langfuse's
//! `scores.ts` and `[scoreId].ts`), by newer versions only with an enterprise licence (`isAuditLogEnabled`).

use std::collections::{BTreeSet, HashMap};

use sqlx::PgConnection;

use crate::clients::work::PostgresWork;
use crate::data::catch_up::merge::millis;
use crate::data::cell::Cell;
use crate::data::rows::{Key, Row};
use crate::data::tables::Mapping;
use crate::domain::backfill::Table;
use crate::domain::{Kind, Trouble};

/// Where Langfuse notes what it deletes, and what is read of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Traces, with what belongs to them.
    Traces,
    /// Scores that are deleted by themselves.
    Scores,
}

impl Place {
    const fn table(self) -> &'static str {
        match self {
            Self::Traces => "pending_deletions",
            Self::Scores => "audit_logs",
        }
    }

    /// The columns that are read; no others have to be granted.
    const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Traces => &["project_id", "object", "object_id", "created_at", "updated_at"],
            Self::Scores => &["project_id", "resource_type", "resource_id", "action", "created_at"],
        }
    }

    const fn of(table: Table) -> &'static [Self] {
        match table {
            Table::Scores => &[Self::Traces, Self::Scores],
            Table::Traces | Table::Observations | Table::DatasetRunItems => &[Self::Traces],
        }
    }
}

/// The notes of a table: which there are, and which this user may not read.
#[derive(Debug, Clone, Default)]
pub struct Noting {
    shown: Vec<Place>,
    hidden: Vec<Place>,
    /// Whether it may be read which projects are gone.
    projects: bool,
}

impl Noting {
    /// Asks for the tables and the right to read what is read of them.
    ///
    /// # Errors
    /// PostgreSQL cannot be asked.
    pub async fn ask(pg: &PostgresWork, session: &mut PgConnection, table: Table) -> Result<Self, Trouble> {
        let mut noting = Self::default();
        for place in Place::of(table) {
            let sql = "SELECT bool_and(has_column_privilege(attrelid, attnum, 'SELECT')) FROM pg_attribute \
                       WHERE attrelid = to_regclass($1) AND attname = ANY($2) HAVING count(*) = cardinality($2)";
            let asked = sqlx::query_scalar(sql).bind(place.table()).bind(place.columns());
            let may: Option<bool> = asked.fetch_optional(&mut *session).await.map_err(|e| pg.trouble(&e))?;
            match may {
                None => {}
                Some(true) => noting.shown.push(*place),
                Some(false) => noting.hidden.push(*place),
            }
        }
        let sql = "SELECT coalesce(bool_and(has_column_privilege(attrelid, attnum, 'SELECT') \
                   AND NOT row_security_active(attrelid)), false) FROM pg_attribute \
                   WHERE attrelid = to_regclass('projects') AND attname IN ('id', 'deleted_at') AND NOT attisdropped";
        noting.projects =
            sqlx::query_scalar(sql).fetch_one(&mut *session).await.map_err(|e| pg.trouble(&e))?;
        Ok(noting)
    }

    /// The same for one who does not ask for projects: v2 does not know what a deleted one is.
    #[must_use]
    pub const fn of_rows(mut self) -> Self {
        self.projects = false;
        self
    }

    /// Those of these projects that are gone (see [`gone`]); none where that may not be read.
    ///
    /// # Errors
    /// PostgreSQL cannot be asked.
    pub async fn gone(
        &self,
        pg: &PostgresWork,
        session: &mut PgConnection,
        projects: impl IntoIterator<Item = &str>,
    ) -> Result<BTreeSet<String>, Trouble> {
        if self.projects { gone(pg, session, projects).await } else { Ok(BTreeSet::new()) }
    }

    /// Whether there are any to be read.
    pub const fn is_shown(&self) -> bool {
        !self.shown.is_empty()
    }

    /// Whether there are any that may not be read.
    pub const fn is_hidden(&self) -> bool {
        !self.hidden.is_empty()
    }

    /// What cannot be told for want of a right, with the right that is wanted.
    pub fn untold(&self) -> impl Iterator<Item = String> {
        let notes = self.hidden.iter().map(|place| {
            let (table, grant) = (place.table(), place.grant());
            format!("PostgreSQL's {table} cannot be read: what users of v3 deleted looks missing; {grant}")
        });
        let projects = (!self.projects).then(|| {
            "PostgreSQL's projects cannot be read: rows of deleted projects look missing; GRANT SELECT (id, deleted_at) ON \
             projects TO this user"
                .to_owned()
        });
        notes.chain(projects)
    }

    /// The notes, for one who may not go on without them.
    ///
    /// # Errors
    /// There are some that cannot be read.
    pub fn must(self, pg: &PostgresWork) -> Result<Self, Trouble> {
        let Some(place) = self.hidden.first() else { return Ok(self) };
        let text =
            format!("{} cannot be read: what users of v3 deleted would be copied again", place.table());
        Err(Trouble::new(Kind::Forbidden, &pg.object, text).remedy(place.grant()))
    }
}

impl Place {
    fn grant(self) -> String {
        format!("GRANT SELECT ({}) ON {} TO this user", self.columns().join(", "), self.table())
    }
}

/// Rows that were deleted, and until when what belonged to them went with them, in epoch milliseconds.
#[derive(Debug, Default)]
pub struct Notes {
    traces: HashMap<Key, i64>,
    own: HashMap<Key, i64>,
}

impl Notes {
    /// Reads those of the rows; only where there are any.
    ///
    /// # Errors
    /// PostgreSQL cannot be asked.
    pub async fn read(
        pg: &PostgresWork,
        session: &mut PgConnection,
        noting: &Noting,
        mapping: &Mapping,
        rows: &[&Row],
    ) -> Result<Self, Trouble> {
        let mut notes = Self::default();
        for place in &noting.shown {
            let query = match place {
                Place::Traces => {
                    let traces: Vec<String> =
                        rows.iter().filter_map(|row| trace(mapping, row)).map(|key| key.id).collect();
                    (!traces.is_empty()).then(|| sqlx::query_as(OF_TRACES).bind(traces))
                }
                Place::Scores => {
                    let ids: Vec<&str> = rows.iter().map(|row| row.key.id.as_str()).collect();
                    let projects: Vec<&str> = rows.iter().map(|row| row.key.project.as_str()).collect();
                    let since = rows.iter().map(|row| touched(mapping, row)).min();
                    since.map(|since| sqlx::query_as(OF_SCORES).bind(ids).bind(projects).bind(since as f64))
                }
            };
            let Some(query) = query else { continue };
            let noted: Vec<(String, String, i64)> =
                query.fetch_all(&mut *session).await.map_err(|e| pg.trouble(&e))?;
            let noted = noted.into_iter().map(|(project, id, until)| (Key { project, id }, until));
            match place {
                Place::Traces => notes.traces.extend(noted),
                Place::Scores => notes.own.extend(noted),
            }
        }
        Ok(notes)
    }

    /// Whether a row of v2 was deleted, or went with its trace.
    pub fn took(&self, mapping: &Mapping, row: &Row) -> bool {
        let with_trace = trace(mapping, row).and_then(|trace| self.traces.get(&trace));
        let until = with_trace.max(self.own.get(&row.key));
        until.is_some_and(|until| touched(mapping, row) <= *until)
    }
}

/// The worker deletes some time after the user asked for it, and then writes the note again.
const OF_TRACES: &str = "SELECT project_id, object_id, (extract(epoch FROM max(greatest(created_at, updated_at))) * 1000)::bigint \
     FROM pending_deletions WHERE object = 'trace' AND object_id = ANY($1) GROUP BY 1, 2";

/// Notes that are older than every row tell of none, and are passed over by the index of `created_at`.
const OF_SCORES: &str = "SELECT project_id, resource_id, (extract(epoch FROM max(created_at)) * 1000)::bigint FROM audit_logs \
     WHERE resource_type = 'score' AND action = 'delete' AND resource_id = ANY($1) AND project_id = ANY($2) \
     AND created_at >= to_timestamp($3 / 1000) AT TIME ZONE 'UTC' GROUP BY 1, 2";

/// When v2 last wrote a row, epoch milliseconds.
fn touched(mapping: &Mapping, row: &Row) -> i64 {
    millis(mapping, row, "created_at").max(millis(mapping, row, "updated_at"))
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

/// Which of these projects are gone, or being deleted (`deleted_at` since v3.0.0).
///
/// # Errors
/// PostgreSQL cannot be asked.
pub async fn gone(
    work: &PostgresWork,
    session: &mut PgConnection,
    projects: impl IntoIterator<Item = &str>,
) -> Result<BTreeSet<String>, Trouble> {
    let asked: BTreeSet<&str> = projects.into_iter().collect();
    let asked: Vec<&str> = asked.into_iter().collect();
    let trouble = |e| work.trouble(&e);
    // By name: a right to read these columns is enough.
    let marks = "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('projects') \
                 AND attname = 'deleted_at' AND NOT attisdropped)";
    let marks: bool = sqlx::query_scalar(marks).fetch_one(&mut *session).await.map_err(trouble)?;
    let query = if marks {
        "SELECT a.id FROM unnest($1::text[]) AS a(id) WHERE NOT EXISTS \
         (SELECT FROM projects p WHERE p.id = a.id AND p.deleted_at IS NULL)"
    } else {
        "SELECT a.id FROM unnest($1::text[]) AS a(id) WHERE NOT EXISTS (SELECT FROM projects p WHERE p.id = a.id)"
    };
    let ids =
        sqlx::query_scalar::<_, String>(query).bind(&asked).fetch_all(session).await.map_err(trouble)?;
    Ok(ids.into_iter().collect())
}
