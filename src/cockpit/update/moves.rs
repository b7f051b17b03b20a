//! The shift machine inside the model: its events, its acts as effects, and what its outcomes mean here.

use crate::domain::{Now, Split};
use crate::shift::{Act, Event, Intent, Shift};

use super::super::effect::Effect;
use super::super::guards::guards;
use super::super::model::Model;
use super::super::msg::{Level, Pending};
use super::notice;

/// Feeds one event to the machine.
pub fn step(model: &mut Model, event: Event, now: Now) -> Vec<Effect> {
    let to = match &event {
        Event::Propose(plan) => plan.to,
        _ => model.shift.plan().map_or(Split::V2, |p| p.to),
    };
    let guards = guards(model, now, to);
    let before = std::mem::take(&mut model.shift);
    let was = outcome(&before);
    let sent =
        matches!(before.beneath(), Shift::Applying { .. } | Shift::Unknown { .. } | Shift::Failed { .. });
    let (after, acts) = before.step(event, &guards, now.mono);
    model.shift = after;
    let mut effects: Vec<Effect> = acts.into_iter().map(|a| perform(model, a, now)).collect();
    if outcome(&model.shift) != was {
        // What was sent and did not happen is not asked for any longer; where it did happen and somebody undid it,
        // it is.
        if let (true, Shift::Failed { plan, .. }) = (sent, &model.shift) {
            model.intended = Some(plan.from);
        }
        effects.extend(concluded(model, now));
    }
    effects
}

/// Closes a dialog that waits for keys: the operator may not be looking at it any longer.
pub fn disarm(model: &mut Model, now: Now) -> Vec<Effect> {
    if model.shift.has_dialog() { step(model, Event::Cancel, now) } else { vec![] }
}

fn perform(model: &mut Model, act: Act, now: Now) -> Effect {
    match act {
        Act::DryRun(plan) => Effect::DryRun(plan),
        Act::Apply(plan) => {
            model.intended = Some(plan.to);
            model.sent = Some(now.wall);
            Effect::Apply(plan)
        }
        Act::Observe(op) => {
            let patches = model.shift.plan().map_or(&[][..], |p| &p.patches);
            Effect::Observe(op, patches.iter().map(|p| (p.object.clone(), p.router)).collect())
        }
        Act::WakeAt(at) => Effect::WakeAt(at),
    }
}

/// The states that end an operation, by number, so that a change of them can be seen.
fn outcome(shift: &Shift) -> u8 {
    match shift {
        Shift::Done { .. } => 1,
        Shift::Failed { .. } => 2,
        Shift::Unknown { .. } => 3,
        _ => 0,
    }
}

/// What an outcome means for the rest of the model, the journal and the operator.
fn concluded(model: &mut Model, now: Now) -> Vec<Effect> {
    let (level, text, plan) = match &model.shift {
        Shift::Done { plan, .. } => {
            let text = format!("{} {} -> {} done", plan.intent.word(), plan.from, plan.to);
            let plan = plan.clone();
            let (from, to, intent) = (plan.from, plan.to, plan.intent);
            model.last_safe = safe_after(model.last_safe, intent, from, to);
            model.last_shift = Some((text.clone(), now.wall));
            model.intended = Some(to);
            // The watchdog's time has run since the write left, not since it was seen.
            let since = model.sent.unwrap_or(now.wall);
            model.pending = plan.confirm_within.and_then(|within| {
                Some(Pending { op: plan.op, back_to: from, at: since.checked_add(within).ok()? })
            });
            model.history.share.restart(now.mono);
            (Level::Info, text, plan)
        }
        Shift::Failed { plan, trouble } => {
            (Level::Error, format!("{} to {} failed: {trouble}", plan.intent.word(), plan.to), plan.clone())
        }
        Shift::Unknown { plan, why, .. } => {
            let text = format!(
                "{} to {}: not known whether it took effect: {}",
                plan.intent.word(),
                plan.to,
                why.sentence()
            );
            (Level::Error, text, plan.clone())
        }
        _ => return vec![],
    };
    // An unknown outcome stays open in the journal, so that the next start finds it.
    let known = !matches!(model.shift, Shift::Unknown { .. });
    let mut effects = notice(model, level, text.clone(), now);
    effects.extend(known.then_some(Effect::Conclude(plan, text)));
    effects.push(Effect::PollNow(None));
    effects
}

/// A forward move makes the split before it the safe one; a move back can only lower it.
fn safe_after(safe: Split, intent: Intent, from: Split, to: Split) -> Split {
    match intent {
        Intent::Shift if to > from => from,
        _ => safe.min(to),
    }
}
