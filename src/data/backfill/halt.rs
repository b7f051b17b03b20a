//! Why a copy ended before its end, and what becomes of its lock then.
//!
//! One rule: what could not be written to the migration's row is never told as written.

use crate::data::lock::Denied;
use crate::domain::Trouble;

/// Why a copy ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The migration was not taken.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Another worker has the lock, or somebody took it off: everything up to the cursor is copied.
    #[error(
        "the lock on {0} was taken from us (another worker claimed it, or somebody cleared it): stopped; everything newer than the cursor is copied"
    )]
    Lost(String),
    /// The operator asked for the end; the lock is given back.
    #[error(
        "interrupted: the lock is given back, and `cutover backfill run` or a worker goes on from the cursor"
    )]
    Interrupted,
    /// The operator asked for the end, and the lock could not be given back.
    #[error(
        "interrupted, and the lock could not be given back ({0}): it is nobody's in 60 s, and `cutover backfill run` or a worker goes on from the cursor then"
    )]
    Unreleased(Trouble),
    /// It failed.
    #[error("{trouble}; {}", if *.marked { MARKED } else { UNMARKED })]
    Failed {
        /// What went wrong.
        trouble: Trouble,
        /// Whether the migration could be marked as failed.
        marked: bool,
    },
}

/// After a failure that was written down.
const MARKED: &str = "marked as failed: `cutover backfill resume` goes on from the cursor";
/// After one that could not be.
const UNMARKED: &str = "that could not be written down: the lock is nobody's in 60 s, and `cutover backfill run` goes on \
                        from the cursor then";

impl Halt {
    pub(crate) const fn failed(trouble: Trouble) -> Self {
        Self::Failed { trouble, marked: true }
    }
}

/// How it ended, from what came of saying so and what was to be said: only what was written down is called so.
pub(super) fn closed(told: Result<(), Halt>, outcome: Result<(), Halt>) -> Result<(), Halt> {
    match (told, outcome) {
        (Ok(()), outcome) => outcome,
        (Err(_), Err(Halt::Failed { trouble, .. })) | (Err(Halt::Failed { trouble, .. }), Ok(())) => {
            Err(unmarked(trouble))
        }
        (Err(Halt::Failed { trouble, .. }), Err(Halt::Interrupted)) => Err(Halt::Unreleased(trouble)),
        // The lock was lost before.
        (Err(halt), _) => Err(halt),
    }
}

pub(super) const fn unmarked(trouble: Trouble) -> Halt {
    Halt::Failed { trouble, marked: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Kind;

    fn away() -> Halt {
        Halt::failed(Trouble::new(Kind::Unreachable, "PostgreSQL x", "connection refused"))
    }

    #[test]
    fn what_could_not_be_written_down_is_not_said_to_be() {
        let words = |told, outcome| closed(told, outcome).unwrap_err().to_string();
        assert!(closed(Ok(()), Ok(())).is_ok());
        let unfinished = words(Err(away()), Ok(()));
        assert!(unfinished.contains("could not be written down"), "{unfinished}");
        let broken = || Halt::failed(Trouble::new(Kind::Refused, "backfill", "the disk is full"));
        assert!(words(Ok(()), Err(broken())).contains("marked as failed"));
        let unmarked = words(Err(away()), Err(broken()));
        assert!(unmarked.contains("the disk is full; that could not be written down"), "{unmarked}");
        assert!(words(Ok(()), Err(Halt::Interrupted)).contains("is given back"));
        let kept = words(Err(away()), Err(Halt::Interrupted));
        assert!(kept.contains("could not be given back (") && kept.contains("nobody's in 60 s"), "{kept}");
        let lost = words(Err(Halt::Lost("m".into())), Err(Halt::Interrupted));
        assert!(lost.contains("was taken from us"), "{lost}");
    }
}
