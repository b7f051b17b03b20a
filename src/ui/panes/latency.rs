//! Latency: v2, v3 and the public address side by side, as a client of Langfuse would see them.

use std::time::Duration;

use crate::cockpit::errors::{ERRORS_BLOCK, Errors, errors as errors_of};
use crate::cockpit::history::{LatencyHistory, Window};
use crate::cockpit::requests::Tally;
use crate::domain::latency::Endpoint;
use crate::domain::{Freshness, SourceId, units};

use super::super::age;
use super::super::context::Cx;
use super::super::line::{Line, Span, dim, joined, span};
use super::super::look::Tone;
use super::super::table::{Column, Table, left, right, unknown};
use super::cells::percent;

const ALL: [Endpoint; 3] = [Endpoint::V2, Endpoint::V3, Endpoint::Public];

static COLUMNS: [Column; 4] = [left("", 11, 0), right("v2", 8, 0), right("v3", 8, 0), right("public", 8, 0)];

/// What the quantiles are over.
pub(super) fn note<'a>(_: &Cx<'a>) -> Line<'a> {
    Line::of(Tone::Dim, "last 5 to 10 min")
}

/// p95 and errors of each address.
pub(super) fn summary<'a>(cx: &Cx<'a>) -> Line<'a> {
    let label = Line::of(Tone::Dim, "p95, errors ");
    let part = |endpoint: Endpoint| {
        let mut line = Line::of(tone_of(endpoint), endpoint.word()).with(Tone::Plain, " ");
        line.0.push(quantile(cx, endpoint, |h| &h.accept, 0.95));
        line.0.push(dim(", "));
        line.0.push(errors(cx, endpoint));
        (u8::from(endpoint == Endpoint::Public), line)
    };
    let columns = cx.width.saturating_sub(label.width());
    label.and(joined(ALL.map(part).into(), columns))
}

/// All of it.
pub(super) fn rows<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let mut table = Table::new(&COLUMNS);
    // The eye sees what belongs together; the ear has to be told again.
    let again = |label: &'static str| match label.rsplit_once(' ') {
        Some((_, "p95")) if !cx.spoken => "        p95",
        Some((_, "p99")) if !cx.spoken => "        p99",
        _ => label,
    };
    let mut row = |label: &'static str, cell: &dyn Fn(Endpoint) -> Span<'a>| {
        let mut cells = vec![dim(label)];
        cells.extend(ALL.map(cell));
        table.row(cells);
    };
    row("errors 2m", &|e| errors(cx, e));
    // In a low pane the quantiles are worth more than what the errors rest on.
    let roomy = cx.height >= 9;
    if roomy {
        row("  of", &|e| basis(cx, e));
    }
    row("accept  p50", &|e| quantile(cx, e, |h| &h.accept, 0.5));
    row(again("accept  p95"), &|e| quantile(cx, e, |h| &h.accept, 0.95));
    row(again("accept  p99"), &|e| quantile(cx, e, |h| &h.accept, 0.99));
    row("visible p50", &|e| quantile(cx, e, |h| &h.visible, 0.5));
    row(again("visible p95"), &|e| quantile(cx, e, |h| &h.visible, 0.95));
    row("health  p50", &|e| quantile(cx, e, |h| &h.health, 0.5));
    row("version", &|e| version(cx, e));
    if ALL.iter().any(|e| late(cx, *e).is_some()) {
        row("age", &|e| late(cx, e).map_or_else(|| dim("fresh"), |(tone, text)| span(tone, text)));
    }
    let mut lines = table.lines(cx.width);
    let sources = ALL.map(SourceId::Probe);
    // What goes wrong stands right under the errors' row, where the eye is already.
    let told = silent(cx).into_iter().chain(cx.troubles(&sources)).chain(kinds(cx));
    let under = if roomy { 3 } else { 2 };
    lines.splice(under..under, told.collect::<Vec<_>>());
    lines
}

