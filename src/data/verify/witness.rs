//! What both servers say cheaply of the days that were found equal before.
//!
//! One rule: it is asked before anything is read, so that what changes meanwhile is read again next time.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use serde::Deserialize;

use super::chain::Chain;
use super::postgres::V2;
use super::range::Range;
use super::state::{Known, Witness, month_of};
use crate::clients::work::ClickhouseWork;
use crate::data::tables::Spec;
use crate::domain::Trouble;

/// v2 stamps `updated_at` with its own clock, which may be off by so many milliseconds.
const SKEW: i64 = 600_000;
/// The newest months change by themselves: merges, late rows.
const NEWEST: usize = 2;

#[derive(Row, Deserialize)]
struct Month {
    partition: String,
    fingerprint: u64,
}

#[derive(Row, Deserialize)]
struct DayDigest {
    day: i64,
    rows: u64,
    hash: u64,
}

/// Updates of the PostgreSQL table so far; nothing on a replica, whose counters do not see them.
///
/// # Errors
/// The server cannot be asked.
pub async fn updates(v2: &V2, table: &str, replica: bool) -> Result<Option<i64>, Trouble> {
    if replica {
        return Ok(None);
    }
    let mut session = v2.session().await?;
    let sql = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relid = $1::regclass";
    let found: Option<i64> = sqlx::query_scalar(sql)
        .bind(table)
        .fetch_optional(&mut session)
        .await
        .map_err(|e| v2.work.trouble(&e))?;
    Ok(found)
}

/// Asks both servers about `known` days, or for the first time what will be needed for the next run.
///
/// # Errors
/// A side cannot be asked.
pub async fn ask(
    v2: &V2,
    ch: &ClickhouseWork,
    spec: &'static Spec,
    chain: &Chain,
    known: Option<&Known>,
    updates: Option<i64>,
) -> Result<Witness, Trouble> {
    let months = fingerprints(ch, spec).await?;
    let mut digested: BTreeSet<u32> = months.keys().rev().take(NEWEST).copied().collect();
    if let Some(known) = known {
        let days: BTreeSet<u32> = known.days.keys().map(|day| month_of(*day)).collect();
        digested.extend(days.into_iter().filter(|m| known.months.get(m) != months.get(m)));
    }
    let counted = async {
        let Some(known) = known else { return Ok((BTreeMap::new(), BTreeSet::new())) };
        let whole = Range::default();
        let rows = v2.days(&whole, "").await?.into_iter().collect();
        let quiet = updates.is_some() && updates == known.updates;
        let touched = if quiet {
            BTreeSet::new()
        } else {
            let since = format!(
                "AND t.updated_at >= 'epoch'::timestamp + interval '{} milliseconds'",
                known.since - SKEW
            );
            v2.days(&whole, &since).await?.into_iter().map(|(day, _)| day).collect()
        };
        Ok((rows, touched))
    };
    let (digests, (rows, touched)) = futures::try_join!(digests(ch, spec, chain, &digested), counted)?;
    Ok(Witness { rows, touched, months, digests })
}

/// Names and rows of the parts of each month.
async fn fingerprints(ch: &ClickhouseWork, spec: &Spec) -> Result<BTreeMap<u32, u64>, Trouble> {
    let query = ch.query(
        "SELECT partition, groupBitXor(cityHash64(name, rows, toString(modification_time))) AS fingerprint \
         FROM system.parts WHERE database = currentDatabase() AND table = ? AND active GROUP BY partition",
    );
    let months: Vec<Month> = ch.ask.all(query.bind(spec.ch)).await?;
    Ok(months.into_iter().map(|m| (m.partition.parse().unwrap_or(0), m.fingerprint)).collect())
}

/// Rows and a digest of their versions and compared columns, merged, of each day of these months.
async fn digests(
    ch: &ClickhouseWork,
    spec: &Spec,
    chain: &Chain,
    months: &BTreeSet<u32>,
) -> Result<BTreeMap<i64, (u64, u64)>, Trouble> {
    if months.is_empty() {
        return Ok(BTreeMap::new());
    }
    let months: Vec<u32> = months.iter().copied().collect();
    let query = ch.query(&format!(
        "SELECT intDiv(toUnixTimestamp64Milli({time}), 86400000) AS day, count() AS rows, \
         sum(cityHash64(tuple(event_ts, {columns}))) AS hash FROM {table} FINAL \
         WHERE toYYYYMM({time}) IN ? GROUP BY day",
        time = spec.time,
        table = spec.ch,
        columns = chain.ch(),
    ));
    let query = query.with_setting("do_not_merge_across_partitions_select_final", "1").bind(months);
    let days = query.fetch_all::<DayDigest>().await.map_err(|e| ch.trouble(&e))?;
    Ok(days.into_iter().map(|d| (d.day, (d.rows, d.hash))).collect())
}
