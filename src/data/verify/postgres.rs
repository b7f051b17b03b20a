//! v2's side: sums per bucket, rows of buckets, and hashes of ids, computed by PostgreSQL itself.
//!
//! One rule: statements run one after the other in one session that cannot write, but for the halves of a large table
//! (see [`super::halves`]); a replica that cancels one for replication (40001) is asked again, and a server that went
//! away is waited for.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tokio::sync::Mutex;

use super::bucket::{Bucket, Sums};
use super::chain::Chain;
use super::pace::Patience;
use super::range::{Range, Slice};
use crate::clients::liveness::Session;
use crate::clients::work::PostgresWork;
use crate::data::tables::Spec;
use crate::domain::{Kind, Trouble};

/// Documents of a sample.
const SAMPLE: f64 = 4000.0;
/// How often a statement is tried that a replica cancels.
const TRIES: u32 = 4;
/// What a session of a comparison is set to: without sorts a grouping hashes, and does not spill. A statement of a
/// program that is gone ends soon, where PostgreSQL can (14 and later).
const SETTINGS: &str = "SET enable_sort = off; SET work_mem = '64MB'; SET max_parallel_workers_per_gather = 0; \
     SET idle_in_transaction_session_timeout = '60s'; SELECT set_config(name, '5s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'";

/// A row of PostgreSQL as its bucket was read.
#[derive(Debug, Clone)]
pub struct V2Row {
    /// Index into the buckets that were asked for.
    pub bucket: usize,
    /// `id`.
    pub id: Box<str>,
    /// The chain's hash.
    pub hash: u64,
}

/// One table of PostgreSQL.
#[derive(Debug, Clone)]
pub struct V2 {
    /// Sessions.
    pub work: PostgresWork,
    /// The business time as an expression.
    pub time: &'static str,
    from: &'static str,
    /// The session, once there is one; who asks while it is in use waits.
    session: Arc<Mutex<Option<Session>>>,
    /// Whether a second session was refused: see [`super::halves`].
    pub(super) is_alone: Arc<AtomicBool>,
}

impl V2 {
    /// The side of a table.
    pub fn new(work: PostgresWork, spec: &'static Spec) -> Self {
        let time = spec.column(spec.time).and_then(|c| c.pg.first()).copied().unwrap_or("t.created_at");
        // What is joined for values only is left out; what decides which rows are copied stays.
        let from = spec.from.split(" LEFT JOIN ").next().unwrap_or(spec.from);
        Self { work, time, from, session: Arc::default(), is_alone: Arc::default() }
    }

