//! What went wrong with a dependency, in the terms an operator acts on. A dependency being down is a normal
//! state of this program: it is a value, not an exception.

use std::fmt;
use std::time::Duration;

use super::text::clean;

/// The differences that callers treat differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No answer within the deadline.
    Timeout,
    /// The name does not resolve, the port is closed, the connection was cut.
    Unreachable,
    /// Wrong or expired credentials.
    Unauthorized,
    /// The credentials are right and lack a permission.
    Forbidden,
    /// The TLS handshake failed.
    Tls,
    /// A table, key, object or field that should be there is not.
    Missing,
    /// The answer is not what this version of the other side should send.
    Unexpected,
    /// Asked to slow down; the wait is known when the other side named one.
    Throttled(Option<Duration>),
    /// Somebody else changed the object in between.
    Conflict,
    /// The other side understood and refused.
    Refused,
    /// This part is not configured.
    NotConfigured,
}

impl Kind {
    /// One word for a narrow column.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Tls => "tls",
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
            Self::Throttled(_) => "throttled",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::NotConfigured => "not configured",
        }
    }
}

/// One failure: which object, what was tried and answered, what to do next. All text is cleaned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Trouble {
    /// How to treat it.
    pub kind: Kind,
    /// The object: "PostgreSQL langfuse@10.0.0.5:5432/langfuse", "Ingress langfuse/langfuse-canary".
    pub object: String,
    /// What was tried and what came back.
    pub detail: String,
    /// The operator's next step; empty when there is none better than waiting.
    pub remedy: String,
}

impl Trouble {
    /// A failure of `object`; both texts may come from outside and are cleaned.
    pub fn new(kind: Kind, object: impl AsRef<str>, detail: impl AsRef<str>) -> Self {
        Self { kind, object: clean(object.as_ref()), detail: clean(detail.as_ref()), remedy: String::new() }
    }

    /// The same with the operator's next step.
    #[must_use]
    pub fn remedy(mut self, remedy: impl AsRef<str>) -> Self {
        self.remedy = clean(remedy.as_ref());
        self
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.kind.word())?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        if !self.remedy.is_empty() {
            write!(f, " -> {}", self.remedy)?;
        }
        Ok(())
    }
}
