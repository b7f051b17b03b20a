//! Traffic: the four weights of every route, the ladder, and how far the move under way has come.

mod place;

use crate::cockpit::share::Measured;
use crate::domain::traffic::{Accepted, PathGroup, Route};
use crate::domain::{Mono, Now, SourceId, Split};
use crate::shift::Shift;
use crate::shift::machine::APPLY_DEADLINE;

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
    let mut line =
        Line::of(Tone::Dim, "stored ").with(Tone::Strong, split).with(Tone::Dim, " on v3, measured ");
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
        lines.extend(wrapped(Tone::Warn, "! no weighted route was found in this namespace", cx.width, 2));
    }
    for (route, trap) in routes.iter().flat_map(|r| r.traps.iter().filter(|t| t.blocks).map(move |t| (r, t)))
    {
        lines.extend(wrapped(Tone::Bad, &format!("✗ {}: {}", route.object.name, trap.text), cx.width, 2));
    }
    lines.push(interval(cx));
    lines.push(ladder(cx));
    lines.extend(shift(cx));
    for route in routes {
        lines.extend(place::rows(cx, route));
    }
    for (route, trap) in routes.iter().flat_map(|r| r.traps.iter().filter(|t| !t.blocks).map(move |t| (r, t)))
    {
        lines.extend(wrapped(Tone::Warn, &format!("! {}: {}", route.object.name, trap.text), cx.width, 2));
    }
    lines.extend(unreported(cx, routes));
    lines.extend(cx.troubles(&[SourceId::Share, SourceId::Controller]));
    lines
}

/// Why nothing stands under `accepted`, said once: where the column has no room for it, or the pane has room for all.
fn unreported<'a>(cx: &Cx<'a>, routes: &[Route]) -> Option<Line<'a>> {
    let route = routes.iter().find(|r| r.accepted == Accepted::NotReported)?;
    let text = match (roomy(cx), cx.detail) {
        (false, _) => format!("- {} reports none", route.router.name()),
        (_, Detail::Zoomed) => {
            format!("no report: {} does not say what it programmed; measured shows it", route.router.name())
        }
        _ => return None,
    };
    Some(Line::label("accepted").with(Tone::Dim, text))
}

fn weights<'a>(cx: &Cx<'a>, routes: &'a [Route]) -> Vec<Line<'a>> {
    let mut table = Table::new(&COLUMNS);
    let intended = |stored: Option<Split>| match cx.model.intended {
        None => unknown(),
        Some(split) if stored.is_some_and(|s| s != split) => span(Tone::Warn, format!("! {split}")),
        Some(split) => plain(split.to_string()),
    };
    if routes.is_empty() {
        table.row(vec![unknown(), intended(None), unknown(), unknown(), measured(cx)]);
    }
    for (n, route) in routes.iter().enumerate() {
        let stored = span(cx.tone(SourceId::Traffic, Tone::Strong), percent(route.stored.percent()));
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
        Accepted::NotReported if roomy(cx) => dim("no report"),
        Accepted::NotReported => unknown(),
        Accepted::Yes => {
            span(cx.tone(SourceId::Traffic, Tone::Good), format!("✓ {}", percent(route.stored.percent())))
        }
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
    let source = if m.by_controller { SourceId::Controller } else { SourceId::Share };
    let stored = cx.model.split().map(|s| f64::from(s.percent()) / 100.0);
    let off = stored.is_some_and(|s| s + 0.005 < m.low || s - 0.005 > m.high);
    cx.tone(source, if off { Tone::Warn } else { Tone::Strong })
}

/// `19.8 % (18.1–21.6 %, n 2 104, by the controller)`.
fn interval<'a>(cx: &Cx<'a>) -> Line<'a> {
    let line = Line::label("measured");
    let Some(m) = cx.history.share.measured() else {
        return line.with(Tone::Dim, if roomy(cx) { "- no answer that told its version yet" } else { "-" });
    };
    let by = if m.by_controller { "controller" } else { "probes" };
    let of = format!(" of {}", crate::domain::units::short(m.answers as f64));
    let line = line.with(measured_tone(cx, &m), format!("{:.1}–{:.1} %", m.low * 100.0, m.high * 100.0));
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
    if roomy(cx) { line.with(Tone::Dim, " %") } else { line }
}

fn shift<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let mut line = Line::label("shift");
    line.0.extend(state(&cx.model.shift, cx.now).0);
    let mut lines = Vec::new();
    match &cx.model.last_shift {
        Some((what, at)) if matches!(cx.model.shift, Shift::Idle) => {
            line.0.push(dim(", last "));
            line.0.push(plain(what.as_str()));
            line.0.push(dim(format!(" {}{}", clock(*at), if roomy(cx) { " UTC" } else { "" })));
        }
        _ => {}
    }
    lines.push(line);
    lines
}

/// The shift machine in words.
pub(crate) fn state(shift: &Shift, now: Now) -> Line<'static> {
    let since = |deadline: Mono| age::quantised(APPLY_DEADLINE.saturating_sub(deadline.since(now.mono)));
    match shift {
        Shift::Idle => Line::of(Tone::Plain, "idle"),
        Shift::Proposed { plan, deadline, .. } => Line::of(
            Tone::Warn,
            format!("dry run of the {} to {} for {}", plan.intent.word(), plan.to, since(*deadline)),
        ),
        Shift::Armed { plan, .. } => {
            Line::of(Tone::Warn, format!("{} to {} waits for you", plan.intent.word(), plan.to))
        }
        Shift::Applying { plan, deadline } => {
            Line::of(Tone::Warn, format!("applying {} for {}", plan.to, since(*deadline)))
        }
        Shift::Verifying { plan, acknowledged, .. } => {
            let age = age::quantised(now.mono.since(*acknowledged));
            Line::of(Tone::Warn, format!("{} acknowledged {age} ago, reading it back", plan.to))
        }
        Shift::Unknown { plan, why, .. } => Line::of(Tone::Alarm, "UNKNOWN")
            .with(Tone::Bad, format!(" whether {} was written: {}", plan.to, why.sentence())),
        Shift::Done { plan, .. } => {
            Line::of(Tone::Good, format!("✓ {} {} is done", plan.intent.word(), plan.to))
        }
        Shift::Failed { plan, trouble } => Line::of(
            Tone::Bad,
            format!("✗ {} to {} failed: {}", plan.intent.word(), plan.to, trouble.kind.word()),
        ),
    }
}
