//! Which servers answer: a replica of PostgreSQL that lags, several replicas of ClickHouse behind one name.
//!
//! One rule: what could make equal rows look different is told beside the result, never left to be guessed; and a
//! result speaks of the moment up to which the servers that answered had come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clickhouse::Row;
use serde::Deserialize;
use sqlx::AssertSqlSafe;

use super::pace::Patience;
use super::postgres::V2;
use super::state::pair;
use crate::clients::work::ClickhouseWork;
use crate::data::census::postgres::sql::relation;
use crate::data::tables::is_replicated;
use crate::domain::{Kind, Trouble};

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
    /// The server's clock, in milliseconds.
    now: i64,
}

/// Who answers on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// `hostName()` of ClickHouse.
    pub host: String,
    /// What names both tables: another server or a table made anew is another one.
    pub relation: String,
    /// Names both tables for results: see [`pair`].
    pub pair: String,
    /// Milliseconds since 1970 up to which both servers have come; nothing where one of them does not say.
    pub up_to: Option<i64>,
    /// PostgreSQL's clock when it was asked, in milliseconds: v2's times are held against it, whatever time it is here.
    pub now: i64,
    /// Whether PostgreSQL is a replica.
    pub replica: bool,
    /// What the operator has to know.
    pub notes: Vec<String>,
}

/// Whether all statements over rows are answered by one server of ClickHouse: each row says in a bit that it has anyway
/// whether it comes from another one, so that nothing more is sent and nothing more is asked.
#[derive(Debug, Clone, Default)]
pub struct Same {
    host: Option<Box<str>>,
    broken: Arc<AtomicBool>,
}

impl Same {
    /// Of the server of this name, as far as it can stand in a statement as it is.
    pub fn of(host: &str) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        Self { host: host.chars().all(plain).then(|| host.into()), broken: Arc::default() }
    }

    /// A condition that is true on another server; ClickHouse knows it before it reads the first row.
    pub fn sql(&self) -> String {
        self.host.as_ref().map_or_else(|| "0".to_owned(), |host| format!("(hostName() != '{host}')"))
    }

    /// Takes notice of what a row says.
    pub fn note(&self, other: bool) {
        if other {
            self.broken.store(true, Ordering::Relaxed);
        }
    }

    /// Whether another server was heard.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

/// `hostName()` of the ClickHouse server that answers now.
///
/// # Errors
/// It cannot be asked.
pub async fn host(ch: &ClickhouseWork) -> Result<String, Trouble> {
    let asked = ch.ask.one::<String>(ch.query("SELECT hostName()")).await;
    // Such a question costs nothing: a server that has no time for it is as good as away, and is asked again.
    asked.map_err(|trouble| match trouble.kind {
        Kind::Timeout => Trouble { kind: Kind::Unreachable, ..trouble },
        _ => trouble,
    })
}

/// Not every service that calls itself PostgreSQL has this function.
async fn is_paused(v2: &V2) -> bool {
    let sql = "SELECT pg_is_in_recovery() AND pg_is_wal_replay_paused()";
    let asked = v2.ask(async |session| {
        sqlx::query_scalar(sql).fetch_one(session).await.map_err(|e| v2.work.trouble(&e))
    });
    asked.await.unwrap_or(false)
}

/// Which server answers, and which table it is.
const THIS: &str = "SELECT hostName() AS host, toString(uuid) AS uuid, engine FROM system.tables \
     WHERE database = currentDatabase() AND name = ?";
/// How far that server has come.
const STATE: &str = "SELECT hostName() AS host, toUInt64(max(absolute_delay)) AS delay, \
     toUInt64(max(queue_size)) AS queue, toUInt64(max(is_readonly)) AS read_only, \
     toUnixTimestamp64Milli(now64(3)) AS now \
     FROM system.replicas WHERE database = currentDatabase() AND table = ?";

