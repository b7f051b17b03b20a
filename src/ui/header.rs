//! The truth on top: which environment, who may write, where the migration stands, and where traffic goes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cockpit::Model;
use crate::cockpit::msg::Lease;
use crate::cockpit::phase::{Phase, phase};
use crate::domain::{Freshness, Now, SourceId};

use super::age;
use super::chart::bar;
use super::context::Cx;
use super::line::{Line, dim, plain, put, span};
use super::look::{Theme, Tone};
use super::panes::traffic_state;
use super::row::{Part, spread};

/// Rows of the header.
pub(crate) const ROWS: u16 = 3;

/// Draws the three rows.
pub(crate) fn draw(buf: &mut Buffer, area: Rect, cx: &Cx<'_>, theme: Theme) {
    let row = |n: u16| Rect { x: area.x + 1, y: area.y + n, width: area.width.saturating_sub(2), height: 1 };
    spread(buf, row(0), whereabouts(cx.model), rights(cx), theme);
    let (left, right) = phases(cx);
    spread(buf, row(1), left, right, theme);
    let (left, right) = split(cx);
    spread(buf, row(2), left, right, theme);
}

/// One line for a terminal without room for anything else.
pub(crate) fn draw_tiny(buf: &mut Buffer, area: Rect, model: &Model, now: Now, theme: Theme) {
    let split = model.split().map_or_else(|| "-".into(), |s| s.to_string());
    let mut line = Line::new();
    if model.setup.production {
        line = line.with(Tone::Alarm, "PROD").with(Tone::Plain, " ");
    }
    line = line.with(Tone::Strong, format!("v3 {split} ")).and(traffic_state(&model.shift, now));
    put(buf, (area.x, area.y), area.width, &line, theme);
    if area.height > 1 {
        let (columns, rows) = super::layout::SMALLEST;
        let line =
            Line::of(Tone::Warn, "terminal too small").with(Tone::Plain, format!(": needs {columns}x{rows}"));
        put(buf, (area.x, area.y + 1), area.width, &line, theme);
    }
}

/// Environment, context and namespace.
pub(crate) fn whereabouts(model: &Model) -> Vec<Part<'_>> {
    let setup = &model.setup;
    let kind = if setup.production {
        (0, Line::of(Tone::Alarm, " PROD "))
    } else {
        (7, Line::of(Tone::Dim, "not production"))
    };
    vec![
        (6, Line::of(Tone::Dim, "cutover")),
        (0, Line::of(Tone::Strong, setup.environment.as_str())),
        kind,
        (
            3,
            Line::of(Tone::Dim, setup.context.as_str())
                .with(Tone::Dim, "/")
                .with(Tone::Plain, setup.namespace.as_str()),
        ),
    ]
}

/// Freshness, lease, and whether anything can be written at all.
pub(crate) fn rights<'a>(cx: &Cx<'a>) -> Vec<Part<'a>> {
    let armed = if cx.model.setup.armed {
        Line::of(Tone::Notice, " ARMED ")
    } else {
        Line::of(Tone::Strong, "read-only")
    };
    let lease = match &cx.model.lease {
        Lease::None => Line::new(),
        Lease::Ours => Line::of(Tone::Dim, "lease ours"),
        Lease::Other(who, _) => Line::of(Tone::Warn, "! lease ").with(Tone::Strong, who.as_str()),
        Lease::Failed(trouble) => Line::of(Tone::Bad, format!("✗ lease {}", trouble.kind.word())),
    };
    vec![(1, freshness(cx)), (2, lease), (0, armed)]
}

