//! PostgreSQL for reading: sessions that cannot write, cannot wait for locks and cannot run long.
//!
//! One rule: the session's own settings forbid writes, so that no bug of ours can make one.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{Connection as _, PgConnection};

use super::failure::{chain, transport, within};
use super::reach::{Reach, name};
use super::target::{Address, PostgresTarget};
use crate::domain::{Kind, Trouble};

/// Reads a row into a struct whose fields are named as the columns (sqlx's derive is not compiled in).
macro_rules! from_row {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for $name {
            fn from_row(row: &'r sqlx::postgres::PgRow) -> sqlx::Result<Self> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?),* })
            }
        }
    };
}
pub(crate) use from_row;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(4);

/// What every session is started with.
const SESSION: [(&str, &str); 5] = [
    ("default_transaction_read_only", "on"),
    ("statement_timeout", "5000"),
    ("lock_timeout", "1000"),
    ("idle_in_transaction_session_timeout", "10000"),
    ("jit", "off"),
];

/// A read-only pool of two connections.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// The pool.
    pub pool: PgPool,
    /// "PostgreSQL langfuse@10.0.0.5:5432/langfuse".
    pub object: String,
    options: PgConnectOptions,
}

impl Postgres {
    /// The [`Trouble`] of a failed query. A pool that timed out hides why: one direct attempt finds it.
    pub async fn trouble(&self, error: &sqlx::Error) -> Trouble {
        if !matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) {
            return trouble(&self.object, error);
        }
        match probe(&self.options, &self.object).await {
            Err(why) => why,
            Ok(()) => Trouble::new(Kind::Timeout, &self.object, "both of our connections are busy"),
        }
    }
}

/// Connects once, so that a wrong password is said at once, and keeps a pool.
pub async fn connect(reach: &Reach, target: &PostgresTarget) -> Result<Postgres, Trouble> {
    super::tls::install_provider();
    let options = options(reach, target).await?;
    let object = object(target, &options);
    if let Err(trouble) = probe(&options, &object).await {
        return Err(reach.explain(&target.address, trouble).await);
    }
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(CONNECT)
        .idle_timeout(Duration::from_mins(1))
        .connect_lazy_with(options.clone());
    Ok(Postgres { pool, object, options })
}

pub(super) async fn probe(options: &PgConnectOptions, object: &str) -> Result<(), Trouble> {
    within(CONNECT, object, "connect", async {
        let connection = PgConnection::connect_with(options).await.map_err(|e| trouble(object, &e))?;
        connection.close().await.map_err(|e| trouble(object, &e))
    })
    .await
}

pub(super) async fn options(reach: &Reach, target: &PostgresTarget) -> Result<PgConnectOptions, Trouble> {
    let mut options = match (&target.address, reach.local(&target.address).await?) {
        (Address::Url(url), _) => url.expose().parse::<PgConnectOptions>().map_err(|e| {
            Trouble::new(
                Kind::NotConfigured,
                "PostgreSQL",
                format!("the URL cannot be used: {}", chain(&e)),
            )
            .remedy(
                "write it as postgres://user:password@host:5432/database, special characters percent-encoded",
            )
        })?,
        (Address::Service { .. }, Some(local)) => {
            PgConnectOptions::new_without_pgpass().host(&local.ip().to_string()).port(local.port())
        }
        (Address::Service { .. }, None) => PgConnectOptions::new_without_pgpass(),
    };
    if let Some(user) = &target.user {
        options = options.username(user);
    }
    if let Some(password) = &target.password {
        options = options.password(password.expose());
    }
    if let Some(database) = &target.database {
        options = options.database(database);
    }
    let (host, port) = (options.get_host().to_owned(), options.get_port());
    let mut through = matches!(target.address, Address::Service { .. });
    if !through
        && options.get_socket().is_none()
        && let Some(local) = reach.proxied(&host, port).await?
    {
        options = options.host(&local.ip().to_string()).port(local.port());
        through = true;
    }
    Ok(with_tls(options, target, through).application_name("cutover").options(SESSION))
}

