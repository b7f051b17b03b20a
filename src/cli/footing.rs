//! What a forward move without a screen stands on: the next step of the ladder, and probes of v3 that say something.
//!
//! One rule: nobody watches a one-shot move, so what a person at the cockpit would wait for is waited for here, and
//! what a person would be warned of is refused unless it was asked for by name.

use std::time::Duration;

use super::desk::{Desk, Waited};
use super::exit::Exit;
use super::print;
use crate::cockpit::Model;
use crate::cockpit::errors::ROUNDS_NEEDED;
use crate::cockpit::guards::{guards, unverified};
use crate::domain::latency::Endpoint;
use crate::domain::{Now, SourceId, Split};
use crate::shift::Verdict;

/// How long probes of v3 are waited for; a round takes about 5 s.
pub const PROBED_WITHIN: Duration = Duration::from_secs(40);

/// A move that skips steps of the ladder is refused unless it was allowed.
pub fn one_step(model: &Model, to: Split, allowed: bool) -> Result<(), Exit> {
    let Some(from) = model.split() else { return Ok(()) };
    let between = model.setup.ladder.steps().iter().filter(|s| **s > from && **s < to);
    let skipped: Vec<String> = between.map(ToString::to_string).collect();
    let Some(next) = skipped.first() else { return Ok(()) };
    if allowed {
        print::err(format!(
            "note: {from} to {to} skips {} of the ladder, as was allowed",
            skipped.join(", ")
        ));
        return Ok(());
    }
    print::err(format!(
        "refused: {from} to {to} skips {} of the ladder; nothing was sent -> shift to {next} first, or say --skip-steps",
        skipped.join(", ")
    ));
    Err(Exit::Refused)
}

/// A move to all of v3 that is not preceded by a comparison is refused unless it was allowed.
pub fn compared(model: &Model, now: Now, to: Split, allowed: bool) -> Result<(), Exit> {
    match unverified(model, now, to) {
        Some(why) if !allowed => {
            print::err(format!(
                "refused: after this nobody reads v2, and {why}; nothing was sent -> compare first, or say --unverified"
            ));
            Err(Exit::Refused)
        }
        Some(_) | None => Ok(()),
    }
}

/// Waits until v3 was probed often enough to say something. Refuses when it was not in time; returns at once when
/// v3 is not probed at all, when traffic goes back, and when another guard is in the way already.
pub async fn probed(desk: &mut Desk, to: Split) -> Result<(), Exit> {
    let v3 = SourceId::Probe(Endpoint::V3);
    let back = desk.model.split().is_some_and(|from| to <= from);
    if back || desk.model.setup.off.contains(&v3) || enough(&desk.model) || blocked_otherwise(desk, to) {
        return Ok(());
    }
    print::err(format!(
        "waiting for {ROUNDS_NEEDED} probes of v3, {} so far: fewer say nothing (at most {} s)",
        rounds(&desk.model),
        PROBED_WITHIN.as_secs()
    ));
    match desk.wait(PROBED_WITHIN, |d| enough(&d.model)).await {
        Waited::Done => Ok(()),
        Waited::Interrupted => {
            print::err("interrupted; nothing was sent");
            Err(Exit::Refused)
        }
        Waited::Late => {
            let said = desk.model.facts.failure(v3).map(|f| format!(" ({})", f.trouble)).unwrap_or_default();
            print::err(format!(
                "refused: {} of {ROUNDS_NEEDED} probes of v3 came back within {} s{said}; nothing was sent -> look at \
                 v3 with `cutover status`, then try again",
                rounds(&desk.model),
                PROBED_WITHIN.as_secs()
            ));
            Err(Exit::Refused)
        }
    }
}

fn rounds(model: &Model) -> u32 {
    model.history.latency[Endpoint::V3 as usize].recent.rounds()
}

/// One failed round is enough for the guard to speak.
fn enough(model: &Model) -> bool {
    let recent = &model.history.latency[Endpoint::V3 as usize].recent;
    u64::from(recent.rounds()) >= ROUNDS_NEEDED || recent.failed() > 0
}

fn blocked_otherwise(desk: &Desk, to: Split) -> bool {
    let checks = guards(&desk.model, desk.now(), to);
    checks.0.iter().any(|c| c.id != "v3-errors" && c.verdict == Verdict::Block)
}
