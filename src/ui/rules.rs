//! The lines between panes, with titles, ages and what is hidden.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cockpit::screen::PaneId;

use super::age;
use super::context::{Cx, Detail};
use super::line::{Line, put};
use super::look::{Theme, Tone};
use super::panes;

/// Draws the rule over every open pane and the columns between them.
pub(crate) fn draw(
    buf: &mut Buffer,
    body: Rect,
    places: &[(PaneId, Rect, Detail)],
    hidden: &[(usize, usize)],
    cx: &Cx<'_>,
    theme: Theme,
) {
    let open: Vec<Rect> = places.iter().filter(|p| p.2 != Detail::Summary).map(|p| p.1).collect();
    for ((id, rect, detail), hidden) in places.iter().zip(hidden) {
        if *detail != Detail::Summary && !rect.is_empty() {
            title(buf, *id, *rect, *hidden, cx, theme);
        }
    }
    for rect in open.iter().filter(|r| r.x > body.x) {
        for y in rect.y..rect.bottom() {
            divider(buf, body, rect.x - 1, y, &open, theme);
        }
    }
    for rect in &open {
        ends(buf, body, *rect, &open, theme);
    }
}

fn title(
    buf: &mut Buffer,
    id: PaneId,
    rect: Rect,
    (above, below): (usize, usize),
    cx: &Cx<'_>,
    theme: Theme,
) {
    let focused = cx.model.screen.focus == id;
    let (rule, glyph, name) =
        if focused { (Tone::FocusRule, "━", Tone::FocusTitle) } else { (Tone::Rule, "─", Tone::Title) };
    for x in rect.x..rect.right() {
        if let Some(cell) = buf.cell_mut((x, rect.y)) {
            cell.set_symbol(glyph).set_style(theme.style(rule));
        }
    }
    // The style of the rule would shine through: a cell's style is patched, not replaced.
    let blank = |buf: &mut Buffer, from: u16, wide: u16| {
        for x in from..from.saturating_add(wide).min(rect.right()) {
            if let Some(cell) = buf.cell_mut((x, rect.y)) {
                cell.reset();
            }
        }
    };
    let words = Line::of(name, format!(" {} {} ", id as u8 + 1, id.title()));
    blank(buf, rect.x + 1, words.width() as u16);
    let used = put(buf, (rect.x + 1, rect.y), rect.width.saturating_sub(1), &words, theme) + 2;
    let room = rect.width.saturating_sub(used + 3);
    let line = aside(id, (above, below), cx, usize::from(room));
    let wide = line.width() as u16;
    if wide > 0 && room > 6 {
        let wide = wide.min(room);
        let x = rect.right().saturating_sub(wide + 2);
        blank(buf, x.saturating_sub(1), wide + 2);
        let line = Line::of(Tone::Plain, " ").and(line).with(Tone::Plain, " ");
        put(buf, (x.saturating_sub(1), rect.y), wide + 2, &line, theme);
    }
}

/// Late and failing sources, or the pane's own note; and how many rows are out of sight.
fn aside<'a>(id: PaneId, (above, below): (usize, usize), cx: &Cx<'a>, columns: usize) -> Line<'a> {
    let pane = panes::pane(id);
    let mut more = Line::new();
    if above > 0 {
        more = more.with(Tone::Dim, format!(" ▲{above}"));
    }
    if below > 0 {
        more = more.with(Tone::Dim, format!(" ▼{below}"));
    }
    let room = columns.saturating_sub(more.width());
    let mut line = age::aside(cx, pane.sources, room);
    if line.0.is_empty() {
        line = (pane.note)(cx);
        if line.width() > room {
            line = Line::new();
        }
    }
    line.and(more)
}

/// One cell of the line between two columns, joined to the rules that meet it.
fn divider(buf: &mut Buffer, body: Rect, x: u16, y: u16, open: &[Rect], theme: Theme) {
    let rule_at = |x: u16| open.iter().any(|r| r.y == y && r.x <= x && x < r.right());
    let (left, right) = (x > body.x && rule_at(x - 1), rule_at(x + 1));
    let symbol = match (left, right, y == body.y) {
        (_, _, true) => "┬",
        (true, true, _) => "┼",
        (true, false, _) => "┤",
        (false, true, _) => "├",
        (false, false, _) => "│",
    };
    if let Some(cell) = buf.cell_mut((x, y)) {
        cell.set_symbol(symbol).set_style(theme.style(Tone::Rule));
    }
}

/// Where a column ends on the rule of the pane across.
fn ends(buf: &mut Buffer, body: Rect, rect: Rect, open: &[Rect], theme: Theme) {
    if rect.x == body.x || rect.bottom() >= body.bottom() {
        return;
    }
    let below = open.iter().any(|r| r.y == rect.bottom() && r.x < rect.x - 1 && r.right() > rect.x);
    if below && let Some(cell) = buf.cell_mut((rect.x - 1, rect.bottom())) {
        let title = cell.symbol() != "─" && cell.symbol() != "━";
        if !title {
            cell.set_symbol("┴").set_style(theme.style(Tone::Rule));
        }
    }
}
