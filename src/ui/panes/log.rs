//! Log: what the program did and met, newest first, so that scrolling down goes back in time.

use crate::cockpit::msg::{Level, LogLine};

use super::super::context::{Cx, Detail};
use super::super::line::{Line, dim, span, wrapped};
use super::super::look::Tone;

/// The filter that is set.
pub(super) fn note<'a>(cx: &Cx<'a>) -> Line<'a> {
    let screen = &cx.model.screen;
    let line = Line::of(Tone::Dim, format!("{} and worse", word(screen.log_level).1));
    if screen.log_filter.is_empty() {
        return line;
    }
    line.with(Tone::Dim, ", with ").with(Tone::Strong, screen.log_filter.as_str())
}

/// The newest line.
pub(super) fn summary<'a>(cx: &Cx<'a>) -> Line<'a> {
    shown(cx).next().map_or_else(|| none(cx), line)
}

/// All lines that pass the filter.
pub(super) fn rows<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let first = usize::from(cx.model.screen.scroll[crate::cockpit::screen::PaneId::Log as usize]);
    let enough = if cx.spoken { 20 } else { first + cx.height + 1 };
    // Only what may be seen is built; the rest counts as blank lines, so that scrolling knows its end.
    let all = shown(cx).count();
    let mut lines: Vec<Line<'a>> = Vec::with_capacity(enough.min(all));
    for entry in shown(cx).take(enough) {
        if cx.detail == Detail::Zoomed {
            lines.extend(whole(entry, cx.width));
        } else {
            lines.push(line(entry));
        }
    }
    if lines.is_empty() {
        return vec![none(cx)];
    }
    if !cx.spoken {
        lines.resize(lines.len().max(all), Line::new());
    }
    lines
}

fn none<'a>(cx: &Cx<'a>) -> Line<'a> {
    let text = if cx.model.log.is_empty() { "nothing logged yet" } else { "no line passes the filter" };
    Line(vec![dim(text)])
}

fn shown<'a>(cx: &Cx<'a>) -> impl Iterator<Item = &'a LogLine> {
    let screen = &cx.model.screen;
    let filter = screen.log_filter.to_lowercase();
    let level = screen.log_level;
    cx.model.log.iter().rev().filter(move |l| {
        l.level <= level
            && (filter.is_empty()
                || l.text.to_lowercase().contains(&filter)
                || l.target.to_lowercase().contains(&filter))
    })
}

/// Glyph, word and tone of a level.
const fn word(level: Level) -> (&'static str, &'static str, Tone) {
    match level {
        Level::Error => ("✗", "error", Tone::Bad),
        Level::Warn => ("!", "warn", Tone::Warn),
        Level::Info => ("·", "info", Tone::Plain),
        Level::Debug => (" ", "debug", Tone::Dim),
    }
}

fn line(entry: &LogLine) -> Line<'_> {
    let (mark, word, tone) = word(entry.level);
    let mut line = Line::of(Tone::Dim, entry.at.strftime("%H:%M:%S ").to_string());
    line.0.push(span(tone, format!("{mark} {word:<5} ")));
    line.0.push(dim(entry.target.as_str()));
    line.0.push(dim(": "));
    line.0.push(span(
        if entry.level == Level::Error { Tone::Strong } else { Tone::Plain },
        entry.text.as_str(),
    ));
    line
}

/// The whole of an entry.
fn whole(entry: &LogLine, columns: usize) -> Vec<Line<'_>> {
    let one = line(entry);
    if one.width() <= columns { vec![one] } else { wrapped(word(entry.level).2, &one.text(), columns, 17) }
}