/// Through a listener of ours the host name means nothing, so the certificate is held against the CA alone.
fn with_tls(mut options: PgConnectOptions, target: &PostgresTarget, through: bool) -> PgConnectOptions {
    let tls = &target.tls;
    let checks = tls.ca_file.is_some() && !tls.insecure;
    match tls.enabled {
        Some(false) => return options.ssl_mode(PgSslMode::Disable),
        Some(true) if tls.insecure => options = options.ssl_mode(PgSslMode::Require),
        Some(true) if through => options = options.ssl_mode(PgSslMode::VerifyCa),
        Some(true) => options = options.ssl_mode(PgSslMode::VerifyFull),
        None if through && matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) => {
            options = options.ssl_mode(PgSslMode::VerifyCa);
        }
        // libpq: "require" with an authority's file is "verify-ca"; and who names an authority wants it asked.
        None if checks && matches!(options.get_ssl_mode(), PgSslMode::Prefer | PgSslMode::Require) => {
            options = options.ssl_mode(PgSslMode::VerifyCa);
        }
        None => {}
    }
    if let Some(file) = tls.ca_file.as_ref().filter(|_| !tls.insecure) {
        options = options.ssl_root_cert(file);
    }
    if let (Some(cert), Some(key)) = (&tls.client_cert, &tls.client_key) {
        options = options.ssl_client_cert(cert).ssl_client_key(key);
    }
    options
}

pub(super) fn object(target: &PostgresTarget, options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    match &target.address {
        Address::Url(url) => {
            // The URL's host, not the local end of a way through a proxy.
            let named = url.expose().parse::<PgConnectOptions>().ok();
            let named = named.as_ref().unwrap_or(options);
            format!(
                "PostgreSQL {}@{}:{}/{database}",
                options.get_username(),
                named.get_host(),
                named.get_port()
            )
        }
        service @ Address::Service { .. } => {
            format!("PostgreSQL {}@{}/{database}", options.get_username(), name(service))
        }
    }
}

/// SQLSTATE codes an operator can act on: (code, kind, next step). PostgreSQL documentation, appendix A.
const STATES: [(&str, Kind, &str); 16] = [
    ("28P01", Kind::Unauthorized, "the password is wrong: check the user and password"),
    (
        "28000",
        Kind::Unauthorized,
        "pg_hba.conf does not let this user in from here, or wants TLS (tls.enabled), or our certificate (tls.client_cert, tls.client_key)",
    ),
    ("3D000", Kind::Missing, "there is no such database: check the name at the end of the URL"),
    ("42501", Kind::Forbidden, "grant this user SELECT on Langfuse's tables"),
    (
        "42P01",
        Kind::Missing,
        "the table is not there: is this Langfuse's database, and not one of v4 or of an empty v2?",
    ),
    ("42703", Kind::Missing, "the column is not there: this is another version of Langfuse than v2.92 to v3"),
    (
        "57014",
        Kind::Timeout,
        "the statement ran into a limit of time (a poll's is 5 s) or was cancelled; it is tried again",
    ),
    ("55P03", Kind::Timeout, "a lock was not free within 1 s; it is tried again"),
    (
        "53300",
        Kind::Throttled(None),
        "all connections of the server are taken: raise max_connections, or put a pooler before its other clients",
    ),
    (
        "53100",
        Kind::Refused,
        "a disk of PostgreSQL is full: make room and start again; what was committed stays, the rest was not begun",
    ),
    ("57P03", Kind::Unreachable, "the server is starting or stopping; wait"),
    ("57P02", Kind::Unreachable, "the server ends all sessions after a crash; wait"),
    ("57P01", Kind::Unreachable, "the server was told to stop; wait"),
    ("25006", Kind::Refused, "this session may only read, on purpose"),
    ("40001", Kind::Conflict, "the replica cancelled the query for replication; it is tried again"),
    (
        "08P01",
        Kind::Refused,
        "a pooler in between refuses our session settings: connect to PostgreSQL itself",
    ),
];

/// The [`Trouble`] of an error of sqlx.
pub fn trouble(object: &str, error: &sqlx::Error) -> Trouble {
    match error {
        sqlx::Error::Database(e) => {
            let e = e.downcast_ref::<PgDatabaseError>();
            let row = STATES.iter().find(|(code, ..)| *code == e.code());
            let (kind, remedy) = row.map_or((Kind::Refused, ""), |(_, kind, remedy)| (*kind, *remedy));
            Trouble::new(kind, object, format!("{} (SQLSTATE {})", e.message(), e.code())).remedy(remedy)
        }
        sqlx::Error::Tls(e) => {
            let text = chain(e.as_ref());
            let remedy = super::failure::tls_remedy(&text);
            Trouble::new(Kind::Tls, object, text).remedy(remedy)
        }
        // The answer to its first question is one byte, and none came.
        sqlx::Error::Protocol(text) if text.contains("SSLRequest: 0x00") => {
            Trouble::new(Kind::Unreachable, object, "the server hung up before it answered")
                .remedy("check that the server stays up and that nothing on the way cuts connections")
        }
        sqlx::Error::RowNotFound => Trouble::new(Kind::Missing, object, "the row is not there"),
        sqlx::Error::PoolTimedOut => Trouble::new(Kind::Timeout, object, "no connection became free"),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            Trouble::new(Kind::Unexpected, object, chain(error))
        }
        other => transport(object, other),
    }
}
