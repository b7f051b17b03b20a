//! The main job in tmux, as most people sit in front of it: send-keys, capture-pane.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::rehearsal::{CUTOVER, Rehearsal};

/// A tmux server of our own.
struct Tmux {
    socket: String,
}

impl Tmux {
    fn start(columns: &str, rows: &str, command: &str) -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let tmux = Self { socket: format!("cutover-test-{}-{n}", std::process::id()) };
        let made = tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", rows, command]);
        assert!(made.status.success(), "{made:?}");
        tmux
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).args(args).env("LANG", "C.UTF-8");
        command.output().expect("tmux, which `make test` installs")
    }

    fn press(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.run(&["capture-pane", "-p"]).stdout).into_owned()
    }

    #[allow(clippy::disallowed_methods, reason = "tmux has no event for what stands on a pane")]
    fn wait(&self, what: &str, mut wanted: impl FnMut(&str) -> bool) {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return;
            }
            assert!(start.elapsed() < common::person::PATIENCE, "never saw {what:?}:\n{screen}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn see(&self, text: &str) {
        self.wait(text, |screen| screen.contains(text));
    }

    /// Answers a dialog as a person does who reads first: keys within 400 ms of its first frame are dropped. Once more
    /// when it says that it did not hear.
    #[allow(clippy::disallowed_methods, reason = "the pause of a person")]
    fn answer(&self, keys: &[&str], wanted: &str) {
        let start = Instant::now();
        let mut unheard = true;
        while unheard {
            assert!(start.elapsed() < common::person::PATIENCE, "never heard:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(900));
            self.press(keys);
            self.wait(wanted, |screen| {
                unheard = !screen.contains(wanted) && screen.contains("were not heard.");
                unheard || screen.contains(wanted)
            });
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[test]
fn shift_and_take_back_at_80x24() {
    let rehearsal = Rehearsal::start(&["--traces", "500", "--rate", "10", "--seed", "3"]);
    let cockpit = format!("{CUTOVER} --config {}; echo ended with $?; cat", rehearsal.config().display());
    let tmux = Tmux::start("80", "24", &cockpit);
    tmux.see("v3 0 %");
    for pane in ["Traffic", "Backfill", "Queues", "Latency", "Cluster", "Advisor", "Log"] {
        tmux.see(pane);
    }
    tmux.see("lease ours");
    tmux.see("guards pass");
    tmux.press(&["s"]);
    tmux.see("split");
    tmux.press(&["2", "5", "Enter"]);
    tmux.see("Type the number");
    tmux.answer(&["2", "5"], "▶ Send 25 % to v3");
    tmux.press(&["Enter"]);
    tmux.see("0 % -> 25 % done");
    tmux.press(&["R"]);
    tmux.see("Take all traffic back to v2");
    tmux.answer(&["Enter"], "25 % -> 0 % done");
    tmux.press(&["q"]);
    tmux.see("ended with 0");
}

/// The sizes people have: a phone's, a split pane's, a wall's. Stopped and continued, the shell is there in between.
#[test]
fn every_size_in_tmux_with_a_shell_behind_it() {
    for (columns, rows, seen) in
        [("80", "24", "Traffic"), ("40", "10", "terminal too small"), ("300", "100", "Advisor")]
    {
        let (_dir, config) = common::nowhere();
        let tmux = Tmux::start(columns, rows, "env PS1='shell> ' bash --norc --noprofile -i");
        tmux.see("shell>");
        tmux.press(&[&format!("{CUTOVER} --config {config}"), "Enter"]);
        tmux.see(seen);
        tmux.press(&["C-z"]);
        tmux.see("Stopped");
        tmux.press(&["fg", "Enter"]);
        tmux.see(seen);
        tmux.press(&["q"]);
        tmux.wait("the shell", |screen| !screen.contains(seen));
        tmux.press(&["echo ended with $?", "Enter"]);
        tmux.see("ended with 0");
    }
}
