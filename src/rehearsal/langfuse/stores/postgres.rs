//! PostgreSQL as Prisma uses it: a small pool, timestamps without zone that mean UTC.

use std::str::FromStr;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::super::LangfuseError;
use super::super::settings::Secret;

/// Connections per process; Prisma's default is cores * 2 + 1.
const CONNECTIONS: u32 = 5;

/// Opens a lazy pool: nothing is connected until the first query, as Prisma does.
///
/// # Errors
/// When the URL cannot be read.
pub(crate) fn open(url: &Secret, application: &str) -> Result<PgPool, LangfuseError> {
    // Prisma's own parameters (schema, connection_limit, pgbouncer) are unknown to libpq-style parsers.
    let plain = url.expose().split('?').next().unwrap_or_default();
    let options = PgConnectOptions::from_str(plain)?.application_name(application);
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .min_connections(0)
        .acquire_timeout(Duration::from_secs(10))
        .idle_timeout(Duration::from_mins(1))
        .connect_lazy_with(options);
    Ok(pool)
}

/// `SELECT 1`, as the health pages do.
pub(crate) async fn ping(pool: &PgPool) -> bool {
    let query = sqlx::query("SELECT 1").execute(pool);
    matches!(tokio::time::timeout(Duration::from_secs(2), query).await, Ok(Ok(_)))
}
