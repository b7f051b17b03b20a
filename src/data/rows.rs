//! Rows of both sides by their ids, as the same cells: what a comparison, a merge and a way back look at.
//!
//! One rule: of ClickHouse the winning version is read as Langfuse reads it (`ORDER BY event_ts DESC LIMIT 1 BY
//! project_id, id`), deleted ones included, and of equal ones, which are copies, the newer; a PostgreSQL row is what a
//! copy made now would write.

use std::collections::BTreeSet;

use ::clickhouse::query::Query;
use sqlx::{PgConnection, Row as _, ValueRef as _};

use super::cell::Cell;
use super::cell::rowbinary::{self, RowError};
use super::convert::{Field, Refusal, convert};
use super::tables::{Mapped, Mapping};
use crate::clients::work::{ClickhouseWork, PostgresWork};
use crate::domain::{Kind, Trouble};

/// Most ids of one question: longer lists are asked in parts.
pub const PAGE: usize = 1000;

/// An entity's name: ids are unique within a project only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `project_id`.
    pub project: String,
    /// `id`.
    pub id: String,
}

impl Key {
    /// The key of a PostgreSQL row: every description starts with id and `project_id`.
    pub fn of(fields: &[Field<'_>]) -> Self {
        let text = |at: usize| {
            let bytes = fields.get(at).and_then(|f| f.0).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        Self { id: text(0), project: text(1) }
    }
}

/// The projects of keys, each once. It is the first column that ClickHouse sorts by: a question that names ids alone costs
/// the whole table.
pub fn projects<'k>(keys: impl IntoIterator<Item = &'k Key>) -> Vec<&'k str> {
    let each: BTreeSet<&str> = keys.into_iter().map(|key| key.project.as_str()).collect();
    each.into_iter().collect()
}

/// One row: a cell for each column of the mapping, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Whose row.
    pub key: Key,
    /// Its cells.
    pub cells: Vec<Cell>,
}

impl Row {
    /// The cell of a ClickHouse column; NULL where this server does not have the column.
    pub fn get(&self, mapping: &Mapping, ch: &str) -> &Cell {
        let at = mapping.columns.iter().position(|m| m.column.ch == ch);
        at.and_then(|at| self.cells.get(at)).unwrap_or(&Cell::Null)
    }
}

/// A row that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Whose row.
    pub key: Key,
    /// Why.
    pub why: Refusal,
}

/// The PostgreSQL rows of these ids, converted; ids that are not there are left out.
///
/// # Errors
/// The statement fails. A row that cannot be converted is not an error of the whole.
pub async fn from_postgres(
    work: &PostgresWork,
    session: &mut PgConnection,
    mapping: &Mapping,
    ids: &[&str],
) -> Result<Vec<Result<Row, Rejected>>, Trouble> {
    let statement = format!("SELECT {} FROM {} WHERE t.id = ANY($1)", mapping.pg_list(), mapping.spec.from);
    let mut rows = Vec::with_capacity(ids.len());
    for page in ids.chunks(PAGE) {
        let query = sqlx::query(sqlx::AssertSqlSafe(statement.clone())).bind(page);
        let answer = query.fetch_all(&mut *session).await.map_err(|e| work.trouble(&e))?;
        for row in &answer {
            let fields: Vec<Field<'_>> = (0..row.len())
                .map(|at| {
                    row.try_get_raw(at)
                        .map(|raw| Field((!raw.is_null()).then(|| raw.as_bytes().ok()).flatten()))
                })
                .collect::<Result<_, _>>()
                .map_err(|e| work.trouble(&e))?;
            rows.push(row_of(&mapping.columns, &fields));
        }
    }
    Ok(rows)
}

/// One PostgreSQL row, its fields in the order of [`Mapping::pg_list`].
///
/// # Errors
/// The first column whose rule cannot convert its value.
pub fn row_of(columns: &[Mapped], fields: &[Field<'_>]) -> Result<Row, Rejected> {
    let key = Key::of(fields);
    let (mut at, mut cells) = (0, Vec::with_capacity(columns.len()));
    for mapped in columns {
        let end = (at + mapped.column.pg.len()).min(fields.len());
        match convert(mapped.column, &fields[at..end], mapped.kind.is_nullable()) {
            Ok(cell) => cells.push(cell),
            Err(why) => return Err(Rejected { key, why }),
        }
        at = end;
    }
    Ok(Row { key, cells })
}

/// A winning row, and with it what this program does not know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Winner {
    /// What it knows.
    pub row: Row,
    /// The values of [`Mapping::unknown`], as `RowBinary` of whatever types they have.
    pub rest: Vec<u8>,
}

/// What [`from_clickhouse`] gives of these, with the columns that the description does not know: a row that is written again takes
/// them along.
///
/// # Errors
/// The statement fails, or answers with other types than the table was described with.
pub async fn winners(
    work: &ClickhouseWork,
    mapping: &Mapping,
    keys: &[&Key],
) -> Result<Vec<Winner>, Trouble> {
    let rest = if mapping.unknown.is_empty() {
        "''".to_owned()
    } else {
        format!("formatRow('RowBinary', {})", mapping.unknown_list())
    };
    let statement = winning(mapping, &format!("{}, {rest}", mapping.ch_list()), OF_KEYS);
    let winner = |from: &mut &[u8]| {
        let row = row(from, &mapping.columns)?;
        Ok(Winner { row, rest: rowbinary::take_bytes(from)?.to_vec() })
    };
    read(work, mapping, of_keys(work, &statement, keys), winner).await
}

