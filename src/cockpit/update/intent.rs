//! What an operator can want of the traffic: whether it is possible now, and the plan it opens.

use std::time::Duration;

use crate::domain::{Now, Split};
use crate::shift::{Event, Intent, Plan, Shift};

use super::super::effect::Effect;
use super::super::guards::guards;
use super::super::model::Model;
use super::super::msg::{Lease, Level};
use super::super::screen::Overlay;
use super::{moves, notice};

fn writable(model: &Model) -> Result<(), String> {
    if !model.setup.armed {
        return Err("read-only: start with --arm".into());
    }
    Ok(())
}

/// A forward move needs every guard; which ones fail is shown with the reason.
fn can_move(model: &Model, now: Now, to: Split) -> Result<(), String> {
    writable(model)?;
    if model.shift.in_flight() {
        return Err("a write is in flight".into());
    }
    if matches!(model.shift, Shift::Unknown { .. }) {
        return Err("the last write's outcome is not known: observe, or roll back".into());
    }
    match guards(model, now, to).blocker() {
        Some(check) => Err(format!("{}: {}", check.label, check.evidence)),
        None => Ok(()),
    }
}

fn next(model: &Model) -> Result<Split, String> {
    let split = model.split().ok_or("no route was read yet")?;
    model.setup.ladder.next(split).ok_or_else(|| "v3 has everything".into())
}

fn previous(model: &Model) -> Result<Split, String> {
    let split = model.split().ok_or("no route was read yet")?;
    model.setup.ladder.previous(split).ok_or_else(|| "v2 has everything".into())
}

/// Whether the next step can be planned.
pub fn can_step_up(model: &Model, now: Now) -> Result<(), String> {
    can_move(model, now, next(model)?)
}

/// Whether the step before can be planned.
pub fn can_step_down(model: &Model, now: Now) -> Result<(), String> {
    can_move(model, now, previous(model)?)
}

/// Whether any split can be planned.
pub fn can_shift(model: &Model, now: Now) -> Result<(), String> {
    can_move(model, now, model.split().ok_or("no route was read yet")?)
}

/// Plans the next step.
pub fn step_up(model: &mut Model, now: Now) -> Vec<Effect> {
    next(model).map_or_else(|_| vec![], |to| propose(model, Intent::Shift, to, now))
}

/// Plans the step before.
pub fn step_down(model: &mut Model, now: Now) -> Vec<Effect> {
    previous(model).map_or_else(|_| vec![], |to| propose(model, Intent::Shift, to, now))
}

/// Asks for a number.
pub fn open_set_split(model: &mut Model, _: Now) -> Vec<Effect> {
    model.screen.overlay = Some(Overlay::SetSplit { typed: String::new() });
    vec![]
}

/// Plans a move to the typed split; guards that depend on the target are asked here.
pub fn shift_to(model: &mut Model, to: Split, confirm_within: Option<Duration>, now: Now) -> Vec<Effect> {
    match can_move(model, now, to) {
        Ok(()) => {
            let plan = Plan { confirm_within, ..model.plan(Intent::Shift, to) };
            open(model, plan, now)
        }
        Err(why) => notice(model, Level::Warn, format!("cannot shift to {to}: {why}"), now),
    }
}

/// A rollback needs only a route and the right to write: not fresh data, not a free machine.
pub fn can_roll_back(model: &Model, _: Now) -> Result<(), String> {
    writable(model)?;
    if model.routes().is_empty() {
        return Err("no route was read yet".into());
    }
    if let Lease::Other(who, _) = &model.lease {
        return Err(format!("{who} holds the right to write; T takes it over by name"));
    }
    Ok(())
}

/// To the last safe split; when traffic is there or below, to v2.
pub fn roll_back(model: &mut Model, now: Now) -> Vec<Effect> {
    let to = match model.split() {
        Some(split) if split > model.last_safe => model.last_safe,
        _ => Split::V2,
    };
    propose(model, Intent::Rollback, to, now)
}

/// All the way.
pub fn roll_back_all(model: &mut Model, now: Now) -> Vec<Effect> {
    propose(model, Intent::Rollback, Split::V2, now)
}

fn propose(model: &mut Model, intent: Intent, to: Split, now: Now) -> Vec<Effect> {
    let plan = model.plan(intent, to);
    open(model, plan, now)
}

fn open(model: &mut Model, plan: Plan, now: Now) -> Vec<Effect> {
    model.screen.overlay = None;
    let to = plan.to;
    if plan.patches.is_empty() {
        return notice(model, Level::Info, format!("every route is at {to} already"), now);
    }
    moves::step(model, Event::Propose(plan), now)
}

/// Whether a move waits for its confirmation.
pub fn can_confirm(model: &Model, _: Now) -> Result<(), String> {
    writable(model)?;
    model.pending.map(drop).ok_or_else(|| "no move waits for a confirmation".into())
}

/// Lets it stay.
pub fn confirm(model: &mut Model, _: Now) -> Vec<Effect> {
    model.pending.map(|p| Effect::Confirm(p.op)).into_iter().collect()
}

/// Hold works while the right to write is ours.
pub fn can_hold(model: &Model, _: Now) -> Result<(), String> {
    writable(model)?;
    match &model.lease {
        Lease::Other(who, _) => Err(format!("{who} holds the right to write")),
        _ => Ok(()),
    }
}

/// Asks for Enter.
pub fn open_hold(model: &mut Model, _: Now) -> Vec<Effect> {
    model.screen.overlay =
        Some(Overlay::Hold { on: model.hold.is_none(), go: true, shown: None, early: false });
    vec![]
}

/// Whether there is an outcome to put away.
pub fn can_dismiss(model: &Model, _: Now) -> Result<(), String> {
    match model.shift {
        Shift::Done { .. } | Shift::Failed { .. } => Ok(()),
        _ => Err("no outcome is shown".into()),
    }
}

/// Puts it away.
pub fn dismiss(model: &mut Model, now: Now) -> Vec<Effect> {
    moves::step(model, Event::Cancel, now)
}

/// Whether somebody else holds the lease.
pub fn can_take_lease(model: &Model, _: Now) -> Result<(), String> {
    writable(model)?;
    match &model.lease {
        Lease::Other(..) | Lease::Failed(_) => Ok(()),
        Lease::Ours => Err("it is ours".into()),
        Lease::None => Err("it was not asked for yet".into()),
    }
}

/// Asks for the holder's name.
pub fn open_take_lease(model: &mut Model, _: Now) -> Vec<Effect> {
    model.screen.overlay = Some(Overlay::TakeLease { typed: String::new() });
    vec![]
}
