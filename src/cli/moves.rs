//! `cutover plan`, `shift`, `rollback` and `hold`: the machine of the cockpit, confirmed by `--yes`.

use std::time::Duration;

use super::args::{PlanArgs, RollbackArgs, ShiftArgs};
use super::desk::{Desk, Waited};
use super::exit::Exit;
use super::{footing, planned, print};
use crate::cockpit::guards::guards;
use crate::cockpit::msg::{Answer, Lease};
use crate::cockpit::update::{intent, moves};
use crate::cockpit::{Effect, Model, Msg};
use crate::config::Config;
use crate::domain::latency::Endpoint;
use crate::domain::store::StoreKind;
use crate::domain::{Kind, SourceId, Split};
use crate::runtime::Clock;
use crate::shift::machine::{APPLY_DEADLINE, ARM_DELAY, SETTLE, VERIFY_DEADLINE};
use crate::shift::{Event, Guards, Intent, Plan, Shift, Verdict};

/// How long the readings behind a forward move may take.
const GATHER: Duration = Duration::from_secs(12);
/// A rollback waits for the routes, and this long at most for what v3 alone has.
const V3_ONLY: Duration = Duration::from_secs(3);
/// Who says what that is, and whether it can go back.
const COUNTED: [SourceId; 2] = [SourceId::ClickhouseRows, SourceId::Store(StoreKind::Postgres)];

/// What to do about an outcome that is not known.
const LOOK: &str =
    "`cutover status` shows where the weights stand; `cutover rollback --yes` may be sent whatever they say";

/// What a forward move rests on.
const FORWARD: [SourceId; 7] = [
    SourceId::Traffic,
    SourceId::Cluster,
    SourceId::Migrations,
    SourceId::Queues,
    SourceId::Probe(Endpoint::V2),
    SourceId::Probe(Endpoint::V3),
    SourceId::ClickhouseRows,
];

/// A move to all of v3 rests on what `verify` found, too.
fn rests_on(to: Split) -> Vec<SourceId> {
    FORWARD.into_iter().chain((to == Split::V3).then_some(SourceId::PostgresRows)).collect()
}

/// Guards about the operator, which a plan that nobody sends names and does not answer.
const PERSONAL: [&str; 2] = ["armed", "lease"];

/// `cutover plan`: the patches, the guards, and the server's word. Writes nothing.
pub async fn plan(clock: Clock, config: &Config, args: &PlanArgs) -> Exit {
    let mut desk = match Box::pin(Desk::open(clock, config, false, false)).await {
        Ok(desk) => desk,
        Err(exit) => return exit,
    };
    desk.lease(false).await;
    desk.gather(&rests_on(args.to), GATHER).await;
    if let Err(exit) = routes_known(&mut desk) {
        Box::pin(desk.close()).await;
        return exit;
    }
    let plan = desk.model.plan(Intent::Shift, args.to);
    let (later, checks): (Vec<_>, Vec<_>) =
        guards(&desk.model, desk.now(), args.to).0.into_iter().partition(|c| PERSONAL.contains(&c.id));
    let checks = Guards(checks);
    let answer = dry_run(&mut desk, &plan).await;
    if args.json {
        print::out(planned::json(&plan, &checks, &later, answer.as_ref()));
    } else {
        print::out(planned::text(&plan, &checks, &later, answer.as_ref()));
    }
    Box::pin(desk.close()).await;
    match (checks.blocker(), answer) {
        (Some(_), _) => Exit::Refused,
        (None, Some(Err(trouble))) => Exit::of(&trouble),
        (None, None) => Exit::Unreachable,
        (None, Some(Ok(()))) => Exit::Fine,
    }
}

/// The server's word on a plan; `None` without an answer.
async fn dry_run(desk: &mut Desk, plan: &Plan) -> Option<Result<(), crate::domain::Trouble>> {
    if plan.patches.is_empty() {
        return Some(Ok(()));
    }
    desk.dry_run(plan).await
}

