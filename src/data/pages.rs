//! Ids in pages whose rows fit memory, whatever is in them: one input may be ten megabytes, and both sides of a page are
//! held at once.
//!
//! One rule: a page is bounded by the bytes of its rows as they are read, never by their number alone; a row that is
//! larger than a page is a page of its own.

use std::collections::HashMap;
use std::ops::Range;

use ::clickhouse::Row as ChRow;
use serde::Deserialize;
use sqlx::{AssertSqlSafe, PgConnection};

use super::rows::{Key, OF_KEYS, projects};
use super::tables::{Mapping, Rule};
use crate::clients::work::{ClickhouseWork, PostgresWork};
use crate::domain::Trouble;

/// Bytes of one page on either side, about. Beside each other are the bytes of both servers, the cells made of them, and
/// the JSON that is compared.
const BYTES: u64 = 4 << 20;
/// Ids of one question: with them a statement of ClickHouse stays far below the 256 KiB that it reads of one.
const ASKED: usize = 1000;
/// Stored bytes up to which a value cannot be large: PostgreSQL moves what does not fit a quarter of a page out of the
/// row, and its compression makes at most about ninety of one.
const STORED: u32 = 2000;

#[derive(ChRow, Deserialize)]
struct Sized {
    id: String,
    bytes: u64,
}

/// Consecutive pages of `ids`: at most `most` in each, and fewer where their rows are large.
///
/// # Errors
/// A side cannot be asked.
pub async fn pages(
    pg: &PostgresWork,
    session: &mut PgConnection,
    ch: &ClickhouseWork,
    mapping: &Mapping,
    ids: &[&str],
    most: usize,
) -> Result<Vec<Range<usize>>, Trouble> {
    asked(pg, session, ch, mapping, (ids, None), most).await
}

/// The same of keys: ClickHouse is asked for their projects only.
///
/// # Errors
/// A side cannot be asked.
pub async fn pages_of(
    pg: &PostgresWork,
    session: &mut PgConnection,
    ch: &ClickhouseWork,
    mapping: &Mapping,
    keys: &[Key],
    most: usize,
) -> Result<Vec<Range<usize>>, Trouble> {
    let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
    asked(pg, session, ch, mapping, (&ids, Some(keys)), most).await
}

async fn asked(
    pg: &PostgresWork,
    session: &mut PgConnection,
    ch: &ClickhouseWork,
    mapping: &Mapping,
    (ids, keys): (&[&str], Option<&[Key]>),
    most: usize,
) -> Result<Vec<Range<usize>>, Trouble> {
    // What is not known may be large as well.
    let heavy = !mapping.unknown.is_empty()
        || mapping.columns.iter().any(|m| matches!(m.column.rule, Rule::Json | Rule::Metadata));
    let mut sizes: HashMap<String, u64> = HashMap::new();
    if heavy {
        for (turn, asked) in ids.chunks(ASKED).enumerate() {
            let keys = keys.and_then(|keys| keys.chunks(ASKED).nth(turn));
            for (id, bytes) in of_v2(pg, session, mapping, asked).await? {
                sizes.insert(id, bytes);
            }
            for Sized { id, bytes } in of_v3(ch, mapping, asked, keys).await? {
                let size = sizes.entry(id).or_default();
                *size = bytes.max(*size);
            }
        }
    }
    Ok(split(ids.iter().map(|id| sizes.get(*id).copied().unwrap_or(0)), most))
}

/// Pages of rows of these sizes.
fn split(sizes: impl Iterator<Item = u64>, most: usize) -> Vec<Range<usize>> {
    let mut pages: Vec<Range<usize>> = vec![];
    let mut bytes = 0;
    for (at, size) in sizes.enumerate() {
        match pages.last_mut() {
            Some(page) if page.len() < most && bytes + size <= BYTES => page.end = at + 1,
            _ => {
                pages.push(at..at + 1);
                bytes = 0;
            }
        }
        bytes += size;
    }
    pages
}

/// Bytes of the JSON of each row as it is read. Only what is stored out of the row is taken apart for it.
async fn of_v2(
    pg: &PostgresWork,
    session: &mut PgConnection,
    mapping: &Mapping,
    ids: &[&str],
) -> Result<Vec<(String, u64)>, Trouble> {
    let json = mapping.columns.iter().filter(|m| matches!(m.column.rule, Rule::Json | Rule::Metadata));
    let sizes = json.flat_map(|m| m.column.pg).map(|pg| {
        format!(
            "CASE WHEN pg_column_size({pg}) > {STORED} THEN octet_length({pg}::text) ELSE coalesce(pg_column_size({pg}), 0) END"
        )
    });
    let sum = sizes.collect::<Vec<_>>().join(" + ");
    if sum.is_empty() {
        return Ok(vec![]);
    }
    let sql = format!("SELECT t.id, ({sum})::int8 FROM {} WHERE t.id = ANY($1)", mapping.spec.from);
    let sizes = sqlx::query_as::<_, (String, i64)>(AssertSqlSafe(sql)).bind(ids);
    let sizes = sizes.fetch_all(session).await.map_err(|e| pg.trouble(&e))?;
    Ok(sizes.into_iter().map(|(id, bytes)| (id, bytes.unsigned_abs())).collect())
}

/// What the JSON of a row takes in ClickHouse, as an expression; nothing for a table without.
pub(super) fn json_bytes(mapping: &Mapping) -> Option<String> {
    let sizes = mapping.columns.iter().filter_map(|m| match m.column.rule {
        Rule::Json => Some(format!("ifNull(length(`{}`), 0)", m.column.ch)),
        Rule::Metadata => {
            Some(format!("arraySum(arrayMap(value -> length(value), mapValues(`{}`)))", m.column.ch))
        }
        _ => None,
    });
    let sum = sizes.collect::<Vec<_>>().join(" + ");
    (!sum.is_empty()).then_some(sum)
}

/// The same of ClickHouse, of all versions of a row.
async fn of_v3(
    ch: &ClickhouseWork,
    mapping: &Mapping,
    ids: &[&str],
    keys: Option<&[Key]>,
) -> Result<Vec<Sized>, Trouble> {
    let unknown = (!mapping.unknown.is_empty()).then(|| format!("byteSize({})", mapping.unknown_list()));
    let sum = json_bytes(mapping).into_iter().chain(unknown).collect::<Vec<_>>().join(" + ");
    let sql = |among: &str| {
        format!(
            "SELECT id, toUInt64(sum({sum})) AS bytes FROM {} PREWHERE {among} GROUP BY id",
            mapping.spec.ch
        )
    };
    let query = match keys {
        Some(keys) => ch.query(&sql(OF_KEYS)).bind(projects(keys)).bind(ids),
        None => ch.query(&sql("id IN ?")).bind(ids),
    };
    query.fetch_all::<Sized>().await.map_err(|e| ch.trouble(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_the_bytes() {
        let mib = 1 << 20;
        let of = |sizes: &[u64], most| split(sizes.iter().copied(), most);
        assert!(of(&[], 3).is_empty());
        assert_eq!(of(&[1, 1, 1, 1], 3), [0..3, 3..4]);
        assert_eq!(of(&[3 * mib, mib, 1, 9 * mib, 1], 3), [0..2, 2..3, 3..4, 4..5]);
        assert_eq!(of(&[9 * mib, 9 * mib], 200), [0..1, 1..2]);
    }
}
