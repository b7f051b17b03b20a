//! Keys and resizes of the terminal as messages. Repeats and releases of keys are dropped here.
//!
//! One rule: the terminal is read on a thread of its own. Crossterm's read never returns once the terminal is gone
//! (crossterm issue 793), and the loop still has to hear the signal that says so.

use std::io;
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use crate::cockpit::Msg;
use crate::cockpit::key::{Code, Key};

use super::terminal;

/// Messages that wait for the loop; more of them wait in the terminal.
const WAITING: usize = 64;

/// The terminal's events.
#[derive(Debug)]
pub struct Input {
    events: mpsc::Receiver<Msg>,
    gone: bool,
}

impl Input {
    /// Starts to read the terminal; where its size is no longer `seen`, columns and rows, that comes first: it may have
    /// changed before changes were listened to.
    pub fn start(seen: (u16, u16)) -> io::Result<Self> {
        let mut listening = false;
        Self::reading(move || {
            if !listening {
                listening = true;
                crossterm::event::poll(Duration::ZERO)?;
                let size = terminal::size();
                if size != seen {
                    return Ok(Event::Resize(size.0, size.1));
                }
            }
            crossterm::event::read()
        })
    }

    /// Reads events until there are no more, or nobody listens any longer.
    fn reading(mut read: impl FnMut() -> io::Result<Event> + Send + 'static) -> io::Result<Self> {
        let (to, events) = mpsc::channel(WAITING);
        let work = move || {
            while let Ok(event) = read() {
                if let Some(msg) = message(event)
                    && to.blocking_send(msg).is_err()
                {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("keyboard".into()).spawn(work)?;
        Ok(Self { events, gone: false })
    }

    /// The next message; `None` once when the terminal is gone, and nothing after that: the loop asks here first, and
    /// an answer that is always ready would keep it from all others.
    pub async fn next(&mut self) -> Option<Msg> {
        if self.gone {
            return std::future::pending().await;
        }
        let msg = self.events.recv().await;
        self.gone = msg.is_none();
        msg
    }
}

impl Drop for Input {
    /// What is typed from now on is not ours: a change of size ends the read that waits, and with it the thread.
    fn drop(&mut self) {
        self.events.close();
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::WINCH);
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
        let mut input = Input::reading(|| Err(io::Error::other("EIO"))).unwrap();
        assert_eq!(input.next().await, None);
        assert_eq!(input.next().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_read_that_never_returns_holds_nothing_up() {
        let mut input = Input::reading(|| {
            loop {
                std::thread::park();
            }
        })
        .unwrap();
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
