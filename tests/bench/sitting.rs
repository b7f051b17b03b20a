//! A whole migration on the screen: first data, the steady state, moving traffic, and what watching asks of the servers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::meter::{Meter, cutover};
use crate::process;
use crate::rehearsal::Rehearsal;
use crate::screen::percentile;
use crate::table::{Budget, Row};

/// How often a start is measured.
const STARTS: usize = 15;

fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// On a rehearsal whose clients send 20 events a second.
pub fn rows(out: &mut Vec<Row>) {
    let rehearsal = Rehearsal::start("", &["--traces", "2000", "--rate", "20", "--seed", "7"]);
    let mut meter = Meter::start(120, 36, cutover(&rehearsal.config(), &["--arm"]));
    meter.when("queues", |screen| screen.contains("trace-upsert"));
    moves(&rehearsal, &mut meter, out);
    meter.quit("q");
    starts(&rehearsal, out);
    steady(&rehearsal, out);
    frozen(&rehearsal, out);
}

/// The first frame, and the first value that a server gave.
fn starts(rehearsal: &Rehearsal, out: &mut Vec<Row>) {
    let (mut frames, mut data) = (vec![], vec![]);
    for _ in 0..STARTS {
        let mut meter = Meter::start(120, 36, cutover(&rehearsal.config(), &[]));
        frames.push(meter.first_frame());
        data.push(meter.since_start("the stored split", |screen| screen.contains("v3 0 %")));
        meter.quit("q");
    }
    for (what, most, times) in [("first frame", 30.0, &mut frames), ("first real data", 150.0, &mut data)] {
        let note = format!("median of {STARTS}, p95 {:.0} ms, 120x36", percentile(times, 95));
        out.push(Row::new(what, Budget::Most(most), percentile(times, 50), "ms").note(note));
    }
}

fn steady(rehearsal: &Rehearsal, out: &mut Vec<Row>) {
    for ((columns, rows), most) in [((80, 24), Budget::Most(400.0)), ((200, 50), Budget::None)] {
        let mut meter = Meter::start(columns, rows, cutover(&rehearsal.config(), &[]));
        meter.when("queues", |screen| screen.contains("trace-upsert"));
        meter.watch(Duration::from_secs(10));
        let (span, before, frames) =
            (Duration::from_secs(30), process::all_threads(meter.pid), meter.frames());
        let bytes = meter.watch(span) as f64 / span.as_secs_f64();
        let cpu = (process::all_threads(meter.pid) - before).as_secs_f64() / span.as_secs_f64() * 100.0;
        let frames = (meter.frames() - frames) as f64 / span.as_secs_f64();
        let resident = process::resident(meter.pid);
        meter.quit("q");
        let note =
            format!("30 s, 20 events/s: {frames:.1} frames/s, {cpu:.1} % of a core, {resident:.0} MiB");
        out.push(Row::new(format!("all sources, {columns}x{rows}"), most, bytes, "B/s").note(note));
    }
}

/// The time the API server itself takes to answer a write, over a connection that is open: the median of many.
fn round_trip(rehearsal: &Rehearsal) -> f64 {
    let kubeconfig = std::fs::read_to_string(rehearsal.field("kubeconfig")).unwrap();
    let value = |key: &str| {
        let line = kubeconfig.lines().find(|line| line.trim().starts_with(key)).unwrap();
        line.split_once(": ").unwrap().1.trim().trim_matches('"').to_owned()
    };
    let address = value("server:").trim_start_matches("https://").to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_nodelay(true).unwrap();
    let body = r#"{"metadata":{"annotations":{"bench":"1"}}}"#;
    let request = format!(
        "PATCH /apis/networking.k8s.io/v1/namespaces/langfuse/ingresses/langfuse-canary?dryRun=All HTTP/1.1\r\n\
         Host: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/merge-patch+json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        value("token:"),
        body.len()
    );
    let mut times: Vec<Duration> = (0..30)
        .map(|_| {
            let (begun, mut chunk) = (Instant::now(), [0; 65_536]);
            stream.write_all(request.as_bytes()).unwrap();
            let n = stream.read(&mut chunk).unwrap();
            let took = begun.elapsed();
            assert!(chunk[..n].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&chunk[..n]));
            std::thread::sleep(Duration::from_millis(20));
            stream.set_nonblocking(true).unwrap();
            while matches!(stream.read(&mut chunk), Ok(1..)) {}
            stream.set_nonblocking(false).unwrap();
            took
        })
        .collect();
    percentile(&mut times, 50)
}

