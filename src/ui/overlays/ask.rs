//! The small dialogs: one question, one field or one key.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cockpit::Model;
use crate::cockpit::msg::Lease;
use crate::domain::{Now, Split};
use crate::ui::line::{Line, wrapped};
use crate::ui::look::{Theme, Tone};
use crate::ui::panes::traffic_state;

use super::window;

/// Columns inside.
const WIDE: u16 = 64;

pub(super) fn set_split(buf: &mut Buffer, area: Rect, model: &Model, typed: &str, theme: Theme) {
    let columns = window::columns(area, WIDE);
    let stored = model.split().map_or_else(|| "-".into(), |s| s.to_string());
    let steps: Vec<String> = model.setup.ladder.steps().iter().map(|s| s.percent().to_string()).collect();
    let verdict = match Split::parse(typed) {
        _ if typed.is_empty() => Line::of(Tone::Dim, "0 to 100"),
        Some(to) if model.split() == Some(to) => Line::of(Tone::Dim, "that is where it stands"),
        Some(to) => match model.split().map_or(0, |from| model.setup.ladder.skipped(from, to)) {
            0 => Line::of(Tone::Good, format!("✓ Enter plans {to}")),
            n => Line::of(Tone::Warn, format!("! skips {n} step(s) of the ladder; Enter plans {to}")),
        },
        None => Line::of(Tone::Bad, "✗ not a split: 0 to 100"),
    };
    let mut lines = vec![
        Line::of(Tone::Dim, "stored now  ")
            .with(Tone::Strong, stored)
            .with(Tone::Dim, "   ladder  ")
            .with(Tone::Plain, steps.join(" › ")),
        Line::new(),
        window::field("Per cent of the requests to v3: ", typed, 6),
        verdict,
        Line::new(),
    ];
    lines.extend(wrapped(
        Tone::Dim,
        "Nothing is written yet: the plan is shown next, with every guard.",
        columns,
        0,
    ));
    window::draw(buf, area, (Tone::Title, "Set split"), &lines, WIDE, "Enter plans · Esc closes", theme);
}

pub(super) fn log_filter(buf: &mut Buffer, area: Rect, typed: &str, theme: Theme) {
    let columns = window::columns(area, WIDE);
    let lines = [
        window::field("Lines with: ", typed, columns.saturating_sub(14)),
        Line::of(Tone::Dim, "An empty text shows every line."),
    ];
    window::draw(
        buf,
        area,
        (Tone::Title, "Filter the log"),
        &lines,
        WIDE,
        "Enter keeps it · Esc closes",
        theme,
    );
}

pub(super) fn hold(
    buf: &mut Buffer,
    area: Rect,
    model: &Model,
    (on, go, early): (bool, bool, bool),
    theme: Theme,
) {
    let columns = window::columns(area, WIDE);
    let stored = model.split().map_or_else(|| "-".into(), |s| s.to_string());
    let (title, text, button) = if on {
        let text = format!(
            "Traffic stays at {stored} on v3. Nobody can shift forward until the hold is taken off; a rollback stays possible."
        );
        ("Hold", text, format!("Hold at {stored}"))
    } else {
        let held = model.hold.as_ref().map_or_else(
            || "It is held".into(),
            |h| format!("Held by {} since {} UTC", h.by, h.since.strftime("%Y-%m-%d %H:%M:%S")),
        );
        let text = format!("{held}. Shifts become possible again.");
        ("Take the hold off", text, "Take the hold off".to_owned())
    };
    let mut lines = wrapped(Tone::Plain, &text, columns, 0);
    lines.push(Line::new());
    if early {
        lines.push(window::early());
    }
    lines.push(window::choice("Cancel", &button, go));
    let foot = "Tab other button · Enter presses it · Esc cancels";
    window::draw(buf, area, (Tone::Title, title), &lines, WIDE, foot, theme);
}

pub(super) fn take_lease(buf: &mut Buffer, area: Rect, model: &Model, typed: &str, theme: Theme) {
    let columns = window::columns(area, WIDE);
    let mut lines = match &model.lease {
        Lease::Other(who, since) => {
            let since = since.map_or_else(String::new, |at| at.strftime(" since %H:%M UTC").to_string());
            let mut lines =
                vec![Line::of(Tone::Dim, "held by ").with(Tone::Strong, who.as_str()).with(Tone::Dim, since)];
            lines.extend(wrapped(Tone::Warn, "! Whoever holds it may be in the middle of a move. Talk first; then type the name as it stands.", columns, 2));
            lines
        }
        Lease::Failed(trouble) => wrapped(Tone::Bad, &format!("✗ {trouble}"), columns, 2),
        Lease::Ours => vec![Line::of(Tone::Good, "✓ it is ours already")],
        Lease::None => vec![Line::of(Tone::Dim, "nobody was asked for it yet")],
    };
    lines.push(Line::new());
    lines.push(window::field("Name: ", typed, columns.saturating_sub(8)));
    window::draw(
        buf,
        area,
        (Tone::Notice, "Take over the right to write"),
        &lines,
        WIDE,
        "Enter takes it · Esc cancels",
        theme,
    );
}

/// Says what goes on without the operator; ends with the key that asked, pressed once more.
pub(super) fn quit(buf: &mut Buffer, area: Rect, model: &Model, go: bool, now: Now, theme: Theme) {
    let columns = window::columns(area, WIDE);
    let mut lines = Vec::new();
    if model.shift.in_flight() {
        lines.push(traffic_state(&model.shift, now));
        let text = "A write is in flight. If you end now its outcome stays unknown: the journal keeps it, and the next start observes it.";
        lines.extend(wrapped(Tone::Warn, text, columns, 0));
    }
    if let Some(pending) = &model.pending {
        let text = format!(
            "{} is taken back to {} at {} UTC unless it is confirmed. The watchdog keeps running when this program ends; `cutover confirm` lets the move stay.",
            pending.op,
            pending.back_to,
            pending.at.strftime("%H:%M:%S")
        );
        lines.extend(wrapped(Tone::Warn, &text, columns, 0));
    }
    if let Some(work) = &model.work {
        let text = format!(
            "{} is running and ends with this program; started again it goes on where it was.",
            work.remedy.command()
        );
        lines.extend(wrapped(Tone::Warn, &text, columns, 0));
    }
    lines.push(Line::new());
    lines.push(window::choice("Stay", "End now", go));
    let foot = "q ends · Tab other button · Enter presses it · Esc stays";
    window::draw(buf, area, (Tone::Alarm, "Quit?"), &lines, WIDE, foot, theme);
}
