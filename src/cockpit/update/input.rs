//! Keys: first to the dialog, then to the overlay, then to the command table.

use crate::domain::{Now, Split};
use crate::shift::Event;
use crate::shift::machine::ARM_DELAY;

use super::super::command;
use super::super::effect::Effect;
use super::super::key::{Code, Key};
use super::super::model::Model;
use super::super::msg::{Lease, Level};
use super::super::screen::Overlay;
use super::{intent, moves, notice, remedy};

/// One key press.
pub fn key(model: &mut Model, key: Key, now: Now) -> Vec<Effect> {
    if key == Key::ctrl('c') && matches!(model.screen.overlay, Some(Overlay::Quit { .. })) {
        return end(model);
    }
    if key == Key::ctrl('c') && (model.shift.has_dialog() || model.screen.overlay.is_some()) {
        let mut effects = remedy::close(model);
        effects.extend(moves::disarm(model, now));
        return effects;
    }
    if model.shift.has_dialog() {
        return dialog_key(model, key, now);
    }
    if model.screen.overlay.is_some() {
        return overlay_key(model, key, now);
    }
    if key.code == Code::Esc {
        model.screen.zoomed = false;
        model.screen.notice = None;
        return vec![];
    }
    match command::by_key(key) {
        Some(command) => run(model, command, now),
        None => vec![],
    }
}

/// Runs a command, or says why it cannot be run.
pub fn run(model: &mut Model, command: &'static command::Command, now: Now) -> Vec<Effect> {
    match (command.enabled)(model, now) {
        Ok(()) => (command.run)(model, now),
        Err(why) => notice(model, Level::Warn, format!("{}: {why}", command.title), now),
    }
}

/// The shift dialog. Rollback's own key is heard in it: it must be two keys from anywhere.
fn dialog_key(model: &mut Model, key: Key, now: Now) -> Vec<Effect> {
    let event = match key.code {
        Code::Char(c) if c.is_ascii_digit() && !key.ctrl => Event::Type(c),
        Code::Char('R') if model.shift.plan().is_some_and(|p| p.intent == crate::shift::Intent::Shift) => {
            return match intent::can_roll_back(model, now) {
                Ok(()) => intent::roll_back(model, now),
                Err(why) => notice(model, Level::Warn, why, now),
            };
        }
        Code::Char('c') => Event::TurnConfirmation,
        Code::Backspace => Event::Erase,
        _ if is_switch(key) => Event::Switch,
        Code::Enter => Event::Confirm,
        Code::Esc => Event::Cancel,
        _ => return vec![],
    };
    moves::step(model, event, now)
}

fn overlay_key(model: &mut Model, key: Key, now: Now) -> Vec<Effect> {
    if key.code == Code::Esc {
        return remedy::close(model);
    }
    match model.screen.overlay.take() {
        Some(Overlay::Help { filter, scroll }) => help_key(model, key, filter, scroll),
        Some(Overlay::Palette { query, selected }) => return palette_key(model, key, query, selected, now),
        Some(Overlay::SetSplit { typed }) => return split_key(model, key, typed, now),
        Some(Overlay::LogFilter { mut typed }) => {
            edit(&mut typed, key);
            model.screen.log_filter.clone_from(&typed);
            if key.code != Code::Enter {
                model.screen.overlay = Some(Overlay::LogFilter { typed });
            }
        }
        Some(Overlay::Hold { on, go, shown, .. }) => return hold_key(model, key, (on, go), shown, now),
        Some(Overlay::TakeLease { typed }) => return lease_key(model, key, typed, now),
        Some(Overlay::Remedies { selected }) => return remedy::list_key(model, key, selected),
        Some(overlay @ Overlay::Remedy { .. }) => return remedy::dialog_key(model, key, overlay, now),
        Some(Overlay::StopRemedy { go }) => return remedy::stop_key(model, key, go),
        Some(Overlay::Quit { go }) => return quit_key(model, key, go),
        None => {}
    }
    vec![]
}

fn help_key(model: &mut Model, key: Key, mut filter: String, mut scroll: u16) {
    match key.code {
        Code::Up => scroll = scroll.saturating_sub(1),
        Code::Down => scroll = scroll.saturating_add(1),
        Code::PageUp => scroll = scroll.saturating_sub(10),
        Code::PageDown => scroll = scroll.saturating_add(10),
        Code::Enter => return,
        Code::Char('q' | '?') if filter.is_empty() => return,
        _ => {
            edit(&mut filter, key);
            scroll = 0;
        }
    }
    model.screen.overlay = Some(Overlay::Help { filter, scroll });
}

