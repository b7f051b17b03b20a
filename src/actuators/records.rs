//! What is written down beside the write: journal lines, Events, the hold, the lease.

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::cockpit::Msg;
use crate::cockpit::msg::{Answer, Hold, Lease};
use crate::domain::{Kind, Trouble};
use crate::shift::machine::ApplyError;
use crate::shift::{OpId, Plan};

use super::apply::{Actuators, why};
use super::event;
use super::journal::{Entry, Outcome, Record, replay};
use super::lease::RENEWAL;

impl Actuators {
    /// Appends one line to the journal, off the async threads: it waits for the disk.
    pub(super) async fn record(&self, entry: Entry) -> Result<Record, Trouble> {
        let (journal, at) = (self.journal.clone(), (self.wall)());
        let object = journal.path().display().to_string();
        let appended = tokio::task::spawn_blocking(move || journal.append(entry, at)).await;
        match appended {
            Ok(Ok(record)) => Ok(record),
            Ok(Err(error)) => Err(Trouble::new(Kind::Refused, object, error.to_string())),
            Err(error) => Err(Trouble::new(Kind::Unexpected, object, error.to_string())),
        }
    }

    /// The journal's line after the answer. When it cannot be written the operation is found unfinished at the
    /// next start, which is the truth.
    pub(super) async fn record_answer(&self, plan: &Plan, outcome: &Result<Vec<String>, ApplyError>) {
        let (kind, detail, versions) = match outcome {
            Ok(versions) => (Outcome::Applied, String::new(), versions.clone()),
            Err(error) => {
                let kind = match error {
                    ApplyError::Refused(_) => Outcome::Refused,
                    ApplyError::Conflict(..) => Outcome::Conflict,
                    ApplyError::Lost(_) => Outcome::Lost,
                    ApplyError::Partial(..) => Outcome::Partial,
                };
                (kind, why(error).to_string(), vec![])
            }
        };
        let entry = Entry::Answer { op: plan.op.0, outcome: kind, detail, versions };
        if let Err(trouble) = self.record(entry).await {
            tracing::error!("the outcome of {} was not journalled: {trouble}", plan.op);
        }
    }

    /// How an operation ended: a line in the journal, an Event on each object.
    pub(super) async fn conclude(&self, plan: &Plan, text: &str) -> Option<Answer> {
        let entry = Entry::Concluded { op: plan.op.0, detail: text.to_owned() };
        let recorded = self.record(entry).await;
        let message =
            format!("{}: {text} (op {}, by {})", self.actor.name(), plan.op.0, self.actor.identity());
        let mut trouble = recorded.err();
        for patch in &plan.patches {
            let (client, now) = (self.client.clone(), (self.wall)());
            let failed = text.contains("failed");
            let told = event::tell(client, &patch.object, "TrafficShift", &message, failed, now).await;
            trouble = trouble.or(told.err());
        }
        trouble.map(|trouble| Answer::Said(Err(trouble)))
    }

    /// Journals that a move stays.
    pub async fn confirm(&self, op: OpId) -> Result<(), Trouble> {
        self.record(Entry::Confirmed { op: op.0, actor: self.actor.clone() }).await.map(drop)
    }

    /// Sets the hold, or takes it off.
    pub async fn hold(&self, on: bool) -> Result<Option<Hold>, Trouble> {
        self.record(Entry::Hold { actor: self.actor.clone(), on }).await?;
        self.keeper.hold(on, &self.actor.name(), (self.wall)()).await
    }

    /// Takes the lease from its holder.
    pub(super) async fn take_lease(&self) -> Lease {
        let now = (self.wall)();
        let from = match self.keeper.look(now).await {
            Ok(seen) => match seen.lease {
                Lease::Other(who, _) => who,
                _ => String::new(),
            },
            Err(trouble) => return Lease::Failed(trouble),
        };
        if let Err(trouble) = self.record(Entry::TakeOver { actor: self.actor.clone(), from }).await {
            return Lease::Failed(trouble);
        }
        self.keeper.acquire(now, true).await.map_or_else(Lease::Failed, |seen| seen.lease)
    }

    /// One look at the lease; takes or renews it when `armed`.
    pub async fn lease(&self, armed: bool) -> (Lease, Option<Option<Hold>>) {
        let now: Timestamp = (self.wall)();
        let seen = if armed { self.keeper.acquire(now, false).await } else { self.keeper.look(now).await };
        match seen {
            Ok(seen) => (seen.lease, Some(seen.hold)),
            Err(trouble) => (Lease::Failed(trouble), None),
        }
    }

    /// Keeps the lease and tells the cockpit what it sees, until the cockpit is gone.
    pub async fn keep_lease(self, armed: bool, to: mpsc::Sender<Msg>) {
        let mut ticks = tokio::time::interval(RENEWAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (lease, hold) = self.lease(armed).await;
            let hold = hold.map(|h| Answer::Hold(Ok(h)));
            let deadline = self.deadline().await;
            for answer in std::iter::once(Answer::Lease(lease)).chain(hold).chain(deadline) {
                if to.send(Msg::Answer(answer)).await.is_err() {
                    return;
                }
            }
        }
    }

    /// What the journal says by now; nothing where it cannot be read, which was said at the start.
    async fn deadline(&self) -> Option<Answer> {
        let journal = self.journal.clone();
        let state = tokio::task::spawn_blocking(move || replay(&journal)).await.ok()?.ok()?;
        Some(Answer::Deadline(state.pending, state.next_op))
    }

    /// Gives the lease back; for the end of the program.
    pub async fn release(&self) {
        if let Err(trouble) = self.keeper.release((self.wall)()).await {
            tracing::warn!("{trouble}");
        }
    }

    /// Adds the name that the API server knows the operator by.
    pub fn known_as(&mut self, name: Option<String>) {
        self.actor.kubernetes = name;
    }
}
