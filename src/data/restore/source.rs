//! What v3 wrote, listed by project and day, as ClickHouse sorts it.
//!
//! One rule: the days and the project of a page are those of the sorting key, so a page costs its days and not the
//! table; memory holds one page. Days with few rows are asked for together.

use std::collections::HashMap;

use ::clickhouse::Row;
use serde::Deserialize;

use crate::clients::work::ClickhouseWork;
use crate::data::copied;
use crate::data::pages;
use crate::data::rows;
use crate::data::tables::{Mapping, Spec};
use crate::domain::backfill::Table;
use crate::domain::{Kind, Trouble};

/// Ids of one page: with them a statement stays far below the 256 KiB that ClickHouse reads of one.
pub(super) const PAGE: usize = 2000;
/// Bytes of ids in one statement.
const NAMED: usize = 100_000;
/// Bytes of JSON that are fetched at once, about; a single row may be larger.
const FETCHED: u64 = 16 << 20;

/// A project's day with rows that v3 wrote (see [`copied`]: not those that were copied).
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
struct Day {
    project: String,
    /// "2026-11-22", by the server's own zone: only ever compared with itself.
    date: String,
    rows: u64,
    broken: Vec<String>,
}

/// Days of a project, one after the other; one day, where it has many rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) project: String,
    first: String,
    last: String,
    /// Raw rows: at least as many as entities.
    pub(super) rows: u64,
    /// Ids that are not UTF-8, in hexadecimal; a thousand of a day at most.
    pub(super) broken: Vec<String>,
}

/// Puts days together that fit one page.
fn gather(days: Vec<Day>) -> Vec<Slice> {
    let mut slices: Vec<Slice> = vec![];
    for Day { project, date, rows, broken } in days {
        match slices.last_mut() {
            Some(last) if last.project == project && last.rows + rows <= PAGE as u64 => {
                last.last = date;
                last.rows += rows;
                last.broken.extend(broken);
            }
            _ => slices.push(Slice { project, first: date.clone(), last: date, rows, broken }),
        }
    }
    slices
}

/// An entity that v3 wrote.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub(super) struct Written {
    pub(super) id: String,
    /// Milliseconds since 1970, of its newest row.
    pub(super) updated: i64,
    /// When v3 wrote that, in milliseconds.
    pub(super) touched: i64,
    pub(super) public: bool,
    pub(super) bookmarked: bool,
    pub(super) tags: Vec<String>,
}

/// Traces of our own probes are nobody's data ([`crate::domain::latency::CANARY`]).
pub(super) const OURS: &str = "NOT startsWith(id, 'cutover-canary-')";

/// The days of a table that are asked for together, all projects or one.
pub(super) async fn slices(
    ch: &ClickhouseWork,
    spec: &Spec,
    project: Option<&str>,
) -> Result<Vec<Slice>, Trouble> {
    let statement = format!(
        "SELECT project_id AS project, toString(toDate({time})) AS date, count() AS rows, \
         arrayMap(id -> hex(id), groupUniqArrayIf(1000)(id, NOT isValidUTF8(id))) AS broken FROM {table} \
         WHERE NOT {copied} AND {OURS} AND (? = '' OR project_id = ?) \
         GROUP BY project_id, toDate({time}) ORDER BY project_id, toDate({time})",
        copied = copied::sql(spec),
        time = spec.time,
        table = spec.ch,
    );
    let project = project.unwrap_or_default();
    all(ch, ch.query(&statement).bind(project).bind(project)).await.map(gather)
}

/// The next ids of a slice, after one.
pub(super) async fn page(
    ch: &ClickhouseWork,
    spec: &Spec,
    slice: &Slice,
    after: &str,
) -> Result<Vec<Written>, Trouble> {
    // Only traces have what v3's screens decide.
    let flags = match spec.table {
        Table::Traces => [
            "argMax(public, event_ts)",
            "argMax(bookmarked, event_ts)",
            "arrayFilter(tag -> isValidUTF8(tag), argMax(tags, event_ts))",
        ],
        _ => ["false", "false", "[]::Array(String)"],
    };
    let [public, bookmarked, tags] = flags;
    let statement = format!(
        "SELECT id, toUnixTimestamp64Milli(argMax(updated_at, event_ts)) AS updated, \
         toUnixTimestamp64Milli(max(event_ts)) AS touched, {public} AS public, {bookmarked} AS bookmarked, \
         {tags} AS tags FROM {table} \
         WHERE project_id = ? AND toDate({time}) BETWEEN toDate(?) AND toDate(?) AND NOT {copied} AND {OURS} \
         AND isValidUTF8(id) AND id > ? \
         GROUP BY id ORDER BY id LIMIT {PAGE}",
        copied = copied::sql(spec),
        time = spec.time,
        table = spec.ch,
    );
    let query = ch.query(&statement).bind(&slice.project).bind(&slice.first).bind(&slice.last);
    all(ch, query.bind(after)).await
}

