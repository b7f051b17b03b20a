//! Answers of the actuators.

use std::time::Duration;

use crate::domain::Now;
use crate::domain::traffic::Route;
use crate::domain::{Fact, SourceId, Trouble};
use crate::shift::machine::{Lost, SETTLE};
use crate::shift::{Event, OpId, Shift};

use super::super::effect::Effect;
use super::super::model::Model;
use super::super::msg::{Answer, Hold, JournalState, Lease, Level, Pending};
use super::{moves, notice, remedy};

/// Takes in one answer.
pub fn take(model: &mut Model, answer: Answer, now: Now) -> Vec<Effect> {
    match answer {
        Answer::DryRun(op, outcome) => moves::step(model, Event::DryRun(op, outcome), now),
        Answer::Applied(op, outcome) => moves::step(model, Event::Applied(op, outcome), now),
        Answer::Observed(op, Ok(routes)) => observed(model, op, routes, now),
        Answer::Observed(_, Err(trouble)) => {
            model.facts.take(SourceId::Traffic, Err(trouble.clone()), now.mono);
            notice(model, Level::Warn, trouble.to_string(), now)
        }
        Answer::Lease(lease) => took_lease(model, lease, now),
        Answer::Hold(outcome) => held(model, outcome, now),
        Answer::Journal(state) => journal(model, state, now),
        Answer::Deadline(pending, next_op) => deadline(model, pending, next_op, now),
        Answer::Confirmed(op, Ok(())) => {
            model.pending = model.pending.filter(|p| p.op != op);
            notice(model, Level::Info, format!("{op} is confirmed and stays"), now)
        }
        Answer::Confirmed(_, Err(trouble)) => notice(model, Level::Error, trouble.to_string(), now),
        Answer::Remedy(remedy, told) => remedy::told(model, remedy, told, now),
        Answer::Said(Ok(text)) => notice(model, Level::Info, text, now),
        Answer::Said(Err(trouble)) => notice(model, Level::Error, trouble.to_string(), now),
    }
}

/// Routes read for an operation are as good as the source's own, when they are all: a plan leaves out routes that
/// stand where it wants them, and a rollback must not lose sight of those.
fn observed(model: &mut Model, op: OpId, routes: Vec<Route>, now: Now) -> Vec<Effect> {
    if model.routes().iter().all(|known| routes.iter().any(|r| r.object == known.object)) {
        model.facts.take(SourceId::Traffic, Ok(Fact::Traffic(routes.clone())), now.mono);
    }
    moves::step(model, Event::Observed(op, routes), now)
}

fn took_lease(model: &mut Model, lease: Lease, now: Now) -> Vec<Effect> {
    if model.lease == lease {
        return vec![];
    }
    let (level, text) = match &lease {
        Lease::Ours => (Level::Info, "the right to write is ours".to_owned()),
        Lease::Other(who, _) => (Level::Warn, format!("{who} holds the right to write: looking only")),
        Lease::Failed(trouble) => (Level::Warn, trouble.to_string()),
        Lease::None => (Level::Info, "the right to write was given back".to_owned()),
    };
    model.lease = lease;
    notice(model, level, text, now)
}

fn held(model: &mut Model, outcome: Result<Option<Hold>, Trouble>, now: Now) -> Vec<Effect> {
    match outcome {
        Ok(hold) if hold == model.hold => vec![],
        Ok(hold) => {
            let text = match &hold {
                Some(hold) => format!("traffic is held by {}", hold.by),
                None => "the hold is off".to_owned(),
            };
            model.hold = hold;
            notice(model, Level::Info, text, now)
        }
        Err(trouble) => notice(model, Level::Error, trouble.to_string(), now),
    }
}

/// Another shell may have confirmed a move, or made one. While a write of our own is in flight we know more; and a
/// deadline that has just run out is over when the routes are back, not when the watchdog journals that it begins.
fn deadline(model: &mut Model, pending: Option<Pending>, next_op: u64, now: Now) -> Vec<Effect> {
    model.next_op = model.next_op.max(next_op);
    let just_over = |p: &Pending| {
        let over = Duration::try_from(now.wall.duration_since(p.at));
        over.is_ok_and(|over| over < SETTLE)
    };
    if !model.shift.in_flight() && !model.pending.as_ref().is_some_and(just_over) {
        model.pending = pending;
    }
    vec![]
}

/// A half-finished operation found at the start is `Unknown`: only observe, or roll back.
fn journal(model: &mut Model, state: JournalState, now: Now) -> Vec<Effect> {
    model.next_op = model.next_op.max(state.next_op);
    if let Some(safe) = state.last_safe {
        model.last_safe = safe;
    }
    model.last_shift = state.last_shift.clone();
    model.pending = state.pending;
    let unfinished = state.unfinished.clone();
    model.journal = state;
    let Some(plan) = unfinished else { return vec![] };
    let text =
        format!("{} to {} has no outcome in the journal: look at the routes, or roll back", plan.op, plan.to);
    model.intended = Some(plan.to);
    model.shift = Shift::Unknown { plan: *plan, why: Lost::Interrupted, since: now.mono };
    notice(model, Level::Error, text, now)
}
