//! Every kind of terminal: sizes, colours, characters, resize storms; left by a signal, given back as it was.

use std::time::{Duration, Instant};

use rstest::rstest;
use rustix::process::Signal;

use crate::assert_restored;
use crate::common::nowhere;
use crate::common::person::{PATIENCE, Person, nonzero};

/// Whether the line discipline echoes and waits for whole lines, as a shell expects it.
pub(crate) fn is_cooked(person: &Person) -> bool {
    // ICANON and ECHO (asm-generic/termbits.h).
    person.pty.get_termios().is_some_and(|modes| modes.local_flags.bits() & 0o12 == 0o12)
}

/// Waits for the end of the first frame.
fn until_drawn(person: &mut Person) {
    let start = Instant::now();
    while !String::from_utf8_lossy(&person.bytes).contains("\x1b[?2026l") {
        assert!(start.elapsed() < PATIENCE, "no frame: {:?}", String::from_utf8_lossy(&person.bytes));
        assert!(person.look(Duration::from_millis(20)), "it ended before its first frame");
    }
}

/// Every process whose command line names this configuration.
pub(crate) fn processes(config: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    all.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(config))
        .collect()
}

/// The sequences that set a colour (SGR 30 to 38, 40 to 48, 90 to 107).
pub(crate) fn colours(text: &str) -> Vec<&str> {
    let sequences = text.split("\x1b[").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        rest[end..].starts_with('m').then(|| &rest[..end])
    });
    let colour = |n: &str| n.parse::<u8>().is_ok_and(|n| matches!(n, 30..=38 | 40..=48 | 90..=107));
    sequences.filter(|sequence| sequence.split(';').next().is_some_and(colour)).collect()
}

#[rstest]
#[case(80, 24, &[])]
#[case(40, 10, &[("NO_COLOR", "1")])]
#[case(300, 100, &[("TERM", "xterm-mono")])]
#[case(80, 24, &[("LANG", "C")])]
#[case(120, 36, &[("TERM", "vt100"), ("LANG", "C"), ("LC_ALL", "POSIX")])]
#[case(1, 1, &[])]
fn a_terminal_gets_what_it_can_show_and_is_given_back(
    #[case] columns: u16,
    #[case] rows: u16,
    #[case] env: &[(&str, &str)],
    #[values(Signal::TERM, Signal::HUP)] end: Signal,
) {
    let (_dir, config) = nowhere();
    let mut person = Person::start(columns, rows, &["--config", &config], env);
    if columns >= 80 {
        person.see("nowhere");
    }
    // One cell shows nothing to wait for, but a frame of it ends like any other.
    until_drawn(&mut person);
    assert!(!is_cooked(&person), "it is not in raw mode");
    person.signal(end);
    assert_eq!(person.leave(), 0);
    assert_restored(&person);
    assert!(is_cooked(&person), "it is still in raw mode");
    assert_eq!(processes(&config), Vec::<String>::new());
    let text = String::from_utf8_lossy(&person.bytes).into_owned();
    let has = |name: &str, value: &str| env.contains(&(name, value));
    if env.iter().any(|(name, _)| matches!(*name, "NO_COLOR" | "TERM")) {
        let coloured = colours(&text);
        assert!(coloured.is_empty(), "{coloured:?} for {env:?}");
    } else if columns >= 80 {
        assert!(!colours(&text).is_empty(), "no colour at all");
    }
    if has("LANG", "C") {
        assert!(text.is_ascii(), "{:?}", text.chars().find(|c| !c.is_ascii()));
    }
}

/// Two hundred sizes in a few seconds, the program drawing all the while.
#[test]
fn after_a_storm_of_resizes_the_screen_is_the_right_one() {
    let (_dir, config) = nowhere();
    let mut person = Person::start(120, 36, &["--config", &config], &[]);
    person.see("nowhere");
    for n in 0_u16..200 {
        let (columns, rows) = (1 + n * 37 % 300, 1 + n * 53 % 100);
        let size = portable_pty::PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        person.pty.resize(size).unwrap();
        person.look(Duration::from_millis(u64::from(n % 20)));
    }
    person.pty.resize(portable_pty::PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }).unwrap();
    person.screen.screen_mut().set_size(nonzero(24), nonzero(80));
    // What was drawn for other sizes is drawn over.
    person.look(Duration::from_millis(800));
    person.press("\x0c");
    for pane in ["Traffic", "Backfill", "Queues", "Latency", "Cluster", "Advisor", "Log"] {
        person.see(pane);
    }
    person.press("q");
    assert_eq!(person.leave(), 0);
    assert_restored(&person);
}

/// Nothing is sent to a terminal that cannot place a cursor.
#[test]
fn a_dumb_terminal_is_told_what_to_use() {
    let (_dir, config) = nowhere();
    let mut person = Person::start(80, 24, &["--config", &config], &[("TERM", "dumb")]);
    assert_eq!(person.leave(), 2);
    assert!(!person.bytes.contains(&0x1b), "{}", person.text());
    assert!(person.text().contains("status --watch"), "{}", person.text());
}
