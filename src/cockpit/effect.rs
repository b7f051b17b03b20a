//! What the cockpit asks the world for, as data.

use super::msg::{Answer, Lease};
use super::remedy::{Remedy, Told};
use crate::domain::traffic::{ObjectRef, RouterKind};
use crate::domain::{Mono, SourceId, Trouble};
use crate::shift::machine::ApplyError;
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
    /// Show what a verb would do; the number comes back with the answer.
    PlanRemedy(Remedy, u64),
    /// Run it.
    RunRemedy(Remedy),
    /// Ask the verb that was started last to stop.
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

impl Effect {
    /// The answer to one that ended without any: whoever asked must not wait for ever. Of a write it is not known
    /// whether it was carried out. `None` where nobody waits.
    pub fn unanswered(&self, trouble: Trouble) -> Option<Answer> {
        Some(match self {
            Self::DryRun(plan) => Answer::DryRun(plan.op, Err(trouble)),
            Self::Apply(plan) => Answer::Applied(plan.op, Err(ApplyError::Lost(trouble))),
            Self::Observe(op, _) => Answer::Observed(*op, Err(trouble)),
            Self::Confirm(op) => Answer::Confirmed(*op, Err(trouble.remedy("run cutover confirm"))),
            Self::Hold(_) => Answer::Hold(Err(trouble)),
            Self::TakeLease => Answer::Lease(Lease::Failed(trouble)),
            Self::PlanRemedy(remedy, asked) => Answer::Remedy(*remedy, Told::Plan(*asked, Err(trouble))),
            Self::RunRemedy(remedy) => Answer::Remedy(*remedy, Told::Done(Err(trouble))),
            _ => return None,
        })
    }
}
