//! Help: every command of the table with its keys, and why it cannot be used now.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cockpit::Model;
use crate::cockpit::command::{Command, Danger, search};
use crate::domain::Now;
use crate::ui::line::Line;
use crate::ui::look::{Theme, Tone};
use crate::ui::text::{fit, wrap};

use super::window;

/// Columns of the keys and of the titles.
const KEYS: usize = 15;
const TITLE: usize = 16;

pub(super) fn draw(
    buf: &mut Buffer,
    area: Rect,
    model: &Model,
    (filter, scroll): (&str, u16),
    now: Now,
    theme: Theme,
) {
    let wish = 108;
    let columns = window::columns(area, wish);
    let body = rows(model, filter, now, columns);
    let room = usize::from(area.height).saturating_sub(5).max(1);
    let most = body.len().saturating_sub(room);
    let first = usize::from(scroll).min(most);
    let mut lines = vec![window::field("find ", filter, columns.saturating_sub(8))];
    if body.is_empty() {
        lines.push(Line::of(Tone::Dim, "no command has this text"));
    }
    let all = body.len();
    lines.extend(body.into_iter().skip(first).take(room));
    let below = all.saturating_sub(first + room);
    let foot = match (first, below) {
        (0, 0) => "Esc closes".to_owned(),
        (0, below) => format!("▼{below} arrows scroll · Esc closes"),
        (above, 0) => format!("▲{above} arrows scroll · Esc closes"),
        (above, below) => format!("▲{above} ▼{below} arrows scroll · Esc closes"),
    };
    window::draw(buf, area, (Tone::Title, "Help: every key"), &lines, wish, &foot, theme);
}

fn rows(model: &Model, filter: &str, now: Now, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut group = None;
    for command in search(filter) {
        if group != Some(command.group) {
            group = Some(command.group);
            lines.push(Line::of(Tone::Title, command.group.title()));
        }
        lines.extend(row(command, model, now, columns));
    }
    lines
}

fn row(command: &Command, model: &Model, now: Now, columns: usize) -> Vec<Line<'static>> {
    let enabled = (command.enabled)(model, now);
    let tone = |own| if enabled.is_ok() { own } else { Tone::Dim };
    let key = tone(if command.danger == Danger::None { Tone::Key } else { Tone::Danger });
    let keys = command.keys_text();
    let title = fit(command.title, TITLE).into_owned();
    let pad = |used: usize, to: usize| " ".repeat(to.saturating_sub(used) + 1);
    let indent = KEYS + TITLE + 4;
    let room = columns.saturating_sub(indent).max(16);
    let mut lines = Vec::new();
    for (n, text) in wrap(command.doc, room).into_iter().enumerate() {
        let start = if n == 0 {
            let gap = pad(keys.len(), KEYS);
            let after = pad(title.len(), TITLE);
            Line::of(Tone::Plain, "  ")
                .with(key, keys.clone())
                .with(Tone::Plain, gap)
                .with(tone(Tone::Plain), title.clone() + &after)
        } else {
            Line::of(Tone::Plain, " ".repeat(indent))
        };
        lines.push(start.with(Tone::Dim, text));
    }
    if let Err(why) = enabled {
        for (n, text) in wrap(&format!("not now: {why}"), room.saturating_sub(2)).into_iter().enumerate() {
            let mark = if n == 0 { "! " } else { "  " };
            lines.push(Line::of(Tone::Plain, " ".repeat(indent)).with(Tone::Warn, format!("{mark}{text}")));
        }
    }
    lines
}
