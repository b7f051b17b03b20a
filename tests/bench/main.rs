//! `make bench`: one table of what `cutover` costs, each row held against its budget; exit code 1 when one is exceeded.
//!
//! One rule: what is compared runs on the same data, on the same machine, one after the other, in one run.
//!
//! The program that is measured is the one that `CUTOVER_BENCH` names (a release build; without it the build of the
//! tests, which says nothing about time). `CUTOVER_BENCH_LEAN` names one without the rehearsal, for its size. Arguments
//! are the parts to run: screen, sitting, load, peers, size, engine; without one, all. `SIZE` is the number of traces of
//! the data engine's rows (200 000; `full` is 5 000 000), `PEERS=1` installs the programs that ours is held beside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a bench fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a bench has a clock and a terminal of its own"
)]
#![allow(unreachable_pub, reason = "the rooms of a test are seen by nobody else")]

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;

use table::{Budget, Row, Table};

mod backfill;
#[path = "../common/mod.rs"]
mod common;
mod engine;
mod load;
mod meter;
mod namespace;
mod peers;
mod process;
mod rehearsal;
mod screen;
mod sitting;
mod table;
mod tap;
mod worker;

/// The program that is measured.
pub fn program() -> PathBuf {
    std::env::var_os("CUTOVER_BENCH").map_or_else(|| env!("CARGO_BIN_EXE_cutover").into(), PathBuf::from)
}

/// Traces of the data engine's rows.
fn traces() -> u64 {
    match std::env::var("SIZE").as_deref() {
        Ok("full") => 5_000_000,
        Ok(size) if !size.is_empty() => size.parse().expect("SIZE is a number of traces, or full"),
        _ => 200_000,
    }
}

fn size(out: &mut Vec<Row>) {
    let (what, most) = ("binary without the rehearsal, stripped", Budget::Most(20.0));
    let megabytes = |path: &std::path::Path| Some(std::fs::metadata(path).ok()?.len() as f64 / 1e6);
    let lean = std::env::var_os("CUTOVER_BENCH_LEAN").map(PathBuf::from);
    out.extend([
        match lean.as_deref().and_then(megabytes) {
            Some(size) => Row::new(what, most, size, "MB"),
            None => Row::missing(what, most, "MB", "CUTOVER_BENCH_LEAN names no file"),
        },
        Row::new("binary with it", Budget::None, megabytes(&program()).unwrap_or(f64::NAN), "MB"),
    ]);
}

fn engine(out: &mut Vec<Row>) {
    let traces = traces();
    engine::rows(traces, out);
    // Its stand-in worker is the slow side: 200 000 traces say what there is to say.
    backfill::rows(traces.min(200_000), out);
}

/// Measures a part, row by row.
type Measure = fn(&mut Vec<Row>);

/// The parts, in the order in which they run.
const PARTS: [(&str, &str, Measure); 6] = [
    ("size", "Size", size),
    // Before the namespaces are held in memory: a process is forked to be started, and 30 ms of a start would be ours.
    ("sitting", "A migration on the screen, all sources", sitting::rows),
    ("screen", "Screen, on a namespace of 500 pods", screen::rows),
    ("load", "Load of watching", load::rows),
    ("peers", "Others on the same 500 pods, 120x40: resident memory", peers::rows),
    ("engine", "Data engine", engine),
];

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    if let Some(unknown) = asked.iter().find(|a| PARTS.iter().all(|(name, ..)| name != a)) {
        eprintln!("there is no part {unknown}; there are {}", PARTS.map(|(name, ..)| name).join(", "));
        return ExitCode::from(2);
    }
    eprintln!("measuring {}", program().display());
    if std::env::var_os("CUTOVER_BENCH").is_none() {
        eprintln!("this is no release build: times and sizes say nothing");
    }
    let mut table = Table::default();
    for (name, title, rows) in PARTS {
        if !asked.is_empty() && !asked.iter().any(|a| a == name) {
            continue;
        }
        eprintln!("{title}");
        // A part that fails takes no other with it, and is no success.
        let mut measured = vec![];
        if std::panic::catch_unwind(AssertUnwindSafe(|| rows(&mut measured))).is_err() {
            measured.push(Row::new(
                format!("{name}: the rest failed, see above"),
                Budget::Most(0.0),
                1.0,
                "",
            ));
        }
        table.part(title, measured);
    }
    ExitCode::from(u8::from(table.print() > 0))
}