fn told(screen: &str, percent: u8) -> bool {
    screen.contains("acknowledged") || screen.contains(&format!("-> {percent} % done"))
}

/// Forward by the plan and the typed number, back by two keys.
fn moves(rehearsal: &Rehearsal, meter: &mut Meter, out: &mut Vec<Row>) {
    let (mut shifts, mut backs, mut keystrokes) = (vec![], vec![], 0_usize);
    for percent in [5, 25, 50] {
        let asked = Instant::now();
        while !meter.text().contains("Per cent of the requests") {
            assert!(
                asked.elapsed() < Duration::from_secs(90),
                "no split may be asked for:\n{}",
                meter.text()
            );
            meter.press("s");
            meter.watch(Duration::from_millis(500));
        }
        meter.press(&format!("{percent}\r"));
        meter.when("the plan", |screen| screen.contains("Type the number"));
        // Keys before the dialog was on screen for 400 ms are dropped: a person reads first.
        meter.watch(Duration::from_millis(900));
        meter.press(&percent.to_string());
        meter.when("the button", |screen| screen.contains(&format!("Send {percent} % to v3")));
        let pressed = meter.press("\r");
        shifts.push(meter.when("the acknowledgement", |screen| told(screen, percent)) - pressed);
        meter.when("the end of it", |screen| screen.contains(&format!("-> {percent} % done")));
    }
    for (keys, dialog, to) in [("R", "Roll back to 25 %", 25), ("V", "Take all traffic back to v2", 0)] {
        meter.press(keys);
        meter.when("the way back", |screen| screen.contains(dialog));
        meter.watch(Duration::from_millis(900));
        let enter = "\r";
        keystrokes = keystrokes.max(keys.len() + enter.len());
        let pressed = meter.press(enter);
        backs.push(meter.when("the acknowledgement", |screen| told(screen, to)) - pressed);
        meter.when("the end of it", |screen| screen.contains(&format!("-> {to} % done")));
    }
    let trip = round_trip(rehearsal);
    let most = |times: &[Duration]| times.iter().copied().max().map_or(f64::NAN, milliseconds);
    let note = format!("slowest of 3, Enter to screen; a bare write takes {trip:.1} ms");
    let what = "shift: Enter to acknowledged";
    out.push(Row::new(what, Budget::Most(20.0 + trip), most(&shifts), "ms").note(note));
    out.push(Row::new("rollback, keys", Budget::Most(2.0), keystrokes as f64, "").note("R or V, then Enter"));
    let note = "slower of R and V, Enter to screen";
    out.push(
        Row::new("rollback: Enter to acknowledged", Budget::Most(1000.0), most(&backs), "ms").note(note),
    );
}

/// The API server's process stands still; nothing refuses, nothing answers.
fn frozen(rehearsal: &Rehearsal, out: &mut Vec<Row>) {
    let mut meter = Meter::start(120, 36, cutover(&rehearsal.config(), &[]));
    meter.when("queues", |screen| screen.contains("trace-upsert"));
    meter.when("all fresh", |screen| screen.contains("all fresh"));
    process::signal(rehearsal.pid(), rustix::process::Signal::STOP);
    let at = Instant::now();
    let title = |screen: &str| {
        let line = screen.lines().find(|line| line.contains("1 Traffic")).unwrap_or_default();
        let title = line.split(['┬', '┐']).next().unwrap_or_default();
        ["late", "stale"].iter().any(|word| title.contains(word))
    };
    let seen = meter.when_within(Duration::from_secs(30), title).map(|seen| seen - at);
    process::signal(rehearsal.pid(), rustix::process::Signal::CONT);
    let cadence = cutover::domain::SourceId::Traffic.cadence().0;
    let what = "API server stopped: said on the screen";
    out.push(match seen {
        Some(seen) => {
            let cadences = seen.as_secs_f64() / cadence.as_secs_f64();
            Row::new(what, Budget::Most(3.0), cadences, "cadences")
                .note(format!("{:.1} s, the routes", seen.as_secs_f64()))
        }
        None => Row::missing(what, Budget::Most(3.0), "cadences", "never within 30 s"),
    });
    drop(meter);
}
