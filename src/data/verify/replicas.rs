//! Which servers answer: a replica of PostgreSQL that lags, several replicas of ClickHouse behind one name.
//!
//! One rule: what could make equal rows look different is told beside the result, never left to be guessed.

use clickhouse::Row;
use serde::Deserialize;

use super::postgres::V2;
use crate::clients::work::ClickhouseWork;
use crate::data::tables::is_replicated;
use crate::domain::Trouble;

/// Seconds of lag that are told.
const LAG: i64 = 2;

#[derive(Row, Deserialize)]
struct This {
    host: String,
    uuid: String,
    engine: String,
}

#[derive(Row, Deserialize)]
struct Replica {
    host: String,
    delay: u64,
    queue: u64,
    read_only: u64,
}

/// Who answers on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// `hostName()` of ClickHouse.
    pub host: String,
    /// What names both tables: another server or a table made anew is another one.
    pub relation: String,
    /// Whether PostgreSQL is a replica.
    pub replica: bool,
    /// What the operator has to know.
    pub notes: Vec<String>,
}

/// `hostName()` of the ClickHouse server that answers now.
///
/// # Errors
/// It cannot be asked.
pub async fn host(ch: &ClickhouseWork) -> Result<String, Trouble> {
    ch.ask.one::<String>(ch.query("SELECT hostName()")).await
}

/// Not every service that calls itself PostgreSQL has this function.
async fn is_paused(v2: &V2) -> bool {
    let sql = "SELECT pg_is_in_recovery() AND pg_is_wal_replay_paused()";
    let asked = v2.ask(async |session| {
        sqlx::query_scalar(sql).fetch_one(session).await.map_err(|e| v2.work.trouble(&e))
    });
    asked.await.unwrap_or(false)
}

/// Asks both sides who they are.
///
/// # Errors
/// A side cannot be asked.
pub async fn look(v2: &V2, ch: &ClickhouseWork, pg_table: &str, ch_table: &str) -> Result<Servers, Trouble> {
    let sql = "SELECT pg_is_in_recovery(), coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0)::bigint, \
               current_database() || '/' || coalesce(pg_relation_filenode($1::regclass), 0) || '/' || $1::regclass::oid";
    let standing = v2.ask(async |session| {
        let query = sqlx::query_as::<_, (bool, i64, String)>(sql).bind(pg_table);
        query.fetch_one(session).await.map_err(|e| v2.work.trouble(&e))
    });
    let this = ch.query(
        "SELECT hostName() AS host, toString(uuid) AS uuid, engine FROM system.tables \
         WHERE database = currentDatabase() AND name = ?",
    );
    let state = ch.query(
        "SELECT hostName() AS host, toUInt64(max(absolute_delay)) AS delay, toUInt64(max(queue_size)) AS queue, \
         toUInt64(max(is_readonly)) AS read_only FROM system.replicas WHERE database = currentDatabase() AND table = ?",
    );
    let ask = async {
        let this = ch.ask.one::<This>(this.bind(ch_table)).await?;
        // Only replicated tables have rows in it, and a user may not be allowed to read it.
        let state = if is_replicated(&this.engine) {
            ch.ask.all::<Replica>(state.bind(ch_table)).await.unwrap_or_default()
        } else {
            vec![]
        };
        Ok((this, state))
    };
    let ((replica, lag, relation), (This { host, uuid, .. }, state)) = futures::try_join!(standing, ask)?;
    let mut notes = behind(&state);
    if replica && lag > LAG {
        notes.push(format!(
            "PostgreSQL is a replica, its last transaction is {lag} s old: rows that v2 wrote since are not compared"
        ));
    }
    if replica && is_paused(v2).await {
        notes.push(
            "PostgreSQL is a replica whose replay is paused: it is compared as it was then; `SELECT pg_wal_replay_resume()` \
             there lets it go on"
                .into(),
        );
    }
    Ok(Servers {
        host,
        relation: format!("{} {relation} {} {uuid}", v2.work.object, ch.object()),
        replica,
        notes,
    })
}

/// What is said of ClickHouse's replicas that have not caught up.
fn behind(replicas: &[Replica]) -> Vec<String> {
    let late = replicas.iter().filter(|r| r.delay > 0 || r.queue > 0 || r.read_only > 0);
    late.map(|replica| {
        format!(
            "ClickHouse {}: {} s behind, {} parts in its queue{}: rows may look missing until it has caught up",
            replica.host,
            replica.delay,
            replica.queue,
            if replica.read_only > 0 { ", read-only" } else { "" }
        )
    })
    .collect()
}