/// `cutover shift`.
pub async fn shift(clock: Clock, config: &Config, args: &ShiftArgs) -> Exit {
    if !args.yes {
        return unconfirmed("shift");
    }
    let mut desk = match Box::pin(Desk::open(clock, config, true, true)).await {
        Ok(desk) => desk,
        Err(exit) => return unsent(exit, ""),
    };
    desk.lease(true).await;
    let exit = match desk.gather(&rests_on(args.to), GATHER).await {
        Waited::Interrupted => interrupted(),
        _ => forward(&mut desk, args, args.skip_steps || config.traffic.skip_steps).await,
    };
    Box::pin(desk.close()).await;
    exit
}

async fn forward(desk: &mut Desk, args: &ShiftArgs, may_skip: bool) -> Exit {
    let to = args.to;
    if let Err(exit) = routes_known(desk) {
        return unsent(exit, &again(desk, "shift"));
    }
    if matches!(desk.model.shift, Shift::Unknown { .. })
        && let Err(exit) = settle(desk).await
    {
        return exit;
    }
    if desk.model.routes().iter().all(|r| r.stored.is(to) && r.raw.is_some()) {
        print::out(format!("every route is at {to} already"));
        return Exit::Fine;
    }
    if let Err(exit) = footing::one_step(&desk.model, to, may_skip) {
        return exit;
    }
    if let Err(exit) = footing::compared(&desk.model, desk.now(), to, args.unverified) {
        return exit;
    }
    if let Err(exit) = footing::probed(desk, to).await {
        return exit;
    }
    // Waiting may have taken longer than the lease lasts.
    desk.lease(true).await;
    let now = desk.now();
    let checks = guards(&desk.model, now, to);
    warn(&checks);
    if let Some(check) = checks.blocker() {
        print::err(format!("refused: {}: {}; nothing was sent", check.label, check.evidence));
        return Exit::Refused;
    }
    let within = args.confirm_within.map(|m| Duration::from_secs(m * 60));
    let effects = intent::shift_to(&mut desk.model, to, within, now);
    desk.perform(effects);
    confirm(desk).await
}

/// `cutover rollback`.
pub async fn rollback(clock: Clock, config: &Config, args: &RollbackArgs) -> Exit {
    if !args.yes {
        return unconfirmed("rollback");
    }
    let mut desk = match Box::pin(Desk::open(clock, config, true, true)).await {
        Ok(desk) => desk,
        Err(exit) => return unsent(exit, ""),
    };
    desk.lease(true).await;
    if let Err(exit) = take_over(&mut desk, args.take_over.as_deref()).await {
        Box::pin(desk.close()).await;
        return exit;
    }
    let exit = match desk.gather(&[SourceId::Traffic], GATHER).await {
        Waited::Interrupted => interrupted(),
        _ => back(&mut desk, args.all).await,
    };
    Box::pin(desk.close()).await;
    exit
}

/// Takes the lease from the holder who was named; from nobody else, and never by itself.
async fn take_over(desk: &mut Desk, named: Option<&str>) -> Result<(), Exit> {
    let Lease::Other(holder, _) = &desk.model.lease else { return Ok(()) };
    if named == Some(holder.as_str()) {
        desk.perform(vec![Effect::TakeLease]);
        let taken = |d: &Desk| matches!(d.model.lease, Lease::Ours | Lease::Failed(_));
        return match desk.wait(APPLY_DEADLINE, taken).await {
            Waited::Interrupted => Err(interrupted()),
            Waited::Done | Waited::Late => Ok(()),
        };
    }
    print::err(format!(
        "refused: {holder} holds the right to write; nothing was sent -> talk first, then take it over: add \
         --take-over '{holder}'"
    ));
    Err(Exit::Refused)
}

async fn back(desk: &mut Desk, all: bool) -> Exit {
    if let Err(exit) = routes_known(desk) {
        return unsent(exit, &again(desk, "rollback"));
    }
    if desk.gather(&COUNTED, V3_ONLY).await == Waited::Interrupted {
        return interrupted();
    }
    print::err(format!("v3-only rows, which v2 cannot see: {}", desk.model.v3_only().offer()));
    let now = desk.now();
    if let Err(why) = intent::can_roll_back(&desk.model, now) {
        print::err(format!("refused: {why}; nothing was sent"));
        return Exit::Refused;
    }
    let go = if all { intent::roll_back_all } else { intent::roll_back };
    let effects = go(&mut desk.model, now);
    desk.perform(effects);
    confirm(desk).await
}

