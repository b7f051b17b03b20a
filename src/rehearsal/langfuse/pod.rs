//! What a process is given by whoever plays its pod: a name, a place for its log lines, and its faults.

use std::fmt;
use std::sync::Arc;

use super::faults::Faults;
use crate::rehearsal::clock;

/// The pod a process runs in.
#[derive(Clone)]
pub struct Pod {
    /// The pod's name, for error messages; Langfuse itself never uses it.
    pub name: String,
    /// The faults scenarios may set while it runs.
    pub faults: Faults,
    log: Log,
}

impl Pod {
    /// A pod called `name` whose log lines go to `log`, one call per line without a line end.
    pub fn new(name: impl Into<String>, log: impl Fn(&str) + Send + Sync + 'static, faults: Faults) -> Self {
        Self { name: name.into(), faults, log: Log(Arc::new(log)) }
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }
}

impl fmt::Debug for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pod").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Writes lines in the shape of Langfuse's logger: time, level, a tab from its `align` format, message.
#[derive(Clone)]
pub(crate) struct Log(Arc<dyn Fn(&str) + Send + Sync>);

impl Log {
    pub(crate) fn info(&self, message: &str) {
        self.line("info", message);
    }

    pub(crate) fn warn(&self, message: &str) {
        self.line("warn", message);
    }

    pub(crate) fn error(&self, message: &str) {
        self.line("error", message);
    }

    fn line(&self, level: &str, message: &str) {
        (self.0)(&format!("{:.3} {level} \t{message}", clock::now()));
    }
}
