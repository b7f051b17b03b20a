//! What a census must say, computed row by row from both databases with nothing of the census's own.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use cutover::clients::work::ClickhouseWork;
use cutover::data::census::report::TableReport;
use cutover::data::tables::spec;
use cutover::domain::backfill::Table;
use serde::Deserialize;
use sqlx::{PgConnection, Row as _};

/// One row of ClickHouse, whatever its version.
#[derive(Debug, Row, Deserialize)]
struct Raw {
    project: String,
    id: String,
    key: String,
    created: i64,
    updated: i64,
    version: i64,
    time: i64,
    deleted: u8,
}

/// The numbers of a [`TableReport`] that can be counted row by row.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub postgres: u64,
    pub clickhouse: u64,
    pub copied: u64,
    pub shared: u64,
    pub v3_only: u64,
    pub missing: u64,
    pub after_t0: u64,
    pub changed: u64,
    pub gone: u64,
    pub deleted_in_v3: u64,
    pub tombstones: u64,
    pub by_key: u64,
    pub by_id: u64,
    pub raw: u64,
}

impl From<&TableReport> for Numbers {
    fn from(r: &TableReport) -> Self {
        Self {
            postgres: r.postgres.value,
            clickhouse: r.clickhouse.value,
            copied: r.copied.value,
            shared: r.shared.value,
            v3_only: r.v3_only.value,
            missing: r.missing.value,
            after_t0: r.after_t0.value,
            changed: r.changed.value,
            gone: r.gone.value,
            deleted_in_v3: r.deleted_in_v3.value,
            tombstones: r.tombstones,
            by_key: r.duplicates_by_key,
            by_id: r.duplicates_by_id.value,
            raw: r.raw,
        }
    }
}

/// Every row of both sides.
pub async fn numbers(pg: &mut PgConnection, ch: &ClickhouseWork, table: Table) -> Numbers {
    let spec = spec(table);
    let from = if table == Table::DatasetRunItems { spec.from } else { &format!("{} t", spec.pg()) };
    let query = format!(
        "SELECT t.project_id, t.id, (extract(epoch FROM t.created_at) * 1000)::bigint, \
         (extract(epoch FROM t.updated_at) * 1000)::bigint FROM {from}"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(pg).await.unwrap();
    let stored: BTreeMap<(String, String), (i64, i64)> =
        rows.iter().map(|r| ((r.get(0), r.get(1)), (r.get(2), r.get(3)))).collect();
    let key: Vec<_> = spec.sorted_by.iter().map(|c| format!("toString({c})")).collect();
    let query = format!(
        "SELECT project_id AS project, id, concat({}, '|', toString(toDate({time}))) AS key, \
         toUnixTimestamp64Milli(created_at) AS created, toUnixTimestamp64Milli(updated_at) AS updated, \
         toUnixTimestamp64Milli(event_ts) AS version, toUnixTimestamp64Milli({time}) AS time, \
         is_deleted AS deleted FROM {table}",
        key.join(", '|', "),
        time = spec.time,
        table = spec.ch
    );
    let raw: Vec<Raw> = ch.ask.all(ch.query(&query)).await.unwrap();
    count(&stored, &raw)
}

fn count(stored: &BTreeMap<(String, String), (i64, i64)>, raw: &[Raw]) -> Numbers {
    let mut keys = BTreeSet::new();
    let mut winners: BTreeMap<(String, String), &Raw> = BTreeMap::new();
    for row in raw {
        keys.insert((&row.key, &row.project, &row.id));
        let winner = winners.entry((row.project.clone(), row.id.clone())).or_insert(row);
        if (row.version, row.updated) > (winner.version, winner.updated) {
            *winner = row;
        }
    }
    let mut n = Numbers {
        postgres: stored.len() as u64,
        raw: raw.len() as u64,
        by_key: (raw.len() - keys.len()) as u64,
        by_id: (keys.len() - winners.len()) as u64,
        ..Numbers::default()
    };
    let copied = |r: &Raw| r.deleted == 0 && r.version == r.time;
    let t0 = winners.values().filter(|r| copied(r)).map(|r| r.created).max();
    for (id, winner) in &winners {
        let there = stored.get(id);
        n.clickhouse += u64::from(winner.deleted == 0);
        n.tombstones += u64::from(winner.deleted != 0);
        match (winner.deleted != 0, copied(winner), there) {
            (true, _, Some(_)) => n.deleted_in_v3 += 1,
            (true, _, None) => {}
            (_, true, Some((_, updated))) => {
                n.copied += 1;
                n.changed += u64::from(winner.updated < *updated);
            }
            (_, true, None) => (n.copied, n.gone) = (n.copied + 1, n.gone + 1),
            (_, false, Some(_)) => n.shared += 1,
            (_, false, None) => n.v3_only += 1,
        }
    }
    for (id, (created, _)) in stored {
        if !winners.contains_key(id) {
            n.missing += 1;
            n.after_t0 += u64::from(t0.is_some_and(|t0| *created > t0));
        }
    }
    n
}
