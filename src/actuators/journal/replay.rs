//! What a journal says: whether its chain is whole, and where the last session left the traffic.

use crate::cockpit::msg::{JournalState, Pending};
use crate::domain::Split;
use crate::shift::OpId;

use super::record::{Entry, Outcome, Record};
use super::{Journal, JournalError};

/// The outcome of checking the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// Every line fits the one before it.
    Whole(usize),
    /// The first line that does not, counted from 1, and why.
    Broken(usize, String),
}

/// Checks every hash, link and number.
pub fn verify(records: &[Record]) -> Verified {
    let mut prev = "";
    for (i, record) in records.iter().enumerate() {
        let line = i + 1;
        if record.seq != line as u64 {
            return Verified::Broken(
                line,
                format!("it says it is line {}: a line was removed or added", record.seq),
            );
        }
        if record.prev != prev {
            return Verified::Broken(
                line,
                "it does not name the line before it: a line was removed or changed".into(),
            );
        }
        if record.hash != record.digest() {
            return Verified::Broken(line, "its content does not fit its hash: it was changed".into());
        }
        prev = &record.hash;
    }
    Verified::Whole(records.len())
}

/// The state a session starts from.
pub fn replay(journal: &Journal) -> Result<JournalState, JournalError> {
    let records = journal.read()?;
    let intact = matches!(verify(&records), Verified::Whole(_));
    let mut state = JournalState {
        path: journal.path().display().to_string(),
        intact,
        next_op: 1,
        ..JournalState::default()
    };
    for record in &records {
        follow(&mut state, record);
    }
    Ok(state)
}

fn follow(state: &mut JournalState, record: &Record) {
    match &record.entry {
        Entry::Intent { op, .. } => {
            state.next_op = state.next_op.max(op + 1);
            state.unfinished = record.entry.plan().map(Box::new);
            state.pending = pending(&record.entry);
        }
        Entry::Answer { op, outcome, .. } => {
            let mine = state.unfinished.as_ref().is_some_and(|p| p.op.0 == *op);
            if mine && matches!(outcome, Outcome::Refused | Outcome::Conflict) {
                (state.unfinished, state.pending) = (None, None);
            } else if mine && *outcome == Outcome::Applied {
                applied(state, record);
            }
        }
        Entry::Concluded { op, .. } => {
            if state.unfinished.as_ref().is_some_and(|p| p.op.0 == *op) {
                state.unfinished = None;
            }
        }
        Entry::Confirmed { op, .. } => state.pending = state.pending.filter(|p| p.op.0 != *op),
        Entry::Hold { .. } | Entry::Rows { .. } | Entry::TakeOver { .. } => {}
    }
}

/// An acknowledged write is finished as far as the server goes, even when nobody looked at it afterwards.
fn applied(state: &mut JournalState, record: &Record) {
    let Some(plan) = state.unfinished.take() else {
        return;
    };
    let safe = state.last_safe.unwrap_or(Split::V2);
    state.last_safe = Some(if plan.is_back() { safe.min(plan.to) } else { plan.from });
    state.last_shift = Some((format!("{} {} -> {} done", plan.intent.word(), plan.from, plan.to), record.at));
}

/// A move with a deadline; the newest intent counts, for any later one takes its place.
fn pending(entry: &Entry) -> Option<Pending> {
    let Entry::Intent { op, from, confirm_by: Some(at), .. } = entry else {
        return None;
    };
    Some(Pending { op: OpId(*op), back_to: Split::new(*from)?, at: *at })
}
