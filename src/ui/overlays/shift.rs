//! The shift dialog: the exact requests, every guard with its value, the v3-only rows of a move back, and two
//! buttons that say what they do.
//!
//! One rule: what is sent is shown before anything is asked. Where the window is too low for all of it, guards
//! that pass become one line first, then request bodies are cut, and the dialog says so.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cockpit::Model;
use crate::cockpit::guards::guards;
use crate::domain::Now;
use crate::shift::machine::{APPLY_DEADLINE, Focus};
use crate::shift::{Check, Intent, Plan, Shift, Verdict};
use crate::ui::age;
use crate::ui::line::{Line, dim, plain, span, wrapped};
use crate::ui::look::{Theme, Tone};
use crate::ui::table::{Column, Table, left, name, right};
use crate::ui::text::fit;

use super::window::{self, Button};

const WIDE: u16 = 104;

static OBJECTS: [Column; 4] =
    [name("object", 12), left("router", 7, 1), right("from", 5, 0), right("to", 5, 0)];

pub(super) fn draw(buf: &mut Buffer, area: Rect, model: &Model, now: Now, theme: Theme) {
    let Some(plan) = model.shift.plan() else { return };
    let columns = window::columns(area, WIDE);
    let room = usize::from(area.height).saturating_sub(2);
    let end = end(&model.shift, plan, now);
    let lines = fill(model, plan, now, columns, room.saturating_sub(end.len()));
    let lines: Vec<Line<'_>> = lines.into_iter().chain(end).collect();
    let (title, foot) = match &model.shift {
        Shift::Armed { expires, .. } => {
            let left = age::quantised(expires.since(now.mono));
            (plan.button(), format!("Tab other button · Enter presses it · Esc cancels · closes in {left}"))
        }
        _ => (format!("Plan: {}", plan.button()), "Esc cancels".to_owned()),
    };
    window::draw(buf, area, (Tone::Title, &title), &lines, WIDE, &foot, theme);
}

/// The head, the requests, the guards and the warning, in at most `room` rows.
fn fill<'a>(model: &'a Model, plan: &'a Plan, now: Now, columns: usize, room: usize) -> Vec<Line<'a>> {
    let mut must = vec![head(model, plan)];
    must.extend(objects(plan, columns));
    let warning = warning(plan, columns);
    let checks = if plan.intent == Intent::Shift { guards(model, now, plan.to).0 } else { Vec::new() };
    let back = back(plan, columns);
    let left = room.saturating_sub(must.len() + warning.len() + back.len());
    let bodies = bodies(plan, columns, usize::MAX);
    let all = guard_rows(&checks, columns, true);
    let (all, left) = if all.len() + bodies.len() <= left {
        let left = left - all.len();
        (all, left)
    } else {
        let short = guard_rows(&checks, columns, false);
        let left = left.saturating_sub(short.len());
        (short, left)
    };
    must.extend(if bodies.len() <= left { bodies } else { cut_bodies(plan, columns, left) });
    must.extend(warning);
    must.extend(all);
    must.extend(back);
    must
}

/// What is special about taking traffic back.
fn back<'a>(plan: &Plan, columns: usize) -> Vec<Line<'a>> {
    if plan.intent != Intent::Rollback {
        return Vec::new();
    }
    let mut lines = vec![Line::of(Tone::Dim, "No guard is asked: traffic may always be taken back.")];
    if plan.patches.iter().all(|p| p.from == p.to) {
        let text = format!(
            "! The routes read {} already. It is written all the same: a write still on its way fails then.",
            plan.to
        );
        lines.extend(wrapped(Tone::Warn, &text, columns, 2));
    }
    lines
}

fn head<'a>(model: &'a Model, plan: &Plan) -> Line<'a> {
    let mut line = Line::new();
    if model.setup.production {
        line = line.with(Tone::Alarm, " PROD ").with(Tone::Plain, " ");
    }
    line.with(Tone::Strong, model.setup.environment.as_str())
        .with(Tone::Dim, "  v3 gets ")
        .with(Tone::Plain, plan.from.to_string())
        .with(Tone::Dim, " → ")
        .with(Tone::Strong, plan.to.to_string())
        .with(Tone::Dim, format!("  {}", plan.op))
}

