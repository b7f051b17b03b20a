//! PostgreSQL, Redis and S3 for real, and everything together; `clickhouse::tests` has the fourth.
//!
//! A test says so and passes when a program is not on this machine.
#![allow(clippy::print_stderr, reason = "a test that skips says why, and one that measures what")]

mod postgres;
mod redis;
mod s3;
mod together;

use super::StoreError;
use crate::rehearsal::stage::{Stage, StageError};

/// What was started, or `None` with the reason printed.
fn present<T>(started: Result<T, StoreError>) -> Option<T> {
    match started {
        Ok(store) => Some(store),
        Err(StoreError::Stage(absent @ StageError::Missing { .. })) => {
            assert!(std::env::var_os("CI").is_none(), "CI skips nothing: {absent}");
            eprintln!("SKIPPED: {absent}");
            None
        }
        Err(failure) => panic!("{failure}"),
    }
}

async fn stage() -> Stage {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Stage::open(None).await.unwrap()
}