/// Whether every reading is fresh; if not, the oldest one.
fn freshness<'a>(cx: &Cx<'a>) -> Line<'a> {
    let watched = || SourceId::ALL.into_iter().filter(|id| !cx.off(*id));
    let failing = watched().filter(|id| cx.facts.failure(*id).is_some()).count();
    let of = |id: SourceId| cx.facts.freshness(id, cx.now.mono);
    let late = watched().filter(|id| matches!(of(*id), Freshness::Late(_) | Freshness::Stale(_)));
    let oldest = late.max_by_key(|id| of(*id).age());
    let unread = watched().filter(|id| of(*id) == Freshness::Unknown).count();
    let mut line = Line::new();
    if failing > 0 {
        line = line.with(Tone::Bad, format!("✗ {failing} failing"));
    }
    let comma = if failing > 0 { ", " } else { "" };
    match oldest {
        Some(id) => {
            let age = of(id).age().map(age::quantised).unwrap_or_default();
            line.with(Tone::Warn, format!("{comma}oldest {} {age}", id.name()))
        }
        None if unread > 0 => {
            line.with(Tone::Dim, format!("{comma}{unread} of {} unread", watched().count()))
        }
        None if failing > 0 => line,
        None => line.with(Tone::Dim, "all fresh"),
    }
}

fn phases<'a>(cx: &Cx<'a>) -> (Vec<Part<'a>>, Vec<Part<'a>>) {
    let model = cx.model;
    let now = phase(model, cx.now.wall);
    let order = Phase::order(model.setup.strategy);
    let current = now.as_ref().and_then(|(p, _)| order.iter().position(|o| o == p));
    let part = |(n, phase): (usize, &Phase)| {
        let line = match current {
            Some(at) if n < at => Line::of(Tone::Good, "✓ ").with(Tone::Plain, phase.word()),
            Some(at) if n == at => Line::of(Tone::Chosen, format!("▶ {}", phase.word())),
            _ => Line::of(Tone::Dim, format!("· {}", phase.word())),
        };
        (0, line)
    };
    let left = order.iter().enumerate().map(part).collect();
    let why = match now {
        Some((_, why)) => Line::of(Tone::Dim, why),
        None => Line::of(Tone::Dim, "phase not known yet"),
    };
    (left, vec![(1, why)])
}

fn split<'a>(cx: &Cx<'a>) -> (Vec<Part<'a>>, Vec<Part<'a>>) {
    let split = cx.model.split();
    let columns = match cx.width {
        0..=99 => 10,
        100..=159 => 20,
        _ => 40,
    };
    let (v2, v3) = match split {
        Some(split) => bar(1.0 - f64::from(split.percent()) / 100.0, columns),
        None => (String::new(), "·".repeat(columns)),
    };
    let stored = split.map_or_else(|| "-".into(), |s| s.to_string());
    let tone = cx.tone(SourceId::Traffic, Tone::Strong);
    let line = Line::of(Tone::V2, "v2 ")
        .with(Tone::V2, v2)
        .with(Tone::V3, v3)
        .with(Tone::V3, " v3 ")
        .with(tone, stored);
    let asked = match (cx.model.intended, split) {
        (Some(asked), Some(split)) if asked != split => {
            Line::of(Tone::Warn, format!("! {asked} was asked for"))
        }
        _ => Line::new(),
    };
    let hold = match &cx.model.hold {
        None => Line::of(Tone::Dim, "not held"),
        Some(hold) => {
            let since = hold.since.strftime("%H:%M").to_string();
            Line::of(Tone::Notice, " HELD ")
                .with(Tone::Warn, " by ")
                .with(Tone::Strong, hold.by.as_str())
                .with(Tone::Dim, format!(" since {since} UTC"))
        }
    };
    (vec![(0, line), (1, asked), (2, measured(cx))], vec![(1, hold)])
}

/// The measured share beside the stored one.
fn measured<'a>(cx: &Cx<'a>) -> Line<'a> {
    let mut line = Line::of(Tone::Dim, "measured ");
    let Some(m) = cx.history.share.measured() else {
        line.0.push(dim("-"));
        return line;
    };
    let source = if m.by_controller { SourceId::Controller } else { SourceId::Share };
    line.0.push(span(cx.tone(source, Tone::Strong), format!("{:.1} %", m.share * 100.0)));
    line.0.push(plain(""));
    line.with(Tone::Dim, format!(" ({:.1}–{:.1})", m.low * 100.0, m.high * 100.0))
}
