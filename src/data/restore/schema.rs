//! What PostgreSQL has of v2: tables, columns, enums, views, as they are now.
//!
//! One rule: everything is read from the live database's catalogue; a version number proves nothing.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row as _};

use crate::clients::work::PostgresWork;
use crate::domain::Trouble;

/// Tables and views that v2 reads or writes around traces.
const RELATIONS: [&str; 8] = [
    "traces",
    "observations",
    "scores",
    "trace_sessions",
    "projects",
    "dataset_items",
    "traces_view",
    "observations_view",
];

/// A column of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgColumn {
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Its type's name, as the catalogue has it.
    pub kind: String,
}

/// The part of the catalogue that the way back rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// Columns by relation; relations that are not there are not here.
    pub relations: BTreeMap<String, BTreeMap<String, PgColumn>>,
    /// Labels by enum.
    pub enums: BTreeMap<String, Vec<String>>,
    /// Columns of the primary key of `dataset_items`, sorted.
    pub dataset_items_key: Vec<String>,
}

impl Schema {
    /// Reads it.
    ///
    /// # Errors
    /// The catalogue cannot be read.
    pub async fn read(work: &PostgresWork, session: &mut PgConnection) -> Result<Self, Trouble> {
        Self::of(session).await.map_err(|e| work.trouble(&e))
    }

    /// The same on any session that may read.
    ///
    /// # Errors
    /// The catalogue cannot be read.
    pub async fn of(session: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let mut schema = Self::default();
        let columns = sqlx::query(
            "SELECT r.name AS relation, a.attname::text AS name, NOT a.attnotnull AS nullable, t.typname::text AS kind \
             FROM unnest($1::text[]) AS r(name) \
             JOIN pg_attribute a ON a.attrelid = to_regclass(quote_ident(r.name)) \
             JOIN pg_type t ON t.oid = a.atttypid WHERE a.attnum > 0 AND NOT a.attisdropped",
        );
        for row in columns.bind(&RELATIONS[..]).fetch_all(&mut *session).await? {
            let column = PgColumn { nullable: row.try_get("nullable")?, kind: row.try_get("kind")? };
            let relation = schema.relations.entry(row.try_get("relation")?).or_default();
            relation.insert(row.try_get("name")?, column);
        }
        let enums = sqlx::query(
            "SELECT t.typname::text AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels \
             FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid GROUP BY t.typname",
        );
        for row in enums.fetch_all(&mut *session).await? {
            schema.enums.insert(row.try_get("name")?, row.try_get("labels")?);
        }
        schema.dataset_items_key = sqlx::query_scalar(
            "SELECT a.attname::text FROM pg_index i \
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) \
             WHERE i.indrelid = to_regclass('dataset_items') AND i.indisprimary ORDER BY 1",
        )
        .fetch_all(&mut *session)
        .await?;
        Ok(schema)
    }

    /// A column, where table and column are there.
    pub fn column(&self, relation: &str, name: &str) -> Option<&PgColumn> {
        self.relations.get(relation)?.get(name)
    }

    /// Whether a table or view is there.
    pub fn has(&self, relation: &str) -> bool {
        self.relations.contains_key(relation)
    }
}
