//! Facts as they arrive: the newest reading, and what accumulates from it.

use std::collections::BTreeSet;

use crate::domain::backfill::Side;
use crate::domain::latency::{Probe, ProbeError};
use crate::domain::queue::{Queue, QueuesFact};
use crate::domain::traffic::Route;
use crate::domain::{Fact, Kind, Mono, Now, SourceId, Trouble};
use crate::shift::{Event, Shift};

use super::super::effect::Effect;
use super::super::history::History;
use super::super::model::Model;
use super::super::msg::{Level, LogLine, Pending};
use super::{log, moves, notice};

/// Takes in one answer of a source.
pub fn take(model: &mut Model, id: SourceId, answer: Result<Fact, Trouble>, now: Now) -> Vec<Effect> {
    let mut effects = vec![];
    match &answer {
        Ok(Fact::Probe(probe)) => accumulate_probe(&mut model.history, probe, now.mono),
        Ok(Fact::Queues(fact)) => accumulate_queues(&mut model.history, fact, now.mono),
        Ok(Fact::Migrations(migrations)) => model.history.follow(migrations),
        Ok(Fact::Share(round)) => model.history.share.push(*round),
        Ok(Fact::Controller(counters)) => {
            model.history.share.count(counters);
            model.history.requests.count(now.mono, counters);
        }
        Ok(Fact::Traffic(routes)) => {
            effects = taken_back(model, routes, now);
            effects.extend(compare(model, routes, now));
        }
        Ok(_) => {}
        Err(trouble) => {
            count_silence(&mut model.history, id, trouble, now.mono);
            say_once(model, id, trouble, now);
        }
    }
    model.facts.take(id, answer, now.mono);
    if id == SourceId::PostgresRows {
        accumulate_rows(model, now.mono);
    }
    effects
}

/// A failure is logged when it begins and when its kind changes, not at every poll; a cause that sources share is
/// logged by the first of them, and what the configuration leaves out is no failure.
fn say_once(model: &mut Model, id: SourceId, trouble: &Trouble, now: Now) {
    let left_out = model.setup.off.contains(&id);
    let told =
        |other: SourceId| other != id && model.facts.failure(other).is_some_and(|f| f.trouble == *trouble);
    if left_out || SourceId::ALL.into_iter().any(told) {
        return;
    }
    if model.facts.failure(id).is_none_or(|f| f.trouble.kind != trouble.kind) {
        let (target, text) = (id.name().to_owned(), trouble.to_string());
        // An object that has the source's name is named once.
        let text = text.strip_prefix(&format!("{target}: ")).map_or_else(|| text.clone(), str::to_owned);
        log(model, LogLine { at: now.wall, level: Level::Warn, target, text });
    }
}

/// A move with a deadline that was not confirmed is over when the routes are back, whoever looked when: a dialog may
/// have been open, or the routes may have been back already.
fn taken_back(model: &mut Model, routes: &[Route], now: Now) -> Vec<Effect> {
    let over = |p: &Pending| {
        let back = |r: &Route| r.stored.is(p.back_to) || r.stored.split() < p.back_to;
        now.wall >= p.at && !routes.is_empty() && routes.iter().all(back)
    };
    let Some(pending) = model.pending.filter(over) else { return vec![] };
    model.pending = None;
    model.last_safe = model.last_safe.min(pending.back_to);
    if !model.shift.in_flight() {
        model.intended = routes.iter().map(|r| r.stored.split()).max();
        model.history.share.restart(now.mono);
    }
    let text = format!("{} was not confirmed in time and was taken back to {}", pending.op, pending.back_to);
    notice(model, Level::Warn, text, now)
}

