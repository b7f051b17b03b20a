//! Cluster: workloads and stores, each with what is wrong with it, and the newest events.

use crate::domain::cluster::{ClusterEvent, Role, Workload};
use crate::domain::store::{StoreFact, StoreKind};
use crate::domain::{SourceId, units};

use super::super::context::{Cx, Detail};
use super::super::line::{Line, Span, dim, plain, span, wrapped};
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

static STORES: [Column; 6] = [
    name("  store", 12),
    right("ping", 5, 0),
    name("version", 7),
    name("role", 7),
    right("used", 4, 1),
    name("settings", 8),
];

/// Pods and the server's version.
pub(super) fn note<'a>(cx: &Cx<'a>) -> Line<'a> {
    let Some(fact) = cx.facts.cluster.value() else {
        return Line::new();
    };
    let pods = format!(
        "{}/{} pods ready",
        units::grouped(fact.pods_ready.into()),
        units::grouped(fact.pods.into())
    );
    Line::of(
        if fact.pods_ready < fact.pods {
            Tone::Warn
        } else {
            Tone::Dim
        },
        pods,
    )
    .with(Tone::Dim, format!(" · {}", fact.server_version))
}

/// Web, worker, and the worst of the rest.
pub(super) fn summary<'a>(cx: &Cx<'a>) -> Line<'a> {
    let mut line = Line::new();
    let workloads = cx
        .facts
        .cluster
        .value()
        .map_or(&[][..], |f| f.workloads.as_slice());
    for (role, word) in [(Role::Web, "web "), (Role::Worker, "worker ")] {
        line.0.push(dim(word));
        line.0.push(
            workloads
                .iter()
                .find(|w| w.role == role)
                .map_or_else(unknown, |w| ready(cx, w)),
        );
        line.0.push(dot());
    }
    line.0.push(dim("stores "));
    let up = StoreKind::ALL
        .iter()
        .filter(|k| cx.facts.store(**k).value().is_some() && cx.facts.store(**k).failure().is_none());
    let (up, all) = (
        up.count(),
        StoreKind::ALL
            .iter()
            .filter(|k| !cx.off(SourceId::Store(**k)))
            .count(),
    );
    line.0.push(span(
        if up < all { Tone::Warn } else { Tone::Plain },
        format!("{up}/{all} up"),
    ));
    if let Some(w) = workloads.iter().find(|w| w.trouble.is_some()) {
        let trouble = w.trouble.as_deref().unwrap_or_default();
        line.0.push(dot());
        line.0
            .push(span(cx.tone(ID, Tone::Bad), format!("✗ {} {trouble}", w.name)));
    } else if let Some(kind) = StoreKind::ALL
        .into_iter()
        .find(|k| cx.facts.store(*k).failure().is_some())
    {
        let word = cx
            .facts
            .store(kind)
            .failure()
            .map_or("", |f| f.trouble.kind.word());
        line.0.push(dot());
        line.0.push(span(Tone::Bad, format!("✗ {} {word}", kind.name())));
    }
    line
}

/// All of it.
pub(super) fn rows<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let mut lines = workloads(cx);
    lines.extend(cx.troubles(&[ID]));
    lines.extend(stores(cx));
    for kind in StoreKind::ALL {
        lines.extend(complaints(cx, kind));
    }
    let events = cx.facts.cluster.value().map_or(&[][..], |f| f.events.as_slice());
    let few = if cx.detail == Detail::Zoomed { 20 } else { 6 };
    lines.extend(events.iter().take(few).map(|e| event(cx, e)));
    lines
}

fn workloads<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let mut table = Table::new(&WORKLOADS);
    let all = cx
        .facts
        .cluster
        .value()
        .map_or(&[][..], |f| f.workloads.as_slice());
    let stores_too = cx.detail == Detail::Zoomed;
    for w in all
        .iter()
        .filter(|w| stores_too || w.role != Role::Store || w.trouble.is_some())
    {
        let trouble = match (&w.trouble, &w.last_restart) {
            (Some(trouble), _) => span(cx.tone(ID, Tone::Bad), trouble.as_str()),
            (None, Some(r)) => {
                let at = r.at.map_or_else(String::new, |at| format!(" {}", clock(at)));
                span(cx.tone(ID, Tone::Warn), format!("{}{at}", r.reason))
            }
            (None, None) if w.updated < w.desired => span(
                cx.tone(ID, Tone::Warn),
                format!("{} of {} updated", w.updated, w.desired),
            ),
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
        table.row(vec![
            dim("- web"),
            unknown(),
            unknown(),
            unknown(),
            unknown(),
            nothing(),
        ]);
        table.row(vec![
            dim("- worker"),
            unknown(),
            unknown(),
            unknown(),
            unknown(),
            nothing(),
        ]);
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
        format!(
            "{}/{}",
            units::grouped(w.ready.into()),
            units::grouped(w.desired.into())
        ),
    )
}