fn objects<'a>(plan: &Plan, columns: usize) -> Vec<Line<'a>> {
    if plan.patches.is_empty() {
        return vec![Line::of(Tone::Warn, "! no route needs a change")];
    }
    let mut table = Table::new(&OBJECTS);
    for patch in &plan.patches {
        let weight = |w: crate::domain::Weight| {
            if w.total == 100 { format!("{} %", w.value) } else { format!("{}/{}", w.value, w.total) }
        };
        table.row(vec![
            plain(patch.object.to_string()),
            dim(patch.router.name()),
            plain(weight(patch.from)),
            span(Tone::Strong, weight(patch.to)),
        ]);
    }
    table.lines(columns)
}

/// The request bodies, byte for byte, in at most `most` lines each.
fn bodies<'a>(plan: &Plan, columns: usize, most: usize) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for patch in &plan.patches {
        let kind = patch.kind.content_type().trim_start_matches("application/");
        let text = format!("PATCH ({kind}) {}", patch.body);
        let wrapped = broken(&text, columns.saturating_sub(2));
        let hidden = wrapped.len().saturating_sub(most);
        for (n, part) in wrapped.into_iter().take(most).enumerate() {
            let part = if hidden > 0 && n + 1 == most {
                fit(&format!("{part}…"), columns - 2).into_owned()
            } else {
                part
            };
            lines.push(Line::of(Tone::Plain, "  ").with(Tone::Dim, part));
        }
    }
    lines
}

/// Broken anywhere, so that nothing is lost and nothing is added.
fn broken(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for c in text.chars() {
        let wide = crate::ui::text::width(c.encode_utf8(&mut [0; 4]));
        if used + wide > columns.max(8) {
            lines.push(String::new());
            used = 0;
        }
        used += wide;
        if let Some(line) = lines.last_mut() {
            line.push(c);
        }
    }
    lines
}

fn cut_bodies<'a>(plan: &Plan, columns: usize, room: usize) -> Vec<Line<'a>> {
    let note = Line::of(Tone::Warn, "  ! requests are cut: enlarge the window to read them whole");
    let each = room.saturating_sub(1) / plan.patches.len().max(1);
    let mut lines = if each == 0 { Vec::new() } else { bodies(plan, columns, each) };
    lines.truncate(room.saturating_sub(1));
    lines.push(note);
    lines
}

/// What v3 accepted meanwhile and v2 cannot see, or sees as it was.
fn warning<'a>(plan: &Plan, columns: usize) -> Vec<Line<'a>> {
    let Some(v3_only) = &plan.v3_only else {
        return Vec::new();
    };
    if v3_only.is_nothing() {
        return vec![Line::of(Tone::Good, "✓ No v3-only rows: v2 can see all that v3 has")];
    }
    let (tone, text) = if v3_only.hides() {
        (Tone::Bad, format!("✗ v3-only rows, which v2 cannot see: {}", v3_only.offer()))
    } else if v3_only.any() {
        (Tone::Warn, format!("! {}", v3_only.offer()))
    } else {
        const NOT_ZERO: &str = "A dash was not counted, and ~ is an estimate; neither is a zero.";
        (Tone::Warn, format!("! {}. {NOT_ZERO}", v3_only.sentence()))
    };
    wrapped(tone, &text, columns, 2)
}

/// Guards as rows; only those that do not pass when `all` is off.
fn guard_rows<'a>(checks: &[Check], columns: usize, all: bool) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    let worst_first = [Verdict::Block, Verdict::Warn, Verdict::Pass];
    for verdict in worst_first {
        for check in checks.iter().filter(|c| c.verdict == verdict) {
            if all || verdict != Verdict::Pass {
                lines.push(guard(check, columns));
            }
        }
    }
    let passed = checks.iter().filter(|c| c.verdict == Verdict::Pass).count();
    if !all && passed > 0 {
        lines.push(Line::of(Tone::Good, format!("✓ pass   {passed} guards")));
    }
    lines
}

fn guard<'a>(check: &Check, columns: usize) -> Line<'a> {
    let (mark, tone, word) = match check.verdict {
        Verdict::Pass => ("✓", Tone::Good, "pass"),
        Verdict::Warn => ("!", Tone::Warn, "warn"),
        Verdict::Block => ("✗", Tone::Bad, "BLOCK"),
    };
    let label = if columns >= 90 { format!("{:<20}", check.label) } else { format!("{}: ", check.label) };
    Line::of(tone, format!("{mark} {word:<6} "))
        .with(Tone::Plain, label)
        .with(Tone::Dim, check.evidence.clone())
}