/// A write that an earlier run left without an outcome: looked at before anything else is done.
async fn settle(desk: &mut Desk) -> Result<(), Exit> {
    let Some(plan) = desk.model.shift.plan().cloned() else {
        return Ok(());
    };
    let objects = plan.patches.iter().map(|p| (p.object.clone(), p.router)).collect();
    desk.perform(vec![Effect::Observe(plan.op, objects)]);
    // The routes are read again and again meanwhile: after this time what did not land will not any more.
    desk.wait(SETTLE + VERIFY_DEADLINE, |d| !matches!(d.model.shift, Shift::Unknown { .. })).await;
    if matches!(desk.model.shift, Shift::Unknown { .. }) {
        print::err(format!(
            "the outcome of {} to {} is not known, and nothing more was sent -> {LOOK}",
            plan.op, plan.to
        ));
        return Err(Exit::Unknown);
    }
    let now = desk.now();
    let effects = moves::step(&mut desk.model, Event::Cancel, now);
    desk.perform(effects);
    Ok(())
}

/// Waits for the dialog, answers it as an operator would, and waits for the outcome.
async fn confirm(desk: &mut Desk) -> Exit {
    let dialog = |d: &Desk| !matches!(d.model.shift, Shift::Proposed { .. });
    if desk.wait(APPLY_DEADLINE, dialog).await == Waited::Interrupted {
        return interrupted();
    }
    if let Shift::Armed { plan, .. } = &desk.model.shift {
        let plan = plan.clone();
        print::err(format!("{}: {} -> {}, {} patch(es)", plan.op, plan.from, plan.to, plan.patches.len()));
        desk.say(Msg::DialogShown);
        if desk.wait(ARM_DELAY, |_| false).await == Waited::Interrupted {
            return interrupted();
        }
        answer_dialog(desk, &plan);
    }
    let mut waited = desk.wait(APPLY_DEADLINE, |d| !matches!(d.model.shift, Shift::Applying { .. })).await;
    // A write that failed after it was acknowledged was undone by somebody; before, there was none.
    let written = desk.model.shift.in_flight();
    if waited != Waited::Interrupted {
        waited = desk.wait(APPLY_DEADLINE + VERIFY_DEADLINE, |d| !d.model.shift.in_flight()).await;
    }
    outcome(&desk.model, waited, written)
}

fn answer_dialog(desk: &mut Desk, plan: &Plan) {
    let typed = plan.to.percent().to_string();
    let typed = if plan.intent == Intent::Shift { typed.as_str() } else { "" };
    let events = typed.chars().map(Event::Type).chain([Event::Confirm]);
    for event in events {
        let now = desk.now();
        let effects = moves::step(&mut desk.model, event, now);
        desk.perform(effects);
    }
}

fn outcome(model: &Model, waited: Waited, written: bool) -> Exit {
    match &model.shift {
        Shift::Done { plan, .. } => {
            print::out(format!("{} {} -> {}: done", plan.intent.word(), plan.from, plan.to));
            Exit::Fine
        }
        Shift::Failed { trouble, .. } => {
            let nothing = if written { "" } else { ", and nothing was written" };
            print::err(format!("failed{nothing}: {trouble}"));
            Exit::of(trouble)
        }
        Shift::Unknown { plan, why, .. } => {
            print::err(format!(
                "{} to {}: outcome not known: {} -> {LOOK}",
                plan.op,
                plan.to,
                why.sentence()
            ));
            Exit::Unknown
        }
        Shift::Applying { plan, .. } | Shift::Verifying { plan, .. } => {
            let why = if waited == Waited::Interrupted { "interrupted" } else { "out of time" };
            print::err(format!(
                "{} to {}: it was sent, and {why} before its outcome was known -> {LOOK}",
                plan.op, plan.to
            ));
            Exit::Unknown
        }
        Shift::Idle | Shift::Proposed { .. } | Shift::Armed { .. } => {
            let said = model.screen.notice.as_ref().map_or("nothing was sent", |(text, ..)| text.as_str());
            print::err(format!("refused: {said}"));
            Exit::Refused
        }
    }
}

