//! Terminals that are gone, and terminals that take a kilobyte a second.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::common::nowhere;
use crate::common::rehearsal::CUTOVER;
use crate::kinds::processes;

/// The program on a terminal that is read by hand. Behind `shell` it is not the first of its session: where that one
/// ends, the kernel throws away what the terminal has not taken yet.
fn start(
    config: &str,
    rows: u16,
    cols: u16,
    shell: bool,
) -> (Box<dyn Child + Send + Sync>, Box<dyn MasterPty + Send>) {
    let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(if shell { "sh" } else { CUTOVER });
    if shell {
        command.args(["-c", "\"$@\"; echo ended with $?; sleep 15", "sh", CUTOVER]);
    }
    command.args(["--config", config]);
    command.env("TERM", "xterm-256color");
    command.env("LANG", "C.UTF-8");
    command.env_remove("NO_COLOR");
    (pair.slave.spawn_command(command).unwrap(), pair.master)
}

fn ended(child: &mut Box<dyn Child + Send + Sync>, within: Duration) -> u32 {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.exit_code();
        }
        assert!(begun.elapsed() < within, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The moment matters: crossterm's own read never returns from a terminal that is gone.
#[test]
fn a_terminal_that_is_gone_ends_the_program() {
    for _ in 0..10 {
        let (_dir, config) = nowhere();
        let (mut child, pty) = start(&config, 36, 120, false);
        let mut reader = pty.try_clone_reader().unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("nowhere") {
            let mut chunk = [0; 4096];
            let n = reader.read(&mut chunk).unwrap();
            seen.extend(&chunk[..n]);
        }
        drop(reader);
        drop(pty);
        assert_eq!(ended(&mut child, Duration::from_secs(5)), 0);
        assert_eq!(processes(&config), Vec::<String>::new());
    }
}

/// A reader that takes a kilobyte a second, as a bad line does.
fn read_slowly(pty: &dyn MasterPty) -> std::sync::mpsc::Receiver<Vec<u8>> {
    let mut reader = pty.try_clone_reader().unwrap();
    let (send, bytes) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut chunk = [0; 100];
        while let Ok(n @ 1..) = reader.read(&mut chunk) {
            if send.send(chunk[..n].to_vec()).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    bytes
}

/// A key is heard, the program ends at once, and the last bytes are those that give the terminal back.
#[test]
fn a_terminal_of_a_kilobyte_a_second_is_left_at_once_and_given_back() {
    let (_dir, config) = nowhere();
    let (mut child, pty) = start(&config, 100, 300, true);
    let bytes = read_slowly(pty.as_ref());
    let mut keys = pty.take_writer().unwrap();
    // Whole frames pile up: each key changes most of the screen.
    for _ in 0..20 {
        keys.write_all(b"z\x0c2").unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    let asked = Instant::now();
    keys.write_all(b"q").unwrap();
    let runs = || processes(&config).iter().any(|line| line.starts_with(CUTOVER));
    while runs() {
        assert!(asked.elapsed() < Duration::from_secs(10), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    let mut all = Vec::new();
    let said = b"ended with 0";
    while !all.windows(said.len()).any(|part| part == said) {
        let Ok(chunk) = bytes.recv_timeout(Duration::from_secs(3)) else { break };
        all.extend(chunk);
    }
    child.kill().unwrap();
    let text = String::from_utf8_lossy(&all).into_owned();
    let (kept, _) = text.rsplit_once("ended with 0").unwrap_or_else(|| panic!("no end: {text:?}"));
    let all = kept.as_bytes();
    crate::assert_ends_restored(all);
}
