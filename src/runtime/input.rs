//! Keys and resizes of the terminal as messages. Repeats and releases of keys are dropped here.

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures::StreamExt;

use crate::cockpit::Msg;
use crate::cockpit::key::{Code, Key};

/// The terminal's events.
#[derive(Debug)]
pub struct Input {
    events: EventStream,
}

impl Default for Input {
    fn default() -> Self {
        Self { events: EventStream::new() }
    }
}

impl Input {
    /// The next message; `None` when the terminal is gone.
    pub async fn next(&mut self) -> Option<Msg> {
        loop {
            match self.events.next().await? {
                Ok(event) => {
                    if let Some(msg) = message(event) {
                        return Some(msg);
                    }
                }
                Err(_) => return None,
            }
        }
    }
}

fn message(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) => translate(key).map(Msg::Key),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(columns, rows) => Some(Msg::Resize(columns.max(1), rows.max(1))),
        Event::FocusGained | Event::FocusLost | Event::Mouse(_) => None,
    }
}

fn translate(key: KeyEvent) -> Option<Key> {
    if key.kind != KeyEventKind::Press || key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    let code = match key.code {
        KeyCode::Char(c) => Code::Char(if ctrl { c.to_ascii_lowercase() } else { c }),
        KeyCode::Enter => Code::Enter,
        KeyCode::Esc => Code::Esc,
        KeyCode::Tab => Code::Tab,
        KeyCode::BackTab => Code::BackTab,
        KeyCode::Backspace => Code::Backspace,
        KeyCode::Up => Code::Up,
        KeyCode::Down => Code::Down,
        KeyCode::Left => Code::Left,
        KeyCode::Right => Code::Right,
        KeyCode::PageUp => Code::PageUp,
        KeyCode::PageDown => Code::PageDown,
        KeyCode::Home => Code::Home,
        KeyCode::End => Code::End,
        _ => return None,
    };
    Some(Key { code, ctrl })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_releases_and_alt_are_no_keys() {
        let press = KeyEvent::new(KeyCode::Char('R'), KeyModifiers::SHIFT);
        assert_eq!(translate(press), Some(Key::plain(Code::Char('R'))));
        for kind in [KeyEventKind::Repeat, KeyEventKind::Release] {
            assert_eq!(translate(KeyEvent { kind, ..press }), None);
        }
        assert_eq!(translate(KeyEvent::new(KeyCode::Char('R'), KeyModifiers::ALT)), None);
        assert_eq!(translate(KeyEvent::new(KeyCode::Char('C'), KeyModifiers::CONTROL)), Some(Key::ctrl('c')));
    }
}
