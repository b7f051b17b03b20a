//! The four stores: one line each, then what is wrong with them.

use crate::domain::store::{StoreFact, StoreKind};
use crate::domain::{SourceId, units};
use crate::ui::context::{Cx, Detail};
use crate::ui::line::{Line, Span, dim, span, wrapped};
use crate::ui::look::Tone;
use crate::ui::table::{Column, Table, name, nothing, right, unknown};

static STORES: [Column; 6] = [
    name("  store", 12),
    right("ping", 5, 0),
    name("version", 7),
    name("role", 7),
    right("used", 4, 1),
    name("settings", 8),
];

/// One line per store.
pub(super) fn rows<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
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
        if text.is_empty() { unknown() } else { cx.value(id, text) }
    };
    // What does not answer has no time to answer.
    let ping = if failure.is_some() { unknown() } else { cx.value(id, units::latency(fact.latency)) };
    vec![title, ping, blank(&fact.version), blank(&fact.role), used(cx, id, fact), settings]
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
            span(cx.tone(id, tone), if cx.width < 76 { format!("{:.0}%", share * 100.0) } else { text })
        }
        (Some(used), _) => cx.value(id, units::bytes(used)),
    }
}

/// Settings that are wrong, and why a store does not answer.
pub(super) fn complaints<'a>(cx: &Cx<'a>, kind: StoreKind) -> Vec<Line<'a>> {
    let id = SourceId::Store(kind);
    let mut lines = if cx.off(id) { Vec::new() } else { cx.troubles(&[id]) };
    let settings = cx.facts.store(kind).value().map_or(&[][..], |f| f.settings.as_slice());
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
