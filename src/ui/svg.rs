//! A picture of the screen, made by the program itself: a grid of cells as SVG.
//!
//! One rule: every cell stands where the terminal puts it. Text runs get their exact length, and lines and
//! blocks are drawn as shapes, so that no font can tear a frame apart.

mod shapes;

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::look::{Look, Theme};
use super::text::width;

/// A cell in pixels.
const CELL: (f64, f64) = (8.4, 18.0);
/// Around the grid.
const MARGIN: f64 = 14.0;
const BACKGROUND: &str = "#11141a";
const FOREGROUND: &str = "#d6dae2";

/// The buffer as an SVG document.
pub fn render(buf: &Buffer, look: &Look) -> String {
    let (columns, rows) = (f64::from(buf.area.width), f64::from(buf.area.height));
    let (wide, high) = (columns * CELL.0 + 2.0 * MARGIN, rows * CELL.1 + 2.0 * MARGIN);
    let mut out = String::with_capacity(buf.content.len() * 24);
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide:.0}\" height=\"{high:.0}\" \
         viewBox=\"0 0 {wide:.1} {high:.1}\" role=\"img\" aria-label=\"cutover, {columns} columns by {rows} rows\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n\
         <g font-family=\"'DejaVu Sans Mono','Menlo','Consolas',monospace\" font-size=\"14\" fill=\"{FOREGROUND}\">\n"
    );
    for y in 0..buf.area.height {
        row(&mut out, buf, y, look.theme);
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// How a cell is painted: two cells with the same ink go into one run.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "the four modifiers of a terminal cell")]
struct Ink {
    fore: &'static str,
    back: Option<&'static str>,
    bold: bool,
    italic: bool,
    underlined: bool,
    dim: bool,
}

fn ink(cell: &Cell, theme: Theme) -> Ink {
    let has = |m| cell.modifier.contains(m);
    let colour = |c| if theme == Theme::Mono { None } else { hex(c) };
    let (mut fore, mut back) = (colour(cell.fg).unwrap_or(FOREGROUND), colour(cell.bg));
    if has(Modifier::REVERSED) {
        (fore, back) = (back.unwrap_or(BACKGROUND), Some(fore));
    }
    Ink {
        fore,
        back,
        bold: has(Modifier::BOLD),
        italic: has(Modifier::ITALIC),
        underlined: has(Modifier::UNDERLINED),
        dim: has(Modifier::DIM),
    }
}

const fn hex(colour: Color) -> Option<&'static str> {
    match colour {
        Color::Red | Color::LightRed => Some("#ff6b6b"),
        Color::Green | Color::LightGreen => Some("#7bd88f"),
        Color::Yellow | Color::LightYellow => Some("#f5c86a"),
        Color::Blue | Color::LightBlue => Some("#6ea8fe"),
        Color::Magenta | Color::LightMagenta => Some("#d59cf6"),
        Color::Cyan | Color::LightCyan => Some("#5fd4e0"),
        Color::Black => Some("#11141a"),
        Color::Gray | Color::White => Some("#d6dae2"),
        Color::DarkGray => Some("#7b8291"),
        _ => None,
    }
}

fn row(out: &mut String, buf: &Buffer, y: u16, theme: Theme) {
    let mut run: Option<(u16, Ink, String)> = None;
    let mut x = 0;
    while x < buf.area.width {
        let Some(cell) = buf.cell((buf.area.x + x, buf.area.y + y)) else {
            break;
        };
        let now = ink(cell, theme);
        let wide = width(cell.symbol()).max(1) as u16;
        // A wide or a drawn character stands alone, so that it cannot move its neighbours.
        let alone = wide > 1 || shapes::is_shape(cell.symbol());
        let joins = run.as_ref().is_some_and(|(_, ink, _)| *ink == now) && !alone;
        if !joins && let Some(done) = run.take() {
            flush(out, y, done);
        }
        if alone {
            let same = |at: &u16| {
                let next = buf.cell((buf.area.x + at, buf.area.y + y));
                next.is_some_and(|c| c.symbol() == cell.symbol() && ink(c, theme) == now)
            };
            if shapes::is_long(cell.symbol()) {
                let end = (x..buf.area.width).take_while(same).count() as u16;
                single(out, (x, y), cell.symbol(), end, now);
                x += end;
                continue;
            }
            single(out, (x, y), cell.symbol(), wide, now);
        } else {
            run.get_or_insert_with(|| (x, now, String::new())).2.push_str(cell.symbol());
        }
        x += wide;
    }
    if let Some(done) = run {
        flush(out, y, done);
    }
}

fn place(x: u16, y: u16) -> (f64, f64) {
    (MARGIN + f64::from(x) * CELL.0, MARGIN + f64::from(y) * CELL.1)
}

fn behind(out: &mut String, (left, top): (f64, f64), columns: f64, ink: Ink) {
    if let Some(back) = ink.back {
        let (wide, high) = (columns * CELL.0, CELL.1);
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\" fill=\"{back}\"/>"
        );
    }
}

/// Writes a run of narrow characters.
fn flush(out: &mut String, y: u16, (x, ink, text): (u16, Ink, String)) {
    let columns = width(&text) as f64;
    let at = place(x, y);
    behind(out, at, columns, ink);
    if text.trim().is_empty() {
        return;
    }
    words(out, at, &text, columns, ink);
}

fn words(out: &mut String, (left, top): (f64, f64), text: &str, columns: f64, ink: Ink) {
    let _ = write!(
        out,
        "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\"",
        top + CELL.1 * 0.74,
        columns * CELL.0
    );
    if ink.fore != FOREGROUND {
        let _ = write!(out, " fill=\"{}\"", ink.fore);
    }
    for (on, attribute) in [
        (ink.bold, " font-weight=\"bold\""),
        (ink.italic, " font-style=\"italic\""),
        (ink.underlined, " text-decoration=\"underline\""),
        (ink.dim, " opacity=\"0.62\""),
    ] {
        if on {
            out.push_str(attribute);
        }
    }
    let _ = writeln!(out, ">{}</text>", escaped(text));
}

fn single(out: &mut String, (x, y): (u16, u16), symbol: &str, wide: u16, ink: Ink) {
    let at = place(x, y);
    behind(out, at, f64::from(wide), ink);
    match shapes::draw(symbol, at, (CELL.0 * f64::from(wide), CELL.1), ink.fore, ink.dim) {
        Some(shape) => {
            out.push_str(&shape);
            out.push('\n');
        }
        None => words(out, at, symbol, f64::from(wide), ink),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    #[test]
    fn a_picture_is_escaped_and_keeps_wide_characters_in_place() {
        let mut buf = Buffer::empty(Rect::new(0, 0, 8, 1));
        buf.set_string(0, 0, "a<日b█", Style::new().fg(Color::Red));
        let svg = render(&buf, &Look::default());
        assert!(svg.contains("a&lt;") && svg.contains("日") && svg.contains("<rect x="), "{svg}");
        let (opened, closed) = (svg.matches("<text").count(), svg.matches("</text>").count());
        assert_eq!(opened, closed);
    }
}
