//! What must not be overlooked, above the panes: a frozen view, an operation that failed, and one whose
//! outcome is not known.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cockpit::Model;
use crate::cockpit::msg::Pending;
use crate::domain::Now;
use crate::domain::units::span;
use crate::shift::Shift;

use super::line::{Line, put};
use super::look::{Theme, Tone};
use super::text::wrap;
use super::{age, footer};

/// Most rows that one banner takes.
const MOST: usize = 3;

/// Rows that the banners take now.
pub(crate) fn rows(model: &Model, now: Now, columns: u16) -> u16 {
    lines(model, now, columns).len() as u16
}

/// Draws them.
pub(crate) fn draw(buf: &mut Buffer, area: Rect, model: &Model, now: Now, theme: Theme) {
    for (n, line) in lines(model, now, area.width).iter().take(usize::from(area.height)).enumerate() {
        put(buf, (area.x + 1, area.y + n as u16), area.width.saturating_sub(2), line, theme);
    }
}

fn lines(model: &Model, now: Now, columns: u16) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(frozen) = &model.screen.frozen {
        let age = age::quantised(now.mono.since(frozen.at.mono));
        let at = frozen.at.wall.strftime("%H:%M:%S");
        let key = footer::key_of("freeze");
        let text = format!(" the panes show {at} UTC, {age} ago; {key} lets them go on");
        lines.push(Line::of(Tone::Notice, " FROZEN ").with(Tone::Warn, text));
    }
    if let Some(pending) = &model.pending {
        lines.push(Line::of(Tone::Notice, " UNCONFIRMED ").with(Tone::Warn, deadline(pending, now)));
    }
    match &model.shift {
        Shift::Unknown { plan, why, .. } => {
            let text = format!(
                "It is not known whether the {} to {} was written: {}. It is being observed.",
                plan.intent.word(),
                plan.to,
                why.sentence()
            );
            lines.extend(chip(" UNKNOWN ", Tone::Alarm, Tone::Bad, &text, columns));
        }
        Shift::Failed { plan, trouble } => {
            let text = format!("The {} to {} did not happen. {trouble}", plan.intent.word(), plan.to);
            lines.extend(chip(" FAILED ", Tone::Alarm, Tone::Bad, &text, columns));
        }
        _ => {}
    }
    lines
}

/// A deadline of the operator's own is counted to the second: nothing else on the screen is worth a byte a second.
fn deadline(pending: &Pending, now: Now) -> String {
    let at = pending.at.strftime("%H:%M:%S");
    let left = std::time::Duration::try_from(pending.at.duration_since(now.wall)).unwrap_or_default();
    if left.is_zero() {
        return format!(" {} ran out at {at} UTC: it is being taken back to {}", pending.op, pending.back_to);
    }
    let key = footer::key_of("confirm");
    format!(" back to {} in {} ({at} UTC) unless {key} confirms {}", pending.back_to, span(left), pending.op)
}

/// A word that is seen from across the room, and a text beside it.
fn chip(word: &'static str, tone: Tone, text_tone: Tone, text: &str, columns: u16) -> Vec<Line<'static>> {
    let indent = word.len() + 1;
    let room = usize::from(columns).saturating_sub(indent + 2).max(8);
    let mut wrapped = wrap(text, room);
    if wrapped.len() > MOST {
        wrapped.truncate(MOST);
        if let Some(last) = wrapped.last_mut() {
            *last = super::text::fit(&format!("{last} …"), room).into_owned();
        }
    }
    let put = |(n, text): (usize, String)| {
        let start = if n == 0 { Line::of(tone, word) } else { Line::of(Tone::Plain, " ".repeat(indent - 1)) };
        start.with(text_tone, format!(" {text}"))
    };
    wrapped.into_iter().enumerate().map(put).collect()
}
