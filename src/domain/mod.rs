//! The vocabulary of a cutover: pure values, no IO, no clock, no client library.
//!
//! One rule: nothing here knows who reads a fact or who draws it.

pub mod backfill;
pub mod cluster;
pub mod fact;
pub mod latency;
pub mod now;
pub mod queue;
pub mod sample;
pub mod secret;
pub mod series;
pub mod split;
pub mod store;
pub mod text;
pub mod traffic;
pub mod trouble;
pub mod units;
pub mod verified;

pub use fact::{Fact, SourceId};
pub use now::{Mono, Now};
pub use sample::{Cadence, Failure, Freshness, Sample};
pub use secret::Secret;
pub use series::Series;
pub use split::{Split, Weight};
pub use trouble::{Kind, Trouble};
