//! The cockpit in the states of a move: before the write, on its way, and after it.

use cutover::cockpit::Model;
use cutover::cockpit::msg::Pending;
use cutover::domain::traffic::PathGroup;
use cutover::domain::{Fact, Kind, Now, SourceId, Split, Trouble};
use cutover::shift::machine::{ARM_EXPIRY, Focus, Lost};
use cutover::shift::{Intent, OpId, Shift};

use super::fixtures::{NOW, happy, now, read, split};
use super::readings::route;
use super::troubles::troubled;

/// A shift to 50 % that waits for the operator, with this typed.
pub(crate) fn armed(typed: &str) -> Model {
    let mut m = happy();
    m.findings.clear();
    let plan = m.plan(Intent::Shift, split(50));
    let focus = if typed == "50" { Focus::Go } else { Focus::Cancel };
    m.shift = Shift::Armed {
        plan,
        typed: typed.into(),
        focus,
        shown: Some(Now::at(NOW - 2).mono),
        expires: Now::at(NOW - 2).mono.after(ARM_EXPIRY),
        early: false,
        behind: Box::default(),
    };
    m
}

/// A rollback that waits for Enter.
pub(crate) fn taking_back() -> Model {
    let mut m = happy();
    let plan = m.plan(Intent::Rollback, Split::V2);
    m.shift = Shift::Armed {
        plan,
        typed: String::new(),
        focus: Focus::Go,
        shown: None,
        expires: now().mono.after(ARM_EXPIRY),
        early: false,
        behind: Box::default(),
    };
    m
}

/// A rollback to where the routes seem to stand, while nobody knows what came of the write before.
pub(crate) fn taking_back_again() -> Model {
    let mut m = taking_back();
    read(&mut m, SourceId::Traffic, Fact::Traffic(vec![route("langfuse-canary", PathGroup::All, 0)]), 1);
    let again = m.plan(Intent::Rollback, Split::V2);
    if let Shift::Armed { plan, .. } = &mut m.shift {
        *plan = again;
    }
    m
}

/// A plan that the API server is asked about.
pub(crate) fn proposed() -> Model {
    let mut m = troubled();
    m.screen.notice = None;
    let plan = m.plan(Intent::Shift, split(50));
    m.shift = Shift::Proposed { plan, deadline: Now::at(NOW + 9).mono, early: false };
    m
}

/// A write whose answer was lost.
pub(crate) fn unknown() -> Model {
    let mut m = happy();
    let plan = m.plan(Intent::Shift, split(50));
    let why =
        Lost::Answer(Trouble::new(Kind::Timeout, "Ingress langfuse/langfuse-canary", "no answer in 10 s"));
    m.shift = Shift::Unknown { plan, why, since: Now::at(NOW - 4).mono };
    m
}

/// A write that somebody else beat.
pub(crate) fn conflict() -> Model {
    let mut m = happy();
    let plan = m.plan(Intent::Shift, split(50));
    let trouble = Trouble::new(
        Kind::Conflict,
        "Ingress langfuse/langfuse-canary",
        "the object was changed since it was read (409)",
    )
    .remedy("argocd-controller wrote it last; look at the route, then decide");
    m.shift = Shift::Failed { plan, trouble };
    m
}

/// A write that is in the cluster.
pub(crate) fn done() -> Model {
    let mut m = happy();
    let plan = m.plan(Intent::Shift, split(20));
    m.shift = Shift::Done { plan, at: Now::at(NOW - 7).mono };
    m
}

/// A write on its way.
pub(crate) fn applying() -> Model {
    let mut m = happy();
    let plan = m.plan(Intent::Shift, split(50));
    m.shift = Shift::Applying { plan, deadline: Now::at(NOW + 7).mono };
    m
}

/// A move that is taken back unless somebody confirms it.
pub(crate) fn unconfirmed() -> Model {
    let mut m = happy();
    m.pending = Some(Pending { op: OpId(3), back_to: split(5), at: Now::at(NOW + 200).wall });
    m
}

/// A shift that would be taken back by itself.
pub(crate) fn armed_with_confirmation() -> Model {
    let mut m = armed("5");
    if let Shift::Armed { plan, .. } = &mut m.shift {
        *plan = plan.clone().turn_confirmation();
    }
    m
}
