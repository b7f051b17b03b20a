//! Traffic: the four weights of every route, the ladder, and how far the move under way has come.

use crate::cockpit::history::Measured;
use crate::domain::traffic::{Accepted, PathGroup, Route};
use crate::domain::{Now, SourceId, Split};
use crate::shift::Shift;
use crate::shift::machine::{APPLY_DEADLINE, ARM_EXPIRY};

use super::super::age;
use super::super::context::{Cx, Detail};
use super::super::line::{Line, Span, dim, plain, span, wrapped};
use super::super::look::Tone;
use super::super::table::{Column, Table, left, right, unknown};
use super::cells::{clock, dot, percent};

static COLUMNS: [Column; 5] = [
    left("path", 4, 0),
    right("intended", 5, 0),
    right("stored", 5, 0),
    right("accepted", 5, 0),
    right("measured", 6, 0),
];

/// The mechanism.
pub(super) fn note<'a>(cx: &Cx<'a>) -> Line<'a> {
    let Some(route) = cx.model.routes().first() else {
        return Line::new();
    };
    Line::of(Tone::Dim, route.router.name())
}

/// Split, measured share, state.
pub(super) fn summary<'a>(cx: &Cx<'a>) -> Line<'a> {
    let split = cx.model.split().map_or_else(|| "-".into(), |s| s.to_string());
    let mut line = Line::of(Tone::Dim, "stored ")
        .with(Tone::Strong, split)
        .with(Tone::Dim, " on v3, measured ");
    line.0.push(measured(cx));
    line.0.push(dot());
    line.0.extend(state(&cx.model.shift, cx.now).0);
    line
}

/// All of it.
pub(super) fn rows<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let routes = cx.model.routes();
    let mut lines = weights(cx, routes);
    lines.extend(cx.troubles(&[SourceId::Traffic]));
    if cx.read(SourceId::Traffic) && routes.is_empty() {
        lines.extend(wrapped(
            Tone::Warn,
            "! no weighted route was found in this namespace",
            cx.width,
            2,
        ));
    }
    for (route, trap) in routes
        .iter()
        .flat_map(|r| r.traps.iter().filter(|t| t.blocks).map(move |t| (r, t)))
    {
        lines.extend(wrapped(
            Tone::Bad,
            &format!("✗ {}: {}", route.object.name, trap.text),
            cx.width,
            2,
        ));
    }
    lines.push(interval(cx));
    lines.push(ladder(cx));
    lines.extend(shift(cx));
    for route in routes {
        lines.extend(place(cx, route));
    }
    for (route, trap) in routes
        .iter()
        .flat_map(|r| r.traps.iter().filter(|t| !t.blocks).map(move |t| (r, t)))
    {
        lines.extend(wrapped(
            Tone::Warn,
            &format!("! {}: {}", route.object.name, trap.text),
            cx.width,
            2,
        ));
    }
    lines.extend(cx.troubles(&[SourceId::Share, SourceId::Controller]));
    lines
}

fn weights<'a>(cx: &Cx<'a>, routes: &'a [Route]) -> Vec<Line<'a>> {
    let mut table = Table::new(&COLUMNS);
    let intended = |stored: Option<Split>| match cx.model.intended {
        None => unknown(),
        Some(split) if stored.is_some_and(|s| s != split) => span(Tone::Warn, format!("! {split}")),
        Some(split) => plain(split.to_string()),
    };
    if routes.is_empty() {
        table.row(vec![
            unknown(),
            intended(None),
            unknown(),
            unknown(),
            measured(cx),
        ]);
    }
    for (n, route) in routes.iter().enumerate() {
        let stored = span(
            cx.tone(SourceId::Traffic, Tone::Strong),
            percent(route.stored.percent()),
        );
        let here = route.group != PathGroup::Ui && (n == 0 || route.group == PathGroup::Api);
        table.row(vec![
            plain(route.group.word()),
            intended(Some(route.stored.split())),
            stored,
            accepted(cx, route),
            if here { measured(cx) } else { unknown() },
        ]);
    }
    table.lines(cx.width)
}

