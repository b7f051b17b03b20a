//! The shift machine: one operation at a time, from proposal to proof.
//!
//! One rule: [`Shift::step`] is total and pure. A write leaves only as [`Act::Apply`], only from `Armed`, only
//! after its dialog was on screen for [`ARM_DELAY`]. Rollback is reachable from every state in one step.

pub(crate) mod dialog;
mod outcome;

use std::time::Duration;

use crate::domain::traffic::{ObjectRef, Owner, Route};
use crate::domain::{Kind, Mono, Trouble};

use super::guard::Guards;
use super::plan::{OpId, Plan};

/// Keys that come earlier than this after the dialog's first frame were typed for another screen.
pub const ARM_DELAY: Duration = Duration::from_millis(400);
/// An armed dialog that is not answered closes.
pub const ARM_EXPIRY: Duration = Duration::from_mins(1);
/// A dry run or write that has no answer by then is lost.
pub const APPLY_DEADLINE: Duration = Duration::from_secs(10);
/// How long the API server may work on a write: each carries this as its `timeout` parameter, which bounds the
/// request on the server's side too (kube-apiserver, `WithRequestDeadline`).
pub const SERVER_DEADLINE: Duration = Duration::from_secs(8);
/// A write without an answer may still land for this long: the server's deadline, and as much for the way there.
pub const SETTLE: Duration = Duration::from_secs(16);
/// An acknowledged write must be seen in the object within this time.
pub const VERIFY_DEADLINE: Duration = Duration::from_secs(15);

/// Which button has the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// Leave everything as it is.
    Cancel,
    /// Do what the button says.
    Go,
}

/// How an applied write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyError {
    /// The server refused: nothing was written.
    Refused(Trouble),
    /// Somebody else wrote first: nothing was written.
    Conflict(Trouble, Option<Owner>),
    /// No answer: it may have been written.
    Lost(Trouble),
    /// Some routes were written and one was not.
    Partial(Vec<ObjectRef>, Trouble),
}

/// Why it is not known what the object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// The write's answer did not come.
    Answer(Trouble),
    /// Only some of the routes were written.
    Partial(Vec<ObjectRef>, Trouble),
    /// It was acknowledged, and not seen in the object since.
    NotObserved,
    /// The program ended in the middle of it; found in the journal at start.
    Interrupted,
}

impl Lost {
    /// One sentence for the screen.
    pub fn sentence(&self) -> String {
        match self {
            Self::Answer(t) => {
                format!("the answer to the write was lost ({t}); it may have been carried out")
            }
            Self::Partial(done, t) => format!("{} route(s) were written, then: {t}", done.len()),
            Self::NotObserved => {
                "the write was acknowledged and has not been seen in the object since".into()
            }
            Self::Interrupted => "the program ended in the middle of it; the journal has no outcome".into(),
        }
    }
}

/// How far an operation has come.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Shift {
    /// Nothing under way.
    #[default]
    Idle,
    /// The plan is shown while the server dry-runs it.
    Proposed {
        /// What would be sent.
        plan: Plan,
        /// The dry run has no answer after this.
        deadline: Mono,
        /// Keys came that nobody was asked for yet; they were not heard.
        early: bool,
    },
    /// The dialog waits for the operator.
    Armed {
        /// What will be sent.
        plan: Plan,
        /// What was typed so far (a forward shift asks for the target's number).
        typed: String,
        /// The focused button.
        focus: Focus,
        /// When its first frame was flushed.
        shown: Option<Mono>,
        /// It closes then.
        expires: Mono,
        /// Keys came before the dialog was on screen for [`ARM_DELAY`], and were not heard; until the first that was.
        early: bool,
        /// The write that this dialog lies over, and that goes on beneath it: in flight, or of unknown outcome.
        behind: Box<Shift>,
    },
    /// The write is on its way.
    Applying {
        /// What was sent.
        plan: Plan,
        /// No answer by then is a lost answer.
        deadline: Mono,
    },
    /// Acknowledged; waiting to see it in the object.
    Verifying {
        /// What was sent.
        plan: Plan,
        /// When it was acknowledged.
        acknowledged: Mono,
        /// Not seen by then is not known.
        deadline: Mono,
    },
    /// What the object says is not known: observe, or roll back.
    Unknown {
        /// What was sent.
        plan: Plan,
        /// Why.
        why: Lost,
        /// Since when.
        since: Mono,
    },
    /// Seen in the object.
    Done {
        /// What was sent.
        plan: Plan,
        /// When it was seen.
        at: Mono,
    },
    /// Ended without effect, or undone by somebody.
    Failed {
        /// What was to be sent.
        plan: Plan,
        /// Why.
        trouble: Trouble,
    },
}

