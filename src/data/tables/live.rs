//! The tables of the ClickHouse server in front of us, held against the description.
//!
//! One rule: differences between Langfuse's versions are read from the live schema, never guessed from a version.

use ::clickhouse::Row;
use serde::Deserialize;

use super::{Column, Spec};
use crate::clients::clickhouse::Clickhouse;
use crate::data::cell::ChType;
use crate::domain::{Kind, Trouble};

/// The columns of one table as the server has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Name and type, in the table's order.
    pub columns: Vec<(String, ChType)>,
}

/// Whether a table of this engine is kept on several servers: by itself, or by ClickHouse Cloud's shared storage.
pub fn is_replicated(engine: &str) -> bool {
    engine.starts_with("Replicated") || engine.starts_with("Shared")
}

/// A column of the description that this server has.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// The description.
    pub column: &'static Column,
    /// Its type here.
    pub kind: ChType,
}

/// What the description and the live table have in common, and what they do not.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The table.
    pub spec: &'static Spec,
    /// Columns on both sides, in the order of the description.
    pub columns: Vec<Mapped>,
    /// Columns of the description that this server lacks: an older v3. Those whose type is not known here are not among
    /// them: see [`Mapping::unread`].
    pub absent: Vec<&'static str>,
    /// Columns of the server that the description does not know, or whose type it cannot write: a copy leaves them to
    /// their defaults, a row of v3 that is written again keeps what it has in them, and reports name them.
    pub unknown: Vec<String>,
}

#[derive(Row, Deserialize)]
struct Described {
    name: String,
    kind: String,
}

impl Live {
    /// Whether the server has the table at all.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn is_there(ch: &Clickhouse, spec: &Spec) -> Result<bool, Trouble> {
        let query =
            ch.query("SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = ?");
        Ok(ch.one::<u64>(query.bind(spec.ch)).await? > 0)
    }

    /// Reads a table's columns.
    ///
    /// # Errors
    /// The server cannot be asked, or has no such table.
    pub async fn read(ch: &Clickhouse, spec: &Spec) -> Result<Self, Trouble> {
        let query = ch.query(
            "SELECT name, type AS kind FROM system.columns \
             WHERE database = currentDatabase() AND table = ? AND default_kind NOT IN ('ALIAS', 'MATERIALIZED', 'EPHEMERAL') ORDER BY position",
        );
        let rows: Vec<Described> = ch.all(query.bind(spec.ch)).await?;
        if rows.is_empty() {
            return Err(Trouble::new(Kind::Missing, &ch.object, format!("there is no table {}", spec.ch))
                .remedy("has v3's web container run its ClickHouse migrations?"));
        }
        let columns = rows.into_iter().map(|row| (row.name, ChType::parse(&row.kind))).collect();
        Ok(Self { columns })
    }

    /// Holds it against the description.
    pub fn map(&self, spec: &'static Spec) -> Mapping {
        let (mut columns, mut absent) = (vec![], vec![]);
        for column in spec.columns {
            match self.columns.iter().find(|(name, _)| name == column.ch) {
                Some((_, kind)) if kind.is_known() => columns.push(Mapped { column, kind: kind.clone() }),
                Some(_) => {}
                None => absent.push(column.ch),
            }
        }
        let unknown =
            self.columns.iter().filter(|(name, kind)| spec.column(name).is_none() || !kind.is_known());
        let unknown = unknown.map(|(name, _)| name.clone()).collect();
        Mapping { spec, columns, absent, unknown }
    }
}

impl Mapping {
    /// The columns that a forward copy writes, as a list for `INSERT INTO t (..)` and `SELECT ..`.
    pub fn ch_list(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|m| format!("`{}`", m.column.ch)).collect();
        names.join(", ")
    }

    /// The columns that the description does not know, as such a list.
    pub fn unknown_list(&self) -> String {
        let quoted = |name: &String| format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"));
        self.unknown.iter().map(quoted).collect::<Vec<_>>().join(", ")
    }

    /// Columns of the description that this server has with a type that is not known here: nothing is read from them.
    pub fn unread(&self) -> impl Iterator<Item = &'static Column> {
        self.unknown.iter().filter_map(|name| self.spec.column(name))
    }

    /// The expressions that a forward copy reads, in the order of the columns and their parts.
    pub fn pg_list(&self) -> String {
        let parts: Vec<_> = self.columns.iter().flat_map(|m| m.column.pg.iter().copied()).collect();
        parts.join(", ")
    }
}