/// The winning ClickHouse rows of these ids; ids that are not there are left out, deleted ones are not.
///
/// # Errors
/// The statement fails, or answers with other types than the table was described with.
pub async fn from_clickhouse(
    work: &ClickhouseWork,
    mapping: &Mapping,
    ids: &[&str],
) -> Result<Vec<Row>, Trouble> {
    let statement = winning(mapping, &mapping.ch_list(), "id IN ?");
    let queries = ids.chunks(PAGE).map(|page| work.query(&statement).bind(page));
    read(work, mapping, queries.collect(), |from| row(from, &mapping.columns)).await
}

/// The condition of `of_keys`.
pub const OF_KEYS: &str = "project_id IN ? AND id IN ?";

/// A statement with [`OF_KEYS`] for each page of keys. It finds another project's row of the same id as well.
fn of_keys(work: &ClickhouseWork, statement: &str, keys: &[&Key]) -> Vec<Query> {
    let query = |page: &[&Key]| {
        let ids: Vec<&str> = page.iter().map(|key| key.id.as_str()).collect();
        work.query(statement).bind(projects(page.iter().copied())).bind(ids)
    };
    keys.chunks(PAGE).map(query).collect()
}

fn winning(mapping: &Mapping, list: &str, among: &str) -> String {
    format!(
        "SELECT {list} FROM {} WHERE {among} ORDER BY event_ts DESC, updated_at DESC LIMIT 1 BY project_id, id",
        mapping.spec.ch
    )
}

/// The live rows of these, one for each sorting key that an id lives under.
///
/// # Errors
/// The statement fails, or answers with other types than the table was described with.
pub async fn every_place(
    work: &ClickhouseWork,
    mapping: &Mapping,
    keys: &[&Key],
) -> Result<Vec<Row>, Trouble> {
    let statement = format!("SELECT {} FROM {} FINAL WHERE {OF_KEYS}", mapping.ch_list(), mapping.spec.ch);
    read(work, mapping, of_keys(work, &statement, keys), |from| row(from, &mapping.columns)).await
}

/// All rows of these questions, one after the other.
async fn read<T>(
    work: &ClickhouseWork,
    mapping: &Mapping,
    queries: Vec<Query>,
    one: impl Fn(&mut &[u8]) -> Result<T, RowError>,
) -> Result<Vec<T>, Trouble> {
    let mut rows = vec![];
    for query in queries {
        let mut cursor = work.stream(query)?;
        let mut rest: Vec<u8> = Vec::new();
        while let Some(chunk) = cursor.next().await.map_err(|e| work.trouble(&e))? {
            rest.extend_from_slice(&chunk);
            let used = off_the_front(&rest, &mut rows, &one).map_err(|e| unexpected(work, mapping, &e))?;
            rest.drain(..used);
        }
        if !rest.is_empty() {
            return Err(unexpected(work, mapping, &RowError::Short));
        }
    }
    Ok(rows)
}

/// Reads whole rows off the front; gives the bytes that were used.
///
/// # Errors
/// Bytes that are not of these types. A row that is not whole yet is no error.
pub fn decode(bytes: &[u8], columns: &[Mapped], rows: &mut Vec<Row>) -> Result<usize, RowError> {
    off_the_front(bytes, rows, |from| row(from, columns))
}

fn off_the_front<T>(
    bytes: &[u8],
    rows: &mut Vec<T>,
    one: impl Fn(&mut &[u8]) -> Result<T, RowError>,
) -> Result<usize, RowError> {
    let mut used = 0;
    while used < bytes.len() {
        let mut from = &bytes[used..];
        match one(&mut from) {
            Ok(row) => rows.push(row),
            Err(RowError::Short) => break,
            Err(error) => return Err(error),
        }
        used = bytes.len() - from.len();
    }
    Ok(used)
}

fn row(from: &mut &[u8], columns: &[Mapped]) -> Result<Row, RowError> {
    let cells: Vec<Cell> =
        columns.iter().map(|m| rowbinary::read(from, &m.kind)).collect::<Result<_, _>>()?;
    Ok(Row { key: key_of(&cells), cells })
}

/// Appends a row as `RowBinary`.
///
/// # Errors
/// The column whose cell does not fit, as a refusal of this row.
pub fn encode(row: &Row, columns: &[Mapped], out: &mut Vec<u8>) -> Result<(), Rejected> {
    let begun = out.len();
    for (cell, mapped) in row.cells.iter().zip(columns) {
        if let Err(error) = rowbinary::write(out, cell, &mapped.kind) {
            out.truncate(begun);
            let why = Refusal { column: mapped.column.ch, reason: error.to_string() };
            return Err(Rejected { key: row.key.clone(), why });
        }
    }
    Ok(())
}

fn key_of(cells: &[Cell]) -> Key {
    let text = |at: usize| cells.get(at).and_then(Cell::text).unwrap_or_default().to_owned();
    Key { id: text(0), project: text(1) }
}

fn unexpected(work: &ClickhouseWork, mapping: &Mapping, error: &RowError) -> Trouble {
    Trouble::new(Kind::Unexpected, work.object(), format!("table {}: {error}", mapping.spec.ch))
        .remedy("did a migration of v3 change the table meanwhile? start again")
}
