//! What the screen costs by itself: its first frame, memory, silence, a flood of changes, keys.

use std::path::Path;
use std::time::Duration;

use crate::meter::{Meter, cutover};
use crate::namespace::Namespace;
use crate::process;
use crate::table::{Budget, Row};

/// The value below which so many of a hundred lie.
pub fn percentile(times: &mut [Duration], of_hundred: usize) -> f64 {
    times.sort_unstable();
    let at = (times.len() * of_hundred).div_ceil(100).clamp(1, times.len()) - 1;
    times[at].as_secs_f64() * 1000.0
}

/// On a namespace of 500 pods, and once of 5 000.
pub fn rows(out: &mut Vec<Row>) {
    {
        let namespace = Namespace::start(500);
        quiet(&namespace, out);
        flood(&namespace, out);
        out.push(memory(&namespace, 500, 30.0));
        out.push(one_write(&namespace));
    }
    let namespace = Namespace::start(5_000);
    out.push(memory(&namespace, 5_000, 40.0));
}

fn shows(pods: usize) -> impl Fn(&str) -> bool {
    let wanted = format!("{pods}/{pods} pods");
    // Thousands are set apart.
    move |screen: &str| screen.replace("000/5 000", "000/5000").replace("5 000/", "5000/").contains(&wanted)
}

/// How often something is measured of which the 99th of 100 counts.
const OFTEN: usize = 300;

fn start(config: &Path, columns: u16, rows: u16) -> Meter {
    Meter::start(columns, rows, cutover(config, &[]))
}

fn quiet(namespace: &Namespace, out: &mut Vec<Row>) {
    let config = namespace.config();
    let mut meter = start(&config, 120, 40);
    meter.when("500 pods", shows(500));
    meter.watch(Duration::from_secs(5));
    let (span, before) = (Duration::from_secs(30), process::all_threads(meter.pid));
    let bytes = meter.watch(span) as f64 / span.as_secs_f64();
    let share = (process::all_threads(meter.pid) - before).as_secs_f64() / span.as_secs_f64() * 100.0;
    out.push(
        Row::new("idle, nothing changes", Budget::Most(0.0), bytes, "B/s").note("30 s, 500 pods, 120x40"),
    );
    out.push(Row::new("idle, share of one core", Budget::Most(0.3), share, "%").note("the same 30 s"));
    meter.quit("q");
}

/// Keys while pods change, and what the loop's thread takes for a frame.
fn flood(namespace: &Namespace, out: &mut Vec<Row>) {
    let mut meter = start(&namespace.config(), 120, 40);
    meter.when("500 pods", shows(500));
    namespace.rate(50);
    meter.watch(Duration::from_secs(2));
    let (span, before) = (Duration::from_secs(10), process::all_threads(meter.pid));
    let bytes = meter.watch(span) as f64 / span.as_secs_f64();
    let share = (process::all_threads(meter.pid) - before).as_secs_f64() / span.as_secs_f64() * 100.0;
    let note = format!("each a pod losing or regaining readiness; {share:.1} % of a core");
    out.push(Row::new("50 pod changes/s", Budget::Most(150.0), bytes, "B/s").note(note));
    meter.quit("q");

    let mut meter = start(&namespace.config(), 200, 50);
    meter.when("Traffic", |screen| screen.contains("Traffic"));
    namespace.rate(200);
    meter.watch(Duration::from_secs(3));
    let mut answers = vec![];
    for n in 0..OFTEN {
        answers.extend(meter.answer(if n % 2 == 0 { "\t" } else { "\x1b[Z" }));
        meter.watch(Duration::from_millis(20 + n as u64 % 13));
    }
    let note = format!("p50 {:.1} ms, {} keys, 200x50", percentile(&mut answers, 50), answers.len());
    let p99 = percentile(&mut answers, 99);
    let what = "key to bytes, p99, 200 changes/s";
    out.push(Row::new(what, Budget::Most(20.0), p99, "ms").note(note));
    namespace.rate(0);
    meter.watch(Duration::from_secs(2));

    let mut views = vec![];
    for n in 0..OFTEN {
        let before = process::first_thread(meter.pid);
        if meter.answer(if n % 2 == 0 { "\t" } else { "\x1b[Z" }).is_some() {
            meter.watch(Duration::from_millis(30));
            views.push(process::first_thread(meter.pid) - before);
        }
    }
    let note = format!(
        "CPU of the loop's thread: key, update, view, bytes; p50 {:.2} ms",
        percentile(&mut views, 50)
    );
    let p99 = percentile(&mut views, 99);
    out.push(Row::new("view at 200x50, p99", Budget::Most(2.0), p99, "ms").note(note));
    meter.quit("q");
}

fn memory(namespace: &Namespace, pods: usize, most: f64) -> Row {
    let mut meter = start(&namespace.config(), 120, 40);
    meter.when("all pods", shows(pods));
    namespace.rate(50);
    meter.watch(Duration::from_secs(10));
    namespace.rate(0);
    let (now, peak) = (process::resident(meter.pid), process::peak(meter.pid));
    meter.quit("q");
    let note = format!("after 10 s at 50 changes/s; peak {peak:.1} MiB");
    Row::new(format!("resident with {pods} pods"), Budget::Most(most), now, "MiB").note(note)
}

/// Writes to the terminal as the kernel sees them, against frames.
fn one_write(namespace: &Namespace) -> Row {
    let what = "writes for a frame";
    if !process::installed("strace") {
        return Row::missing(what, Budget::Most(1.0), "", "strace is not installed");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = portable_pty::CommandBuilder::new("strace");
    command.args(["-f", "-qq", "-e", "trace=write,writev", "-e", "signal=none", "-s", "16", "-o"]);
    command.arg(file.path());
    command.arg(crate::program());
    command.arg("--config");
    command.arg(namespace.config());
    let mut meter = Meter::start(200, 50, command);
    meter.when("500 pods", shows(500));
    namespace.rate(50);
    meter.watch(Duration::from_secs(5));
    namespace.rate(0);
    for _ in 0..10 {
        meter.press("\t");
        meter.watch(Duration::from_millis(100));
    }
    let frames = meter.frames();
    let text = std::fs::read_to_string(file.path()).unwrap();
    // `PID write(FD, "\33[?2026h"..., N) = N`: the terminal is where frames go.
    let writes =
        || text.lines().filter_map(|line| line.split_once("write")?.1.split_once('(')?.1.split_once(", "));
    let terminal: Vec<&str> =
        writes().filter(|(_, rest)| rest.contains("[?2026h")).map(|(fd, _)| fd).take(1).collect();
    // What takes the terminal at the start is no frame.
    let from = writes().position(|(_, rest)| rest.contains("[?2026h")).unwrap_or(0);
    let to_terminal = writes().skip(from).filter(|(fd, _)| terminal.contains(fd)).count();
    meter.quit("q");
    let note = format!("{to_terminal} writes, {frames} frames, by strace");
    Row::new(what, Budget::Most(1.0), to_terminal as f64 / frames as f64, "").note(note)
}
