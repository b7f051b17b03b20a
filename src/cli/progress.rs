//! One line of progress on standard error: rewritten on a terminal, every 10 s otherwise.
//!
//! One rule: it never shares a line with anything else.

use std::io::IsTerminal as _;
use std::time::Duration;

use super::print;
use crate::domain::Mono;

/// Between two lines where nothing can be rewritten.
const APART: Duration = Duration::from_secs(10);

/// The line.
#[derive(Debug)]
pub struct Line {
    terminal: bool,
    last: Mono,
    shown: bool,
}

impl Line {
    /// A line that was last written at `now`.
    pub fn new(now: Mono) -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: now, shown: false }
    }

    /// Shows how far it is.
    pub fn tell(&mut self, now: Mono, text: &str) {
        if self.terminal {
            print::err_raw(&format!("\r\x1b[2K{text}"));
            self.shown = true;
        } else if now.since(self.last) >= APART {
            print::err(text);
            self.last = now;
        }
    }

    /// Takes it away, so that something else may be written.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            print::err_raw("\r\x1b[2K");
        }
    }
}