fn palette_key(model: &mut Model, key: Key, mut query: String, mut selected: usize, now: Now) -> Vec<Effect> {
    let found = command::search(&query);
    match key.code {
        Code::Enter => {
            return match found.get(selected) {
                Some(command) => run(model, command, now),
                None => vec![],
            };
        }
        Code::Up => selected = selected.saturating_sub(1),
        Code::Down => selected = (selected + 1).min(found.len().saturating_sub(1)),
        _ => {
            edit(&mut query, key);
            selected = 0;
        }
    }
    model.screen.overlay = Some(Overlay::Palette { query, selected });
    vec![]
}

fn split_key(model: &mut Model, key: Key, mut typed: String, now: Now) -> Vec<Effect> {
    if key.code == Code::Enter {
        return match Split::parse(&typed) {
            Some(to) => intent::shift_to(model, to, None, now),
            None => notice(model, Level::Warn, format!("{typed:?} is not a split: type 0 to 100"), now),
        };
    }
    if !matches!(key.code, Code::Char(c) if !c.is_ascii_digit() || typed.len() >= 3) {
        edit(&mut typed, key);
    }
    model.screen.overlay = Some(Overlay::SetSplit { typed });
    vec![]
}

fn hold_key(
    model: &mut Model,
    key: Key,
    (on, go): (bool, bool),
    shown: Option<crate::domain::Mono>,
    now: Now,
) -> Vec<Effect> {
    let ready = shown.is_some_and(|at| now.mono.since(at) >= ARM_DELAY);
    if key.code == Code::Enter && ready {
        return if go { vec![Effect::Hold(on)] } else { vec![] };
    }
    let go = go != (ready && is_switch(key));
    model.screen.overlay = Some(Overlay::Hold { on, go, shown, early: !ready });
    vec![]
}

/// Nobody is kept here: the key that asked, once more, ends the program.
fn quit_key(model: &mut Model, key: Key, go: bool) -> Vec<Effect> {
    match key.code {
        Code::Char('q' | 'y') => return end(model),
        Code::Enter if go => return end(model),
        Code::Enter | Code::Char('n') => {}
        _ => model.screen.overlay = Some(Overlay::Quit { go: go != is_switch(key) }),
    }
    vec![]
}

fn end(model: &mut Model) -> Vec<Effect> {
    let stop = model.work.is_some().then_some(Effect::StopRemedy);
    stop.into_iter().chain([Effect::Quit(super::look::exit_code(model))]).collect()
}

pub(super) const fn is_switch(key: Key) -> bool {
    matches!(key.code, Code::Tab | Code::BackTab | Code::Left | Code::Right)
}

/// Taken by the holder's name, so that nobody takes it from the wrong person.
fn lease_key(model: &mut Model, key: Key, mut typed: String, now: Now) -> Vec<Effect> {
    if key.code == Code::Enter {
        return match &model.lease {
            Lease::Other(who, _) if *who == typed => vec![Effect::TakeLease],
            Lease::Failed(_) => vec![Effect::TakeLease],
            Lease::Other(who, _) => {
                let text = format!("that is not the holder's name; it is {who}");
                model.screen.overlay = Some(Overlay::TakeLease { typed });
                notice(model, Level::Warn, text, now)
            }
            _ => vec![],
        };
    }
    edit(&mut typed, key);
    model.screen.overlay = Some(Overlay::TakeLease { typed });
    vec![]
}

/// A one-line editor: characters at the end, Backspace, Ctrl-U.
fn edit(text: &mut String, key: Key) {
    match key {
        Key { code: Code::Char('u'), ctrl: true } => text.clear(),
        Key { code: Code::Char(c), ctrl: false } if !c.is_control() && text.len() < 200 => text.push(c),
        Key { code: Code::Backspace, .. } => {
            text.pop();
        }
        _ => {}
    }
}

/// Pasted text goes to text fields only, and never confirms.
pub fn paste(model: &mut Model, text: &str, now: Now) -> Vec<Effect> {
    let field = matches!(
        model.screen.overlay,
        Some(
            Overlay::Help { .. }
                | Overlay::Palette { .. }
                | Overlay::SetSplit { .. }
                | Overlay::LogFilter { .. }
                | Overlay::TakeLease { .. }
        )
    );
    if model.shift.has_dialog() || !field {
        return vec![];
    }
    let typed = text.chars().filter(|c| !c.is_control()).take(200);
    typed.flat_map(|c| overlay_key(model, Key::plain(Code::Char(c)), now)).collect()
}