const fn tone_of(endpoint: Endpoint) -> Tone {
    match endpoint {
        Endpoint::V2 => Tone::V2,
        Endpoint::V3 => Tone::V3,
        Endpoint::Public => Tone::Plain,
    }
}

/// The age of a reading that is not fresh.
fn late(cx: &Cx<'_>, endpoint: Endpoint) -> Option<(Tone, String)> {
    match cx.facts.freshness(SourceId::Probe(endpoint), cx.now.mono) {
        Freshness::Late(age) => Some((Tone::Warn, age::quantised(age))),
        Freshness::Stale(age) => Some((Tone::Bad, age::quantised(age))),
        Freshness::Unknown | Freshness::Fresh(_) => None,
    }
}

fn history<'a>(cx: &Cx<'a>, endpoint: Endpoint) -> &'a LatencyHistory {
    &cx.history.latency[endpoint as usize]
}

fn quantile<'a>(cx: &Cx<'a>, endpoint: Endpoint, of: fn(&LatencyHistory) -> &Window, q: f64) -> Span<'a> {
    let value: Option<Duration> = of(history(cx, endpoint)).quantile(q);
    value.map_or_else(unknown, |v| cx.value(SourceId::Probe(endpoint), units::latency(v)))
}

fn errors<'a>(cx: &Cx<'a>, endpoint: Endpoint) -> Span<'a> {
    let (source, tally) = shown(cx, endpoint);
    let Some(rate) = tally.rate() else {
        return unknown();
    };
    let tone = match rate {
        0.0 => Tone::Good,
        r if r > ERRORS_BLOCK => Tone::Bad,
        _ => Tone::Warn,
    };
    let mark = if rate > 0.0 { "! " } else { "" };
    span(cx.tone(source, tone), format!("{mark}{}", percent(rate * 100.0)))
}

/// Real requests when the controller counted enough of them, else our own probes.
fn shown(cx: &Cx<'_>, endpoint: Endpoint) -> (SourceId, Tally) {
    let known = known(cx, endpoint);
    match known.telling() {
        Some(requests) => (SourceId::Controller, requests),
        None => (SourceId::Probe(endpoint), known.rounds),
    }
}

fn known(cx: &Cx<'_>, endpoint: Endpoint) -> Errors {
    errors_of(cx.history, endpoint, cx.now.mono)
}

/// What the share of errors rests on: `412 req`, `24 probes`.
fn basis<'a>(cx: &Cx<'a>, endpoint: Endpoint) -> Span<'a> {
    let (source, tally) = shown(cx, endpoint);
    let word = if source == SourceId::Controller { "req" } else { "probes" };
    if tally.all == 0 { unknown() } else { dim(format!("{} {word}", units::short(tally.all as f64))) }
}

/// `✗ v3 does not answer: 3 rounds in a row`.
fn silent<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let silent = ALL.into_iter().map(|e| (e, known(cx, e))).filter(|(_, known)| known.is_silent());
    let line = |(e, known): (Endpoint, Errors)| {
        Line::of(Tone::Bad, format!("✗ {} does not answer: {} rounds in a row", e.word(), known.silent))
    };
    silent.map(line).collect()
}

fn version<'a>(cx: &Cx<'a>, endpoint: Endpoint) -> Span<'a> {
    let version = cx.facts.probe(endpoint).value().and_then(|p| p.version.as_deref());
    version.map_or_else(unknown, |v| cx.value(SourceId::Probe(endpoint), v))
}

/// `v3 503 ×4, timeout ×1 by probes since the start`.
fn kinds<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for endpoint in ALL {
        let errors = &history(cx, endpoint).errors;
        if errors.is_empty() {
            continue;
        }
        let mut worst: Vec<(&String, &u64)> = errors.iter().collect();
        worst.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        let text: Vec<String> = worst.iter().take(4).map(|(kind, n)| format!("{kind} ×{n}")).collect();
        let line =
            Line::of(tone_of(endpoint), endpoint.word()).with(Tone::Warn, format!(" {}", text.join(", ")));
        lines.push(line.with(Tone::Dim, " by probes since the start"));
    }
    lines
}
