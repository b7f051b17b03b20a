//! After the write: its answer, and what the object says.

use crate::domain::traffic::Route;
use crate::domain::{Kind, Mono, Trouble};
use crate::shift::plan::{OpId, Plan};

use super::{Act, ApplyError, Lost, SETTLE, Shift, VERIFY_DEADLINE};

pub(super) fn applied(plan: Plan, answer: Result<(), ApplyError>, now: Mono) -> (Shift, Vec<Act>) {
    let op = plan.op;
    match answer {
        Ok(()) => {
            let deadline = now.after(VERIFY_DEADLINE);
            let acts = vec![Act::Observe(op), Act::WakeAt(deadline)];
            (Shift::Verifying { plan, acknowledged: now, deadline }, acts)
        }
        Err(ApplyError::Refused(trouble)) => (Shift::Failed { plan, trouble }, vec![]),
        Err(ApplyError::Conflict(trouble, owner)) => {
            let trouble = match owner {
                Some(o) => Trouble {
                    remedy: format!("{} wrote it last; look at the route, then decide", o.manager),
                    ..trouble
                },
                None => trouble,
            };
            (Shift::Failed { plan, trouble }, vec![Act::Observe(op)])
        }
        Err(ApplyError::Lost(trouble)) => {
            (Shift::Unknown { plan, why: Lost::Answer(trouble), since: now }, vec![Act::Observe(op)])
        }
        Err(ApplyError::Partial(done, trouble)) => {
            (Shift::Unknown { plan, why: Lost::Partial(done, trouble), since: now }, vec![Act::Observe(op)])
        }
    }
}

/// Believes only routes that were read for this operation, after its acknowledgement.
pub(super) fn observed(state: Shift, op: OpId, routes: &[Route], now: Mono) -> (Shift, Vec<Act>) {
    match state {
        Shift::Verifying { plan, .. } | Shift::Unknown { plan, .. }
            if plan.op == op && arrived(&plan, routes) =>
        {
            (Shift::Done { plan, at: now }, vec![])
        }
        Shift::Verifying { plan, acknowledged, deadline } if plan.op == op => match undone(&plan, routes) {
            Some(trouble) => (Shift::Failed { plan, trouble }, vec![]),
            None => (Shift::Verifying { plan, acknowledged, deadline }, vec![]),
        },
        Shift::Unknown { plan, since, .. } if plan.op == op && now.since(since) >= SETTLE => {
            let at =
                routes.iter().map(|r| r.stored.split()).max().map_or_else(|| "-".into(), |s| s.to_string());
            let trouble = Trouble::new(
                Kind::Timeout,
                plan.op.to_string(),
                format!("it did not take effect; the routes stand at {at}"),
            );
            (Shift::Failed { plan, trouble }, vec![])
        }
        state => (state, vec![]),
    }
}

fn arrived(plan: &Plan, routes: &[Route]) -> bool {
    !plan.patches.is_empty()
        && plan.patches.iter().all(|p| routes.iter().any(|r| r.object == p.object && r.stored == p.to))
}

/// A route that stands at another weight than the one just acknowledged was written by somebody else.
fn undone(plan: &Plan, routes: &[Route]) -> Option<Trouble> {
    let route =
        plan.patches.iter().find_map(|p| routes.iter().find(|r| r.object == p.object && r.stored != p.to))?;
    let writer = route.owner.as_ref().map_or("an unknown writer", |o| o.manager.as_str());
    let detail = format!(
        "it stood at {:.1} % right after our write was acknowledged; {writer} wrote it",
        route.stored.percent()
    );
    Some(
        Trouble::new(Kind::Conflict, route.object.to_string(), detail)
            .remedy("stop that writer (GitOps?) before shifting again"),
    )
}
