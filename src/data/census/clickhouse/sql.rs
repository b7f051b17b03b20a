//! The statements of ClickHouse's side (langfuse.md 3.1, 3.3).
//!
//! One rule: a unit is a project's day of the business time, the prefix of the sorting key, so that what can
//! ever be merged stands in one unit and a unit is read without the rest of its partition. Each says which server
//! answered it.

use std::fmt::Write as _;

use crate::data::copied;
use crate::data::tables::Spec;

/// Table, its `uuid` and engine.
pub const TABLE: &str = "SELECT toString(uuid) AS relation, engine, hostName() AS host FROM system.tables \
     WHERE database = currentDatabase() AND name = ?";

/// Active parts of a table. Which table it is stands in their paths (`store/abc/<uuid>/`), so that one cheap
/// question is enough.
pub const PARTS: &str = "SELECT path, engine, partition_id AS partition, name, rows, min_block_number AS min, \
     max_block_number AS max, hash_of_all_files AS hash, hostName() AS host FROM system.parts \
     WHERE active AND database = currentDatabase() AND table = ?";

/// Which units a statement is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Where {
    /// Of this partition.
    pub partition: Option<String>,
    /// Just these projects; empty: all.
    pub projects: Vec<String>,
    /// Just these days of the business time; empty: all.
    pub days: Vec<u16>,
    /// One slice of the ids, of so many: what a statement holds in memory is bounded by it.
    pub slice: Option<(u64, u64)>,
    /// Just these ids, bound by the caller as the last one.
    pub ids: bool,
}

impl Where {
    /// The condition, `?` for each text.
    fn text(&self, spec: &Spec) -> String {
        let day = |n: &u16| format!("toDate({n})");
        let mut text = String::from("1");
        if self.partition.is_some() {
            text.push_str(" AND _partition_id = ?");
        }
        if !self.projects.is_empty() {
            text.push_str(" AND project_id IN ?");
        }
        if !self.days.is_empty() {
            let days: Vec<_> = self.days.iter().map(day).collect();
            let _ = write!(text, " AND toDate({}) IN ({})", spec.time, days.join(", "));
        }
        if let Some((slice, of)) = self.slice.filter(|(_, of)| *of > 1) {
            let _ = write!(text, " AND cityHash64(id) % {of} = {slice}");
        }
        if self.ids {
            text.push_str(" AND id IN ?");
        }
        text
    }

    /// Binds what `Self::text` left open.
    pub fn bind(&self, mut query: ::clickhouse::query::Query) -> ::clickhouse::query::Query {
        if let Some(partition) = &self.partition {
            query = query.bind(partition);
        }
        if !self.projects.is_empty() {
            query = query.bind(&self.projects);
        }
        query
    }
}

/// What makes two rows of one id and unit two sorting keys: columns, none for traces.
fn rest_of_key(spec: &Spec) -> String {
    let columns: Vec<_> = spec.sorted_by.iter().filter(|c| **c != "project_id").copied().collect();
    columns.join(", ")
}

/// Number of sorting keys.
fn keys(spec: &Spec) -> String {
    let columns = rest_of_key(spec);
    if columns.is_empty() { "toUInt64(1)".into() } else { format!("uniqExact({columns})") }
}

/// Day of `created_at` of a winning version.
const MADE: &str = "toInt32(floor(w.3 / 86400000))";

/// Entities of units with their winning versions: deleted, copied, created at, updated at, version.
/// Equal versions are the backfill's own repetitions, of which the newer `updated_at` came later.
fn winners(spec: &Spec, on: &Where) -> String {
    format!(
        "SELECT _partition_id AS q, project_id AS p, toUInt16(toDate({time})) AS u, id AS i, count() AS n, {keys} AS k, \
         argMax((is_deleted, {copied}, toUnixTimestamp64Milli(created_at), toUnixTimestamp64Milli(updated_at), \
                 toUnixTimestamp64Milli(event_ts)), (event_ts, updated_at)) AS w \
         FROM {table} WHERE {on} GROUP BY q, p, u, i",
        time = spec.time,
        copied = copied::sql(spec),
        keys = keys(spec),
        table = spec.ch,
        on = on.text(spec),
    )
}