/// What can happen to it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An operator asked for a plan.
    Propose(Plan),
    /// The server's word on the dry run.
    DryRun(OpId, Result<(), Trouble>),
    /// The dialog's first frame was flushed.
    Shown,
    /// A character was typed into the dialog.
    Type(char),
    /// The last character was taken back.
    Erase,
    /// The other button.
    Switch,
    /// The next choice of "take back unless confirmed".
    TurnConfirmation,
    /// Enter.
    Confirm,
    /// Esc, or Enter on Cancel; also resize, suspend, loss of the terminal.
    Cancel,
    /// The write's answer.
    Applied(OpId, Result<(), ApplyError>),
    /// The routes, read after the acknowledgement.
    Observed(OpId, Vec<Route>),
    /// Time passed.
    Tick,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Ask the server what it would say to this plan.
    DryRun(Plan),
    /// Send it.
    Apply(Plan),
    /// Read the routes again.
    Observe(OpId),
    /// Wake the machine up at this time.
    WakeAt(Mono),
}

impl Shift {
    /// The plan in it, if any.
    pub const fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Idle => None,
            Self::Proposed { plan, .. }
            | Self::Armed { plan, .. }
            | Self::Applying { plan, .. }
            | Self::Verifying { plan, .. }
            | Self::Unknown { plan, .. }
            | Self::Done { plan, .. }
            | Self::Failed { plan, .. } => Some(plan),
        }
    }

    /// The write beneath a dialog; any other state itself.
    pub fn beneath(&self) -> &Self {
        match self {
            Self::Armed { behind, .. } => behind,
            state => state,
        }
    }

    /// Whether a write is on its way or not yet seen.
    pub fn in_flight(&self) -> bool {
        matches!(self.beneath(), Self::Applying { .. } | Self::Verifying { .. })
    }

    /// Whether a dialog is on the screen.
    pub const fn has_dialog(&self) -> bool {
        matches!(self, Self::Proposed { .. } | Self::Armed { .. })
    }

    /// The next state, and what is to be done. Events that mean nothing in a state leave it as it is.
    #[must_use]
    pub fn step(self, event: Event, guards: &Guards, now: Mono) -> (Self, Vec<Act>) {
        match (self, event) {
            (state, Event::Propose(plan)) => dialog::propose(state, plan, guards, now),
            (Self::Proposed { plan, early, .. }, Event::DryRun(op, answer)) if op == plan.op => {
                match answer {
                    Ok(()) => dialog::arm(plan, early, Self::Idle, now),
                    Err(trouble) => (Self::Failed { plan, trouble }, vec![]),
                }
            }
            (Self::Proposed { plan, deadline, .. }, Event::Tick) if now >= deadline => {
                let trouble = Trouble::new(Kind::Timeout, "dry run", "the API server gave no answer in time")
                    .remedy("nothing was written; try again when the cluster pane is fresh");
                (Self::Failed { plan, trouble }, vec![])
            }
            (Self::Proposed { .. }, Event::Cancel) => (Self::Idle, vec![]),
            (Self::Proposed { plan, deadline, .. }, Event::Type(_) | Event::Confirm) => {
                (Self::Proposed { plan, deadline, early: true }, vec![])
            }
            (state @ Self::Armed { .. }, event) => dialog::step(state, event, guards, now),
            (Self::Applying { plan, .. }, Event::Applied(op, answer)) if op == plan.op => {
                outcome::applied(plan, answer, now)
            }
            (Self::Applying { plan, deadline }, Event::Tick) if now >= deadline => {
                let why = Trouble::new(Kind::Timeout, "write", "the API server gave no answer in time");
                let op = plan.op;
                (Self::Unknown { plan, why: Lost::Answer(why), since: now }, vec![Act::Observe(op)])
            }
            (state @ (Self::Verifying { .. } | Self::Unknown { .. }), Event::Observed(op, routes)) => {
                outcome::observed(state, op, &routes, now)
            }
            (Self::Verifying { plan, deadline, .. }, Event::Tick) if now >= deadline => {
                (Self::Unknown { plan, why: Lost::NotObserved, since: now }, vec![])
            }
            (Self::Done { .. } | Self::Failed { .. }, Event::Cancel) => (Self::Idle, vec![]),
            (state, _) => (state, vec![]),
        }
    }
}

#[cfg(test)]
mod tests;
