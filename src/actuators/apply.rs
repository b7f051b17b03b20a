//! The write itself, with the journal before and after it.
//!
//! One rule: a forward move that cannot be journalled is not sent; a rollback is sent whatever happens to the
//! journal, and is tried again while its deadline lasts, for its target is absolute.

use std::time::Duration;

use jiff::Timestamp;
use kube::Client;

use crate::cockpit::Effect;
use crate::cockpit::msg::{Answer, Lease};
use crate::domain::traffic::{ObjectRef, Route, RouterKind};
use crate::domain::{Kind, Trouble};
use crate::routers;
use crate::shift::machine::{APPLY_DEADLINE, ApplyError, VERIFY_DEADLINE};
use crate::shift::{Intent, OpId, Patch, Plan};

use super::Actor;
use super::journal::{Entry, Journal};
use super::lease::Keeper;

/// Between two tries at an API server that does not answer.
const PAUSE: Duration = Duration::from_millis(500);
/// The write answers before the machine gives it up.
const MARGIN: Duration = Duration::from_millis(500);

/// Everything that a write needs.
#[derive(Clone)]
pub struct Actuators {
    pub(super) client: Client,
    pub(super) keeper: Keeper,
    pub(super) journal: Journal,
    pub(super) actor: Actor,
    pub(super) wall: fn() -> Timestamp,
    pub(super) watchdog: Vec<String>,
}

impl Actuators {
    /// Actuators that act as `actor` in `namespace`; `wall` reads the wall clock.
    pub fn new(
        client: Client,
        namespace: &str,
        journal: Journal,
        actor: Actor,
        wall: fn() -> Timestamp,
    ) -> Self {
        let keeper = Keeper::new(client.clone(), namespace, actor.identity());
        Self { client, keeper, journal, actor, wall, watchdog: Vec::new() }
    }

    /// Carries out one effect. `evidence` is what the operator saw, for the journal.
    pub async fn perform(self, effect: Effect, evidence: Vec<String>) -> Option<Answer> {
        match effect {
            Effect::DryRun(plan) => Some(Answer::DryRun(plan.op, self.dry_run(&plan).await)),
            Effect::Apply(plan) => Some(Answer::Applied(plan.op, self.apply(&plan, evidence).await)),
            Effect::Observe(op, objects) => Some(Answer::Observed(op, self.observe(op, &objects).await)),
            Effect::Conclude(plan, text) => self.conclude(&plan, &text).await,
            Effect::Confirm(op) => Some(Answer::Confirmed(op, self.confirm(op).await)),
            Effect::Hold(on) => Some(Answer::Hold(self.hold(on).await)),
            Effect::TakeLease => Some(Answer::Lease(self.take_lease().await)),
            _ => None,
        }
    }

    /// Asks the server about every patch of the plan; the first refusal is the answer.
    pub async fn dry_run(&self, plan: &Plan) -> Result<(), Trouble> {
        for patch in &plan.patches {
            routers::of(patch.router).dry_run(&self.client, patch).await?;
        }
        Ok(())
    }

    /// Sends the plan. Errors say whether something may have been written.
    pub async fn apply(&self, plan: &Plan, evidence: Vec<String>) -> Result<(), ApplyError> {
        let forward = plan.intent == Intent::Shift;
        if forward {
            self.still_ours().await.map_err(ApplyError::Refused)?;
        }
        let journalled = self.record(Entry::intent(plan, &self.actor, evidence, (self.wall)())).await;
        match journalled {
            Err(trouble) if forward => return Err(ApplyError::Refused(trouble)),
            Err(trouble) => tracing::error!("the rollback goes ahead without its journal line: {trouble}"),
            Ok(_) => {}
        }
        let watched = if plan.confirm_within.is_some() { self.watch(plan) } else { Ok(()) };
        // Without its watchdog nothing is sent, and the journal says so: an intent alone would have a deadline.
        let outcome = match watched {
            Ok(()) => self.send_in_time(plan).await,
            Err(trouble) => Err(ApplyError::Refused(trouble)),
        };
        self.record_answer(plan, &outcome).await;
        outcome.map(drop)
    }

