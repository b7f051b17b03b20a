//! The only code that changes the model. Pure: time comes with the message, wishes leave as effects.

pub mod answer;
pub mod fact;
pub mod input;
pub mod intent;
pub mod look;
pub mod moves;
pub mod remedy;

use crate::domain::{Mono, Now};

use super::advisor;
use super::effect::Effect;
use super::model::{LOG_LINES, Model};
use super::msg::{Envelope, Level, LogLine, Msg};
use super::screen::Overlay;

/// How long a notice stays.
const NOTICE: std::time::Duration = std::time::Duration::from_secs(8);

/// Takes in one message and says what is to be done.
pub fn update(model: &mut Model, envelope: Envelope) -> Vec<Effect> {
    let Envelope { now, msg } = envelope;
    let mut effects = match msg {
        Msg::Key(key) => input::key(model, key, now),
        Msg::Paste(text) => input::paste(model, &text, now),
        Msg::Resize(columns, rows) => {
            model.screen.size = (columns, rows);
            look_again(model);
            moves::disarm(model, now)
        }
        Msg::DialogShown => shown(model, now),
        Msg::Fact(id, answer) => fact::take(model, id, *answer, now),
        Msg::Answer(answer) => answer::take(model, answer, now),
        Msg::Log(line) => {
            log(model, line);
            vec![]
        }
        Msg::TaskDied { task, cause } => {
            let text = format!("{task} ended by a panic and is started again: {cause}");
            notice(model, Level::Error, text, now)
        }
        Msg::Tick => moves::step(model, crate::shift::Event::Tick, now),
        Msg::Terminate => look::terminate(model, now),
        Msg::Resumed => {
            look_again(model);
            let mut effects = moves::disarm(model, now);
            effects.push(Effect::Repaint);
            effects
        }
    };
    if model.screen.notice.as_ref().is_some_and(|(_, _, until)| now.mono >= *until) {
        model.screen.notice = None;
    }
    model.findings = advisor::advise(model, now);
    if model.ending && !model.shift.in_flight() && !effects.iter().any(|e| matches!(e, Effect::Quit(_))) {
        effects.push(Effect::Quit(look::exit_code(model)));
    }
    effects
}

/// The frame with the dialog has left: its delay runs from now.
fn shown(model: &mut Model, now: Now) -> Vec<Effect> {
    if let Some(Overlay::Hold { shown, .. } | Overlay::Remedy { shown, plan: Some(_), .. }) =
        &mut model.screen.overlay
    {
        shown.get_or_insert(now.mono);
    }
    moves::step(model, crate::shift::Event::Shown, now)
}

/// After a resize or Ctrl-Z a dialog that writes has to be on the screen anew before it hears a key.
const fn look_again(model: &mut Model) {
    if let Some(Overlay::Hold { shown, .. } | Overlay::Remedy { shown, .. }) = &mut model.screen.overlay {
        *shown = None;
    }
}

/// Says one sentence above the footer and in the log.
pub fn notice(model: &mut Model, level: Level, text: impl Into<String>, now: Now) -> Vec<Effect> {
    let text = text.into();
    let until: Mono = now.mono.after(NOTICE);
    log(model, LogLine { at: now.wall, level, target: "cockpit".into(), text: text.clone() });
    model.screen.notice = Some((text, level, until));
    let bell = (level == Level::Error).then_some(Effect::Bell);
    std::iter::once(Effect::WakeAt(until)).chain(bell).collect()
}

fn log(model: &mut Model, line: LogLine) {
    if model.log.len() == LOG_LINES {
        model.log.pop_front();
    }
    model.log.push_back(line);
}

#[cfg(test)]
mod desk;
#[cfg(test)]
mod tests;
