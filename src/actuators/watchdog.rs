//! "Take it back unless I confirm": a process of its own, in a session of its own, so that it outlives the SSH
//! connection that asked for it.
//!
//! One rule: the journal is the only thing the two processes share. A confirmation, or any later operation
//! that was not refused, calls the watchdog off.

use std::process::Stdio;
use std::time::Duration;

use crate::domain::traffic::Route;
use crate::domain::{Kind, Split, Trouble};
use crate::shift::machine::SETTLE;
use crate::shift::{Intent, OpId, Plan};

use super::apply::Actuators;
use super::journal::{JournalError, Standing, replay, standing};

/// How often the journal is looked at while the deadline runs.
const LOOK: Duration = Duration::from_secs(1);
/// Between two tries to take the traffic back.
const AGAIN: Duration = Duration::from_secs(5);
/// Tries until it gives up and says so in the journal.
const TRIES: u32 = 120;

/// How a watchdog ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// It was confirmed, or something else was done since.
    CalledOff,
    /// The traffic was taken back.
    TakenBack,
}

impl Actuators {
    /// The arguments that start this program as a watchdog; `--op N` is added.
    #[must_use]
    pub fn watched_by(mut self, arguments: Vec<String>) -> Self {
        self.watchdog = arguments;
        self
    }

    /// Starts the watchdog of a plan. An error means that nothing was started, and nothing must be sent.
    pub(super) fn watch(&self, plan: &Plan) -> Result<(), Trouble> {
        let object = "the watchdog process";
        let failed = |detail: String| {
            Trouble::new(Kind::Refused, object, detail)
                .remedy("shift without a deadline, or from another host")
        };
        let program = super::program::find().map_err(|e| failed(e.to_string()))?;
        let mut command = std::process::Command::new("setsid");
        command.arg("--fork").arg(program).args(&self.watchdog).args(["--op", &plan.op.0.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(failed(format!("setsid ended with {status}"))),
            Err(error) => Err(failed(format!("setsid (util-linux) could not be started: {error}"))),
        }
    }

    /// Waits for the deadline of `op`, then takes the traffic back unless it was called off.
    pub async fn guard(&self, op: OpId) -> Result<Watched, Trouble> {
        loop {
            match standing(&self.journal, op).map_err(|e| broken(&e))? {
                Standing::CalledOff => return Ok(Watched::CalledOff),
                Standing::Waits(pending) if (self.wall)() >= pending.at => break,
                // Whoever began the later move has had all the time there is to journal its answer.
                Standing::Perhaps(pending) if (self.wall)() >= after(pending.at, SETTLE * 2) => break,
                Standing::Waits(_) | Standing::Perhaps(_) => tokio::time::sleep(LOOK).await,
            }
        }
        self.take_back(op).await
    }

    /// From here on the journal's newer entries are our own, so calling off is over.
    async fn take_back(&self, op: OpId) -> Result<Watched, Trouble> {
        let (Standing::Waits(pending) | Standing::Perhaps(pending)) =
            standing(&self.journal, op).map_err(|e| broken(&e))?
        else {
            return Ok(Watched::CalledOff);
        };
        let next = replay(&self.journal).map_err(|e| broken(&e))?.next_op;
        let Some(sent) = self.sent(op)? else {
            return Ok(Watched::CalledOff);
        };
        let objects: Vec<_> = sent.patches.iter().map(|p| (p.object.clone(), p.router)).collect();
        let mut last = Trouble::new(Kind::Timeout, op.to_string(), "not tried");
        for _ in 0..TRIES {
            let routes = match self.observe(op, &objects).await {
                Ok(routes) => routes,
                Err(trouble) => {
                    last = trouble;
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            let plan = back(OpId(next), &routes, pending.back_to);
            match self.apply(&plan, vec![format!("{op} was not confirmed in time")]).await {
                Ok(()) => {
                    self.conclude(&plan, &format!("taken back: {op} was not confirmed in time")).await;
                    return Ok(Watched::TakenBack);
                }
                Err(error) => last = super::apply::why(&error),
            }
            tokio::time::sleep(AGAIN).await;
        }
        Err(last)
    }

    /// The plan of an operation, from the journal.
    fn sent(&self, op: OpId) -> Result<Option<Plan>, Trouble> {
        let records = self.journal.read().map_err(|e| broken(&e))?;
        Ok(records.iter().rev().find_map(|r| r.entry.plan().filter(|p| p.op == op)))
    }
}

fn after(at: jiff::Timestamp, by: Duration) -> jiff::Timestamp {
    at.checked_add(by).unwrap_or(at)
}

fn broken(error: &JournalError) -> Trouble {
    Trouble::new(Kind::Refused, "journal", error.to_string())
}

/// The plan that takes routes back to `to`. One that somebody has taken further back stays there: a watchdog never
/// gives v3 more than it finds.
fn back(op: OpId, routes: &[Route], to: Split) -> Plan {
    let to = routes.iter().map(|r| r.stored.split()).max().map_or(to, |highest| to.min(highest));
    let above: Vec<Route> = routes.iter().filter(|r| r.stored.split() >= to).cloned().collect();
    Plan::new(op, Intent::Rollback, &above, to, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shift::plan::tests::route;

    #[test]
    fn traffic_that_was_taken_further_back_stays_there() {
        let of = |stored: &[u8]| {
            let routes: Vec<Route> = stored.iter().map(|percent| route(*percent)).collect();
            let plan = back(OpId(8), &routes, Split::new(5).unwrap());
            (plan.to.percent(), plan.patches.len())
        };
        assert_eq!(of(&[25, 25]), (5, 2));
        assert_eq!(of(&[0]), (0, 1), "somebody else took it all back");
        assert_eq!(of(&[0, 25]), (5, 1));
    }
}