fn accepted<'a>(cx: &Cx<'a>, route: &Route) -> Span<'a> {
    match &route.accepted {
        Accepted::NotReported => unknown(),
        Accepted::Yes => span(
            cx.tone(SourceId::Traffic, Tone::Good),
            format!("✓ {}", percent(route.stored.percent())),
        ),
        Accepted::No(_) => span(Tone::Bad, "✗ no"),
    }
}

fn measured<'a>(cx: &Cx<'a>) -> Span<'a> {
    let Some(m) = cx.history.share.measured() else {
        return unknown();
    };
    span(measured_tone(cx, &m), percent(m.share * 100.0))
}

/// A measured share whose interval does not hold the stored weight is worth a look.
fn measured_tone(cx: &Cx<'_>, m: &Measured) -> Tone {
    let source = if m.by_controller {
        SourceId::Controller
    } else {
        SourceId::Share
    };
    let stored = cx.model.split().map(|s| f64::from(s.percent()) / 100.0);
    let off = stored.is_some_and(|s| s + 0.005 < m.low || s - 0.005 > m.high);
    cx.tone(source, if off { Tone::Warn } else { Tone::Strong })
}

/// `19.8 % (18.1–21.6 %, n 2 104, by the controller)`.
fn interval<'a>(cx: &Cx<'a>) -> Line<'a> {
    let line = Line::label("measured");
    let Some(m) = cx.history.share.measured() else {
        return line.with(
            Tone::Dim,
            if roomy(cx) {
                "- no answer that told its version yet"
            } else {
                "-"
            },
        );
    };
    let by = if m.by_controller { "controller" } else { "probes" };
    let of = format!(" of {}", crate::domain::units::short(m.answers as f64));
    let line = line.with(
        measured_tone(cx, &m),
        format!("{:.1}–{:.1} %", m.low * 100.0, m.high * 100.0),
    );
    let line = line.with(Tone::Dim, of);
    if roomy(cx) {
        line.with(Tone::Dim, format!(" requests, by the {by}"))
    } else {
        line.with(Tone::Dim, " requests")
    }
}

/// Whether there is room for the longer words.
const fn roomy(cx: &Cx<'_>) -> bool {
    cx.width >= 50
}

fn ladder<'a>(cx: &Cx<'a>) -> Line<'a> {
    let mut line = Line::label("ladder");
    let split = cx.model.split();
    let mut steps: Vec<Split> = cx.model.setup.ladder.steps().to_vec();
    if let Some(split) = split.filter(|s| !steps.contains(s)) {
        steps.push(split);
        steps.sort_unstable();
    }
    for (n, step) in steps.iter().enumerate() {
        if n > 0 {
            line.0.push(dim(" › "));
        }
        if split == Some(*step) {
            line.0.push(span(Tone::Strong, format!("[{}]", step.percent())));
        } else {
            line.0.push(plain(step.percent().to_string()));
        }
    }
    if roomy(cx) {
        line.with(Tone::Dim, " %")
    } else {
        line
    }
}

fn shift<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let mut line = Line::label("shift");
    line.0.extend(state(&cx.model.shift, cx.now).0);
    let mut lines = Vec::new();
    match &cx.model.last_shift {
        Some((what, at)) if matches!(cx.model.shift, Shift::Idle) => {
            line.0.push(dim(", last "));
            line.0.push(plain(what.as_str()));
            line.0.push(dim(format!(
                " {}{}",
                clock(*at),
                if roomy(cx) { " UTC" } else { "" }
            )));
        }
        _ => {}
    }
    lines.push(line);
    lines
}

