//! The rehearsal's stores: real PostgreSQL, Redis, ClickHouse and an S3 server, on loopback.
//!
//! One rule: a store is the real thing or it is refused with a sentence that says what to install; nothing
//! here imitates a database.

pub mod clickhouse;
mod endpoints;
mod error;
mod listing;
pub mod postgres;
pub mod redis;
pub mod s3;
mod service;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::rehearsal::{
    clock,
    stage::{self, Stage, StageError},
};

pub use self::{
    clickhouse::ClickHouse,
    endpoints::Endpoints,
    error::StoreError,
    postgres::Postgres,
    redis::Redis,
    s3::S3,
    service::{Server, Service},
};

/// Everything Langfuse stores in, running.
pub struct Stores {
    /// PostgreSQL with Langfuse v2's schema, empty until the history is loaded.
    pub postgres: Postgres,
    /// ClickHouse, without tables until v3's web creates them.
    pub clickhouse: ClickHouse,
    /// Redis.
    pub redis: Redis,
    /// The S3 server.
    pub s3: S3,
}

impl Stores {
    /// Starts all of them side by side; `progress` gets one line per part.
    ///
    /// # Errors
    /// The first store that cannot start; the others are ended.
    pub async fn start(stage: &Stage, progress: &(dyn Fn(&str) + Sync)) -> Result<Self, StoreError> {
        let (postgres, clickhouse, redis, s3) = tokio::try_join!(
            told("PostgreSQL", progress, Box::pin(postgres::start(stage))),
            told("ClickHouse", progress, Box::pin(clickhouse::start(stage, progress))),
            told("Redis", progress, Box::pin(redis::start(stage))),
            told("S3", progress, Box::pin(s3::start(stage))),
        )?;
        Ok(Self { postgres, clickhouse, redis, s3 })
    }

    /// Addresses and credentials of all four.
    pub fn endpoints(&self) -> Endpoints {
        let (clickhouse, s3) = (self.clickhouse.server(), &self.s3);
        Endpoints {
            postgres_url: self.postgres.server().url(),
            redis_url: self.redis.server().url(),
            clickhouse_url: clickhouse.url(),
            clickhouse_user: clickhouse::USER.to_owned(),
            clickhouse_password: clickhouse.password().to_owned(),
            clickhouse_reader: clickhouse::READER.to_owned(),
            clickhouse_reader_password: clickhouse.reader_password().to_owned(),
            clickhouse_database: clickhouse::DATABASE.to_owned(),
            s3_url: s3.url(),
            s3_bucket: s3::BUCKET.to_owned(),
            s3_region: s3::REGION.to_owned(),
            s3_access_key: s3.access_key().to_owned(),
            s3_secret_key: s3.secret_key().to_owned(),
        }
    }

    /// Ends all of them, each in its own clean way.
    pub async fn stop(&self) {
        tokio::join!(self.clickhouse.stop(), self.redis.stop(), self.s3.stop(), self.postgres.stop());
    }
}

async fn told<T>(
    part: &str,
    progress: &(dyn Fn(&str) + Sync),
    start: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let begun = clock::mono();
    let started = start.await?;
    progress(&format!("{part} is ready ({:.1} s)", clock::since(begun).as_secs_f64()));
    Ok(started)
}

/// A random password of 32 hexadecimal digits: nothing in it needs escaping in a URL or a configuration file.
fn password() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A file of a store that only we may read.
fn write_private(file: &Path, text: &str) -> Result<(), StageError> {
    stage::write_private(file, text).map_err(StageError::at(file))
}
