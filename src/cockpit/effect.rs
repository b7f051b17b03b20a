//! What the cockpit asks the world for, as data.

use super::remedy::Remedy;
use crate::domain::traffic::{ObjectRef, RouterKind};
use crate::domain::{Mono, SourceId};
use crate::shift::{OpId, Plan};

/// One wish; the runtime and the actuators carry it out and answer with a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the API server what it would say to this plan (`dryRun=All`).
    DryRun(Plan),
    /// Write it: journal, patches, journal, Event.
    Apply(Plan),
    /// Read these objects again and answer for this operation.
    Observe(OpId, Vec<(ObjectRef, RouterKind)>),
    /// Journal how an operation ended, with one sentence, and tell the cluster.
    Conclude(Plan, String),
    /// Journal that this move stays, which calls its watchdog off.
    Confirm(OpId),
    /// Set the hold, or take it off.
    Hold(bool),
    /// Take the lease from whoever holds it.
    TakeLease,
    /// Show what a verb would do (`false`), or run it.
    Remedy(Remedy, bool),
    /// Ask the verb that runs to stop.
    StopRemedy,
    /// Poll this source now; all of them with `None`.
    PollNow(Option<SourceId>),
    /// Send a tick at this time.
    WakeAt(Mono),
    /// Ring the terminal's bell.
    Bell,
    /// Clear and draw everything.
    Repaint,
    /// Hand the terminal back and stop (Ctrl-Z).
    Suspend,
    /// End with this exit code, after what is in flight was answered or is journalled as unknown.
    Quit(u8),
}
