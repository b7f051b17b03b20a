//! One poller or watcher per subject, behind one trait and one driver.
//!
//! One rule: a source knows nothing of the others' time; whatever it waits for, only it waits.

pub mod clickhouse_rows;
pub mod clock;
pub mod cluster;
pub mod controller;
pub mod driver;
pub mod ledger;
pub mod migrations;
pub mod postgres_rows;
pub mod probe;
pub mod queues;
pub mod set;
pub mod share;
pub mod shared;
pub mod slot;
pub mod stores;
pub mod traffic;
pub mod watch;

#[cfg(test)]
mod tests;

use futures::future::BoxFuture;

use crate::domain::{Fact, SourceId, Trouble};

pub use set::{Handle, SourceSet};

/// One subject. A poll may be dropped at any await and must then not have half-changed its state.
pub trait Source: Send {
    /// Which.
    fn id(&self) -> SourceId;

    /// One reading.
    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>>;

    /// Resolves when a reading is worth taking before the cadence is over; for most sources never.
    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// Makes a source, at the start and again after a panic.
pub type Make = Box<dyn Fn() -> Box<dyn Source> + Send + Sync>;
