//! The terminal: taken once, given back on every way out.
//!
//! One rule: whatever mode was changed is in [`RESTORE`], and giving back twice is harmless.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};

/// Alternate screen, cursor hidden, bracketed paste on, cleared.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[2J";
/// The end of a frame, colours, paste, cursor and the screen as they were.
pub const RESTORE: &[u8] = b"\x1b[?2026l\x1b[0m\x1b[?2004l\x1b[?1049l\x1b[?25h";

/// Whether the terminal is ours at the moment.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Why the cockpit cannot use the terminal.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// Standard output or input is a pipe or a file.
    #[error(
        "the cockpit needs a terminal on standard input and output; use `cutover status --watch` without one"
    )]
    NotATerminal,
    /// `TERM=dumb`.
    #[error("this terminal (TERM=dumb) cannot place a cursor; use `cutover status --watch` in it")]
    Dumb,
    /// The system refused.
    #[error("setting the terminal's mode failed: {0}")]
    Io(#[from] io::Error),
}

/// Holds the terminal; gives it back when dropped.
#[derive(Debug)]
pub struct Terminal(());

impl Terminal {
    /// Whether there is a terminal that the cockpit can use; changes nothing.
    pub fn check(term: Option<&str>) -> Result<(), TerminalError> {
        if !rustix::termios::isatty(out()) || !rustix::termios::isatty(rustix::stdio::stdin()) {
            return Err(TerminalError::NotATerminal);
        }
        if term == Some("dumb") {
            return Err(TerminalError::Dumb);
        }
        Ok(())
    }

    /// Takes the terminal: raw mode, alternate screen.
    pub fn take(term: Option<&str>) -> Result<Self, TerminalError> {
        Self::check(term)?;
        enter()?;
        Ok(Self(()))
    }

    /// Gives the terminal back, stops the process as Ctrl-Z does, and takes the terminal again when the shell
    /// has put the process in the foreground.
    pub fn suspend(&self) -> io::Result<()> {
        restore();
        // SIGTSTP to ourselves is ignored in an orphaned process group; SIGSTOP never is.
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?;
        if in_foreground() { enter() } else { Ok(()) }
    }

    /// Takes the terminal again after `bg`, `fg`.
    pub fn resume(&self) -> io::Result<()> {
        if in_foreground() && !TAKEN.load(Ordering::SeqCst) { enter() } else { Ok(()) }
    }
}

/// Columns and rows; 80x24 where the terminal does not say.
pub fn size() -> (u16, u16) {
    match crossterm::terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
        _ => (80, 24),
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

fn enter() -> io::Result<()> {
    crossterm::terminal::enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    put(ENTER);
    Ok(())
}

/// Gives the terminal back if it is ours; from any thread, any number of times.
pub fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        put(RESTORE);
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

/// Whether the terminal is ours at the moment.
pub fn is_taken() -> bool {
    TAKEN.load(Ordering::SeqCst)
}

/// Leaves raw mode after the writer has written [`RESTORE`].
pub fn restored() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

/// Whether the shell has us in the foreground: raw mode set from the background would hit another program.
fn in_foreground() -> bool {
    rustix::termios::tcgetpgrp(out()).is_ok_and(|group| group == rustix::process::getpgrp())
}

fn out() -> BorrowedFd<'static> {
    rustix::stdio::stdout()
}

/// Writes bytes of the cockpit, unless the terminal was given back since; `false` when it is gone. A terminal that is
/// slow is asked again and again, so that a frame can be given up: what is on its way is thrown away then.
pub fn put_frame(mut bytes: &[u8], give_up: &AtomicBool) -> bool {
    let Some(line) = LINE.get_or_init(open_line) else { return !is_taken() || put(bytes) };
    while !bytes.is_empty() && is_taken() {
        if give_up.load(Ordering::SeqCst) {
            let _ = rustix::termios::tcflush(out(), rustix::termios::QueueSelector::OFlush);
            return true;
        }
        match rustix::io::write(line, bytes) {
            Ok(0) => return false,
            Ok(n) => bytes = &bytes[n..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                let mut fds =
                    [rustix::event::PollFd::from_borrowed_fd(line.as_fd(), rustix::event::PollFlags::OUT)];
                if rustix::event::poll(&mut fds, Some(&AGAIN)).is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    true
}

/// The terminal, opened once more: a write that does not wait must not change how the shell's own writes behave.
static LINE: OnceLock<Option<OwnedFd>> = OnceLock::new();

/// How long a full terminal is waited for before it is asked again.
const AGAIN: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

fn open_line() -> Option<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let path = std::fs::read_link("/proc/self/fd/1").ok()?;
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok().filter(|line| rustix::termios::isatty(line))
}

/// Writes all bytes to the terminal; `false` when it is gone.
pub fn put(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(out(), bytes) {
            Ok(0) => return false,
            Ok(n) => bytes = &bytes[n..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                let mut fds = [rustix::event::PollFd::from_borrowed_fd(out(), rustix::event::PollFlags::OUT)];
                if rustix::event::poll(&mut fds, None).is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    true
}
