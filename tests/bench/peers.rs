//! Two terminal programs for Kubernetes on the same namespace, in the same run, at the same size: for the scale of ours.
//!
//! One rule: they are installed only where `PEERS=1` asks for it, because building them takes long; `-` stands for one
//! that is not there.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use portable_pty::CommandBuilder;

use crate::meter::{Meter, cutover};
use crate::namespace::Namespace;
use crate::process;
use crate::table::{Budget, Row};

/// Name on crates.io and of the program, and the version that was looked at.
const PEERS: [(&str, &str); 2] = [("kubetui", "1.14.0"), ("kdash", "2.1.1")];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/bench/peers")
}

fn installed(name: &str, version: &str) -> Option<PathBuf> {
    let program = folder().join("bin").join(name);
    if !program.is_file() && std::env::var_os("PEERS").is_some() {
        eprintln!("installing {name} {version}: this takes minutes");
        let mut install = Command::new("cargo");
        install.args(["install", "--locked", "--quiet", "--root"]).arg(folder());
        let _ = install.arg(format!("{name}@{version}")).stdout(Stdio::null()).status();
    }
    program.is_file().then_some(program)
}

/// What one program costs: seconds to the pods, bytes and CPU in silence and in a flood, memory.
fn measure(namespace: &Namespace, command: CommandBuilder, pods: &str, quit: &str) -> Option<[f64; 6]> {
    let mut meter = Meter::start(120, 40, command);
    let seen = meter.when_within(Duration::from_secs(20), |screen| screen.contains(pods));
    let data = seen.map(|at| at - meter.started())?.as_secs_f64() * 1000.0;
    meter.watch(Duration::from_secs(5));
    let mut window = |span: Duration| {
        let before = process::all_threads(meter.pid);
        let bytes = meter.watch(span) as f64 / span.as_secs_f64();
        let cpu = process::all_threads(meter.pid).saturating_sub(before);
        (bytes, cpu.as_secs_f64() / span.as_secs_f64() * 100.0)
    };
    let idle = window(Duration::from_secs(10));
    namespace.rate(50);
    let flood = window(Duration::from_secs(10));
    namespace.rate(0);
    let resident = process::resident(meter.pid);
    meter.quit(quit);
    Some([data, idle.0, idle.1, flood.0, flood.1, resident])
}

/// One row for each program.
pub fn rows(out: &mut Vec<Row>) {
    let namespace = Namespace::start(500);
    let row = |name: &str, measured: Option<[f64; 6]>, why: &str| match measured {
        Some([data, idle, idle_cpu, flood, flood_cpu, resident]) => {
            let note = format!(
                "pods after {data:.0} ms; idle {idle:.0} B/s, {idle_cpu:.1} % of a core; 50 changes/s {flood:.0} B/s, {flood_cpu:.1} %"
            );
            Row::new(name, Budget::None, resident, "MiB").note(note)
        }
        None => Row::missing(name, Budget::None, "MiB", why),
    };
    let ours = cutover(&namespace.config(), &[]);
    out.push(row("cutover", measure(&namespace, ours, "500/500 pods", "q"), "no pods on the screen"));
    for (name, version) in PEERS {
        let Some(program) = installed(name, version) else {
            out.push(row(name, None, "not installed; PEERS=1 installs it"));
            continue;
        };
        let mut command = CommandBuilder::new(program);
        command.env("KUBECONFIG", namespace.kubeconfig());
        if name == "kubetui" {
            command.args(["-n", "lf"]);
        }
        out.push(row(
            name,
            measure(&namespace, command, "langfuse-web-6b5f7c9d4f", "q"),
            "no pods on its screen",
        ));
    }
}
