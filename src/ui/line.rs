//! Lines of spans with a meaning: what panes build, for the screen and for plain text alike.

use std::borrow::Cow;

use ratatui::buffer::Buffer;

use super::look::{Theme, Tone};
use super::text::{fit, safe, width, wrap};

/// A piece of text and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// What it means.
    pub tone: Tone,
}

/// One line of spans.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line<'a>(pub Vec<Span<'a>>);

/// A span of a tone.
pub(crate) fn span<'a>(tone: Tone, text: impl Into<Cow<'a, str>>) -> Span<'a> {
    Span { text: text.into(), tone }
}

/// A value.
pub(crate) fn plain<'a>(text: impl Into<Cow<'a, str>>) -> Span<'a> {
    span(Tone::Plain, text)
}

/// A label.
pub(crate) fn dim<'a>(text: impl Into<Cow<'a, str>>) -> Span<'a> {
    span(Tone::Dim, text)
}

impl Span<'_> {
    /// Columns.
    pub(crate) fn width(&self) -> usize {
        width(&self.text)
    }
}

impl<'a> Line<'a> {
    /// An empty line.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// A line of one span.
    pub(crate) fn of(tone: Tone, text: impl Into<Cow<'a, str>>) -> Self {
        Self(vec![span(tone, text)])
    }

    /// The line with one more span.
    #[must_use]
    pub(crate) fn with(mut self, tone: Tone, text: impl Into<Cow<'a, str>>) -> Self {
        self.0.push(span(tone, text));
        self
    }

    /// The line with a label in the width that labels have in panes.
    pub(crate) fn label(label: &'static str) -> Self {
        Self::of(Tone::Dim, format!("{label:<9}"))
    }

    /// The line with another one after it.
    #[must_use]
    pub(crate) fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// Columns.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(Span::width).sum()
    }

    /// The text alone, without blanks at its end.
    pub(crate) fn text(&self) -> String {
        let text: String = self.0.iter().map(|s| safe(&s.text)).collect();
        text.trim_end().to_owned()
    }
}

/// A text of one tone in as many lines as it takes. Blanks at its start stay; continuation lines are indented
/// by `indent`.
pub(crate) fn wrapped(tone: Tone, text: &str, columns: usize, indent: usize) -> Vec<Line<'static>> {
    let lead = text.len() - text.trim_start().len();
    let lines = wrap(text.trim_start(), columns.saturating_sub(indent.max(lead)).max(8));
    let put =
        |(n, line): (usize, String)| Line::of(tone, " ".repeat(if n == 0 { lead } else { indent }) + &line);
    lines.into_iter().enumerate().map(put).collect()
}

/// Parts of a line between dots; while there are too many for `columns`, the one with the highest rank goes.
pub(crate) fn joined<'a>(mut parts: Vec<(u8, Line<'a>)>, columns: usize) -> Line<'a> {
    let wide =
        |parts: &[(u8, Line<'a>)]| parts.iter().map(|p| p.1.width() + 3).sum::<usize>().saturating_sub(3);
    while wide(&parts) > columns {
        let worst = parts.iter().map(|p| p.0).max().unwrap_or(0);
        match parts.iter().rposition(|p| p.0 == worst && worst > 0) {
            Some(at) => drop(parts.remove(at)),
            None => break,
        }
    }
    let mut line = Line::new();
    for (_, part) in parts {
        line = if line.0.is_empty() { part } else { line.with(Tone::Dim, " · ").and(part) };
    }
    line
}

/// Writes a line into at most `columns` cells; returns the columns used. What is too long ends in an ellipsis.
pub(crate) fn put(buf: &mut Buffer, (x, y): (u16, u16), columns: u16, line: &Line<'_>, theme: Theme) -> u16 {
    if !buf.area.contains((x, y).into()) {
        return 0;
    }
    let columns = columns.min(buf.area.right() - x);
    let mut left = usize::from(columns);
    let mut at = x;
    let mut rest = line.width();
    for span in &line.0 {
        let text = safe(&span.text);
        let wide = width(&text);
        let room = if rest > left && wide >= left { left } else { left.min(wide) };
        let text = fit(&text, room);
        let next = buf.set_stringn(at, y, &text, room, theme.style(span.tone)).0;
        left = left.saturating_sub(usize::from(next - at));
        rest = rest.saturating_sub(wide);
        at = next;
        if left == 0 {
            break;
        }
    }
    at - x
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;

    #[test]
    fn what_is_too_long_ends_in_an_ellipsis() {
        let mut buf = Buffer::empty(Rect::new(0, 0, 10, 1));
        let line = Line::of(Tone::Dim, "label ").with(Tone::Plain, "value that is long");
        assert_eq!(put(&mut buf, (0, 0), 10, &line, Theme::Ansi), 10);
        let text: String = buf.content.iter().map(ratatui::buffer::Cell::symbol).collect();
        assert_eq!(text, "label val…");
    }
}
