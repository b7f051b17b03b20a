//! Where the stores are and how to enter.

use std::fmt;

/// Addresses and credentials; `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// `postgresql://user:password@127.0.0.1:port/langfuse`.
    pub postgres_url: String,
    /// `redis://default:password@127.0.0.1:port`.
    pub redis_url: String,
    /// `http://127.0.0.1:port`, without credentials.
    pub clickhouse_url: String,
    /// The user of Langfuse: reads and writes.
    pub clickhouse_user: String,
    /// Its password.
    pub clickhouse_password: String,
    /// A user with `readonly=2`: may set settings, may not write.
    pub clickhouse_reader: String,
    /// Its password.
    pub clickhouse_reader_password: String,
    /// `default`.
    pub clickhouse_database: String,
    /// `http://127.0.0.1:port`; path style.
    pub s3_url: String,
    /// The bucket of the events.
    pub s3_bucket: String,
    /// The region requests are signed for.
    pub s3_region: String,
    /// Access key id.
    pub s3_access_key: String,
    /// Secret access key.
    pub s3_secret_key: String,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints")
            .field("clickhouse_url", &self.clickhouse_url)
            .field("s3_url", &self.s3_url)
            .finish_non_exhaustive()
    }
}
