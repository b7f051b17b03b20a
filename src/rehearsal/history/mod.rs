//! What a Langfuse v2 has collected before the migration begins: written to PostgreSQL by COPY.
//!
//! One rule: every value follows from the seed, the number of the row and the newest time, so the same options
//! give the same rows, and any row can be computed without the ones before it.

mod copy;
mod fields;
mod keys;
mod load;
mod observations;
mod random;
mod rows;
mod setting;
#[cfg(test)]
mod tests;
mod text;
mod timeline;

pub use keys::{Project, fast_hash};
pub use load::{Counts, History, load};

use crate::rehearsal::clock;

/// The project whose traces are probes, kept apart from everybody's data.
pub const CANARY_PROJECT: &str = "cutover-canary";

/// What history to write.
#[derive(Clone, Debug)]
pub struct Options {
    /// Traces; each has two observations, every second one a score.
    pub traces: u64,
    /// Projects with history; the canary project comes on top, without any.
    pub projects: u32,
    /// Same seed, same rows.
    pub seed: u64,
    /// Langfuse's `SALT`: the stand-ins must be given the same.
    pub salt: String,
    /// When the newest trace came; the oldest is 90 days older.
    pub newest: jiff::Timestamp,
    /// How many of the oldest rows of each table share one `created_at`, as after Prisma's
    /// `ADD COLUMN ... DEFAULT CURRENT_TIMESTAMP`. At the backfill's batch size (1000) or more, its cursor
    /// cannot move past them.
    pub tie_group: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            traces: 200_000,
            projects: 5,
            seed: 1,
            salt: "rehearsal-salt".to_owned(),
            newest: clock::now(),
            tie_group: 400,
        }
    }
}
