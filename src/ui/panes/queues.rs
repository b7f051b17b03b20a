//! Queues: whether v3 works off what it accepted. Ingestion comes first: a trace that waits there is not
//! visible yet.

use std::borrow::Cow;
use std::time::Duration;

use crate::cockpit::history::QueueHistory;
use crate::domain::SourceId;
use crate::domain::queue::Queue;
use crate::domain::units;

use super::super::age;
use super::super::chart::sweep;
use super::super::context::Cx;
use super::super::line::{Line, Span, dim, joined, span};
use super::super::look::Tone;
use super::super::table::{Column, Table, left, name, nothing, right, unknown};
use super::cells::{blame, dot};

const ID: SourceId = SourceId::Queues;
/// A job that waits longer than this is worth a look.
const SLOW: Duration = Duration::from_secs(30);
/// One column of the depth chart.
const STEP: Duration = Duration::from_secs(4);

static COLUMNS: [Column; 11] = [
    name("queue", 9),
    right("wait", 5, 0),
    right("active", 3, 5),
    right("overdue", 3, 4),
    right("fail", 4, 0),
    right("oldest", 5, 0),
    right("in/s", 4, 3),
    right("out/s", 4, 3),
    right("workers", 3, 6),
    left("state", 0, 1),
    left("depth", 0, 9),
];

/// How many there are.
pub(super) fn note<'a>(cx: &Cx<'a>) -> Line<'a> {
    let Some(fact) = cx.facts.queues.value() else {
        return Line::new();
    };
    let count = fact.queues.len();
    Line::of(Tone::Dim, format!("{count} queue{}", if count == 1 { "" } else { "s" }))
}

/// What waits and what failed, over all queues.
pub(super) fn summary<'a>(cx: &Cx<'a>) -> Line<'a> {
    let mut line = totals(cx);
    let worst = sorted(cx).into_iter().find_map(|q| complaint(cx, q).map(|(tone, text)| (q, tone, text)));
    if let Some((queue, tone, text)) = worst {
        line.0.push(dot());
        line.0.push(span(cx.tone(ID, tone), format!("! {} {text}", short_name(&queue.name))));
    }
    line
}

/// All of it.
pub(super) fn rows<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let queues = sorted(cx);
    let mut lines = Vec::new();
    if cx.height <= 12 || cx.read(ID) {
        lines.push(totals(cx));
    }
    lines.extend(cx.troubles(&[ID]));
    let mut table = Table::new(&COLUMNS);
    if queues.is_empty() && cx.read(ID) {
        lines.push(Line::of(Tone::Warn, "! Redis holds no queue: v3 has not started there"));
    }
    if queues.is_empty() {
        let mut row = vec![unknown(); COLUMNS.len() - 2];
        row.extend([nothing(), nothing()]);
        table.row(row);
    }
    for queue in &queues {
        table.row(row(cx, queue));
    }
    if let Some(first) = queues.first()
        && cx.height > queues.len() + lines.len() + 1
    {
        lines.extend(chart(cx, first));
    }
    lines.extend(table.lines(cx.width));
    lines
}

fn row<'a>(cx: &Cx<'a>, queue: &'a Queue) -> Vec<Span<'a>> {
    let history = cx.history.queues.get(&queue.name);
    let rate = |rate: Option<f64>| rate.map_or_else(unknown, |r| cx.value(ID, per_second(r)));
    let old = match queue.oldest {
        None => unknown(),
        Some(oldest) => {
            let tone = if oldest > SLOW { Tone::Warn } else { Tone::Plain };
            span(cx.tone(ID, tone), age::quantised(oldest))
        }
    };
    let complaint = complaint(cx, queue).map_or_else(nothing, |(tone, text)| span(cx.tone(ID, tone), text));
    vec![
        span(cx.tone(ID, Tone::Plain), if cx.width < 70 { short_name(&queue.name) } else { &queue.name }),
        blame(cx, ID, queue.waiting, Tone::Plain),
        blame(cx, ID, queue.active, Tone::Plain),
        blame(cx, ID, queue.overdue, Tone::Warn),
        blame(cx, ID, queue.failed, Tone::Bad),
        old,
        rate(history.and_then(QueueHistory::arriving)),
        rate(history.and_then(QueueHistory::leaving)),
        queue.consumers.map_or_else(unknown, |n| cx.value(ID, n.to_string())),
        complaint,
        depth(cx, history),
    ]
}