fn stores<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let mut table = Table::new(&STORES);
    for kind in StoreKind::ALL {
        let id = SourceId::Store(kind);
        if cx.off(id) {
            table.row(vec![
                dim(format!("· {}", kind.name())),
                unknown(),
                dim("not watched"),
                nothing(),
                nothing(),
                nothing(),
            ]);
            continue;
        }
        let sample = cx.facts.store(kind);
        let failure = sample.failure().map(|f| f.trouble.kind.word());
        let mark = match (sample.value(), failure) {
            (_, Some(_)) => ("✗", Tone::Bad),
            (Some(fact), None) if fact.settings.iter().any(|s| s.ok == Some(false)) => ("!", Tone::Warn),
            (Some(_), None) => ("✓", Tone::Plain),
            (None, None) => ("-", Tone::Dim),
        };
        let title = span(mark.1, format!("{} {}", mark.0, kind.name()));
        match sample.value() {
            Some(fact) => table.row(store(cx, id, title, fact, failure)),
            None => table.row(vec![
                title,
                unknown(),
                failure.map_or_else(unknown, |word| span(Tone::Bad, word)),
                unknown(),
                unknown(),
                nothing(),
            ]),
        }
    }
    table.lines(cx.width)
}

fn store<'a>(
    cx: &Cx<'a>,
    id: SourceId,
    title: Span<'a>,
    fact: &'a StoreFact,
    failure: Option<&'static str>,
) -> Vec<Span<'a>> {
    let bad = fact.settings.iter().filter(|s| s.ok == Some(false)).count();
    let settings = match (failure, bad) {
        (Some(word), _) => span(Tone::Bad, word),
        (None, 0) => dim("ok"),
        (None, n) => span(cx.tone(id, Tone::Warn), format!("! {n} wrong")),
    };
    let blank = |text: &'a str| {
        if text.is_empty() {
            unknown()
        } else {
            cx.value(id, text)
        }
    };
    vec![
        title,
        cx.value(id, units::latency(fact.latency)),
        blank(&fact.version),
        blank(&fact.role),
        used(cx, id, fact),
        settings,
    ]
}

/// `61 %` of its limit, or the bytes alone.
fn used<'a>(cx: &Cx<'a>, id: SourceId, fact: &StoreFact) -> Span<'a> {
    match (fact.used, fact.limit) {
        (None, _) => unknown(),
        (Some(used), Some(limit)) if limit > 0 => {
            let share = used as f64 / limit as f64;
            let tone = if share > 0.9 {
                Tone::Bad
            } else if share > 0.75 {
                Tone::Warn
            } else {
                Tone::Plain
            };
            let text = format!("{:.0}% of {}", share * 100.0, units::bytes(limit));
            span(
                cx.tone(id, tone),
                if cx.width < 76 {
                    format!("{:.0}%", share * 100.0)
                } else {
                    text
                },
            )
        }
        (Some(used), _) => cx.value(id, units::bytes(used)),
    }
}

/// Settings that are wrong, and why a store does not answer.
fn complaints<'a>(cx: &Cx<'a>, kind: StoreKind) -> Vec<Line<'a>> {
    let id = SourceId::Store(kind);
    let mut lines = if cx.off(id) {
        Vec::new()
    } else {
        cx.troubles(&[id])
    };
    let settings = cx
        .facts
        .store(kind)
        .value()
        .map_or(&[][..], |f| f.settings.as_slice());
    for s in settings.iter().filter(|s| s.ok == Some(false)) {
        let value = s.value.as_deref().unwrap_or(units::UNKNOWN);
        let text = format!("! {} {} = {value}: {}", kind.name(), s.name, s.advice);
        lines.extend(wrapped(Tone::Warn, &text, cx.width, 2));
    }
    if cx.detail == Detail::Zoomed {
        for s in settings.iter().filter(|s| s.ok != Some(false)) {
            let value = s.value.as_deref().unwrap_or(units::UNKNOWN);
            lines.push(
                Line::of(Tone::Dim, format!("  {} {} = ", kind.name(), s.name))
                    .with(Tone::Plain, value.to_owned()),
            );
        }
    }
    lines
}

fn event<'a>(cx: &Cx<'a>, e: &'a ClusterEvent) -> Line<'a> {
    let at = e.at.map_or_else(|| units::UNKNOWN.to_owned(), clock);
    let (mark, tone) = if e.warning {
        ("!", Tone::Warn)
    } else {
        ("·", Tone::Plain)
    };
    let mut line =
        Line::of(Tone::Dim, format!("{at} ")).with(cx.tone(ID, tone), format!("{mark} {}", e.reason));
    line.0.push(plain(" "));
    line.0.push(cx.value(ID, e.object.as_str()));
    line.0.push(dim(": "));
    line.0.push(cx.value(ID, e.message.as_str()));
    line
}