/// Counts of units by day of `created_at`.
pub fn units(spec: &Spec, on: &Where) -> String {
    format!(
        "SELECT p AS project, u AS unit, {MADE} AS made, sum(n) AS raw, sum(k) AS keys, count() AS ids, \
         countIf(w.1 != 0) AS deleted, countIf(w.1 = 0 AND w.2) AS copied, countIf(w.1 = 0 AND NOT w.2) AS written, \
         toInt64(bitAnd(sumIf(toUInt64(w.4), w.1 = 0 AND w.2), toUInt64(4611686018427387903))) AS updated, \
         maxIf(w.3, w.1 = 0 AND w.2) AS newest, hostName() AS host \
         FROM ({}) GROUP BY p, u, made",
        winners(spec, on)
    )
}

/// All rows of the entities that some parts hold rows of; one more than are held where there are more. The partition is
/// bound, then the parts. What the rows come to is counted by us: the server would take longer to plan it than to read
/// them.
pub fn entities(spec: &Spec) -> String {
    let (time, table, copied, columns) = (spec.time, spec.ch, copied::sql(spec), rest_of_key(spec));
    let rest = if columns.is_empty() { "toUInt64(0)".to_owned() } else { format!("cityHash64({columns})") };
    format!(
        "SELECT project_id AS project, toUInt16(toDate({time})) AS unit, hex(id) AS entity, {rest} AS rest, _part AS part, \
         is_deleted AS deleted, {copied} AS copied, toUnixTimestamp64Milli(created_at) AS created, \
         toUnixTimestamp64Milli(updated_at) AS updated, toUnixTimestamp64Milli(event_ts) AS version, hostName() AS host FROM {table} \
         WHERE _partition_id = ? AND (project_id, toDate({time}), id) IN \
         (SELECT project_id, toDate({time}), id FROM {table} WHERE _part IN ?) LIMIT {}",
        super::delta::HELD + 1
    )
}

/// Units that some parts hold rows of.
pub fn touched(spec: &Spec) -> String {
    format!(
        "SELECT DISTINCT _part AS part, project_id AS project, toUInt16(toDate({})) AS unit, hostName() AS host FROM {} \
         WHERE _partition_id = ? AND _part IN ?",
        spec.time, spec.ch
    )
}

/// Entities of units whose winning version v3 wrote, deleted ones included.
pub fn written(spec: &Spec, on: &Where) -> String {
    format!(
        "SELECT p AS project, u AS unit, toValidUTF8(i) AS id, w.1 AS deleted, {MADE} AS made, hostName() AS host \
         FROM ({}) WHERE w.1 != 0 OR NOT w.2",
        winners(spec, on)
    )
}

/// Copied entities of one project with their `updated_at`, made between two moments (ms).
pub fn copied(spec: &Spec, on: &Where) -> String {
    format!(
        "SELECT toValidUTF8(i) AS id, w.4 AS updated, hostName() AS host FROM ({}) WHERE w.1 = 0 AND w.2 AND w.3 >= ? AND w.3 < ?",
        winners(spec, on)
    )
}

/// Copied entities made between two moments (ms), and the sum of their `updated_at` modulo 2^62.
pub fn copied_sum(spec: &Spec, on: &Where) -> String {
    format!(
        "SELECT count() AS rows, toInt64(bitAnd(sum(toUInt64(w.4)), toUInt64(4611686018427387903))) AS updated, \
         hostName() AS host FROM ({}) WHERE w.1 = 0 AND w.2 AND w.3 >= ? AND w.3 < ?",
        winners(spec, on)
    )
}

/// Ids that stand in more than one day: those of one slice of all ids.
pub fn strays(spec: &Spec) -> String {
    format!(
        "SELECT DISTINCT toValidUTF8(i) AS id, hostName() AS host FROM (SELECT project_id AS p, id AS i FROM {table} WHERE cityHash64(id) % ? = ? \
         GROUP BY p, i HAVING min(toDate({time})) != max(toDate({time})))",
        table = spec.ch,
        time = spec.time
    )
}

/// Where some ids stand.
pub fn stands(spec: &Spec) -> String {
    let all = winners(spec, &Where { ids: true, ..Where::default() });
    format!(
        "SELECT p AS project, toValidUTF8(i) AS id, u AS unit, w.1 AS deleted, toUInt8(w.2) AS copied, {MADE} AS made, w.4 AS updated, \
         w.5 AS version, hostName() AS host FROM ({all}) ORDER BY p, i"
    )
}
