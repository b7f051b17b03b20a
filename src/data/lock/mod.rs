//! The protocol of `background_migrations`: one worker at a time, by a lock with a heartbeat (Langfuse,
//! `backgroundMigrationManager.ts`, the same from v3.0 to v3.225).
//!
//! One rule: every write to a migration's row names the worker that holds it; a write that hits no row means that the
//! lock is lost, and whoever lost it stops.

mod claim;
mod held;
mod standing;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::domain::Trouble;

pub use claim::{Start, judge, take, waits_for_cost};
pub use held::{End, Held};
pub use standing::{COST, Phase, Standing, standings};

/// The heartbeat of a held lock.
pub const BEAT: Duration = Duration::from_secs(15);
/// A lock older than this is nobody's.
pub const STALE: Duration = Duration::from_secs(60);

/// Why a migration was not taken. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Another worker's heartbeat is younger than 60 s.
    #[error(
        "{name} is being copied by worker {worker}, whose heartbeat is {} s old: let it finish, or switch background migrations off on that worker (LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS=false); a lock is nobody's after {} s without a heartbeat",
        age.as_secs(), STALE.as_secs()
    )]
    Foreign {
        /// The migration.
        name: String,
        /// Its worker.
        worker: String,
        /// Age of the heartbeat by the database's clock.
        age: Duration,
    },
    /// An earlier migration has not ended.
    #[error(
        "{name} comes after {earlier}, which is {phase}: migrations run in the order of their names{hint}"
    )]
    Turn {
        /// The migration asked for.
        name: String,
        /// The one before it.
        earlier: String,
        /// Where that one stands.
        phase: &'static str,
        /// What to do, beginning with a separator.
        hint: String,
    },
    /// It has finished.
    #[error(
        "{name} has finished: nothing is left to copy; `cutover catch-up` looks for rows that came or changed since"
    )]
    Finished {
        /// The migration.
        name: String,
    },
    /// It has failed; going on is a decision.
    #[error("{name} has failed: {reason}; `cutover backfill resume` goes on from its cursor")]
    Failed {
        /// The migration.
        name: String,
        /// `failed_reason`.
        reason: String,
    },
    /// This database has no such migration.
    #[error("{name} is not in background_migrations: this version of Langfuse does not copy that table")]
    Absent {
        /// The migration.
        name: String,
    },
    /// The database could not be asked.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}
