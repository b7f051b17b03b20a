//! Sessions for long work: counting, comparing and copying whole tables.
//!
//! One rule: a session is told what it is for when it is opened; without [`Access::Write`] the server itself
//! refuses writes.

use std::time::Duration;

use ::clickhouse::Compression;
use ::clickhouse::insert_formatted::InsertFormatted;
use ::clickhouse::query::{BytesCursor, Query};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::clickhouse::{self, Clickhouse};
use super::failure::within;
use super::liveness::{Open, Pulse, Session};
use super::postgres;
use super::reach::Reach;
use super::target::{ClickhouseTarget, PostgresTarget};
use crate::domain::{Kind, Trouble};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);

/// A COPY that sends nothing for so long has no server any more; what is slow is limited by the server itself.
const SILENCE: Duration = Duration::from_mins(10);
/// Bytes of a statement that ClickHouse reads at most.
const QUERY: &str = "16777216";

/// What a session goes by: whether it only reads, and how long a statement may take, in milliseconds; and who serves it.
/// A session that rests while another works is not to be ended for it (PostgreSQL 14 and later).
const SETTINGS: &str = "SELECT string_agg(setting, ' ' ORDER BY name), pg_postmaster_start_time()::text, pg_backend_pid(), \
     (SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout') FROM pg_settings WHERE name IN ('default_transaction_read_only', 'statement_timeout')";

/// What a session may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read, and nothing else.
    Read,
    /// One of the named writes: backfill, catch-up, restore.
    Write,
}

/// What a session is opened for.
#[derive(Debug, Clone, Copy)]
pub struct Purpose {
    /// "verify": the servers see it as `application_name` and `log_comment`, after "cutover ".
    pub name: &'static str,
    /// Reading or writing.
    pub access: Access,
    /// Longest time one statement may run.
    pub statement: Duration,
}

/// Opens sessions of one purpose on PostgreSQL.
#[derive(Debug, Clone)]
pub struct PostgresWork {
    options: PgConnectOptions,
    /// What [`SETTINGS`] says of a session that does as it was told.
    asked: String,
    /// "PostgreSQL langfuse@10.0.0.5:5432/langfuse".
    pub object: String,
    /// How it is watched under a long statement.
    pub pulse: Pulse,
    pub(super) open: Open,
}

