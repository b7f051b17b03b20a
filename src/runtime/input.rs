//! Keys and resizes of the terminal as messages. Repeats and releases of keys are dropped here.

use std::io;

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures::{Stream, StreamExt};

use crate::cockpit::Msg;
use crate::cockpit::key::{Code, Key};

/// The terminal's events.
#[derive(Debug)]
pub struct Input<S = EventStream> {
    events: S,
    gone: bool,
}

impl Default for Input {
    fn default() -> Self {
        Self { events: EventStream::new(), gone: false }
    }
}

impl<S: Stream<Item = io::Result<Event>> + Unpin> Input<S> {
    /// The next message; `None` once when the terminal is gone, and nothing after that: the loop asks here first, and
    /// an answer that is always ready would keep it from all others.
    pub async fn next(&mut self) -> Option<Msg> {
        if self.gone {
            return std::future::pending().await;
        }
        while let Some(Ok(event)) = self.events.next().await {
            if let Some(msg) = message(event) {
                return Some(msg);
            }
        }
        self.gone = true;
        None
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
    use futures::FutureExt as _;

    #[tokio::test]
    async fn a_terminal_that_is_gone_is_said_once_and_holds_nothing_up() {
        let gone = || io::Result::<Event>::Err(io::Error::other("EIO"));
        let mut input = Input { events: futures::stream::repeat_with(gone), gone: false };
        assert_eq!(input.next().await, None);
        assert_eq!(input.next().now_or_never(), None);
    }

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
