//! Stretches of a time column, newest first, found by walking its index: no row is read, no tie group is cut.
//!
//! One rule: a range holds every row of the moments it spans, however many those are; it is streamed, never held.

use sqlx::PgConnection;

use crate::clients::work::PostgresWork;
use crate::data::tables::Spec;
use crate::domain::Trouble;
use crate::domain::backfill::Table;

/// The column that a copy is ordered by.
pub const CREATED: &str = "created_at";

/// A stretch of a time column, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The column.
    pub column: &'static str,
    /// Its place, newest first, from 0.
    pub number: u64,
    /// The first moment in it; `None` is the beginning of time.
    pub from: Option<i64>,
    /// The first moment after it.
    pub below: i64,
    /// The oldest moment that a row of it was created at; `None` when there is no row.
    pub reaches: Option<i64>,
}

impl Range {
    /// Its condition on the column of `t`.
    pub fn condition(&self) -> String {
        let below = format!("t.\"{}\" < {}", self.column, at(self.below));
        match self.from {
            Some(from) => format!("t.\"{}\" >= {} AND {below}", self.column, at(from)),
            None => below,
        }
    }
}

/// A moment as SQL; `timestamp` without zone means UTC in Langfuse's tables.
pub fn at(millis: i64) -> String {
    format!("(timestamp 'epoch' + {millis} * interval '1 millisecond')")
}

/// Finds the next range: about `rows` rows below `below`.
///
/// # Errors
/// The index cannot be read.
pub async fn next(
    work: &PostgresWork,
    session: &mut PgConnection,
    spec: &Spec,
    column: &'static str,
    number: u64,
    below: i64,
    rows: u64,
) -> Result<Range, Trouble> {
    let index = |tail: &str| {
        format!(
            "SELECT (extract(epoch FROM \"{column}\") * 1000)::int8 FROM {} \
             WHERE \"{column}\" < {} AND \"{column}\" > '-infinity' ORDER BY \"{column}\" {tail} LIMIT 1",
            spec.pg(),
            at(below)
        )
    };
    let from = one(work, session, index(&format!("DESC OFFSET {}", rows.max(1) - 1))).await?;
    let reaches = match from {
        Some(from) => Some(from),
        None => one(work, session, index("ASC")).await?,
    };
    Ok(Range { column, number, from, below, reaches })
}

async fn one(work: &PostgresWork, session: &mut PgConnection, sql: String) -> Result<Option<i64>, Trouble> {
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_optional(session).await.map_err(|e| work.trouble(&e))
}

/// Rows that a copy reads up to and including `until`, or all of them: counted from the index alone, but for run items,
/// some of which have lost what they are joined to.
///
/// # Errors
/// The index cannot be read.
pub async fn count(
    work: &PostgresWork,
    session: &mut PgConnection,
    spec: &Spec,
    until: Option<i64>,
) -> Result<u64, Trouble> {
    let until = until.map_or_else(String::new, |until| format!(" WHERE t.created_at <= {}", at(until)));
    let sql = match spec.table {
        Table::DatasetRunItems => format!("SELECT count(*) FROM {}{until}", spec.from),
        _ => format!("SELECT count(*) FROM {} t{until}", spec.pg()),
    };
    let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_one(session)
        .await
        .map_err(|e| work.trouble(&e))?;
    Ok(rows.unsigned_abs())
}
