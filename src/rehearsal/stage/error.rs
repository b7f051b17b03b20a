//! What can go wrong with the rehearsal's place and its processes.

use std::{io, path::Path, path::PathBuf, time::Duration};

/// Why the stage cannot be opened, or a process on it not started.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A file or directory of the rehearsal cannot be used.
    #[error("{path}: {source}; the rehearsal needs a directory it can write to (--dir DIR)")]
    Path {
        /// What was touched.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The user's cache folder cannot be used.
    #[error(
        "{path}: {source}; lists of what runs and the ClickHouse engine are kept there: set XDG_CACHE_HOME to a \
         directory you can write to"
    )]
    Cache {
        /// What was touched.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// Another rehearsal lives in the directory.
    #[error(
        "{dir} belongs to the rehearsal with process id {pid}, which is running; end it or give another --dir"
    )]
    Busy {
        /// The directory asked for.
        dir: PathBuf,
        /// The process that owns it.
        pid: u32,
    },
    /// The directory holds something that is not a rehearsal's leftover.
    #[error(
        "{dir} is not empty; give an empty or a new directory (--dir DIR), or remove the kept rehearsal first"
    )]
    NotEmpty {
        /// The directory asked for.
        dir: PathBuf,
    },
    /// A program is nowhere on this machine.
    #[error("{program} not found {place}; {remedy}")]
    Missing {
        /// The program's name.
        program: &'static str,
        /// Where it was looked for.
        place: &'static str,
        /// What to install.
        remedy: &'static str,
    },
    /// A program could not be started.
    #[error("{name} could not be started ({command}): {source}")]
    Start {
        /// The part of the rehearsal.
        name: String,
        /// The program file.
        command: String,
        /// What the system answered.
        source: io::Error,
    },
    /// A program ended before it was ready, or a helper program failed.
    #[error("{name} ended ({status}); the end of its log:\n{log}")]
    Ended {
        /// The part of the rehearsal.
        name: String,
        /// Its exit status.
        status: String,
        /// The last lines it wrote.
        log: String,
    },
    /// A program runs but does not answer.
    #[error("{name} did not answer within {waited:?} ({last}); see {log}")]
    NotReady {
        /// The part of the rehearsal.
        name: String,
        /// How long was waited.
        waited: Duration,
        /// The last refusal.
        last: String,
        /// Its log file.
        log: PathBuf,
    },
    /// No free loopback port.
    #[error("no free port on 127.0.0.1: {0}")]
    Port(io::Error),
}

impl StageError {
    /// For `map_err`: an input/output error at `path`.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Path { path, source }
    }
}
