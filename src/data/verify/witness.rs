//! What both servers say cheaply of the days that were found equal before.
//!
//! One rule: it is asked before anything is read, so that what changes meanwhile is read again next time.
//!
//! | side | proof | otherwise |
//! |---|---|---|
//! | PostgreSQL | no row was updated or deleted (`n_tup_upd`, `n_tup_del`), and as many came (`n_tup_ins`) as were created since | everything is read again |
//! | ClickHouse | every part was seen before, or is made of parts that were | the days that new parts hold rows of; the month, where old ones were changed |
//!
//! An interrupted run goes on behind its own back, as a run that takes as long does: for it, counts per day and
//! `updated_at` are enough, and its result is as old as its first beginning. What it remembers is held against the
//! statistics of that beginning the next time. What another run found out needs the proof.
//!
//! PostgreSQL 15 and newer write their statistics down to a minute late: they are believed only where rows that
//! were touched within that time are looked at twice anyway (`--grace`), never on a replica, which has none, and
//! never across a restart. An update counts whatever it changed: `updated_at` is the writer's word, not a proof.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use sqlx::AssertSqlSafe;

use super::doubt::Witness;
use super::pace::Patience;
use super::postgres::V2;
use super::range::Range;
use super::replicas::Same;
use super::state::{Known, V2Mark, V3Mark};
use crate::clients::work::ClickhouseWork;
use crate::data::census::book::{Moved, Part};
use crate::data::census::clickhouse::parts::{Change, compare};
use crate::data::census::clickhouse::{Server, Side};
use crate::data::tables::Spec;
use crate::domain::Trouble;
use crate::domain::backfill::Table;

/// v2 stamps its times with its own clock, which may be off by so many milliseconds.
const SKEW: i64 = 600_000;
/// Statistics are at most this late (PostgreSQL's `PGSTAT_MAX_INTERVAL`).
const LATE: Duration = Duration::from_secs(60);
/// Longest wait for the list of parts.
const LIMIT: Duration = Duration::from_secs(30);

/// Seconds by which the same start may seem to differ.
const RESTART: i64 = 5;

#[derive(Row, Deserialize)]
struct Standing {
    /// Where its definition speaks of a TTL, 0 for nowhere.
    ttl: u64,
    /// When the server began, in seconds.
    started: i64,
}

#[derive(Row, Deserialize)]
struct Held {
    part: String,
    day: i64,
}

/// What is asked, and of whom.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// v2's side.
    pub v2: &'a V2,
    /// v3's side.
    pub ch: &'a ClickhouseWork,
    /// The server of v3's that is to answer, and where another one is noted.
    pub servers: (&'a str, &'a Same),
    /// The table.
    pub spec: &'static Spec,
    /// Whether PostgreSQL is a replica.
    pub replica: bool,
    /// When the run began, in milliseconds.
    pub begun: i64,
    /// Rows touched within this time are looked at twice.
    pub grace: Duration,
    /// The rows that are to be compared.
    pub range: &'a Range,
}

/// What to remember for the next run, and what the servers say of the last one.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// PostgreSQL's mark.
    pub v2: V2Mark,
    /// ClickHouse's mark; nothing where its parts may not be seen, so that nothing can be remembered.
    pub v3: Option<V3Mark>,
    /// PostgreSQL proves nothing: all that is known is void.
    pub unproven: bool,
    /// PostgreSQL proves nothing, and the run that was broken off at this moment's beginning goes on all the same.
    pub since: Option<i64>,
    /// What is to be held against the days that are known.
    pub now: Witness,
}

/// What PostgreSQL says of the days that are known.
#[derive(Debug, Default)]
struct V2Says {
    rows: Option<BTreeMap<i64, u64>>,
    touched: BTreeSet<i64>,
    unproven: bool,
    since: Option<i64>,
}

