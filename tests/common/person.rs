//! A person at a terminal: a real pty, a real terminal emulator behind it, eyes that wait for what they read.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

use super::rehearsal::CUTOVER;

/// How long a person waits for something to appear.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A program on a pty.
pub struct Person {
    /// The terminal as it stands.
    pub screen: vt100::Parser,
    /// Every byte that came.
    pub bytes: Vec<u8>,
    output: Receiver<Vec<u8>>,
    keys: Box<dyn Write + Send>,
    /// The pty.
    pub pty: Box<dyn MasterPty + Send>,
    /// The program.
    pub child: Box<dyn Child + Send + Sync>,
}

impl Person {
    /// Sits down at `columns` x `rows` and starts `cutover` with these arguments and variables.
    pub fn start(columns: u16, rows: u16, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = CommandBuilder::new(CUTOVER);
        command.args(args);
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        for of_ours in ["NO_COLOR", "LC_ALL", "LC_CTYPE"] {
            command.env_remove(of_ours);
        }
        for (name, value) in env {
            command.env(name, value);
        }
        Self::run(columns, rows, command)
    }

    /// Starts any program.
    pub fn run(columns: u16, rows: u16, command: CommandBuilder) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                if send.send(chunk[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keys = pair.master.take_writer().unwrap();
        let screen = vt100::Parser::new(nonzero(rows), nonzero(columns), 0);
        Self { screen, bytes: Vec::new(), output, keys, pty: pair.master, child }
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// What stands on the screen.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Takes in what comes within `time`; `false` when the program is gone.
    pub fn look(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(chunk) => {
                    self.screen.process(&chunk);
                    self.bytes.extend(chunk);
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => return true,
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return false,
            }
            if Instant::now() >= end {
                return true;
            }
        }
    }

    /// Waits until `wanted` is true of the screen; shows the screen when it never is.
    #[track_caller]
    pub fn wait(&mut self, what: &str, mut wanted: impl FnMut(&str) -> bool) {
        let start = Instant::now();
        while !wanted(&self.text()) {
            assert!(start.elapsed() < PATIENCE, "never saw {what}; the screen:\n{}", self.text());
            let alive = self.look(Duration::from_millis(50));
            assert!(
                alive || wanted(&self.text()),
                "the program ended before {what}; the screen:\n{}",
                self.text()
            );
        }
    }

    /// Waits for a text on the screen.
    #[track_caller]
    pub fn see(&mut self, text: &str) {
        self.wait(text, |screen| screen.contains(text));
    }

    /// Reads a dialog and answers it; once more when the dialog says that it did not hear, because it had been on
    /// the screen for too short a time (a busy machine draws late).
    #[track_caller]
    pub fn answer(&mut self, keys: &str, wanted: &str) {
        let start = Instant::now();
        loop {
            self.look(Duration::from_millis(900));
            self.press(keys);
            let mut unheard = false;
            self.wait(wanted, |screen| {
                // Of an older screen that was not drawn again yet, the sentence says nothing.
                unheard = !screen.contains(wanted) && screen.contains("were not heard.");
                unheard || screen.contains(wanted)
            });
            if !unheard {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "never heard; the screen:\n{}", self.text());
        }
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.process_id().and_then(|p| i32::try_from(p).ok()).and_then(Pid::from_raw);
        kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Waits for the program's end; gives its exit code.
    pub fn leave(&mut self) -> u32 {
        let start = Instant::now();
        loop {
            self.look(Duration::from_millis(20));
            if let Some(status) = self.child.try_wait().unwrap() {
                self.look(Duration::from_millis(50));
                return status.exit_code();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end; the screen:\n{}", self.text());
        }
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// A terminal has at least one cell.
pub fn nonzero(n: u16) -> std::num::NonZeroU16 {
    std::num::NonZeroU16::new(n).unwrap_or(std::num::NonZeroU16::MIN)
}
