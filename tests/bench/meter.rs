//! A program on a pty, with the moment at which each of its bytes came.

use std::io::{Read as _, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::process;

/// Nobody waits longer for a thing to appear.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What a frame of ours begins with.
pub const BEGIN: &[u8] = b"\x1b[?2026h";

/// What other programs ask a terminal at their start, and what xterm answers.
const ANSWERS: [(&[u8], &[u8]); 4] = [
    (b"\x1b[6n", b"\x1b[1;1R"),
    (b"\x1b[c", b"\x1b[?62;22c"),
    (b"\x1b[0c", b"\x1b[?62;22c"),
    (b"\x1b[?u", b"\x1b[?0u"),
];

/// A program on a pty.
pub struct Meter {
    /// The terminal as it stands.
    pub screen: vt100::Parser,
    /// Every byte that came.
    pub raw: Vec<u8>,
    /// The program's process.
    pub pid: u32,
    started: Instant,
    first: Option<Instant>,
    last: Option<Instant>,
    output: Receiver<(Instant, Vec<u8>)>,
    keys: Box<dyn Write + Send>,
    _pty: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
}

/// `cutover` with the configuration of a rehearsal or of a fixture.
pub fn cutover(config: &Path, more: &[&str]) -> CommandBuilder {
    let mut command = CommandBuilder::new(crate::program());
    command.arg("--config");
    command.arg(config);
    command.args(more);
    command
}

impl Meter {
    /// Starts a program.
    pub fn start(columns: u16, rows: u16, mut command: CommandBuilder) -> Self {
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env_remove("NO_COLOR");
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 65_536];
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                if send.send((Instant::now(), chunk[..n].to_vec())).is_err() {
                    return;
                }
            }
        });
        let keys = pair.master.take_writer().unwrap();
        let started = Instant::now();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let pid = child.process_id().unwrap();
        let screen = vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 0);
        let (first, last) = (None, None);
        Self { screen, raw: vec![], pid, started, first, last, output, keys, _pty: pair.master, child }
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Types; gives the moment.
    pub fn press(&mut self, keys: &str) -> Instant {
        let at = Instant::now();
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
        at
    }

    /// What stands on the screen.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    fn take(&mut self, at: Instant, chunk: &[u8]) {
        self.first.get_or_insert(at);
        self.last = Some(at);
        self.screen.process(chunk);
        self.raw.extend_from_slice(chunk);
        for (ask, answer) in ANSWERS {
            if chunk.windows(ask.len()).any(|w| w == ask) {
                let _ = self.keys.write_all(answer);
            }
        }
    }

    /// Takes in one piece that comes before `end`; gives when it came.
    pub fn next(&mut self, end: Instant) -> Option<Instant> {
        match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok((at, chunk)) => {
                self.take(at, &chunk);
                Some(at)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the program ended; the screen:\n{}", self.text()),
        }
    }

    /// Takes in what comes within `time`; gives the number of bytes.
    pub fn watch(&mut self, time: Duration) -> usize {
        let (end, before) = (Instant::now() + time, self.raw.len());
        while self.next(end).is_some() {}
        self.raw.len() - before
    }

    /// When `wanted` became true of the screen; nothing when it did not within `limit`.
    pub fn when_within(&mut self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Option<Instant> {
        let end = Instant::now() + limit;
        let mut at = self.last.unwrap_or(self.started);
        while !wanted(&self.text()) {
            at = self.next(end)?;
        }
        Some(at)
    }

    /// When `wanted` became true of the screen.
    #[track_caller]
    pub fn when(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> Instant {
        match self.when_within(PATIENCE, wanted) {
            Some(at) => at,
            None => panic!("never saw {what}; the screen:\n{}", self.text()),
        }
    }

    /// From the start to the first frame.
    pub fn first_frame(&mut self) -> Duration {
        let end = Instant::now() + PATIENCE;
        while !self.raw.windows(BEGIN.len()).any(|w| w == BEGIN) {
            assert!(self.next(end).is_some(), "no frame came");
        }
        self.last.unwrap_or(self.started) - self.started
    }

    /// From the start until `wanted` is true of the screen.
    #[track_caller]
    pub fn since_start(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> Duration {
        self.when(what, wanted) - self.started
    }

    /// From a key to the first byte after it. What was on its way before is taken in first.
    pub fn answer(&mut self, keys: &str) -> Option<Duration> {
        let now = Instant::now();
        while self.next(now).is_some() {}
        let at = self.press(keys);
        Some(self.next(at + Duration::from_secs(2))?.saturating_duration_since(at))
    }

    /// Frames of ours so far.
    pub fn frames(&self) -> usize {
        self.raw.windows(BEGIN.len()).filter(|w| *w == BEGIN).count()
    }

    /// Quits with these keys; kills what does not.
    pub fn quit(mut self, keys: &str) {
        self.press(keys);
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if self.child.try_wait().unwrap().is_some() {
                return;
            }
            let soon = Instant::now() + Duration::from_millis(20);
            if let Ok((at, chunk)) = self.output.recv_timeout(soon.saturating_duration_since(Instant::now()))
            {
                self.take(at, &chunk);
            }
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        process::signal(self.pid, rustix::process::Signal::TERM);
        std::thread::sleep(Duration::from_millis(50));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
