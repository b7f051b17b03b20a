//! What changes only the screen, and the end of the program.

use crate::domain::Now;
use crate::shift::Shift;

use super::super::effect::Effect;
use super::super::model::Model;
use super::super::msg::Level;
use super::super::screen::{Frozen, Overlay, PaneId};
use super::{moves, notice};

/// Exit code after an operation whose outcome is not known (`EX_TEMPFAIL`).
const EXIT_UNKNOWN: u8 = 75;

/// Polls everything.
pub fn refresh(_: &mut Model, _: Now) -> Vec<Effect> {
    vec![Effect::PollNow(None)]
}

/// Zooms the focused pane, or puts it back.
pub fn zoom(model: &mut Model, _: Now) -> Vec<Effect> {
    model.screen.zoomed = !model.screen.zoomed;
    vec![]
}

/// Focuses a pane by its place.
pub fn focus(model: &mut Model, place: usize) -> Vec<Effect> {
    if let Some(pane) = PaneId::ALL.get(place) {
        model.screen.focus = *pane;
    }
    vec![]
}

/// Focuses the next pane.
pub fn focus_next(model: &mut Model, _: Now) -> Vec<Effect> {
    model.screen.focus = model.screen.focus.turn(1);
    vec![]
}

/// Focuses the pane before.
pub fn focus_previous(model: &mut Model, _: Now) -> Vec<Effect> {
    model.screen.focus = model.screen.focus.turn(-1);
    vec![]
}

/// Scrolls the focused pane; its lower end is known when it is drawn.
pub fn scroll(model: &mut Model, by: i16) -> Vec<Effect> {
    let line = &mut model.screen.scroll[model.screen.focus as usize];
    *line = line.saturating_add_signed(by).min(2_000);
    vec![]
}

/// Freezes the view, or lets it go on.
pub fn freeze(model: &mut Model, now: Now) -> Vec<Effect> {
    model.screen.frozen = match model.screen.frozen.take() {
        Some(_) => None,
        None => {
            Some(Box::new(Frozen { facts: model.facts.clone(), history: model.history.clone(), at: now }))
        }
    };
    vec![]
}

/// Asks for the text of the log filter.
pub fn open_log_filter(model: &mut Model, _: Now) -> Vec<Effect> {
    model.screen.focus = PaneId::Log;
    model.screen.overlay = Some(Overlay::LogFilter { typed: model.screen.log_filter.clone() });
    vec![]
}

/// Info, then warnings and worse, then errors, then everything.
pub fn turn_log_level(model: &mut Model, _: Now) -> Vec<Effect> {
    model.screen.log_level = match model.screen.log_level {
        Level::Info => Level::Warn,
        Level::Warn => Level::Error,
        Level::Error => Level::Debug,
        Level::Debug => Level::Info,
    };
    vec![]
}

/// Opens help.
pub fn open_help(model: &mut Model, _: Now) -> Vec<Effect> {
    model.screen.overlay = Some(Overlay::Help { filter: String::new(), scroll: 0 });
    vec![]
}

/// Opens the palette.
pub fn open_palette(model: &mut Model, _: Now) -> Vec<Effect> {
    model.screen.overlay = Some(Overlay::Palette { query: String::new(), selected: 0 });
    vec![]
}

/// Ends; asks first while a write is in flight, or while a move waits for its confirmation.
pub fn quit(model: &mut Model, _: Now) -> Vec<Effect> {
    let in_flight = model.shift.in_flight();
    if in_flight || model.pending.is_some() || model.work.is_some() {
        model.screen.overlay = Some(Overlay::Quit { go: !in_flight });
        return vec![];
    }
    vec![Effect::Quit(exit_code(model))]
}

/// A signal: starts nothing new, and waits for what is in flight until its deadline.
pub fn terminate(model: &mut Model, now: Now) -> Vec<Effect> {
    model.ending = true;
    let mut effects = moves::disarm(model, now);
    effects.extend(model.work.is_some().then_some(Effect::StopRemedy));
    if model.shift.in_flight() {
        effects.extend(notice(model, Level::Warn, "ending as soon as the write in flight is answered", now));
    }
    effects
}

/// The published exit code of ending now.
pub fn exit_code(model: &Model) -> u8 {
    match model.shift.beneath() {
        Shift::Unknown { .. } | Shift::Applying { .. } | Shift::Verifying { .. } => EXIT_UNKNOWN,
        _ => 0,
    }
}
