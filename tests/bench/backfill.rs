//! The forward copy beside the worker's way: one batch of 1000 at a time, JSON, the cursor after each.
//!
//! Twice: as the rehearsal's worker does it, which is no Node.js and several times as fast as Langfuse's own; and, where
//! `PEERS=1`, with the clients that Langfuse's worker has ([`worker`]).

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process;
use crate::rehearsal::Rehearsal;
use crate::table::{Budget, Row};
use crate::worker;

/// What must hold on any machine.
const TIMES_FASTER: f64 = 4.0;
/// Beside the worker's own clients: all share two cores with both databases, of which ClickHouse needs one to store rows.
const TIMES_NODE: f64 = 4.0;
const MOST_MEMORY: f64 = 256.0;

/// Runs the verb to its end; gives its document, the time it took, and its peak memory in MiB.
fn ours(rehearsal: &Rehearsal, more: &[&str]) -> (Value, Duration, f64) {
    let begun = Instant::now();
    let mut child = Command::new(crate::program())
        .arg("--config")
        .arg(rehearsal.config())
        .args(["backfill", "run", "--yes", "--json"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut memory = 0.0_f64;
    let status = loop {
        memory = memory.max(process::peak(child.id()));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let took = begun.elapsed();
    assert!(status.success());
    let document = serde_json::from_reader(child.stdout.take().unwrap()).unwrap();
    (document, took, memory)
}

/// Lets the rehearsal's worker copy; gives the seconds of each table, from its own row.
fn stand_in(rehearsal: &Rehearsal) -> Vec<f64> {
    rehearsal.fault(&["backfill", "enabled=true"]);
    let begun = "SELECT count(*) FROM background_migrations WHERE name LIKE '%1730%' AND state ? 'maxDate'";
    while rehearsal.sql::<i64>(begun) == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    // Where the copy of traces began is its first cursor, which is the moment it began.
    let first = "SELECT extract(epoch FROM now())::float8";
    let mut since: f64 = rehearsal.sql(first);
    let mut out = vec![];
    for name in ["1730", "1737", "1738"] {
        let finished = format!(
            "SELECT coalesce(extract(epoch FROM finished_at), 0)::float8 FROM background_migrations WHERE name LIKE '%{name}%'"
        );
        let at = loop {
            let at: f64 = rehearsal.sql(&finished);
            if at > 0.0 {
                break at;
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        out.push(at - since);
        since = at;
    }
    out
}

const TABLES: [&str; 3] = ["traces", "observations", "scores"];

/// Every row is there, each column equal.
fn copied(rehearsal: &Rehearsal) {
    for table in TABLES {
        let v2: i64 = rehearsal.sql(&format!("SELECT count(*) FROM {table}"));
        let v3 = rehearsal.clickhouse(&format!("SELECT count() FROM {table} FINAL"));
        assert_eq!(v2.to_string(), v3, "{table}");
    }
    let mut verify = Command::new(crate::program());
    verify.arg("--config").arg(rehearsal.config());
    let told = verify.args(["verify", "--columns", "all", "--fresh", "--grace", "0"]).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
}

/// So many traces, twice as many observations and half as many scores, copied by both.
pub fn rows(traces: u64, out: &mut Vec<Row>) {
    let settings = "backfill = \"off\"\nbatch_size = 1000";
    let rehearsal = Rehearsal::start(settings, &["--rate", "0", "--traces", &traces.to_string()]);
    let reset = "WITH r AS (UPDATE background_migrations SET state = '{}', locked_at = NULL, worker_id = NULL, \
                 finished_at = CASE WHEN name LIKE '%1216%' THEN now() END RETURNING 1) SELECT count(*) FROM r";
    rehearsal.sql::<i64>(reset);
    let forget = || {
        for table in TABLES {
            rehearsal.clickhouse(&format!("TRUNCATE TABLE {table}"));
        }
        rehearsal.sql::<i64>(reset);
    };
    let (document, took, memory) = ours(&rehearsal, &[]);
    copied(&rehearsal);
    forget();
    let node = worker::installed().map(|folder| {
        let seconds = worker::seconds(&folder, &rehearsal, &TABLES);
        copied(&rehearsal);
        forget();
        seconds
    });
    let seconds = stand_in(&rehearsal);
    copied(&rehearsal);

    let (mut rows, mut our_seconds) = (0.0, 0.0);
    for (table, worker_seconds) in TABLES.iter().zip(&seconds) {
        let told = document["tables"].as_array().unwrap().iter().find(|t| t["table"] == *table).unwrap();
        let (count, our) = (told["rows"].as_f64().unwrap(), told["seconds"].as_f64().unwrap());
        let (fast, slow) = (count / our, count / worker_seconds);
        let note = format!("{count} rows; worker's stand-in {slow:.0}/s: {:.1}x", fast / slow);
        out.push(Row::new(format!("backfill {table}"), Budget::None, fast, "rows/s").note(note));
        rows += count;
        our_seconds += our;
    }
    let times = seconds.iter().sum::<f64>() / our_seconds;
    let note = format!("{:.0} rows/s, {:.1} s with the verb's start", rows / our_seconds, took.as_secs_f64());
    out.push(
        Row::new("backfill beside the worker's stand-in", Budget::Least(TIMES_FASTER), times, "x").note(note),
    );
    let (name, held) = ("backfill beside the worker's own clients", Budget::Least(TIMES_NODE));
    out.push(match node {
        Some(node) => {
            let theirs: f64 = node.iter().sum();
            let note = format!("they copy {:.0} rows/s, in {theirs:.0} s", rows / theirs);
            Row::new(name, held, theirs / our_seconds, "x").note(note)
        }
        None => Row::missing(name, held, "x", "Prisma is not installed; PEERS=1 installs it"),
    });
    out.push(Row::new("backfill, peak memory", Budget::Most(MOST_MEMORY), memory, "MiB"));
}
