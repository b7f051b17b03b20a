//! A framed window in the middle of the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::ui::line::{Line, Span, plain, put, span};
use crate::ui::look::{Theme, Tone};
use crate::ui::text::width;

/// Columns that the frame and the blanks inside it take.
pub(super) const FRAME: u16 = 4;

/// The columns inside a window that would like `wish` of them.
pub(super) fn columns(area: Rect, wish: u16) -> usize {
    usize::from(wish.min(area.width.saturating_sub(FRAME + 2)).max(1))
}

/// Draws a window around lines; those without room are left out at the end. `foot` stands in the lower frame.
pub(super) fn draw(
    buf: &mut Buffer,
    area: Rect,
    title: (Tone, &str),
    lines: &[Line<'_>],
    wish: u16,
    foot: &str,
    theme: Theme,
) {
    let wide = (columns(area, wish) as u16 + FRAME).min(area.width);
    let high = (lines.len() as u16).saturating_add(2).min(area.height);
    let x = area.x + (area.width - wide) / 2;
    let y = area.y + (area.height - high) / 2;
    let window = Rect::new(x, y, wide, high);
    // Slivers of panes beside a window as wide as the screen are noise.
    let narrow = area.width - wide <= 8;
    clear(buf, if narrow { Rect { x: area.x, width: area.width, ..window } } else { window });
    frame(buf, window, title, foot, theme);
    for (n, line) in lines.iter().take(usize::from(high.saturating_sub(2))).enumerate() {
        put(buf, (x + 2, y + 1 + n as u16), wide.saturating_sub(FRAME), line, theme);
    }
}

/// Blanks an area, and the left half of any wide character that reaches into it.
fn clear(buf: &mut Buffer, window: Rect) {
    for y in window.y..window.bottom() {
        if window.x > buf.area.x
            && let Some(cell) = buf.cell_mut((window.x - 1, y))
            && width(cell.symbol()) > 1
        {
            cell.set_symbol(" ");
        }
        for x in window.x..window.right() {
            if let Some(cell) = buf.cell_mut((x, y)) {
                cell.reset();
            }
        }
    }
}

fn frame(buf: &mut Buffer, window: Rect, (tone, title): (Tone, &str), foot: &str, theme: Theme) {
    if window.width < 2 || window.height < 2 {
        return;
    }
    let wide = usize::from(window.width) - 2;
    let style = theme.style(Tone::FocusRule);
    buf.set_string(window.x, window.y, format!("╭{}╮", "─".repeat(wide)), style);
    buf.set_string(window.x, window.bottom() - 1, format!("╰{}╯", "─".repeat(wide)), style);
    for y in window.y + 1..window.bottom() - 1 {
        buf.set_string(window.x, y, "│", style);
        buf.set_string(window.right() - 1, y, "│", style);
    }
    let room = window.width.saturating_sub(4);
    put(buf, (window.x + 2, window.y), room, &Line::of(tone, format!(" {title} ")), theme);
    if !foot.is_empty() {
        let foot = Line::of(Tone::Dim, format!(" {foot} "));
        let wide = (foot.width() as u16).min(room);
        put(buf, (window.right().saturating_sub(wide + 2), window.bottom() - 1), wide, &foot, theme);
    }
}

/// What a button's looks follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Button {
    /// Enter presses it.
    Focused,
    /// It can be given the focus.
    Ready,
    /// Something has to be typed first.
    Barred,
}

/// `▶ Cancel `, `[ Cancel ]`.
pub(super) fn button<'a>(text: &str, state: Button) -> Span<'a> {
    match state {
        Button::Focused => span(Tone::Chosen, format!("▶ {text} ")),
        Button::Ready => span(Tone::Button, format!("[ {text} ]")),
        Button::Barred => span(Tone::Dim, format!("[ {text} ]")),
    }
}

/// Two buttons, the first of which leaves everything as it is.
pub(super) fn choice<'a>(stay: &str, go: &str, on_go: bool) -> Line<'a> {
    let (left, right) =
        if on_go { (Button::Ready, Button::Focused) } else { (Button::Focused, Button::Ready) };
    Line(vec![button(stay, left), plain("   "), button(go, right)])
}

/// Said when keys came before a dialog was on screen long enough.
pub(super) fn early<'a>() -> Line<'a> {
    Line::of(Tone::Warn, "! Keys typed before this was on the screen were not heard.")
}

/// `[25_]`: what is being typed.
pub(super) fn field(label: &'static str, typed: &str, room: usize) -> Line<'static> {
    // The end of what was typed is what matters while typing.
    let mut start = 0;
    while width(&typed[start..]) + 1 > room.max(4) {
        start += typed[start..].chars().next().map_or(1, char::len_utf8);
    }
    Line::of(Tone::Plain, label)
        .with(Tone::Dim, "[")
        .with(Tone::Field, format!("{}_", &typed[start..]))
        .with(Tone::Dim, "]")
}
