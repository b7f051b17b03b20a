//! Cluster: workloads and stores, each with what is wrong with it, and the newest events.

mod stores;

use crate::domain::cluster::{ClusterEvent, Role, Workload};
use crate::domain::store::StoreKind;
use crate::domain::{SourceId, units};

use super::super::context::{Cx, Detail};
use super::super::line::{Line, Span, dim, plain, span};
use super::super::look::Tone;
use super::super::table::{Column, Table, name, nothing, right, unknown};
use super::cells::{blame, clock, dot};

const ID: SourceId = SourceId::Cluster;

static WORKLOADS: [Column; 6] = [
    name("  workload", 11),
    right("ready", 3, 0),
    right("updated", 1, 4),
    right("restarts", 2, 2),
    name("tag", 6),
    name("trouble", 7),
];

/// Pods and the server's version.
pub(super) fn note<'a>(cx: &Cx<'a>) -> Line<'a> {
    let Some(fact) = cx.facts.cluster.value() else {
        return Line::new();
    };
    let pods =
        format!("{}/{} pods ready", units::grouped(fact.pods_ready.into()), units::grouped(fact.pods.into()));
    Line::of(if fact.pods_ready < fact.pods { Tone::Warn } else { Tone::Dim }, pods)
        .with(Tone::Dim, format!(" · {}", fact.server_version))
}

/// Web, worker, and the worst of the rest.
pub(super) fn summary<'a>(cx: &Cx<'a>) -> Line<'a> {
    let mut line = Line::new();
    let cluster = cx.facts.cluster.value();
    for (role, word) in [(Role::Web, "web "), (Role::Worker, "worker ")] {
        line.0.push(dim(word));
        line.0.push(cluster.and_then(|c| c.of(role)).map_or_else(unknown, |w| ready(cx, w)));
        line.0.push(dot());
    }
    line.0.push(dim("stores "));
    let up = StoreKind::ALL
        .iter()
        .filter(|k| cx.facts.store(**k).value().is_some() && cx.facts.store(**k).failure().is_none());
    let (up, all) = (up.count(), StoreKind::ALL.iter().filter(|k| !cx.off(SourceId::Store(**k))).count());
    line.0.push(span(if up < all { Tone::Warn } else { Tone::Plain }, format!("{up}/{all} up")));
    let mut workloads = cluster.into_iter().flat_map(|c| &c.workloads);
    if let Some(w) = workloads.find(|w| w.trouble.is_some()) {
        let trouble = w.trouble.as_deref().unwrap_or_default();
        line.0.push(dot());
        line.0.push(span(cx.tone(ID, Tone::Bad), format!("✗ {} {trouble}", w.name)));
    } else if let Some(kind) = StoreKind::ALL.into_iter().find(|k| cx.facts.store(*k).failure().is_some()) {
        let word = cx.facts.store(kind).failure().map_or("", |f| f.trouble.kind.word());
        line.0.push(dot());
        line.0.push(span(Tone::Bad, format!("✗ {} {word}", kind.name())));
    }
    line
}

/// All of it.
pub(super) fn rows<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let mut lines = workloads(cx);
    lines.extend(cx.troubles(&[ID]));
    lines.extend(stores::rows(cx));
    for kind in StoreKind::ALL {
        lines.extend(stores::complaints(cx, kind));
    }
    let events = cx.facts.cluster.value().map_or(&[][..], |f| f.events.as_slice());
    let few = if cx.detail == Detail::Zoomed { 20 } else { 6 };
    lines.extend(events.iter().take(few).map(|e| event(cx, e)));
    lines
}

fn workloads<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let mut table = Table::new(&WORKLOADS);
    let all = cx.facts.cluster.value().map_or(&[][..], |f| f.workloads.as_slice());
    let stores_too = cx.detail == Detail::Zoomed;
    for w in all.iter().filter(|w| stores_too || w.role != Role::Store || w.trouble.is_some()) {
        let trouble = match (&w.trouble, &w.last_restart) {
            (Some(trouble), _) => span(cx.tone(ID, Tone::Bad), trouble.as_str()),
            (None, Some(r)) => {
                let at = r.at.map_or_else(String::new, |at| format!(" {}", clock(at)));
                let brief = r.reason.split(',').next().unwrap_or_default();
                let reason = if cx.width < 76 { brief } else { &r.reason };
                span(cx.tone(ID, Tone::Warn), format!("{reason}{at}"))
            }
            (None, None) if w.updated < w.desired => {
                span(cx.tone(ID, Tone::Warn), format!("{} of {} updated", w.updated, w.desired))
            }
            (None, None) => nothing(),
        };
        let tag = if w.tag.is_empty() { &w.image } else { &w.tag };
        table.row(vec![
            marked(cx, w),
            ready(cx, w),
            cx.value(ID, w.updated.to_string()),
            blame(cx, ID, w.restarts.into(), Tone::Warn),
            cx.value(ID, tag.as_str()),
            trouble,
        ]);
    }
    if all.is_empty() {
        table.row(vec![dim("- web"), unknown(), unknown(), unknown(), unknown(), nothing()]);
        table.row(vec![dim("- worker"), unknown(), unknown(), unknown(), unknown(), nothing()]);
    }
    table.lines(cx.width)
}

fn marked<'a>(cx: &Cx<'a>, w: &Workload) -> Span<'a> {
    let (mark, tone) = state_of(w);
    let role = match w.role {
        Role::Web | Role::Worker | Role::V2 | Role::Store | Role::Other => "",
        Role::Controller => " (ingress)",
    };
    span(cx.tone(ID, tone), format!("{mark} {}{role}", w.name))
}

fn state_of(w: &Workload) -> (&'static str, Tone) {
    if w.trouble.is_some() || (w.ready == 0 && w.desired > 0) {
        ("✗", Tone::Bad)
    } else if w.ready < w.desired || w.desired == 0 {
        ("!", Tone::Warn)
    } else {
        ("✓", Tone::Plain)
    }
}

fn ready<'a>(cx: &Cx<'a>, w: &Workload) -> Span<'a> {
    span(
        cx.tone(ID, state_of(w).1),
        format!("{}/{}", units::grouped(w.ready.into()), units::grouped(w.desired.into())),
    )
}

fn event<'a>(cx: &Cx<'a>, e: &'a ClusterEvent) -> Line<'a> {
    let at = e.at.map_or_else(|| units::UNKNOWN.to_owned(), clock);
    let (mark, tone) = if e.warning { ("!", Tone::Warn) } else { ("·", Tone::Plain) };
    let mut line =
        Line::of(Tone::Dim, format!("{at} ")).with(cx.tone(ID, tone), format!("{mark} {}", e.reason));
    line.0.push(plain(" "));
    line.0.push(cx.value(ID, e.object.as_str()));
    line.0.push(dim(": "));
    line.0.push(cx.value(ID, e.message.as_str()));
    line
}
