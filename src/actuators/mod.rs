//! What changes the world: the journal, the lease, and the write itself.
//!
//! One rule: every write is journalled and synced to disk before its request leaves, and after its answer came.

pub mod actor;
pub mod apply;
pub mod event;
pub mod lease;
mod program;
mod records;
pub mod verb;
pub mod watchdog;

pub mod journal;

pub use actor::Actor;
pub use apply::Actuators;

pub use journal::{Journal, JournalError};