/// What is asked, and the buttons.
fn end<'a>(shift: &Shift, plan: &Plan, now: Now) -> Vec<Line<'a>> {
    let Shift::Armed { typed, focus, early, .. } = shift else {
        let deadline = match shift {
            Shift::Proposed { deadline, .. } => deadline.since(now.mono),
            _ => APPLY_DEADLINE,
        };
        let asked = age::quantised(APPLY_DEADLINE.saturating_sub(deadline));
        let text = format!("asking the API server (dry run) for {asked} … nothing is written yet");
        return vec![Line::new(), Line::of(Tone::Warn, text)];
    };
    let mut lines = vec![Line::new()];
    if plan.intent == Intent::Shift {
        lines.push(confirmation(plan));
    }
    let typed_right = typed.parse() == Ok(plan.to.percent());
    if plan.intent == Intent::Shift {
        let line = window::field("Type the number to go on: ", typed, 6);
        let said = match (typed.is_empty(), typed_right) {
            (true, _) => Line::of(Tone::Dim, format!("  {}", plan.to.percent())),
            (false, true) => Line::of(Tone::Good, "  ✓"),
            (false, false) => Line::of(Tone::Warn, format!("  ! not {}", plan.to.percent())),
        };
        lines.push(line.and(said));
    }
    if *early {
        lines.push(window::early());
    }
    let button = |here: Focus, text: &str, ready: bool| {
        let state = match (*focus == here, ready) {
            (true, _) => Button::Focused,
            (false, true) => Button::Ready,
            (false, false) => Button::Barred,
        };
        window::button(text, state)
    };
    let ready = plan.intent == Intent::Rollback || typed_right;
    lines.push(Line(vec![
        button(Focus::Cancel, "Cancel", true),
        plain("   "),
        button(Focus::Go, &plan.button(), ready),
    ]));
    lines
}

/// Whether the move stays by itself, and the key that changes it.
fn confirmation<'a>(plan: &Plan) -> Line<'a> {
    let line = Line::of(Tone::Key, "c").with(Tone::Dim, " changes: ");
    match plan.confirm_within {
        None => line.with(Tone::Plain, "it stays until somebody moves it"),
        Some(within) => line
            .with(Tone::Notice, format!(" taken back to {} ", plan.from))
            .with(Tone::Warn, format!(" unless confirmed within {} (by a watchdog)", age::quantised(within))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Split;
    use crate::domain::units::Count;
    use crate::shift::plan::tests::route;
    use crate::shift::{Hindrance, OpId, V3Only};

    /// Tone and words of what is said of v3's rows: so many that only v3 has, and so many that both have.
    fn said(only: u64, shared: Option<Count>, hindered: Option<Hindrance>) -> (Tone, String) {
        let only = Some(Count::exact(only));
        let v3_only = V3Only { traces: only, observations: only, scores: only, shared, hindered };
        let plan = Plan::new(OpId(1), Intent::Rollback, &[route(25)], Split::V2, Some(v3_only));
        let lines = warning(&plan, 70);
        let tone = lines[0].0[0].tone;
        let text = lines.iter().flat_map(|line| &line.0).map(|span| span.text.trim()).collect::<Vec<_>>();
        (tone, text.join(" "))
    }

    #[test]
    fn v2_sees_all_only_where_v3_wrote_nothing_that_v2_has() {
        let (tone, text) = said(0, Some(Count::exact(0)), None);
        assert!(tone == Tone::Good && text.contains("v2 can see all"), "{text}");
        for shared in [None, Some(Count::about(0)), Some(Count::exact(5)), Some(Count::about(5))] {
            let (tone, text) = said(0, shared, None);
            assert!(tone == Tone::Warn && !text.contains("v2 can see all"), "{text}");
            let known = shared.is_some_and(|c| c.value > 0);
            assert_eq!(text.contains("`cutover restore`"), known, "{text}");
            assert_eq!(text.contains("neither is a zero"), !known, "{text}");
        }
        let (tone, text) = said(7, Some(Count::exact(5)), None);
        assert!(tone == Tone::Bad && text.contains("5 more that v2 has"), "{text}");
    }

    #[test]
    fn a_way_back_that_would_be_refused_is_not_promised() {
        let why = "`cutover restore` would be refused: table scores is gone";
        let (_, text) = said(7, Some(Count::exact(0)), Some(Hindrance::Refused(why.into())));
        assert!(text.contains(why) && !text.contains("writes"), "{text}");
    }
}
