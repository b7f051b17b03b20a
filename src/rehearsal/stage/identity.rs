//! Which process a number means: process ids are used again, a process's start time on one boot is not.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

/// One process, for as long as this machine is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)).
    pub started: u64,
    /// `/proc/sys/kernel/random/boot_id`: ticks count from zero again after a reboot.
    pub boot: String,
}

impl Identity {
    /// The process that now has `pid`; `None` when there is none, or only its zombie.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        if matches!(fields.first(), Some(&("Z" | "X"))) {
            return None;
        }
        let started = fields.get(19)?.parse().ok()?;
        Some(Self { pid, started, boot: boot_id() })
    }

    /// This process.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether the same process still runs.
    pub fn lives(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Sends `signal` to the process, never to another one that took over its number.
    pub fn signal(&self, signal: Signal) -> bool {
        self.lives() && self.raw_pid().is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// As [`Identity::signal`], to the group the process leads; alone where it leads none.
    pub fn signal_group(&self, signal: Signal) -> bool {
        self.lives()
            && self.raw_pid().is_some_and(|pid| {
                kill_process_group(pid, signal).is_ok() || kill_process(pid, signal).is_ok()
            })
    }

    /// As [`Identity::signal_group`], to every descendant as well: PostgreSQL's sessions lead groups of their own.
    pub fn signal_tree(&self, signal: Signal) {
        // Listed first: what a killed process started has another parent afterwards.
        let descendants = self.descendants();
        self.signal_group(signal);
        for descendant in descendants {
            descendant.signal(signal);
        }
    }

    /// Every process that it started, and theirs; those whose parent is gone are not found.
    pub fn descendants(&self) -> Vec<Self> {
        let mut found = Vec::new();
        let mut parents = vec![self.pid];
        while let Some(parent) = parents.pop() {
            for pid in children(parent) {
                parents.push(pid);
                found.extend(Self::of(pid));
            }
        }
        found
    }

    fn raw_pid(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }
}

/// `/proc/PID/task/TID/children` of every thread (proc(5)).
fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn boot_id() -> String {
    std::fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id"))
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}