impl PostgresWork {
    /// Finds the way and tries it once.
    ///
    /// # Errors
    /// The server cannot be reached, or does not let this user in.
    pub async fn new(reach: &Reach, target: &PostgresTarget, purpose: Purpose) -> Result<Self, Trouble> {
        super::tls::install_provider();
        let options = postgres::options(reach, target).await?;
        let object = postgres::object(target, &options);
        let limit = purpose.statement.as_millis().to_string();
        let only_reads = if purpose.access == Access::Read { "on" } else { "off" };
        let settings = [
            ("default_transaction_read_only", only_reads),
            ("statement_timeout", limit.as_str()),
            ("lock_timeout", "1000"),
            ("idle_in_transaction_session_timeout", "10000"),
            ("jit", "off"),
            // What translates addresses on the way forgets a connection that is silent, as one is under a long statement.
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
        ];
        let options = options.application_name(&format!("cutover {}", purpose.name)).options(settings);
        let asked = format!("{only_reads} {limit}");
        let work = Self { options, asked, object, pulse: Pulse::default(), open: Open::default() };
        let session = work.session().await;
        match session {
            Ok(session) => session.close().await.map_err(|e| work.trouble(&e)).map(|()| work),
            Err(trouble) => Err(reach.explain(&target.address, trouble).await),
        }
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// [`Kind::Unreachable`]: the server cannot be reached within 10 s. [`Kind::Refused`]: a pooler in between keeps our
    /// settings from it. Or the server does not let this user in.
    pub async fn session(&self) -> Result<Session, Trouble> {
        let session = within(CONNECT, &self.object, "connect", async {
            let mut session = self.connect().await?;
            // Not prepared: behind a pooler the next message may reach another session.
            let row = sqlx::raw_sql(SETTINGS).fetch_one(&mut session).await.map_err(|e| self.trouble(&e))?;
            let found: String = row.try_get(0).map_err(|e| self.trouble(&e))?;
            if found != self.asked {
                return Err(self.deaf(&found));
            }
            let server = row.try_get(1).map_err(|e| self.trouble(&e))?;
            let number = row.try_get(2).map_err(|e| self.trouble(&e))?;
            Ok(self.open.hold(session, (server, number)))
        });
        session.await.map_err(|trouble| match trouble.kind {
            // Who does not even answer the door is away, for those who wait until it is back.
            Kind::Timeout => Trouble { kind: Kind::Unreachable, ..trouble },
            _ => trouble,
        })
    }

    pub(super) async fn connect(&self) -> Result<PgConnection, Trouble> {
        PgConnection::connect_with(&self.options).await.map_err(|e| self.trouble(&e))
    }

    fn deaf(&self, found: &str) -> Trouble {
        let text = format!(
            "a pooler in between drops our session settings: default_transaction_read_only and statement_timeout (ms) \
             are {found} instead of {}",
            self.asked
        );
        Trouble::new(Kind::Refused, &self.object, text).remedy("connect to PostgreSQL itself")
    }

    /// The [`Trouble`] of a failed statement.
    pub fn trouble(&self, error: &sqlx::Error) -> Trouble {
        postgres::trouble(&self.object, error)
    }

    /// Binary COPY of a query; the chunks go into [`crate::clients::work`]'s callers' own decoder. COPY takes no
    /// parameters: texts from outside are quoted by [`Self::quote`] first.
    ///
    /// # Errors
    /// The statement is refused; later errors come as items of the stream, and so does a server that is silent for
    /// ten minutes: a host that went away without a word would be waited for for ever.
    pub async fn copy_out<'c>(
        &self,
        session: &'c mut PgConnection,
        query: &str,
    ) -> Result<BoxStream<'c, Result<Bytes, Trouble>>, Trouble> {
        let statement = format!("COPY ({query}) TO STDOUT (FORMAT binary)");
        let stream = session.copy_out_raw(&statement).await.map_err(|e| self.trouble(&e))?;
        Ok(told(stream, self.object.clone(), SILENCE))
    }

    /// A text as an SQL literal, quoted by the server itself.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn quote(&self, session: &mut PgConnection, text: &str) -> Result<String, Trouble> {
        sqlx::query_scalar("SELECT quote_literal($1)")
            .bind(text)
            .fetch_one(session)
            .await
            .map_err(|e| self.trouble(&e))
    }
}

/// Chunks of a COPY as the driver gives them.
type Chunks<'c> = BoxStream<'c, sqlx::Result<Bytes>>;

