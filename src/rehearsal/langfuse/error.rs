//! What can go wrong inside a Langfuse stand-in, split by what the caller does about it.

use std::net::SocketAddr;

/// An error of a Langfuse process.
#[derive(Debug, thiserror::Error)]
pub enum LangfuseError {
    /// Variables are missing or malformed: the process cannot start until its Deployment is changed.
    #[error("environment: {}; set them on the Deployment and restart it", problems.join("; "))]
    Environment {
        /// One sentence per variable.
        problems: Vec<String>,
    },
    /// The port could not be bound.
    #[error("cannot listen on {addr}: {source}; leave PORT unset to take a free port")]
    Bind {
        /// The address that was tried.
        addr: SocketAddr,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// PostgreSQL refused or could not be reached.
    #[error("PostgreSQL: {0}")]
    Postgres(#[from] sqlx::Error),
    /// Redis refused or could not be reached.
    #[error("Redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// ClickHouse answered with an exception (`Code: N. DB::Exception ...`).
    #[error("{0}")]
    ClickHouse(String),
    /// S3 refused or could not be reached.
    #[error("S3: {0}")]
    S3(String),
    /// An HTTP store could not be reached at all.
    #[error("{store} at {url}: {source}")]
    Unreachable {
        /// `ClickHouse` or `S3`.
        store: &'static str,
        /// The address without credentials.
        url: String,
        /// The transport error.
        source: reqwest::Error,
    },
    /// Stored JSON is not what Langfuse wrote.
    #[error("stored JSON of {what} cannot be read: {source}")]
    Json {
        /// The object that was read.
        what: String,
        /// The parser's answer.
        source: serde_json::Error,
    },
    /// Langfuse itself gives up, in the words it logs.
    #[error("{0}")]
    Refused(String),
}

impl LangfuseError {
    /// An error in Langfuse's own words.
    pub(crate) fn refused(words: impl Into<String>) -> Self {
        Self::Refused(words.into())
    }
}
