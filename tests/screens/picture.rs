//! A screen as text with its styles, for snapshots.

use std::fmt::Write as _;

use cutover::cockpit::Model;
use cutover::domain::Now;
use cutover::ui::{self, Look, Symbols, Theme};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

/// The screen at a size.
pub(crate) fn buffer(model: &Model, now: Now, (columns, rows): (u16, u16), theme: Theme) -> Buffer {
    let mut buf = Buffer::empty(Rect::new(0, 0, columns, rows));
    ui::render(&mut buf, model, &Look { theme, symbols: Symbols::Utf8 }, now);
    buf
}

/// One row's text.
fn row(cells: &[Cell]) -> String {
    let mut text = String::new();
    let mut skip = 0;
    for cell in cells {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        text.push_str(cell.symbol());
        skip = cell.symbol().width().saturating_sub(1);
    }
    text.trim_end().to_owned()
}

/// The grid alone.
pub(crate) fn grid(buf: &Buffer) -> String {
    let rows: Vec<String> = buf.content.chunks(usize::from(buf.area.width.max(1))).map(row).collect();
    rows.join("\n")
}

/// The grid, then per row the runs of cells that are not plain: `row: columns style`.
pub(crate) fn styled(buf: &Buffer) -> String {
    let mut out = grid(buf);
    out.push_str("\n----\n");
    for (y, cells) in buf.content.chunks(usize::from(buf.area.width.max(1))).enumerate() {
        let mut runs = String::new();
        let mut at = 0;
        while at < cells.len() {
            let style = words(&cells[at]);
            let end = (at..cells.len()).find(|n| words(&cells[*n]) != style).unwrap_or(cells.len());
            if !style.is_empty() {
                let _ = write!(runs, " {at}-{}:{style}", end - 1);
            }
            at = end;
        }
        if !runs.is_empty() {
            let _ = writeln!(out, "{y:2}{runs}");
        }
    }
    out
}

fn words(cell: &Cell) -> String {
    let colour = match cell.fg {
        ratatui::style::Color::Reset => String::new(),
        colour => format!("{colour}").to_lowercase(),
    };
    let modifiers = format!("{:?}", cell.modifier).to_lowercase();
    let modifiers = if cell.modifier.is_empty() {
        String::new()
    } else {
        modifiers.replace(" | ", "+").replace("reversed", "reverse")
    };
    match (colour.is_empty(), modifiers.is_empty()) {
        (true, _) => modifiers,
        (_, true) => colour,
        _ => format!("{colour}+{modifiers}"),
    }
}