/// The chunks, each within a time.
fn told(stream: Chunks<'_>, object: String, silence: Duration) -> BoxStream<'_, Result<Bytes, Trouble>> {
    futures::stream::unfold((stream, object), move |(stream, object)| next(stream, object, silence)).boxed()
}

async fn next(
    mut stream: Chunks<'_>,
    object: String,
    silence: Duration,
) -> Option<(Result<Bytes, Trouble>, (Chunks<'_>, String))> {
    let chunk = async { stream.next().await.transpose().map_err(|e| postgres::trouble(&object, &e)) };
    let chunk = within(silence, &object, "COPY", chunk).await.transpose()?;
    Some((chunk, (stream, object)))
}

/// Runs statements of one purpose on ClickHouse.
#[derive(Debug, Clone)]
pub struct ClickhouseWork {
    /// For small questions: [`Clickhouse::all`] and [`Clickhouse::one`] with their own short deadline.
    pub ask: Clickhouse,
    purpose: Purpose,
}

impl ClickhouseWork {
    /// Finds the way and tries it once.
    ///
    /// # Errors
    /// The server cannot be reached, or does not let this user in.
    pub async fn new(reach: &Reach, target: &ClickhouseTarget, purpose: Purpose) -> Result<Self, Trouble> {
        let ask = clickhouse::connect(reach, target).await?;
        let mut work = Self { ask, purpose };
        let client = clickhouse::build(reach, target).await?.client;
        work.ask.client = match purpose.access {
            Access::Read => work.ask.client.clone(),
            Access::Write => client,
        };
        if purpose.access == Access::Read && !work.ask.settings {
            return Ok(work);
        }
        let limit = purpose.statement.as_secs().to_string();
        work.ask.client = work
            .ask
            .client
            .with_setting("max_execution_time", limit)
            // A thousand ids of one statement may be long: v2 takes whatever a client calls its trace.
            .with_setting("max_query_size", QUERY)
            .with_setting("log_comment", format!("cutover {}", purpose.name));
        Ok(work)
    }

    /// "ClickHouse default@http://ch:8123/default".
    pub fn object(&self) -> &str {
        &self.ask.object
    }

    /// Whether queries of this user may come with settings; one whose profile is `readonly=1` may set nothing.
    pub const fn takes_settings(&self) -> bool {
        self.ask.settings
    }

    /// A query; bind its parameters and pass it to [`Self::stream`].
    pub fn query(&self, sql: &str) -> Query {
        self.ask.query(sql)
    }

    /// A query whose answer is not worth compressing: ids are random.
    pub fn query_plain(&self, sql: &str) -> Query {
        self.ask.client.clone().with_compression(Compression::None).query(sql)
    }

    /// The rows of a query as `RowBinary`, as they arrive.
    ///
    /// # Errors
    /// The query is refused; later errors come from the cursor: see [`Self::trouble`].
    pub fn stream(&self, query: Query) -> Result<BytesCursor, Trouble> {
        query.fetch_bytes("RowBinary").map_err(|e| self.trouble(&e))
    }

    /// The rows of a query as `Native` blocks, as they arrive.
    ///
    /// # Errors
    /// The query is refused; later errors come from the cursor: see [`Self::trouble`].
    pub fn stream_blocks(&self, query: Query) -> Result<BytesCursor, Trouble> {
        query.fetch_bytes("Native").map_err(|e| self.trouble(&e))
    }

    /// A statement without an answer.
    ///
    /// # Errors
    /// The server refuses it, or does not answer within the purpose's limit.
    pub async fn execute(&self, query: Query) -> Result<(), Trouble> {
        within(self.purpose.statement, self.object(), "statement", async {
            query.execute().await.map_err(|e| self.trouble(&e))
        })
        .await
    }

    /// An `INSERT INTO .. FORMAT ..`, whose rows the caller sends.
    pub fn insert(&self, sql: impl Into<String>) -> InsertFormatted {
        self.ask.client.insert_formatted_with(sql)
    }

    /// The [`Trouble`] of a failed statement.
    pub fn trouble(&self, error: &::clickhouse::error::Error) -> Trouble {
        clickhouse::trouble(self.object(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_went_away_in_the_middle_is_told() {
        let chunks = futures::stream::iter([Ok(Bytes::from_static(b"rows"))]);
        let gone = chunks.chain(futures::stream::pending()).boxed();
        let mut stream = told(gone, "PostgreSQL x".into(), SILENCE);
        assert_eq!(stream.next().await.unwrap().unwrap(), "rows");
        let trouble = stream.next().await.unwrap().unwrap_err();
        assert_eq!((trouble.kind, trouble.object.as_str()), (Kind::Timeout, "PostgreSQL x"));
        let whole = futures::stream::iter([Ok(Bytes::from_static(b"rows"))]).boxed();
        assert_eq!(told(whole, "x".into(), SILENCE).count().await, 1);
    }
}
