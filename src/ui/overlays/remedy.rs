//! What can be done about the findings: the list, one of them with its dry run, and the question whether to stop.
//!
//! One rule: the command that will run stands in the dialog as one would type it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cockpit::Model;
use crate::cockpit::screen::Overlay;
use crate::cockpit::update::remedy::{blocked, offered};
use crate::domain::Now;
use crate::domain::units::span;
use crate::ui::line::{Line, wrapped};
use crate::ui::look::{Theme, Tone};

use super::window;

/// Columns inside the small ones.
const WIDE: u16 = 70;
/// Columns inside the one with a dry run.
const WIDER: u16 = 110;
/// Lines around a dry run: frames, command, what it writes, hints, buttons.
const AROUND: u16 = 11;

pub(super) fn list(buf: &mut Buffer, area: Rect, model: &Model, selected: usize, theme: Theme) {
    let mut lines = vec![];
    for (n, remedy) in offered(model).into_iter().enumerate() {
        let (mark, tone) = if n == selected { ("▶ ", Tone::Strong) } else { ("  ", Tone::Plain) };
        lines.push(Line::of(tone, format!("{mark}{}", remedy.title())));
        lines.push(Line::of(Tone::Dim, format!("    {}", remedy.command())));
    }
    let foot = "↑ ↓ choose · Enter shows what it would do · Esc closes";
    window::draw(buf, area, (Tone::Title, "Act"), &lines, WIDE, foot, theme);
}

pub(super) fn dialog(buf: &mut Buffer, area: Rect, model: &Model, overlay: &Overlay, theme: Theme) {
    let Overlay::Remedy { remedy, plan, scroll, go, early, .. } = overlay else { return };
    let columns = window::columns(area, WIDER);
    let mut lines = vec![Line::of(Tone::Dim, "runs  ").with(Tone::Strong, remedy.command())];
    let writes = remedy.writes().map_or_else(|| "nothing".to_owned(), str::to_owned);
    lines.push(Line::of(Tone::Dim, "writes  ").with(Tone::Plain, writes));
    lines.push(Line::new());
    let told = match plan {
        None => vec![Line::of(
            Tone::Dim,
            format!("cutover {} is asking both databases...", remedy.plan().join(" ")),
        )],
        Some(Err(trouble)) => wrapped(Tone::Bad, &format!("✗ {trouble}"), columns, 2),
        Some(Ok(ended)) if ended.lines.is_empty() => vec![Line::of(Tone::Dim, "it said nothing")],
        Some(Ok(ended)) => ended.lines.iter().flat_map(|l| wrapped(Tone::Plain, l, columns, 4)).collect(),
    };
    let room = usize::from(area.height.saturating_sub(AROUND)).max(3);
    let top = usize::from(*scroll).min(told.len().saturating_sub(room));
    let below = told.len().saturating_sub(top + room);
    lines.extend(told.into_iter().skip(top).take(room));
    lines.push(if below > 0 { Line::of(Tone::Dim, format!("▼ {below} more lines")) } else { Line::new() });
    if *early {
        lines.push(window::early());
    }
    match blocked(model, *remedy, plan.as_ref()) {
        Err(why) => lines.extend(wrapped(Tone::Warn, &format!("! cannot run: {why}"), columns, 2)),
        Ok(()) => lines.extend(wrapped(
            Tone::Dim,
            "It ends with this program. What takes hours is better run in a shell of its own.",
            columns,
            0,
        )),
    }
    lines.push(window::choice("Cancel", "Run it", *go));
    let foot = "↑ ↓ scroll · Tab other button · Enter presses it · Esc cancels";
    window::draw(buf, area, (Tone::Title, &remedy.title()), &lines, WIDER, foot, theme);
}

pub(super) fn stop(buf: &mut Buffer, area: Rect, model: &Model, go: bool, now: Now, theme: Theme) {
    let columns = window::columns(area, WIDE);
    let mut lines = vec![];
    if let Some(work) = &model.work {
        let text =
            format!("{} has been running for {}.", work.remedy.command(), span(now.mono.since(work.since)));
        lines.extend(wrapped(Tone::Plain, &text, columns, 0));
        lines.extend(wrapped(Tone::Dim, &work.line, columns, 0));
        let text = "Stopped, it ends what it is writing; started again it goes on where it was.";
        lines.extend(wrapped(Tone::Dim, text, columns, 0));
    }
    lines.push(Line::new());
    lines.push(window::choice("Let it run", "Stop it", go));
    let foot = "Tab other button · Enter presses it · Esc closes";
    window::draw(buf, area, (Tone::Notice, "One verb runs at a time"), &lines, WIDE, foot, theme);
}
