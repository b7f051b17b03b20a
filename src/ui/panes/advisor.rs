//! Advisor: what the readings mean together, worst first, each with its evidence and what to do.

use crate::cockpit::advisor::{Finding, Severity};

use super::super::context::{Cx, Detail};
use super::super::line::{Line, dim, span, wrapped};
use super::super::look::Tone;
use super::cells::dot;

/// How many of each.
pub(super) fn note<'a>(cx: &Cx<'a>) -> Line<'a> {
    let mut line = Line::new();
    for severity in [Severity::Critical, Severity::Warning, Severity::Info] {
        let n = cx.model.findings.iter().filter(|f| f.severity == severity).count();
        if n > 0 {
            let gap = if line.0.is_empty() { "" } else { ", " };
            let (_, tone, word) = words(severity);
            line = line.with(Tone::Dim, gap).with(tone, format!("{n} {word}"));
        }
    }
    line
}

/// The worst finding, and how many more there are.
pub(super) fn summary<'a>(cx: &Cx<'a>) -> Line<'a> {
    if let Some(working) = working(cx) {
        return working;
    }
    let Some(worst) = cx.model.findings.first() else {
        return none(cx);
    };
    let mut line = Line::new();
    if cx.model.findings.len() > 1 {
        line = note(cx);
        line.0.push(dot());
    }
    line.0.extend(title(worst).0);
    line
}

/// All of it.
pub(super) fn rows<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    if cx.model.findings.is_empty() {
        return working(cx).into_iter().chain([none(cx)]).collect();
    }
    // In a low pane the titles of all findings are worth more than the evidence of the first.
    let brief = cx.detail < Detail::Zoomed && cx.height < cx.model.findings.len() * 3;
    let mut lines: Vec<Line<'a>> = working(cx).into_iter().collect();
    for (n, finding) in cx.model.findings.iter().enumerate() {
        lines.extend(headline(finding, cx.width));
        if !brief || n == 0 {
            for evidence in finding.evidence.lines() {
                lines.extend(wrapped(Tone::Dim, &format!("  {evidence}"), cx.width, 2));
            }
        }
        if finding.remedy.is_empty() || (brief && finding.severity == Severity::Info) {
            continue;
        }
        let key = if finding.act.is_some() { " (key a)" } else { "" };
        lines.extend(wrapped(Tone::Plain, &format!("  → {}{key}", finding.remedy), cx.width, 4));
    }
    lines
}

/// The verb that was started from here.
fn working<'a>(cx: &Cx<'a>) -> Option<Line<'a>> {
    let work = cx.model.work.as_ref()?;
    let what = if work.stopping { "is stopping" } else { "is running" };
    let since = crate::domain::units::span(cx.now.mono.since(work.since));
    let line = Line::of(Tone::Notice, format!("▶ {} {what}, {since}", work.remedy.command()));
    Some(if work.line.is_empty() { line } else { line.with(Tone::Dim, format!(": {}", work.line)) })
}

fn none<'a>(cx: &Cx<'a>) -> Line<'a> {
    let unread = crate::domain::SourceId::ALL.iter().filter(|id| !cx.off(**id) && !cx.read(**id)).count();
    if unread == 0 {
        Line::of(Tone::Good, "✓ nothing to say")
    } else {
        Line(vec![dim(format!("- nothing to say yet: {unread} sources have not been read"))])
    }
}

/// Glyph, tone and word.
pub(crate) const fn words(severity: Severity) -> (&'static str, Tone, &'static str) {
    match severity {
        Severity::Critical => ("✗", Tone::Bad, "critical"),
        Severity::Warning => ("!", Tone::Warn, "warning"),
        Severity::Info => ("·", Tone::Plain, "info"),
    }
}

fn title(finding: &Finding) -> Line<'_> {
    let (mark, tone, word) = words(finding.severity);
    let mut line = Line::of(tone, format!("{mark} {word}: "));
    line.0.push(span(Tone::Strong, finding.title.as_str()));
    line
}

/// The title in as many lines as it takes.
fn headline(finding: &Finding, columns: usize) -> Vec<Line<'_>> {
    let line = title(finding);
    if line.width() <= columns {
        return vec![line];
    }
    let (mark, tone, word) = words(finding.severity);
    wrapped(tone, &format!("{mark} {word}: {}", finding.title), columns, 2)
}
