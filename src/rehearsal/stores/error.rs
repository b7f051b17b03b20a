//! What can go wrong with a store.

use crate::rehearsal::stage::StageError;

/// Why a store does not run, or does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Its process, program or directory.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The ClickHouse engine could not be installed.
    #[error(
        "the ClickHouse engine could not be installed: {source}\nit needs the network and 1 GB in {} once; or put a \
         `clickhouse` binary on PATH",
        folder.display()
    )]
    Engine {
        /// Where it was to go.
        folder: std::path::PathBuf,
        /// What did not work.
        source: StageError,
    },
    /// PostgreSQL refused a statement.
    #[error("PostgreSQL, {doing}: {source}")]
    Postgres {
        /// What was tried.
        doing: &'static str,
        /// Its answer.
        source: sqlx::Error,
    },
    /// Redis refused a command.
    #[error("Redis, {doing}: {source}")]
    Redis {
        /// What was tried.
        doing: &'static str,
        /// Its answer.
        source: redis::RedisError,
    },
    /// The S3 server could not be set up.
    #[error("S3 server: {0}")]
    S3(String),
}
