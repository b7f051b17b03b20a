//! Waiting until a part answers: attempts, not a guessed pause.

use std::{future::Future, time::Duration};

use super::{Process, StageError};
use crate::rehearsal::clock;

const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(25);

/// Repeats `attempt` until it succeeds; gives up when the process ends or after `patience`.
///
/// # Errors
/// [`StageError::Ended`] with the end of the log, or [`StageError::NotReady`] with the last refusal.
pub async fn await_ready<T, E, F, A>(
    process: &mut Process,
    patience: Duration,
    mut attempt: F,
) -> Result<T, StageError>
where
    E: std::fmt::Display,
    F: FnMut() -> A,
    A: Future<Output = Result<T, E>>,
{
    let start = clock::mono();
    loop {
        let last = match tokio::time::timeout(patience, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(refusal)) => refusal.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        process.still_runs()?;
        if clock::since(start) >= patience {
            return Err(StageError::NotReady {
                name: process.name().to_owned(),
                waited: clock::since(start),
                last,
                log: process.log().to_path_buf(),
            });
        }
        tokio::time::sleep(BETWEEN_ATTEMPTS).await;
    }
}
