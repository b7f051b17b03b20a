//! Before the write: the plan is proposed, its dialog armed, and only a seen and answered dialog fires.

use crate::domain::{Kind, Mono, Trouble};
use crate::shift::guard::Guards;
use crate::shift::plan::{Intent, Plan};

use super::{APPLY_DEADLINE, ARM_DELAY, ARM_EXPIRY, Act, Event, Focus, Shift};

/// A forward plan is dry-run first; a rollback is armed at once, whatever the guards say.
pub(super) fn propose(state: Shift, plan: Plan, guards: &Guards, now: Mono) -> (Shift, Vec<Act>) {
    match plan.intent {
        Intent::Rollback => arm(plan, false, open(state), now),
        Intent::Shift if state.in_flight() || matches!(state, Shift::Unknown { .. }) => (state, vec![]),
        Intent::Shift => {
            if guards.blocker().is_some() {
                return (state, vec![]);
            }
            let deadline = now.after(APPLY_DEADLINE);
            let acts = vec![Act::DryRun(plan.clone()), Act::WakeAt(deadline)];
            (Shift::Proposed { plan, deadline, early: false }, acts)
        }
    }
}

/// What a dialog must not forget: a write that is in flight, or whose outcome is not known.
fn open(state: Shift) -> Shift {
    match state {
        Shift::Armed { behind, .. } => *behind,
        Shift::Applying { .. } | Shift::Verifying { .. } | Shift::Unknown { .. } => state,
        _ => Shift::Idle,
    }
}

pub(super) fn arm(plan: Plan, early: bool, behind: Shift, now: Mono) -> (Shift, Vec<Act>) {
    let focus = match plan.intent {
        Intent::Rollback => Focus::Go,
        Intent::Shift => Focus::Cancel,
    };
    let expires = now.after(ARM_EXPIRY);
    let behind = Box::new(behind);
    let armed = Shift::Armed { plan, typed: String::new(), focus, shown: None, expires, early, behind };
    (armed, vec![Act::WakeAt(expires)])
}

pub(super) fn step(state: Shift, event: Event, guards: &Guards, now: Mono) -> (Shift, Vec<Act>) {
    let Shift::Armed { mut plan, mut typed, mut focus, mut shown, expires, mut early, mut behind } = state
    else {
        return (state, vec![]);
    };
    let mut acts = Vec::new();
    let ready = shown.is_some_and(|at| now.since(at) >= ARM_DELAY);
    if is_key(&event) {
        early = !ready;
    }
    match event {
        Event::Cancel => return (*behind, vec![]),
        Event::Tick | Event::Applied(..) | Event::Observed(..) => {
            (*behind, acts) = behind.step(event, guards, now);
            if now >= expires {
                return (*behind, acts);
            }
        }
        Event::Shown if shown.is_none() => shown = Some(now),
        Event::Type(c) if ready && c.is_ascii_digit() && typed.len() < 3 => {
            typed.push(c);
            focus = if typed_target(&plan, &typed) { Focus::Go } else { Focus::Cancel };
        }
        Event::Erase if ready => {
            typed.pop();
            focus = Focus::Cancel;
        }
        Event::TurnConfirmation if ready && !plan.is_back() => plan = plan.turn_confirmation(),
        Event::Switch if ready => {
            focus = match focus {
                Focus::Cancel if plan.intent == Intent::Rollback || typed_target(&plan, &typed) => Focus::Go,
                _ => Focus::Cancel,
            };
        }
        Event::Confirm if ready => match focus {
            Focus::Cancel if typed.is_empty() => return (*behind, vec![]),
            Focus::Cancel => typed.clear(),
            Focus::Go => return fire(plan, guards, now),
        },
        _ => {}
    }
    (Shift::Armed { plan, typed, focus, shown, expires, early, behind }, acts)
}

const fn is_key(event: &Event) -> bool {
    matches!(event, Event::Type(_) | Event::Erase | Event::Switch | Event::TurnConfirmation | Event::Confirm)
}

pub(crate) fn typed_target(plan: &Plan, typed: &str) -> bool {
    typed.parse() == Ok(plan.to.percent())
}

/// Guards are asked once more: what was true when the dialog opened may not be any longer.
fn fire(plan: Plan, guards: &Guards, now: Mono) -> (Shift, Vec<Act>) {
    if plan.intent == Intent::Shift
        && let Some(check) = guards.blocker()
    {
        let trouble = Trouble::new(Kind::Refused, check.label, &check.evidence).remedy("nothing was written");
        return (Shift::Failed { plan, trouble }, vec![]);
    }
    let deadline = now.after(APPLY_DEADLINE);
    let acts = vec![Act::Apply(plan.clone()), Act::WakeAt(deadline)];
    (Shift::Applying { plan, deadline }, acts)
}