    async fn send_in_time(&self, plan: &Plan) -> Result<Vec<String>, ApplyError> {
        let sent = tokio::time::timeout(APPLY_DEADLINE.saturating_sub(MARGIN), self.send(plan)).await;
        let Ok(sent) = sent else {
            let detail = "no answer from the API server within the deadline";
            return Err(ApplyError::Lost(Trouble::new(Kind::Timeout, plan.op.to_string(), detail)));
        };
        sent
    }

    /// One patch after the other; gives the new resourceVersions.
    async fn send(&self, plan: &Plan) -> Result<Vec<String>, ApplyError> {
        let mut versions = Vec::new();
        for (i, patch) in plan.patches.iter().enumerate() {
            match self.send_one(patch, plan.intent).await {
                Ok(version) => versions.push(version),
                Err(error) if i == 0 => return Err(error),
                Err(error) => {
                    let done = plan.patches[..i].iter().map(|p| p.object.clone()).collect();
                    return Err(ApplyError::Partial(done, why(&error)));
                }
            }
        }
        Ok(versions)
    }

    /// One patch; of a rollback again and again while the answer may be another one.
    async fn send_one(&self, patch: &Patch, intent: Intent) -> Result<String, ApplyError> {
        let router = routers::of(patch.router);
        let mut lost = false;
        loop {
            match router.apply(&self.client, patch).await {
                Err(error) if intent == Intent::Rollback && may_pass(&error) => {
                    tracing::warn!("{}: {}; once more", patch.object, why(&error));
                    lost |= matches!(error, ApplyError::Lost(_));
                    tokio::time::sleep(wait(&error)).await;
                }
                // A refusal is about this try alone: one before it, whose answer was lost, may have been carried out.
                Err(error) if lost => return Err(ApplyError::Lost(why(&error))),
                answer => return answer,
            }
        }
    }

    /// Renews the lease right before a forward write: whoever lost it must not write.
    async fn still_ours(&self) -> Result<(), Trouble> {
        match self.keeper.acquire((self.wall)(), false).await?.lease {
            Lease::Ours => Ok(()),
            Lease::Other(who, _) => {
                Err(Trouble::new(Kind::Refused, "Lease", format!("{who} holds the right to write")))
            }
            _ => Err(Trouble::new(Kind::Refused, "Lease", "the right to write could not be had")),
        }
    }

    /// Reads the objects until all of them answer, or the time to see a write is over.
    pub async fn observe(
        &self,
        op: OpId,
        objects: &[(ObjectRef, RouterKind)],
    ) -> Result<Vec<Route>, Trouble> {
        let all = async {
            loop {
                match self.read(objects).await {
                    Ok(routes) => return routes,
                    Err(trouble) => tracing::debug!("{trouble}"),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let late =
            || Trouble::new(Kind::Timeout, op.to_string(), "the routes could not be read after the write");
        tokio::time::timeout(VERIFY_DEADLINE, all).await.map_err(|_| late())
    }

    async fn read(&self, objects: &[(ObjectRef, RouterKind)]) -> Result<Vec<Route>, Trouble> {
        let mut routes = Vec::with_capacity(objects.len());
        for (object, router) in objects {
            routes.push(routers::of(*router).read(&self.client, object).await?);
        }
        Ok(routes)
    }
}

/// Whether a rollback should simply be sent again.
const fn may_pass(error: &ApplyError) -> bool {
    match error {
        ApplyError::Lost(_) => true,
        ApplyError::Refused(trouble) => {
            matches!(trouble.kind, Kind::Throttled(_) | Kind::Unreachable | Kind::Timeout)
        }
        ApplyError::Conflict(..) | ApplyError::Partial(..) => false,
    }
}

pub(super) fn why(error: &ApplyError) -> Trouble {
    match error {
        ApplyError::Refused(t)
        | ApplyError::Lost(t)
        | ApplyError::Conflict(t, _)
        | ApplyError::Partial(_, t) => t.clone(),
    }
}

fn wait(error: &ApplyError) -> Duration {
    match why(error).kind {
        Kind::Throttled(Some(wait)) => wait,
        _ => PAUSE,
    }
}
