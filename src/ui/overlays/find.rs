//! The palette: commands by what was typed, one of them selected.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cockpit::Model;
use crate::cockpit::command::{Command, search};
use crate::domain::Now;
use crate::ui::line::Line;
use crate::ui::look::{Theme, Tone};
use crate::ui::text::{fit, wrap};

use super::window;

/// Rows of the list.
const ROWS: usize = 12;

pub(super) fn draw(
    buf: &mut Buffer,
    area: Rect,
    model: &Model,
    (query, selected): (&str, usize),
    now: Now,
    theme: Theme,
) {
    let wish = 84;
    let columns = window::columns(area, wish);
    let found = search(query);
    let rows = ROWS.min(usize::from(area.height).saturating_sub(7)).max(1);
    let selected = selected.min(found.len().saturating_sub(1));
    let first = (selected + 1).saturating_sub(rows);
    let mut lines = vec![window::field("> ", query, columns.saturating_sub(6)), Line::new()];
    for (n, command) in found.iter().enumerate().skip(first).take(rows) {
        lines.push(row(command, n == selected, (command.enabled)(model, now).is_ok(), columns));
    }
    // As high as it ever gets, so that typing does not make it jump.
    lines.resize(rows + 2, Line::new());
    match found.get(selected) {
        Some(command) => lines.extend(about(command, model, now, columns)),
        None => lines.push(Line::of(Tone::Dim, "no command has this text")),
    }
    lines.resize(rows + 4, Line::new());
    let foot = format!(
        "{} of {} · Enter runs · Esc closes",
        if found.is_empty() { 0 } else { selected + 1 },
        found.len()
    );
    window::draw(buf, area, (Tone::Title, "Commands"), &lines, wish, &foot, theme);
}

fn row(command: &Command, selected: bool, enabled: bool, columns: usize) -> Line<'static> {
    let tone = match (selected, enabled) {
        (true, _) => Tone::Chosen,
        (false, true) => Tone::Plain,
        (false, false) => Tone::Dim,
    };
    let mark = if selected { "▶" } else { " " };
    let state = if enabled { "" } else { "(not now)" };
    let text = format!("{mark} {:<18} {:<22} {:<14}{state}", command.title, command.id, command.keys_text());
    Line::of(tone, fit(&text, columns).into_owned())
}

/// What the selected command does, and why it cannot be used now.
fn about(command: &Command, model: &Model, now: Now, columns: usize) -> Vec<Line<'static>> {
    match (command.enabled)(model, now) {
        Ok(()) => wrap(command.doc, columns).into_iter().take(2).map(|t| Line::of(Tone::Dim, t)).collect(),
        Err(why) => {
            let lines = wrap(&format!("! not now: {why}"), columns);
            lines.into_iter().take(2).map(|t| Line::of(Tone::Warn, t)).collect()
        }
    }
}
