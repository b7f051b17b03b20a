//! What a journal says: whether its chain is whole, and where the last session left the traffic.

use crate::cockpit::msg::{JournalState, Pending};
use crate::domain::Split;
use crate::shift::{OpId, Plan};

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

/// The state a session starts from, from all lines that can be read: it is intact only when those are all.
pub fn replay(journal: &Journal) -> Result<JournalState, JournalError> {
    Ok(read(journal)?.state)
}

/// Whether a move with a deadline still waits for its confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Waits(Pending),
    /// A later forward move was begun and has no answer: when it was refused, this one waits still.
    Perhaps(Pending),
    /// It was confirmed, or something else was done since.
    CalledOff,
}

/// How a move with a deadline stands by the journal.
pub fn standing(journal: &Journal, op: OpId) -> Result<Standing, JournalError> {
    // What cannot be read may have been the confirmation, or the move itself.
    journal.read()?;
    let Reading { state, before } = read(journal)?;
    let mine = |pending: Option<Pending>| pending.filter(|p| p.op == op);
    let forward = state.unfinished.as_ref().is_some_and(|plan| !plan.is_back());
    Ok(match (mine(state.pending), mine(before.pending)) {
        (Some(pending), _) => Standing::Waits(pending),
        (None, Some(pending)) if forward => Standing::Perhaps(pending),
        _ => Standing::CalledOff,
    })
}

/// A journal as far as it was followed.
struct Reading {
    state: JournalState,
    before: Before,
}

/// What was true before the newest intent, until that is answered: one that was refused changed nothing of it.
#[derive(Default)]
struct Before {
    unfinished: Option<Box<Plan>>,
    pending: Option<Pending>,
}

fn read(journal: &Journal) -> Result<Reading, JournalError> {
    let lines = journal.lines()?;
    let unread = lines.iter().filter(|line| line.is_err()).count();
    let records: Vec<Record> = lines.into_iter().flatten().collect();
    let intact = unread == 0 && matches!(verify(&records), Verified::Whole(_));
    let path = journal.path().display().to_string();
    let state = JournalState { path, intact, next_op: 1, ..JournalState::default() };
    let mut reading = Reading { state, before: Before::default() };
    for record in &records {
        reading.follow(record);
    }
    // Each may have been a move of its own.
    reading.state.next_op += unread as u64;
    Ok(reading)
}

impl Reading {
    fn follow(&mut self, record: &Record) {
        let Self { state, before } = self;
        match &record.entry {
            Entry::Intent { op, .. } => {
                state.next_op = state.next_op.max(op + 1);
                *before = Before { unfinished: state.unfinished.take(), pending: state.pending.take() };
                state.unfinished = record.entry.plan().map(Box::new);
                state.pending = pending(&record.entry);
            }
            Entry::Answer { op, outcome, .. } if is(state.unfinished.as_deref(), *op) => {
                let before = std::mem::take(before);
                match outcome {
                    Outcome::Refused | Outcome::Conflict => {
                        (state.unfinished, state.pending) = (before.unfinished, before.pending);
                    }
                    Outcome::Applied => applied(state, record),
                    Outcome::Lost | Outcome::Partial => {}
                }
            }
            Entry::Concluded { op, .. } => {
                for unfinished in [&mut state.unfinished, &mut before.unfinished] {
                    if is(unfinished.as_deref(), *op) {
                        *unfinished = None;
                    }
                }
            }
            Entry::Confirmed { op, .. } => {
                for pending in [&mut state.pending, &mut before.pending] {
                    *pending = pending.filter(|p| p.op.0 != *op);
                }
            }
            Entry::Answer { .. } | Entry::Hold { .. } | Entry::Rows { .. } | Entry::TakeOver { .. } => {}
        }
    }
}

fn is(plan: Option<&Plan>, op: u64) -> bool {
    plan.is_some_and(|p| p.op.0 == op)
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

/// A move with a deadline; any later one that was not refused takes its place.
fn pending(entry: &Entry) -> Option<Pending> {
    let Entry::Intent { op, from, confirm_by: Some(at), .. } = entry else {
        return None;
    };
    Some(Pending { op: OpId(*op), back_to: Split::new(*from)?, at: *at })
}