    /// `FROM` of its rows.
    pub const fn from(&self) -> &'static str {
        self.from
    }

    /// The table itself, without what it is joined with.
    pub(super) fn table(&self) -> &'static str {
        self.from.split(' ').next().unwrap_or(self.from)
    }

    /// Asks in a session; once more in another one where a replica was in its own way, and where the server went away
    /// and comes back: what is asked gives its answer whole or not at all.
    ///
    /// # Errors
    /// The server cannot be reached, or what was asked fails.
    pub async fn ask<T>(
        &self,
        ask: impl AsyncFn(&mut PgConnection) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let mut held = self.session.lock().await;
        let (mut tries, mut patience) = (0, Patience::default());
        loop {
            tries += 1;
            let asked = async {
                let mut session = match held.take() {
                    Some(session) => session,
                    None => self.connect().await?,
                };
                let answer = ask(&mut session).await?;
                *held = Some(session);
                Ok(answer)
            };
            match self.work.attended(asked).await {
                Ok(answer) => return Ok(answer),
                Err(Trouble { kind: Kind::Conflict, .. }) if tries < TRIES => {}
                Err(trouble) => patience.wait(trouble).await?,
            }
        }
    }

    pub(super) async fn connect(&self) -> Result<Session, Trouble> {
        let mut session = self.work.session().await?;
        sqlx::raw_sql(SETTINGS).execute(&mut *session).await.map_err(|e| self.work.trouble(&e))?;
        Ok(session)
    }

    async fn condition(&self, session: &mut PgConnection, range: &Range) -> Result<String, Trouble> {
        let project = match &range.project {
            Some(project) => Some(self.work.quote(session, project).await?),
            None => None,
        };
        Ok(range.pg(self.time, project.as_deref()))
    }

    /// Sums per project and hour; the rows of a range are read in these halves, or at once where there are none.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn sums(&self, chain: &Chain, range: &Range, halves: &[String]) -> Result<Sums, Trouble> {
        let read = async |session: &mut PgConnection, half: &String| {
            let sql = format!(
                "SELECT t.project_id, floor(date_part('epoch', {}) / 3600)::bigint, count(*), sum({})::text \
                 FROM {} WHERE {} AND {half} GROUP BY 1, 2",
                self.time,
                chain.pg(),
                self.from,
                self.condition(session, range).await?
            );
            let mut sums = Sums::default();
            let mut rows =
                sqlx::query_as::<_, (String, i64, i64, String)>(AssertSqlSafe(sql)).fetch(&mut *session);
            while let Some((project, hour, count, sum)) =
                rows.try_next().await.map_err(|e| self.work.trouble(&e))?
            {
                let at = sums.at(project.as_bytes(), hour);
                at.rows = u64::try_from(count).unwrap_or(0);
                // Beyond 2^127 there is no sum of fewer than 2^64 rows.
                at.hash = sum.parse::<i128>().unwrap_or(0) as u64;
            }
            Ok(sums)
        };
        let halves = self.halved(halves, &"true".to_owned(), read).await?;
        Ok(halves.into_iter().reduce(Sums::and).unwrap_or_default())
    }

    /// The rows of these buckets.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn rows(
        &self,
        chain: &Chain,
        buckets: &[Bucket],
        range: &Range,
        slice: Option<Slice>,
    ) -> Result<Vec<V2Row>, Trouble> {
        let projects: Vec<&str> = buckets.iter().map(|b| &*b.project).collect();
        let hours: Vec<i64> = buckets.iter().map(|b| b.hour).collect();
        self.ask(async |session| {
            let sql = format!(
                "SELECT b.n, x.id, x.hash FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS b(p, h, n) \
                 CROSS JOIN LATERAL (SELECT t.id, {hash} AS hash FROM {from} WHERE t.project_id = b.p \
                 AND {time} >= 'epoch'::timestamp + b.h * interval '1 hour' \
                 AND {time} < 'epoch'::timestamp + (b.h + 1) * interval '1 hour' AND {limits} AND {slice} OFFSET 0) x",
                hash = chain.pg(),
                from = self.from,
                time = self.time,
                limits = self.condition(session, range).await?,
                slice = slice.map_or_else(|| "true".to_owned(), Slice::pg),
            );
            let query = sqlx::query_as::<_, (i64, String, i64)>(AssertSqlSafe(sql)).bind(&projects).bind(&hours);
            let rows = query.fetch(&mut *session).map_err(|e| self.work.trouble(&e));
            rows.map_ok(|(n, id, hash)| V2Row {
                bucket: usize::try_from(n - 1).unwrap_or(0),
                id: id.into(),
                hash: hash as u64,
            })
            .try_collect()
            .await
        })
        .await
    }

    /// Texts of a JSON column from all over a table of about so many rows; large ones are left out.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn documents(
        &self,
        column: &str,
        rows: u64,
        mut each: impl FnMut(&str) + Send,
    ) -> Result<(), Trouble> {
        let table = self.table();
        let share = (SAMPLE / rows.max(1) as f64 * 100.0).clamp(0.001, 100.0);
        let sql = format!(
            "SELECT {column}::text FROM {table} t TABLESAMPLE SYSTEM ({share:.3}) \
             WHERE {column} IS NOT NULL AND pg_column_size({column}) < 1000 LIMIT {SAMPLE}",
        );
        let texts = self
            .ask(async |session| {
                let query = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql.clone()));
                query.fetch_all(&mut *session).await.map_err(|e| self.work.trouble(&e))
            })
            .await?;
        for text in &texts {
            each(text);
        }
        Ok(())
    }

    /// Those of these ids that exist, with their projects.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn placed(&self, ids: &[&str]) -> Result<Vec<(String, String)>, Trouble> {
        self.ask(async |session| {
            let sql = format!("SELECT t.project_id, t.id FROM {} WHERE t.id = ANY($1)", self.from);
            let query = sqlx::query_as::<_, (String, String)>(AssertSqlSafe(sql)).bind(ids);
            query.fetch_all(&mut *session).await.map_err(|e| self.work.trouble(&e))
        })
        .await
    }

    /// Those of these ids that exist.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn existing(&self, ids: &[&str]) -> Result<Vec<String>, Trouble> {
        self.ask(async |session| {
            let sql = format!("SELECT t.id FROM {} WHERE t.id = ANY($1)", self.from);
            let query = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).bind(ids);
            query.fetch_all(&mut *session).await.map_err(|e| self.work.trouble(&e))
        })
        .await
    }

    /// Rows per day of business time.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn days(&self, range: &Range, more: &str) -> Result<Vec<(i64, u64)>, Trouble> {
        self.ask(async |session| {
            let sql = format!(
                "SELECT floor(date_part('epoch', {}) / 86400)::bigint AS day, count(*) AS rows FROM {} \
                 WHERE {} {more} GROUP BY 1 ORDER BY 1",
                self.time,
                self.from,
                self.condition(session, range).await?
            );
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *session).await;
            let rows = rows.map_err(|e| self.work.trouble(&e))?;
            rows.iter()
                .map(|row| {
                    let count: i64 = row.try_get("rows")?;
                    Ok((row.try_get("day")?, u64::try_from(count).unwrap_or(0)))
                })
                .collect::<Result<_, sqlx::Error>>()
                .map_err(|e| self.work.trouble(&e))
        })
        .await
    }
}

/// What an id is known by: bytes, whatever the collation.
pub(super) const ID_HASH: &str = "hashtextextended(t.id COLLATE \"C\", 0)";
