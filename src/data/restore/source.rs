//! What v3 wrote, listed by project and day, as ClickHouse sorts it.
//!
//! One rule: the day and the project of a page are those of the sorting key, so a page costs one day and not the
//! table; memory holds one page.

use ::clickhouse::Row;
use serde::Deserialize;

use crate::clients::work::ClickhouseWork;
use crate::data::tables::Spec;
use crate::domain::Trouble;

/// Ids of one page.
pub(super) const PAGE: usize = 5000;

/// A project's day with rows that v3 wrote. A copied row carries its own time as `event_ts` (langfuse.md 1.6).
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub(super) struct Slice {
    pub(super) project: String,
    /// "2026-11-22", by the server's own zone: only ever compared with itself.
    pub(super) day: String,
    /// Raw rows: at least as many as entities.
    pub(super) rows: u64,
}

/// An entity that v3 wrote.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub(super) struct Written {
    pub(super) id: String,
    /// Milliseconds since 1970, of its newest row.
    pub(super) updated_at: i64,
}

/// Traces of our own probes have this at the beginning of their id: they are nobody's data.
const OURS: &str = "NOT startsWith(id, 'cutover-canary-')";

/// The days of a table, all projects or one.
pub(super) async fn slices(
    ch: &ClickhouseWork,
    spec: &Spec,
    project: Option<&str>,
) -> Result<Vec<Slice>, Trouble> {
    let statement = format!(
        "SELECT project_id AS project, toString(toDate({time})) AS day, count() AS rows FROM {table} \
         WHERE event_ts != {time} AND {OURS} AND (? = '' OR project_id = ?) \
         GROUP BY project_id, toDate({time}) ORDER BY project_id, toDate({time})",
        time = spec.time,
        table = spec.ch,
    );
    let project = project.unwrap_or_default();
    all(ch, ch.query(&statement).bind(project).bind(project)).await
}

/// The next ids of a day, after one.
pub(super) async fn page(
    ch: &ClickhouseWork,
    spec: &Spec,
    slice: &Slice,
    after: &str,
) -> Result<Vec<Written>, Trouble> {
    let statement = format!(
        "SELECT id, toUnixTimestamp64Milli(argMax(updated_at, event_ts)) AS updated_at FROM {table} \
         WHERE project_id = ? AND toDate({time}) = toDate(?) AND event_ts != {time} AND {OURS} AND id > ? \
         GROUP BY id ORDER BY id LIMIT {PAGE}",
        time = spec.time,
        table = spec.ch,
    );
    all(ch, ch.query(&statement).bind(&slice.project).bind(&slice.day).bind(after)).await
}

/// All rows, within the purpose's own limit: a table of years is not asked in six seconds.
async fn all<T: ::clickhouse::RowOwned + ::clickhouse::RowRead>(
    ch: &ClickhouseWork,
    query: ::clickhouse::query::Query,
) -> Result<Vec<T>, Trouble> {
    query.fetch_all::<T>().await.map_err(|e| ch.trouble(&e))
}
