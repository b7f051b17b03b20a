//! Panics: the terminal is given back before a panic of the loop is shown; a panic of a task is only logged,
//! for the cockpit goes on and says that the task died.

use std::panic::PanicHookInfo;
use std::thread::{self, ThreadId};

use super::terminal;
use crate::domain::text::clean;

/// Exit code after a panic of the loop (`EX_SOFTWARE`).
pub const EXIT: u8 = 70;

/// Puts our hook before the one that is there. Call it on the thread that runs the loop.
pub fn install() {
    let before = std::panic::take_hook();
    let ui = thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        if is_task(ui) && terminal::is_taken() {
            tracing::error!("{}", sentence(info));
            return;
        }
        terminal::restore();
        before(info);
    }));
}

fn is_task(ui: ThreadId) -> bool {
    thread::current().id() != ui
}

fn sentence(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
    clean(&format!("a task panicked{place}: {text}"))
}