/// Asks both sides who they are.
///
/// # Errors
/// A side cannot be asked.
pub async fn look(v2: &V2, ch: &ClickhouseWork, pg_table: &str, ch_table: &str) -> Result<Servers, Trouble> {
    let sql = format!(
        "SELECT pg_is_in_recovery(), (extract(epoch FROM now()) * 1000)::bigint, \
         (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000)::bigint, {}",
        relation(pg_table)
    );
    let standing = v2.ask(async |session| {
        let query = sqlx::query_as::<_, (bool, i64, Option<i64>, String)>(AssertSqlSafe(sql.as_str()));
        query.fetch_one(session).await.map_err(|e| v2.work.trouble(&e))
    });
    let ask = Patience::of(async || {
        let this = ch.query(THIS).bind(ch_table);
        let this = ch.ask.one::<This>(this).await?;
        // Only replicated tables have rows in it, and a user may not be allowed to read it.
        let state = if is_replicated(&this.engine) {
            ch.ask.all::<Replica>(ch.query(STATE).bind(ch_table)).await.ok()
        } else {
            Some(vec![])
        };
        Ok((this, state))
    });
    let ((replica, now, replayed, relation), (This { host, uuid, .. }, state)) =
        futures::try_join!(standing, ask)?;
    let mut notes = behind(state.as_deref());
    let replayed = if replica { replayed } else { Some(i64::MAX) };
    notes.extend(replica.then(|| standby(now, replayed)).flatten());
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
        pair: pair([&v2.work.object, &relation], [ch.object(), &uuid]),
        up_to: replayed.zip(state.as_deref().and_then(come)).map(|(v2, v3)| v2.min(v3)),
        now,
        replica,
        notes,
    })
}

/// What is said of a replica of PostgreSQL that has not replayed everything, by its own clock.
fn standby(now: i64, replayed: Option<i64>) -> Option<String> {
    match replayed {
        None => Some(
            "PostgreSQL is a replica that has replayed no transaction: nobody knows how old its rows are"
                .into(),
        ),
        Some(at) if (now - at) / 1000 > LAG => Some(format!(
            "PostgreSQL is a replica, its last transaction is {} s old: rows that v2 wrote since are not compared, and the \
             result is as old",
            (now - at) / 1000
        )),
        Some(_) => None,
    }
}

/// Up to which moment these replicas of ClickHouse have come; one that lost its Keeper does not know.
fn come(replicas: &[Replica]) -> Option<i64> {
    let each = |r: &Replica| {
        let behind = i64::try_from(r.delay).unwrap_or(i64::MAX).saturating_mul(1000);
        match (r.read_only, behind) {
            (0, 0) => Some(i64::MAX),
            (0, behind) => Some(r.now.saturating_sub(behind)),
            _ => None,
        }
    };
    replicas.iter().map(each).try_fold(i64::MAX, |least, at| Some(least.min(at?)))
}

/// What is said of ClickHouse's replicas that have not caught up; nothing is known where they cannot be asked.
fn behind(replicas: Option<&[Replica]>) -> Vec<String> {
    let Some(replicas) = replicas else {
        return vec![
            "ClickHouse's system.replicas cannot be read: whether this replica has caught up is not known; GRANT SELECT on it"
                .into(),
        ];
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cannot_stand_in_a_statement_is_not_compared() {
        let same = Same::of("ch-0.clickhouse_1");
        assert_eq!(same.sql(), "(hostName() != 'ch-0.clickhouse_1')");
        let heard = same.clone();
        heard.note(false);
        assert!(!same.is_broken());
        heard.note(true);
        assert!(same.is_broken());
        assert_eq!(Same::of("a'b").sql(), "0");
    }

    fn replica(delay: u64, queue: u64, read_only: u64) -> Replica {
        Replica { host: "ch-1".into(), delay, queue, read_only, now: 90_000 }
    }

    #[test]
    fn a_replica_that_is_behind_speaks_of_the_past() {
        assert_eq!((come(&[]), behind(Some(&[]))), (Some(i64::MAX), vec![]), "not replicated");
        // A queue alone may hold merges.
        assert_eq!(come(&[replica(0, 4, 0)]), Some(i64::MAX));
        assert_eq!(come(&[replica(0, 0, 0), replica(7, 1, 0)]), Some(83_000));
        assert_eq!(come(&[replica(7, 1, 0), replica(0, 0, 1)]), None, "without Keeper nobody knows");
        let said = behind(Some(&[replica(0, 0, 0), replica(7, 1, 1)]));
        assert!(
            said.len() == 1 && said[0].contains("7 s behind, 1 parts in its queue, read-only"),
            "{said:?}"
        );
        assert!(behind(None)[0].contains("not known"));
    }

    #[test]
    fn a_standby_speaks_of_its_last_transaction() {
        assert_eq!(standby(9_000, Some(8_000)), None);
        assert!(standby(9_000, Some(4_000)).is_some_and(|said| said.contains("5 s old")));
        assert!(standby(9_000, None).is_some_and(|said| said.contains("no transaction")));
    }
}