/// The shift machine in words.
pub(crate) fn state(shift: &Shift, now: Now) -> Line<'static> {
    let since = |deadline: crate::domain::Mono, whole: std::time::Duration| {
        age::quantised(whole.saturating_sub(deadline.since(now.mono)))
    };
    match shift {
        Shift::Idle => Line::of(Tone::Plain, "idle"),
        Shift::Proposed { plan, deadline } => Line::of(
            Tone::Warn,
            format!("dry run of {} for {}", plan.to, since(*deadline, APPLY_DEADLINE)),
        ),
        Shift::Armed { plan, expires, .. } => Line::of(
            Tone::Warn,
            format!("{} waits for you for {}", plan.to, since(*expires, ARM_EXPIRY)),
        ),
        Shift::Applying { plan, deadline } => Line::of(
            Tone::Warn,
            format!("applying {} for {}", plan.to, since(*deadline, APPLY_DEADLINE)),
        ),
        Shift::Verifying {
            plan, acknowledged, ..
        } => {
            let age = age::quantised(now.mono.since(*acknowledged));
            Line::of(
                Tone::Warn,
                format!("{} acknowledged {age} ago, reading it back", plan.to),
            )
        }
        Shift::Unknown { plan, why, .. } => Line::of(Tone::Alarm, "UNKNOWN").with(
            Tone::Bad,
            format!(" whether {} was written: {}", plan.to, why.sentence()),
        ),
        Shift::Done { plan, .. } => Line::of(
            Tone::Good,
            format!("✓ {} {} is done", plan.intent.word(), plan.to),
        ),
        Shift::Failed { plan, trouble } => Line::of(
            Tone::Bad,
            format!(
                "✗ {} to {} failed: {}",
                plan.intent.word(),
                plan.to,
                trouble.kind.word()
            ),
        ),
    }
}

/// Object, backends, owner, pins, and why the weight does not do what it says.
fn place<'a>(cx: &Cx<'a>, route: &'a Route) -> Vec<Line<'a>> {
    let id = SourceId::Traffic;
    let mut lines = Vec::new();
    if let Accepted::No(why) = &route.accepted {
        lines.extend(wrapped(Tone::Bad, &format!("✗ not accepted: {why}"), cx.width, 2));
    }
    if route.effective != route.stored {
        let text = format!(
            "! effective {} of stored {}",
            percent(route.effective.percent()),
            percent(route.stored.percent())
        );
        lines.extend(wrapped(Tone::Warn, &text, cx.width, 2));
    }
    if route
        .raw
        .as_ref()
        .is_some_and(|raw| *raw != route.stored.value.to_string())
    {
        let raw = route.raw.as_deref().unwrap_or_default();
        lines.extend(wrapped(
            Tone::Warn,
            &format!("! the object says {raw:?}, read as {}", route.stored.value),
            cx.width,
            2,
        ));
    }
    let ready = |b: &'a crate::domain::traffic::Backend| -> Vec<Span<'a>> {
        let endpoints = match b.endpoints {
            None => dim(" (- ready)"),
            Some(0) => span(Tone::Bad, " (✗ 0 ready)"),
            Some(n) => dim(format!(" ({n} ready)")),
        };
        vec![
            cx.value(id, b.service.as_str()),
            dim(format!(":{}", b.port)),
            endpoints,
        ]
    };
    let mut backends = Line::of(Tone::V2, "v2 ");
    backends.0.extend(ready(&route.primary));
    let mut canary = Line::of(Tone::V3, "v3 ");
    canary.0.extend(ready(&route.canary));
    let mut object = Line::label("object");
    object.0.push(cx.value(id, route.object.to_string()));
    let mut owner = Line::label("written");
    match &route.owner {
        None => owner.0.push(unknown()),
        Some(o) => {
            owner.0.push(dim("by "));
            owner.0.push(cx.value(id, o.manager.as_str()));
            let at = o.at.map_or_else(String::new, |at| format!(" {} UTC", clock(at)));
            owner.0.push(dim(format!(" ({}){at}", o.operation)));
        }
    }
    // Of several routes each needs its name first.
    let several = cx.model.routes().len() > 1;
    if several {
        lines.push(object.clone());
    }
    lines.push(owner);
    if backends.width() + canary.width() + 2 <= cx.width {
        lines.push(backends.with(Tone::Plain, "  ").and(canary));
    } else {
        lines.extend([backends, canary]);
    }
    if !several {
        lines.push(object);
    }
    for pin in &route.pins {
        lines.extend(wrapped(Tone::Plain, &format!("· pinned: {pin}"), cx.width, 2));
    }
    if cx.detail == Detail::Zoomed {
        lines.extend(
            route
                .rules
                .iter()
                .map(|rule| Line::label("rule").with(Tone::Plain, rule.as_str())),
        );
    }
    lines
}
