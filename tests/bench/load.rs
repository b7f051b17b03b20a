//! What watching asks of the servers: counted on the wire, and as CPU time of their own processes.

use std::path::PathBuf;
use std::time::Duration;

use crate::meter::{Meter, cutover};
use crate::process;
use crate::rehearsal::Rehearsal;
use crate::table::{Budget, Row};
use crate::tap::{Protocol, Tap};

/// How long each side is watched.
const SPAN: Duration = Duration::from_secs(30);

/// One server: name, unit, protocol, its process's name and a word among its arguments.
const SERVERS: [(&str, &str, Protocol, &str, &str); 4] = [
    ("PostgreSQL", "statements/s", Protocol::Postgres, "postgres", ""),
    ("ClickHouse", "queries/s", Protocol::Http, "python", "front"),
    ("Redis", "commands/s", Protocol::Redis, "redis", ""),
    ("API server", "requests/s", Protocol::Http, "", ""),
];

/// `host:port` of an address.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// The configuration of the rehearsal with a listener before each server.
fn tapped(rehearsal: &Rehearsal) -> (PathBuf, Vec<Tap>) {
    let kubeconfig = std::fs::read_to_string(rehearsal.field("kubeconfig")).unwrap();
    let server = kubeconfig.split("https://").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let addresses =
        ["postgres_url", "clickhouse_url", "redis_url"].map(|key| host(rehearsal.field(key)).to_owned());
    let mut text = std::fs::read_to_string(rehearsal.config()).unwrap();
    let mut taps = vec![];
    for (address, (_, _, protocol, ..)) in addresses.iter().chain([&server]).zip(SERVERS) {
        let tap = Tap::before(address, protocol);
        text = text.replace(address.as_str(), &tap.address.to_string());
        taps.push(tap);
    }
    let dir = rehearsal.dir();
    // Without TLS the API server's requests can be counted; it takes both on one port.
    let plain = kubeconfig.replace(&format!("https://{server}"), &format!("http://{}", taps[3].address));
    std::fs::write(dir.join("kubeconfig-tapped"), plain).unwrap();
    text = text.replace("kubeconfig = \"kubeconfig\"", "kubeconfig = \"kubeconfig-tapped\"");
    let config = dir.join("tapped.toml");
    std::fs::write(&config, text).unwrap();
    (config, taps)
}

/// CPU of each server since its process began; the rehearsal's own for the API server.
fn cpu(rehearsal: &Rehearsal) -> Vec<Duration> {
    let pid = |program: &str, word: &str| match program {
        "" => Some(rehearsal.pid()),
        program => rehearsal.store(program, word),
    };
    let of = |pid: u32| match pid == rehearsal.pid() {
        true => process::all_threads(pid),
        false => process::cpu_with_children(pid),
    };
    SERVERS.iter().map(|(.., program, word)| pid(program, word).map_or(Duration::ZERO, of)).collect()
}

/// Beside the same rehearsal without a cockpit, which nobody else uses.
pub fn rows(out: &mut Vec<Row>) {
    let rehearsal = Rehearsal::start("", &["--traces", "20000", "--rate", "0", "--seed", "7"]);
    let (config, taps) = tapped(&rehearsal);
    let spent = |before: Vec<Duration>| -> Vec<f64> {
        let now = cpu(&rehearsal);
        now.iter()
            .zip(before)
            .map(|(a, b)| a.saturating_sub(b).as_secs_f64() * 1000.0 / SPAN.as_secs_f64())
            .collect()
    };
    let before = cpu(&rehearsal);
    std::thread::sleep(SPAN);
    let alone = spent(before);

    let mut meter = Meter::start(120, 36, cutover(&config, &[]));
    meter.when("queues", |screen| screen.contains("trace-upsert"));
    meter.watch(Duration::from_secs(5));
    let (before, asked) = (cpu(&rehearsal), taps.iter().map(Tap::asked).collect::<Vec<_>>());
    meter.watch(SPAN);
    let watched = spent(before);
    for (n, (name, unit, _, _, word)) in SERVERS.into_iter().enumerate() {
        let rate = (taps[n].asked() - asked[n]) as f64 / SPAN.as_secs_f64();
        let own = watched[n] - alone[n];
        let whose = if name == "API server" { "with v2, v3 and the gateway: one process" } else { word };
        let whose = if word == "front" { "with its HTTP front" } else { whose };
        let note = format!("CPU {own:.1} ms/s more than without ({:.1}) {whose}", alone[n]);
        out.push(Row::new(format!("watching asks {name}"), Budget::None, rate, unit).note(note.trim_end()));
    }
    meter.quit("q");
}
