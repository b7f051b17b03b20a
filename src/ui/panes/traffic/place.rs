//! One route: where its weight is stored, who wrote it, what is behind it, and what bends it.

use crate::domain::SourceId;
use crate::domain::traffic::{Accepted, Backend, Route};
use crate::ui::context::{Cx, Detail};
use crate::ui::line::{Line, Span, dim, span, wrapped};
use crate::ui::look::Tone;
use crate::ui::table::unknown;

use super::super::cells::{clock, percent};

/// Object, backends, owner, pins, and why the weight does not do what it says.
pub(super) fn rows<'a>(cx: &Cx<'a>, route: &'a Route) -> Vec<Line<'a>> {
    let id = SourceId::Traffic;
    let mut lines = doubts(cx, route);
    let ready = |b: &'a Backend| -> Vec<Span<'a>> {
        let endpoints = match b.endpoints {
            None => dim(" (- ready)"),
            Some(0) => span(Tone::Bad, " (✗ 0 ready)"),
            Some(n) => dim(format!(" ({n} ready)")),
        };
        vec![cx.value(id, b.service.as_str()), dim(format!(":{}", b.port)), endpoints]
    };
    let mut backends = Line::of(Tone::V2, "v2 ");
    backends.0.extend(ready(&route.primary));
    let mut canary = Line::of(Tone::V3, "v3 ");
    canary.0.extend(ready(&route.canary));
    let mut object = Line::label("object");
    object.0.push(cx.value(id, route.object.to_string()));
    let owner = owner(cx, route);
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
        lines.extend(route.rules.iter().map(|rule| Line::label("rule").with(Tone::Plain, rule.as_str())));
    }
    lines
}

/// Why the weight does not do what it says.
fn doubts<'a>(cx: &Cx<'a>, route: &'a Route) -> Vec<Line<'a>> {
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
    if route.raw.as_ref().is_some_and(|raw| *raw != route.stored.value.to_string()) {
        let raw = route.raw.as_deref().unwrap_or_default();
        lines.extend(wrapped(
            Tone::Warn,
            &format!("! the object says {raw:?}, read as {}", route.stored.value),
            cx.width,
            2,
        ));
    }
    lines
}

/// Who wrote the weight last.
fn owner<'a>(cx: &Cx<'a>, route: &'a Route) -> Line<'a> {
    let mut owner = Line::label("written");
    match &route.owner {
        None => owner.0.push(unknown()),
        Some(o) => {
            owner.0.push(dim("by "));
            owner.0.push(cx.value(SourceId::Traffic, o.manager.as_str()));
            let at = o.at.map_or_else(String::new, |at| format!(" {} UTC", clock(at)));
            owner.0.push(dim(format!(" ({}){at}", o.operation)));
        }
    }
    owner
}
