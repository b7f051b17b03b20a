//! The screen as text, for `status`, logs and screen readers: the same rows, no lines, bars or colours.
//!
//! One rule: nothing is formatted here; header, panes and notice come from where the screen gets them.

use crate::cockpit::Model;
use crate::cockpit::phase::{Phase, phase};
use crate::domain::Now;

use super::context::{Cx, shown};
use super::line::Line;
use super::look::ascii;
use super::panes::{self, PANES};
use super::{age, footer, header};

/// Everything that is known, pane by pane.
pub fn text(model: &Model, now: Now) -> String {
    let model = shown(model);
    let cx = Cx { spoken: true, width: 100, ..Cx::new(&model, now) };
    let mut out = String::new();
    let line = |parts: Vec<(u8, Line<'_>)>| {
        let texts: Vec<String> = parts.iter().map(|p| p.1.text()).filter(|t| !t.is_empty()).collect();
        texts.join(", ").trim().to_owned()
    };
    push(&mut out, &line(header::whereabouts(&model)));
    push(&mut out, &line(header::rights(&cx)));
    push(&mut out, &phase_text(&model, now));
    push(&mut out, &footer::next(&model, now).text());
    if let Some(p) = model.pending {
        push(
            &mut out,
            &format!(
                "! UNCONFIRMED {} goes back to {} at {:.0} unless `cutover confirm` comes first",
                p.op, p.back_to, p.at
            ),
        );
    }
    for pane in PANES {
        out.push('\n');
        let late = age::aside(&cx, pane.sources, 100).text();
        let beside = if late.is_empty() { (pane.note)(&cx).text() } else { late };
        let title = pane.id.title();
        push(&mut out, &if beside.is_empty() { title.to_owned() } else { format!("{title} ({beside})") });
        for line in panes::spoken(pane, &cx) {
            push(&mut out, &row(&line.text()));
        }
    }
    out
}

fn phase_text(model: &Model, now: Now) -> String {
    let order = Phase::order(model.setup.strategy);
    match phase(model, now.wall) {
        None => "phase not known yet".into(),
        Some((now, why)) => {
            let place = order.iter().position(|p| *p == now).map_or(0, |n| n + 1);
            format!("phase {} ({place} of {}): {why}", now.word(), order.len())
        }
    }
}

/// A row of a pane: the mark at its start becomes a word, and what has no mark stays below what it continues.
fn row(text: &str) -> String {
    let marks = [("✓ ", "ok  "), ("✗ ", "BAD "), ("! ", "!   "), ("· ", "-   "), ("  ", "    ")];
    let marked =
        marks.iter().find_map(|(mark, word)| text.strip_prefix(mark).map(|rest| format!("  {word}{rest}")));
    marked.unwrap_or_else(|| format!("  {text}"))
}

/// Adds a line; our own glyphs become words and ASCII, foreign letters stay.
fn push(out: &mut String, line: &str) {
    for c in line.trim_end().chars() {
        match c {
            '✓' => out.push_str("ok"),
            '✗' => out.push_str("BAD"),
            '·' => out.push('-'),
            c => match ascii(c) {
                '?' => out.push(c),
                folded => out.push(folded),
            },
        }
    }
    out.push('\n');
}
