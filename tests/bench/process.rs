//! What a process costs, from `/proc`: Linux only, as the whole of the bench.

use std::time::Duration;

/// `utime + stime` of a process, and of its children that have ended. Ticks are 10 ms.
fn times(pid: u32) -> Option<(u32, Duration, Duration)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |from: usize| -> Option<u64> {
        Some(fields.get(from)?.parse::<u64>().ok()? + fields.get(from + 1)?.parse::<u64>().ok()?)
    };
    let span = |n: u64| Duration::from_millis(n * 10);
    Some((fields.get(1)?.parse().ok()?, span(ticks(11)?), span(ticks(13)?)))
}

fn pids() -> Vec<u32> {
    std::fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// CPU time of a process, its children, and those of them that have ended.
pub fn cpu_with_children(root: u32) -> Duration {
    let own = times(root).map_or(Duration::ZERO, |(_, own, gone)| own + gone);
    let children = pids().into_iter().filter_map(times).filter(|(parent, ..)| *parent == root);
    own + children.map(|(_, own, _)| own).sum::<Duration>()
}

/// Nanoseconds on a CPU of one thread, and of all of them; exact for a thread that sleeps.
fn on_cpu(pid: u32, tid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// CPU time of the first thread, in which the cockpit's loop runs.
pub fn first_thread(pid: u32) -> Duration {
    Duration::from_nanos(on_cpu(pid, pid).unwrap_or(0))
}

/// CPU time of all threads that there are.
pub fn all_threads(pid: u32) -> Duration {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Duration::ZERO;
    };
    let tids = tasks.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    Duration::from_nanos(tids.filter_map(|tid| on_cpu(pid, tid)).sum())
}

/// Resident memory in MiB, now.
pub fn resident(pid: u32) -> f64 {
    field(pid, "VmRSS:")
}

/// Peak of the resident memory in MiB.
pub fn peak(pid: u32) -> f64 {
    field(pid, "VmHWM:")
}

fn field(pid: u32, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

/// Whether a process runs this program with this word among its arguments.
pub fn is(pid: u32, program: &str, word: &str) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).into_owned();
    // Redis writes its address behind its name.
    let first = line.split(['\0', ' ']).next().unwrap_or_default();
    let name = first.rsplit('/').next().unwrap_or_default();
    name.starts_with(program) && line.contains(word)
}

/// Whether a program is on the path.
pub fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|d| d.join(program).is_file()))
}

/// Sends a signal.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}