/// `cutover hold`.
pub async fn hold(clock: Clock, config: &Config, off: bool) -> Exit {
    if !config.environment.arm {
        print::err("refused: read-only; nothing was sent -> start with --arm");
        return Exit::Refused;
    }
    let mut desk = match Box::pin(Desk::open(clock, config, true, true)).await {
        Ok(desk) => desk,
        Err(exit) => return exit,
    };
    desk.lease(false).await;
    let exit = set_hold(&mut desk, !off).await;
    Box::pin(desk.close()).await;
    exit
}

async fn set_hold(desk: &mut Desk, on: bool) -> Exit {
    match &desk.model.lease {
        Lease::Other(who, _) => {
            print::err(format!("refused: {who} holds the right to write"));
            return Exit::Refused;
        }
        Lease::Failed(trouble) => {
            print::err(format!("{trouble}; nothing was sent, the hold is as it was"));
            return Exit::of(trouble);
        }
        Lease::None | Lease::Ours => {}
    }
    match desk.hold(on).await {
        Some(Ok(hold)) => {
            let text = match &hold {
                Some(hold) => format!("traffic is held by {} since {:.0}", hold.by, hold.since),
                None => "the hold is off".into(),
            };
            desk.say(Msg::Answer(Answer::Hold(Ok(hold))));
            print::out(text);
            Exit::Fine
        }
        Some(Err(trouble)) => {
            let outcome = "whether it took effect is not known -> the same again does no harm; `cutover status` shows it";
            print::err(format!("{trouble}; {outcome}"));
            Exit::of(&trouble)
        }
        None => Exit::Unreachable,
    }
}

fn routes_known(desk: &mut Desk) -> Result<(), Exit> {
    if !desk.model.routes().is_empty() {
        return Ok(());
    }
    let facts = &desk.model.facts;
    match facts.failure(SourceId::Traffic).map(|failure| failure.trouble.clone()) {
        Some(trouble) => {
            desk.tell(&trouble);
            Err(Exit::of(&trouble))
        }
        None if facts.routes.value().is_some() => {
            print::err(format!("no canary route was found in the namespace {}", desk.model.setup.namespace));
            Err(Exit::Refused)
        }
        None => {
            print::err("the routes could not be read in time");
            Err(Exit::Unreachable)
        }
    }
}

fn warn(checks: &Guards) {
    // Skipped steps were asked for by name, and said.
    for check in checks.0.iter().filter(|c| c.verdict == Verdict::Warn && c.id != "ladder") {
        print::err(format!("note: {}: {}", check.label, check.evidence));
    }
}

/// After the reason was said: what became of the traffic, and what to do.
fn unsent(exit: Exit, next: &str) -> Exit {
    print::err(format!("nothing was sent: the traffic stays where it is{next}"));
    exit
}

/// What to do when the API server did not answer.
fn again(desk: &Desk, verb: &str) -> String {
    let Some(failure) = desk.model.facts.failure(SourceId::Traffic) else { return String::new() };
    if !matches!(failure.trouble.kind, Kind::Timeout | Kind::Unreachable | Kind::Throttled(_)) {
        return String::new();
    }
    let namespace = &desk.model.setup.namespace;
    format!(" -> when `kubectl -n {namespace} get ingress` answers, {verb} again")
}

fn unconfirmed(verb: &str) -> Exit {
    print::err(format!(
        "nothing was sent: `cutover {verb} … --yes` does it, `cutover plan --to N` shows it first"
    ));
    Exit::Usage
}

fn interrupted() -> Exit {
    print::err("interrupted; nothing was sent");
    Exit::Refused
}