/// A weight that moved without us is the first thing an operator must hear.
fn compare(model: &mut Model, routes: &[Route], now: Now) -> Vec<Effect> {
    let split = routes.iter().map(|r| r.stored.split()).max();
    let Some(intended) = model.intended else {
        model.intended = split;
        if let Some(split) = split {
            model.history.share.restart(now.mono);
            let text = format!("the routes stand at {split}");
            log(model, LogLine { at: now.wall, level: Level::Info, target: "traffic".into(), text });
        }
        return vec![];
    };
    let unknown = matches!(model.shift, Shift::Unknown { .. });
    if let (true, Some(plan)) = (unknown, model.shift.plan()) {
        let op = plan.op;
        return moves::step(model, Event::Observed(op, routes.to_vec()), now);
    }
    if model.shift.in_flight() || model.shift.has_dialog() {
        return vec![];
    }
    let known = |r: &&Route| model.routes().iter().any(|k| k.object == r.object && k.stored == r.stored);
    let strayed = routes.iter().find(|r| !r.stored.is(intended) && !known(r)).cloned();
    let Some(route) = strayed else { return vec![] };
    model.history.share.restart(now.mono);
    let who = route.owner.as_ref().map_or("an unknown writer", |o| o.manager.as_str());
    let text = format!(
        "{} was set to {:.1} % by {who}; {intended} was asked for here",
        route.object,
        route.stored.percent()
    );
    notice(model, Level::Error, text, now)
}

fn accumulate_probe(history: &mut History, probe: &Probe, now: Mono) {
    let latency = &mut history.latency[probe.endpoint as usize];
    let mut failures = BTreeSet::new();
    let parts = [
        (Some(&probe.health), &mut latency.health),
        (probe.accept.as_ref(), &mut latency.accept),
        (probe.visible.as_ref(), &mut latency.visible),
    ];
    for (outcome, window) in parts {
        window.turn(now);
        match outcome {
            Some(Ok(time)) => window.push(now, *time),
            Some(Err(error)) => drop(failures.insert(error.word())),
            None => {}
        }
    }
    latency.recent.push(!failures.is_empty());
    // A round counts once for each kind, however many of its parts met it.
    for kind in failures {
        *latency.errors.entry(kind).or_default() += 1;
    }
    let answered = !matches!(probe.health, Err(ProbeError::Transport(_)));
    latency.silent = if answered { 0 } else { latency.silent.saturating_add(1) };
}

/// A round that ended without a probe is one that failed when the address is to blame: it hangs, or cannot be
/// reached. A slip in the configuration or a missing right says nothing about the address.
fn count_silence(history: &mut History, id: SourceId, trouble: &Trouble, now: Mono) {
    let SourceId::Probe(endpoint) = id else { return };
    if !matches!(trouble.kind, Kind::Timeout | Kind::Unreachable) {
        return;
    }
    let latency = &mut history.latency[endpoint as usize];
    for window in [&mut latency.health, &mut latency.accept, &mut latency.visible] {
        window.turn(now);
    }
    latency.recent.push(true);
    latency.silent = latency.silent.saturating_add(1);
    *latency.errors.entry(trouble.kind.word().into()).or_default() += 1;
}

fn accumulate_queues(history: &mut History, fact: &QueuesFact, now: Mono) {
    for queue in &fact.queues {
        let Some(past) = history.queue(&queue.name) else {
            continue;
        };
        past.depth.push(now, queue.depth() as f64);
        let Some(added) = queue.added else { continue };
        if past.added.last().is_some_and(|(_, before)| before > added as f64) {
            past.added.clear();
            past.left.clear();
        }
        past.added.push(now, added as f64);
        past.left.push(now, added.saturating_sub(present(queue)) as f64);
    }
}

/// Jobs still in the queue in any state that a worker has yet to finish, and failed ones.
const fn present(queue: &Queue) -> u64 {
    queue.waiting.saturating_add(queue.active).saturating_add(queue.delayed).saturating_add(queue.failed)
}

fn accumulate_rows(model: &mut Model, now: Mono) {
    for table in model.tables() {
        let Some((done, t0)) = model.rows(Side::Postgres, table).and_then(|r| Some((r.done?, r.t0))) else {
            continue;
        };
        let series = &mut model.history.done[table as usize];
        // Another T0 is another number of rows to do: its difference is nobody's work.
        let other = std::mem::replace(&mut model.history.t0[table as usize], t0) != t0;
        if other || series.last().is_some_and(|(_, before)| before > done.value as f64) {
            series.clear();
        }
        series.push(now, done.value as f64);
    }
}