/// Ids in groups that fit one statement and one fetch, in their order.
pub(super) async fn groups<'a, T>(
    ch: &ClickhouseWork,
    mapping: &Mapping,
    slice: &Slice,
    wanted: &'a [(&'a str, T)],
) -> Result<Vec<&'a [(&'a str, T)]>, Trouble> {
    let sizes = sizes(ch, mapping, slice, wanted).await?;
    let (mut groups, mut begun, mut bytes, mut named) = (vec![], 0, 0, 0);
    for (at, (id, _)) in wanted.iter().enumerate() {
        let size = sizes.get(*id).copied().unwrap_or_default();
        if at > begun && (bytes + size > FETCHED || named + id.len() > NAMED) {
            groups.push(&wanted[begun..at]);
            (begun, bytes, named) = (at, 0, 0);
        }
        bytes += size;
        named += id.len() + 4;
    }
    groups.extend(wanted.get(begun..).filter(|rest| !rest.is_empty()));
    Ok(groups)
}

#[derive(Row, Deserialize)]
struct Sized {
    id: String,
    bytes: u64,
}

/// How large the JSON of each id is; scores have none that goes back.
async fn sizes<T>(
    ch: &ClickhouseWork,
    mapping: &Mapping,
    slice: &Slice,
    wanted: &[(&str, T)],
) -> Result<HashMap<String, u64>, Trouble> {
    let Some(size) = pages::json_bytes(mapping) else { return Ok(HashMap::new()) };
    let spec = mapping.spec;
    let statement = format!(
        "SELECT id, toUInt64(max({size})) AS bytes FROM {table} \
         WHERE project_id = ? AND toDate({time}) BETWEEN toDate(?) AND toDate(?) AND id IN ? GROUP BY id",
        time = spec.time,
        table = spec.ch,
    );
    let mut sizes = HashMap::with_capacity(wanted.len());
    for part in wanted.chunks(rows::PAGE) {
        let ids: Vec<&str> = part.iter().map(|(id, _)| *id).collect();
        let query = ch.query(&statement).bind(&slice.project).bind(&slice.first).bind(&slice.last).bind(ids);
        sizes.extend(all::<Sized>(ch, query).await?.into_iter().map(|s| (s.id, s.bytes)));
    }
    Ok(sizes)
}

/// The winning rows of a project's ids, on whatever day they are, by id; deleted ones as well.
pub(super) async fn winners(
    ch: &ClickhouseWork,
    mapping: &Mapping,
    project: &str,
    ids: &[&str],
) -> Result<Vec<rows::Row>, Trouble> {
    let statement = format!(
        "SELECT {} FROM {} WHERE project_id = ? AND id IN ? ORDER BY event_ts DESC LIMIT 1 BY id",
        mapping.ch_list(),
        mapping.spec.ch
    );
    let unexpected = |detail: String| Trouble::new(Kind::Unexpected, ch.object(), detail);
    let mut cursor = ch.stream(ch.query(&statement).bind(project).bind(ids))?;
    let (mut rest, mut found) = (Vec::new(), Vec::with_capacity(ids.len()));
    while let Some(chunk) = cursor.next().await.map_err(|e| ch.trouble(&e))? {
        rest.extend_from_slice(&chunk);
        let used = rows::decode(&rest, &mapping.columns, &mut found);
        let used = used.map_err(|e| unexpected(format!("table {}: {e}", mapping.spec.ch)))?;
        rest.drain(..used);
    }
    if !rest.is_empty() {
        return Err(unexpected(format!("table {}: the answer was cut", mapping.spec.ch)));
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

/// All rows, within the purpose's own limit: a table of years is not asked in six seconds.
async fn all<T: ::clickhouse::RowOwned + ::clickhouse::RowRead>(
    ch: &ClickhouseWork,
    query: ::clickhouse::query::Query,
) -> Result<Vec<T>, Trouble> {
    query.fetch_all::<T>().await.map_err(|e| ch.trouble(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_with_few_rows_are_asked_for_together() {
        let day = |project: &str, day: &str, rows| Day {
            project: project.into(),
            date: day.into(),
            rows,
            broken: vec![day.into()],
        };
        let most = PAGE as u64;
        let slices = gather(vec![
            day("a", "01", 1),
            day("a", "03", most - 1),
            day("a", "04", 1),
            day("b", "04", 1),
            day("b", "05", most * 5),
            day("b", "06", 1),
        ]);
        let told: Vec<_> =
            slices.iter().map(|s| (&*s.project, &*s.first, &*s.last, s.rows, s.broken.len())).collect();
        assert_eq!(
            told,
            [
                ("a", "01", "03", most, 2),
                ("a", "04", "04", 1, 1),
                ("b", "04", "04", 1, 1),
                ("b", "05", "05", most * 5, 1),
                ("b", "06", "06", 1, 1)
            ]
        );
    }
}
