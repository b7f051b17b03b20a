//! The newest sentence, and the keys that matter now, from the command table.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cockpit::Model;
use crate::cockpit::command::{COMMANDS, Command, Danger, Group};
use crate::cockpit::guards::guards;
use crate::cockpit::msg::Level;
use crate::domain::Now;
use crate::shift::{Shift, Verdict};

use super::line::{Line, put};
use super::look::{Theme, Tone};
use super::panes::traffic_state;
use super::row::{Part, spread};

/// Draws the notice; without one, what the next step waits for.
pub(crate) fn draw_notice(buf: &mut Buffer, area: Rect, model: &Model, now: Now, theme: Theme) {
    if area.is_empty() {
        return;
    }
    let line = match &model.screen.notice {
        Some((text, level, until)) if now.mono < *until => said(text, *level),
        _ => next(model, now),
    };
    put(buf, (area.x + 1, area.y), area.width.saturating_sub(2), &line, theme);
}

fn said(text: &str, level: Level) -> Line<'_> {
    let (mark, tone) = match level {
        Level::Error => ("✗ ", Tone::Bad),
        Level::Warn => ("! ", Tone::Warn),
        Level::Info | Level::Debug => ("› ", Tone::Strong),
    };
    Line::of(tone, mark).with(tone, text)
}

/// The state of the shift machine; while it is idle, the next step and what stands in its way.
pub(crate) fn next(model: &Model, now: Now) -> Line<'static> {
    if model.ending {
        return Line::of(Tone::Warn, "ending: waiting for the answer to the write in flight");
    }
    match &model.shift {
        Shift::Idle => {}
        Shift::Done { plan, at } => {
            let age = super::age::quantised(now.mono.since(*at));
            let text = format!("✓ {} to {}: seen in the cluster", plan.intent.word(), plan.to);
            return Line::of(Tone::Good, text)
                .with(Tone::Dim, format!(" {age} ago · {} dismisses", key_of("dismiss")));
        }
        Shift::Failed { .. } => {
            return Line::of(Tone::Key, key_of("dismiss"))
                .with(Tone::Plain, " dismisses · ")
                .with(Tone::Danger, key_of("rollback"))
                .with(Tone::Plain, " takes the traffic back");
        }
        Shift::Unknown { .. } => {
            return Line::of(Tone::Plain, "the routes are read until it is known · ")
                .with(Tone::Danger, key_of("rollback"))
                .with(Tone::Plain, " takes the traffic back");
        }
        busy => return traffic_state(busy, now),
    }
    next_step(model, now)
}

/// The next step of the ladder and what stands in its way.
fn next_step(model: &Model, now: Now) -> Line<'static> {
    let Some(split) = model.split() else {
        return Line::of(Tone::Dim, "waiting for the first reading of the routes");
    };
    let Some(to) = model.setup.ladder.next(split) else {
        return Line::of(Tone::Dim, "v3 has all traffic: the ladder has no further step");
    };
    let checks = guards(model, now, to);
    let line = Line::of(Tone::Dim, "next step ").with(Tone::Strong, to.to_string());
    if let Some(check) = checks.blocker() {
        return line
            .with(Tone::Warn, " blocked: ")
            .with(Tone::Plain, check.label)
            .with(Tone::Dim, format!(": {}", check.evidence));
    }
    let warned: Vec<_> = checks.0.iter().filter(|c| c.verdict == Verdict::Warn).collect();
    let passed = checks.0.len() - warned.len();
    match warned.first() {
        None => line.with(Tone::Good, format!(" ✓ all {passed} guards pass")),
        Some(check) => {
            let more =
                if warned.len() > 1 { format!(" and {} more", warned.len() - 1) } else { String::new() };
            line.with(Tone::Plain, format!(" {passed} guards pass, "))
                .with(Tone::Warn, format!("! {}{more}", check.evidence))
        }
    }
}

/// Draws the keys of the footer. What cannot be used now is dimmed; help says why.
pub(crate) fn draw_keys(buf: &mut Buffer, area: Rect, model: &Model, now: Now, theme: Theme) {
    let rows: Vec<&Command> = COMMANDS.iter().filter(|c| c.footer).collect();
    let last = rows.len().saturating_sub(1);
    let part = |(n, c): (usize, &&Command)| -> Part<'static> {
        let rank = match c.group {
            Group::Traffic => 1,
            Group::Data => 2,
            Group::View => 3 + n as u8,
            Group::Program if n == last => 0,
            Group::Program if c.id == "help" => 1,
            Group::Program => 2,
        };
        (rank, key(c, (c.enabled)(model, now).is_ok()))
    };
    let parts = rows.iter().enumerate().map(part).collect();
    let area = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    spread(buf, area, parts, Vec::new(), theme);
}

/// The first key of a command, from the table.
pub(crate) fn key_of(id: &str) -> String {
    let key = COMMANDS.iter().find(|c| c.id == id).and_then(|c| c.keys.first());
    key.map_or_else(|| "-".into(), ToString::to_string)
}

fn key(command: &Command, enabled: bool) -> Line<'static> {
    let key = command.keys.first().map_or_else(String::new, ToString::to_string);
    if !enabled {
        return Line::of(Tone::Dim, format!("{key} {}", command.title));
    }
    let tone = if command.danger == Danger::None { Tone::Key } else { Tone::Danger };
    Line::of(tone, key).with(Tone::Plain, format!(" {}", command.title))
}
