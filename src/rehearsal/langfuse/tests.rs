//! The stand-ins on real stores: PostgreSQL, Redis, the ClickHouse engine, S3.
//!
//! A machine without one of the programs skips these tests and says so.

mod backfill;
mod fixture;
pub(crate) mod servers;
mod v2;
mod v3;
