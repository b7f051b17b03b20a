//! The terminal is given back on every way out, and the screen is there before any server answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test stands beside the program, with a clock of its own")]

mod common;
#[path = "terminal/endings.rs"]
mod endings;
#[path = "terminal/kinds.rs"]
mod kinds;
#[path = "terminal/panics.rs"]
mod panics;

use common::nowhere;
use common::person::Person;

/// What must be among the last bytes.
const RESTORED: [&str; 3] = ["\x1b[?2004l", "\x1b[?1049l", "\x1b[?25h"];

fn assert_restored(person: &Person) {
    assert_ends_restored(&person.bytes);
}

fn assert_ends_restored(bytes: &[u8]) {
    let tail = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(400)..]).into_owned();
    for mode in RESTORED {
        assert!(tail.contains(mode), "{mode:?} is missing at the end: {tail:?}");
    }
}

#[test]
fn quit_gives_the_terminal_back() {
    let (_dir, config) = nowhere();
    let mut person = Person::start(80, 24, &["--config", &config], &[]);
    person.see("nowhere");
    person.press("q");
    assert_eq!(person.leave(), 0);
    assert_restored(&person);
}

#[test]
fn signals_give_the_terminal_back() {
    for end in [rustix::process::Signal::TERM, rustix::process::Signal::HUP, rustix::process::Signal::INT] {
        let (_dir, config) = nowhere();
        let mut person = Person::start(80, 24, &["--config", &config], &[]);
        person.see("nowhere");
        person.signal(end);
        assert_eq!(person.leave(), 0, "{end:?}");
        assert_restored(&person);
    }
}

#[test]
fn every_size_is_drawn_and_a_resize_repaints() {
    let (_dir, config) = nowhere();
    let mut person = Person::start(120, 36, &["--config", &config], &[]);
    person.see("Advisor");
    let sizes =
        [(80, 24, "Traffic"), (40, 10, "too small"), (200, 50, "Advisor"), (1, 1, ""), (80, 24, "Advisor")];
    for (columns, rows, seen) in sizes {
        let size = portable_pty::PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        person.pty.resize(size).unwrap();
        // An empty screen: what is seen was drawn for this size.
        let (rows, columns) = (common::person::nonzero(rows), common::person::nonzero(columns));
        person.screen = vt100::Parser::new(rows, columns, 0);
        person.see(seen);
    }
    person.press("q");
    assert_eq!(person.leave(), 0);
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let (_dir, config) = nowhere();
    let output = std::process::Command::new(common::rehearsal::CUTOVER)
        .args(["--config", &config])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("status --watch"), "{text}");
}

#[test]
fn no_color_means_no_colour() {
    let (_dir, config) = nowhere();
    let mut person = Person::start(80, 24, &["--config", &config], &[("NO_COLOR", "1")]);
    person.see("nowhere");
    let text = String::from_utf8_lossy(&person.bytes).into_owned();
    assert_eq!(kinds::colours(&text), Vec::<&str>::new());
    person.press("q");
    assert_eq!(person.leave(), 0);
}

#[test]
fn help_and_palette_open_and_close() {
    let (_dir, config) = nowhere();
    let mut person = Person::start(120, 36, &["--config", &config], &[]);
    person.see("nowhere");
    person.press("?");
    person.see("Plan the next step");
    person.press("\x1b");
    person.wait("help to close", |s| !s.contains("Plan the next step"));
    person.press(":");
    person.press("zoom");
    person.see("Give the focused pane");
    person.press("\r");
    person.press("q");
    assert_eq!(person.leave(), 0);
}

#[test]
fn stopped_and_continued_it_paints_again() {
    let (_dir, config) = nowhere();
    let mut command = portable_pty::CommandBuilder::new("bash");
    command.args(["--norc", "--noprofile", "-i"]);
    command.env("PS1", "shell> ");
    command.env("TERM", "xterm-256color");
    let mut person = Person::run(80, 24, command);
    person.see("shell>");
    person.press(&format!("{} --config {config}\r", common::rehearsal::CUTOVER));
    person.see("Traffic");
    person.press("\x1a");
    person.see("Stopped");
    person.press("fg\r");
    person.wait("the cockpit again", |s| s.contains("Traffic") && !s.contains("Stopped"));
    person.press("q");
    person.see("shell>");
    person.press("exit\r");
    assert_eq!(person.leave(), 0);
}

/// Nothing is started for a cockpit that could not be shown.
#[test]
#[cfg(feature = "rehearsal")]
fn a_rehearsal_refuses_a_dumb_terminal_before_it_starts() {
    let mut person = Person::start(80, 24, &["rehearse"], &[("TERM", "dumb")]);
    assert_eq!(person.leave(), 2);
    let text = person.text().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("TERM=dumb") && text.contains("nothing was started"), "{text}");
    assert!(text.contains("--no-tui") && !text.contains("is ready"), "{text}");
}

/// The seconds that stopping takes are not spent before a blank terminal.
#[test]
#[cfg(feature = "rehearsal")]
fn a_rehearsal_says_what_it_stops() {
    let mut person = Person::start(100, 30, &["rehearse", "--traces", "500", "--rate", "2"], &[]);
    person.see("Advisor");
    person.press("q");
    person.see("stopping the rehearsal...");
    person.see("PostgreSQL, Redis, ClickHouse and S3");
    assert_eq!(person.leave(), 0);
    let bytes = String::from_utf8_lossy(&person.bytes).into_owned();
    let (restored, said) =
        (bytes.rfind("\x1b[?1049l").unwrap(), bytes.find("stopping the rehearsal").unwrap());
    assert!(restored < said, "it was said on the cockpit's screen, which is gone");
}