impl Question<'_> {
    /// Asks both servers at once.
    ///
    /// # Errors
    /// A side cannot be asked.
    pub async fn ask(&self, known: Option<&Known>) -> Result<Answer, Trouble> {
        let ((v2, says), (v3, grown, rewritten)) =
            futures::try_join!(self.postgres(known), Patience::of(async || self.clickhouse(known).await))?;
        let V2Says { rows, touched, unproven, since } = says;
        Ok(Answer { v2, v3, unproven, since, now: Witness { rows, touched, grown, rewritten } })
    }

    async fn postgres(&self, known: Option<&Known>) -> Result<(V2Mark, V2Says), Trouble> {
        let whole = Range::default();
        let (moved, life) = if self.believes() { self.movements().await? } else { (None, String::new()) };
        // Without movements there is nothing that they could be held against.
        let recent = match moved {
            Some(_) => self.v2.days(&whole, &since("created_at", self.begun)).await?,
            None => vec![],
        };
        let mark = V2Mark { at: self.begun, moved, life, recent: recent.into_iter().collect() };
        let Some(known) = known else { return Ok((mark, V2Says::default())) };
        if let Some(came) = self.proven(known, &mark).await? {
            return Ok((mark, V2Says { touched: came, ..V2Says::default() }));
        }
        if !known.goes_on(self.range) {
            return Ok((mark, V2Says { unproven: true, ..V2Says::default() }));
        }
        let rows = self.v2.days(&whole, "").await?.into_iter().collect();
        let touched = self.v2.days(&whole, &since("updated_at", known.v2.at)).await?;
        let touched = touched.into_iter().map(|(day, _)| day).collect();
        let since = Some(known.v2.at);
        Ok((known.v2.clone(), V2Says { rows: Some(rows), touched, unproven: false, since }))
    }

    /// Whether statistics may prove anything: what the worker copies of run items depends on other tables, too.
    fn believes(&self) -> bool {
        self.grace >= LATE && self.spec.table != Table::DatasetRunItems
    }

    /// The days of rows that came since, where the statistics prove that nothing else happened.
    async fn proven(&self, known: &Known, now: &V2Mark) -> Result<Option<BTreeSet<i64>>, Trouble> {
        let Some((then, moved)) = known.v2.moved.zip(now.moved) else { return Ok(None) };
        if known.v2.life != now.life || then.updated != moved.updated || then.deleted != moved.deleted {
            return Ok(None);
        }
        let came = self.v2.days(&Range::default(), &since("created_at", known.v2.at)).await?;
        let (recent, came): (_, BTreeMap<_, _>) = (&known.v2.recent, came.into_iter().collect());
        let sum = |rows: &BTreeMap<i64, u64>| rows.values().sum::<u64>().cast_signed();
        if moved.inserted - then.inserted != sum(&came) - sum(recent) {
            return Ok(None);
        }
        let days = came.keys().chain(recent.keys());
        Ok(Some(days.filter(|day| came.get(day) != recent.get(day)).copied().collect()))
    }

    /// Rows that came, changed and went so far, and in which life of the server that is counted; nothing where it
    /// is not counted, or not soon enough: on a replica, before PostgreSQL 15, with `track_counts` off.
    async fn movements(&self) -> Result<(Option<Moved>, String), Trouble> {
        if self.replica {
            return Ok((None, String::new()));
        }
        let sql = "SELECT s.n_tup_ins, s.n_tup_upd, s.n_tup_del, pg_postmaster_start_time()::text || ' ' || \
                   coalesce((SELECT stats_reset::text FROM pg_stat_database WHERE datname = current_database()), '') \
                   FROM pg_stat_user_tables s WHERE s.relid = $1::regclass \
                   AND current_setting('server_version_num')::int >= 150000 AND current_setting('track_counts') = 'on'";
        let v2 = self.v2;
        let found: Option<(i64, i64, i64, String)> = v2
            .ask(async |session| {
                let query = sqlx::query_as(AssertSqlSafe(sql)).bind(self.spec.pg());
                query.fetch_optional(session).await.map_err(|e| v2.work.trouble(&e))
            })
            .await?;
        let moved = |(inserted, updated, deleted, life)| (Some(Moved { inserted, updated, deleted }), life);
        Ok(found.map(moved).unwrap_or_default())
    }

    async fn clickhouse(
        &self,
        known: Option<&Known>,
    ) -> Result<(Option<V3Mark>, BTreeSet<i64>, BTreeSet<u32>), Trouble> {
        let server = Server { ch: &self.ch.ask, limit: LIMIT };
        let (mut grown, mut rewritten) = (BTreeSet::new(), BTreeSet::new());
        let mut side = Side::default();
        let found = server.parts(self.spec, &mut side).await?;
        let (first, same) = self.servers;
        same.note(side.host.is_some_and(|host| host != *first));
        let Some((table, Some(parts))) = found else { return Ok((None, grown, rewritten)) };
        let standing = self.standing().await?;
        if standing.ttl > 0 {
            tracing::info!(target: "verify", "{} has a TTL, whose merges take rows away: days are not remembered", self.spec.ch);
            return Ok((None, grown, rewritten));
        }
        let Some(months) = parts.keys().map(|id| month(id)).collect::<Option<Vec<_>>>() else {
            tracing::info!(target: "verify", "{} is not partitioned by month: days are not remembered", self.spec.ch);
            return Ok((None, grown, rewritten));
        };
        let known = known.map(|known| &known.v3);
        if let Some(known) = known {
            // Block numbers of a table that is not replicated may begin anew with the server.
            let restarted = (known.started - standing.started).abs() > RESTART;
            let by_block = table.is_replicated() || restarted;
            rewritten
                .extend(known.parts.keys().filter(|id| !parts.contains_key(*id)).filter_map(|id| month(id)));
            for ((id, active), month) in parts.iter().zip(months) {
                let then: &[Part] = known.parts.get(id).map_or(&[], Vec::as_slice);
                match compare(then, active, known.newest, by_block) {
                    Change::None => {}
                    Change::Rewritten => _ = rewritten.insert(month),
                    Change::Grown(names, _) => match self.held(id, &names).await? {
                        Some(days) => grown.extend(days),
                        None => _ = rewritten.insert(month),
                    },
                }
            }
        }
        let newest = parts.values().flatten().map(|a| a.part.max).max().unwrap_or(-1);
        let parts =
            parts.into_iter().map(|(id, all)| (id, all.into_iter().map(|a| a.part).collect())).collect();
        Ok((Some(V3Mark { parts, newest, started: standing.started }), grown, rewritten))
    }

    async fn standing(&self) -> Result<Standing, Trouble> {
        let query = self.ch.query(
            "SELECT toUInt64(position(engine_full, ' TTL ')) AS ttl, toInt64(now()) - toInt64(uptime()) AS started \
             FROM system.tables WHERE database = currentDatabase() AND name = ?",
        );
        self.ch.ask.one(query.bind(self.spec.ch)).await
    }

    /// The days that these parts hold rows of; nothing when one of them was merged away meanwhile.
    async fn held(&self, partition: &str, names: &[String]) -> Result<Option<Vec<i64>>, Trouble> {
        let query = self.ch.query(&format!(
            "SELECT _part AS part, toInt64(floor(toUnixTimestamp64Milli({}) / 86400000)) AS day FROM {} \
             WHERE _partition_id = ? AND _part IN ? GROUP BY part, day",
            self.spec.time, self.spec.ch
        ));
        let held = query.bind(partition).bind(names).fetch_all::<Held>().await;
        let held = held.map_err(|e| self.ch.trouble(&e))?;
        let seen: BTreeSet<&str> = held.iter().map(|h| h.part.as_str()).collect();
        Ok((seen.len() == names.len()).then(|| held.iter().map(|h| h.day).collect()))
    }
}

/// A condition on a time of v2's own clock.
fn since(column: &str, at: i64) -> String {
    format!("AND t.{column} >= 'epoch'::timestamp + interval '{} milliseconds'", at - SKEW)
}

/// `YYYYMM` of a partition; nothing for other partitions.
fn month(partition: &str) -> Option<u32> {
    let month = partition.parse::<u32>().ok()?;
    (month <= 999_912 && (1..=12).contains(&(month % 100))).then_some(month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_months() {
        assert_eq!((month("202601"), month("197001")), (Some(202_601), Some(197_001)));
        assert_eq!((month("all"), month("20260101"), month("202613")), (None, None, None));
        assert!(since("created_at", SKEW + 5).ends_with("interval '5 milliseconds'"));
    }
}