fn depth<'a>(cx: &Cx<'a>, history: Option<&QueueHistory>) -> Span<'a> {
    match history {
        Some(history) if !cx.spoken && cx.width >= 100 => {
            let columns = if cx.width >= 150 { 40 } else { 16 };
            dim(sweep(&history.depth, columns, STEP))
        }
        _ => nothing(),
    }
}

/// The depth of the first queue over the whole width, where rows are to spare.
fn chart<'a>(cx: &Cx<'a>, first: &Queue) -> Option<Line<'a>> {
    let history = cx.history.queues.get(&first.name).filter(|_| !cx.spoken && cx.width >= 40)?;
    let columns = (cx.width - 10).min(60);
    Some(Line::label("depth").with(Tone::Plain, sweep(&history.depth, columns, STEP)))
}

/// What is wrong with a queue, in a word or two.
fn complaint(cx: &Cx<'_>, queue: &Queue) -> Option<(Tone, Cow<'static, str>)> {
    let still = cx.history.queues.get(&queue.name).and_then(QueueHistory::still);
    if queue.paused {
        Some((Tone::Warn, "paused".into()))
    } else if queue.consumers == Some(0) && queue.depth() > 0 {
        Some((Tone::Bad, "no worker".into()))
    } else if let Some(still) = still.filter(|_| queue.waiting + queue.overdue > 0) {
        Some((Tone::Bad, format!("still {}", age::quantised(still)).into()))
    } else if queue.oldest.is_some_and(|age| age > SLOW) {
        Some((Tone::Warn, "slow".into()))
    } else {
        None
    }
}

fn per_second(rate: f64) -> String {
    if rate.abs() < 0.05 {
        "0".into()
    } else if rate.abs() < 100.0 {
        format!("{rate:.1}")
    } else {
        units::short(rate.round())
    }
}

/// Over all queues, as the rows below have them: what waits and what is overdue are two numbers there too.
fn totals<'a>(cx: &Cx<'a>) -> Line<'a> {
    let Some(fact) = cx.facts.queues.value() else {
        return Line::of(Tone::Dim, "- waiting · - failed · in - · out -");
    };
    let sum = |of: fn(&Queue) -> u64| fact.queues.iter().fold(0_u64, |all, q| all.saturating_add(of(q)));
    let (waiting, overdue, failed) = (sum(|q| q.waiting), sum(|q| q.overdue), sum(|q| q.failed));
    let flow = |of: fn(&QueueHistory) -> Option<f64>| -> Option<f64> {
        let histories = fact.queues.iter().filter_map(|q| cx.history.queues.get(&q.name));
        histories.filter_map(of).reduce(|a, b| a + b)
    };
    let rate = |r: Option<f64>| r.map_or_else(|| units::UNKNOWN.into(), |r| format!("{}/s", per_second(r)));
    let number = |span: Span<'a>, word| Line(vec![span, dim(word)]);
    let moving = |word, text| Line(vec![dim(word), cx.value(ID, text)]);
    let mut parts = vec![
        (0, number(span(cx.tone(ID, Tone::Strong), units::grouped(waiting)), " waiting")),
        (3, number(blame(cx, ID, failed, Tone::Bad), " failed")),
        (1, moving("in ", rate(flow(QueueHistory::arriving)))),
        (1, moving("out ", rate(flow(QueueHistory::leaving)))),
    ];
    if overdue > 0 {
        parts.insert(1, (2, number(blame(cx, ID, overdue, Tone::Warn), " overdue")));
    }
    joined(parts, cx.width)
}

fn ingests(queue: &Queue) -> bool {
    queue.name.contains("ingestion")
}

/// Ingestion first, then what waits or failed, then by name.
fn sorted<'a>(cx: &Cx<'a>) -> Vec<&'a Queue> {
    let mut queues: Vec<&Queue> =
        cx.facts.queues.value().map_or_else(Vec::new, |f| f.queues.iter().collect());
    queues.sort_by_key(|q| (!ingests(q), q.failed == 0 && q.depth() == 0 && !q.paused));
    queues
}

fn short_name(name: &str) -> &str {
    name.strip_suffix("-queue").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short() {
        assert_eq!([0.01, 3.1234, 120.4, 12_345.0].map(per_second), ["0", "3.1", "120", "12.3k"]);
        assert_eq!(short_name("otel-ingestion-queue"), "otel-ingestion");
    }
}
