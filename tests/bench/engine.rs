//! The data engine's rates, by `verify.sh`: the comparison with reladiff needs Python, and so do its servers.

use std::process::Command;

use serde_json::Value;

use crate::table::{Budget, Row};

/// Below so many traces the fixed costs of a run say more than the rate, and a ratio is not held against its budget.
const WORTH: u64 = 1_000_000;

/// Keys of `verify.json`, and what they are held against: at the defaults, at the best tuning.
const BESIDE: [(&str, &str, f64, f64); 2] = [("key", "key", 50.0, 10.0), ("8 columns", "scalar", 50.0, 10.0)];

fn rate(value: &Value) -> Option<(f64, f64)> {
    Some((value["rows"].as_f64()?, value["wall"].as_f64()?))
}

/// Runs the comparison on so many traces.
pub fn rows(traces: u64, out: &mut Vec<Row>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let status = Command::new("tests/bench/verify.sh")
        .env("SIZE", traces.to_string())
        .env("CUTOVER", crate::program())
        .env("RATES", file.path())
        .stdout(std::io::stderr())
        .status();
    let told: Value = match status {
        Ok(status) if status.success() => serde_json::from_reader(file.reopen().unwrap()).unwrap(),
        other => {
            let why = other.map_or_else(|error| error.to_string(), |status| status.to_string());
            return out.push(Row::new(format!("verify.sh failed: {why}"), Budget::Most(0.0), 1.0, ""));
        }
    };
    for (columns, what) in [("key", "ids"), ("scalar", "12 columns"), ("all", "every column, with JSON")] {
        let cost = &told[format!("ours {columns}")];
        if let Some((rows, wall)) = rate(cost) {
            let number = |key: &str| cost[key].as_f64().unwrap_or(f64::NAN);
            let note = format!(
                "{rows} rows in {wall:.2} s; CPU s: {:.2} ours, {:.2} PostgreSQL, {:.2} ClickHouse; every planted id, no other",
                number("client"),
                number("pg"),
                number("ch")
            );
            out.push(Row::new(format!("verify, {what}"), Budget::None, rows / wall, "rows/s").note(note));
        }
    }
    let wall = |key: &str| told[key]["wall"].as_f64();
    if let (Some(all), Some(scalar)) = (wall("ours all"), wall("ours scalar")) {
        out.push(Row::new("verify, JSON beside scalars", Budget::Most(4.0), all / scalar, "x"));
    }
    let memory = told.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("ours"));
    let most = memory.filter_map(|(_, cost)| cost["mib"].as_f64()).fold(0.0, f64::max);
    out.push(Row::new("verify, peak memory", Budget::Most(256.0), most, "MiB"));
    beside(&told, traces, out);
}

fn beside(told: &Value, traces: u64, out: &mut Vec<Row>) {
    let held = |least: f64| if traces >= WORTH { Budget::Least(least) } else { Budget::None };
    for (what, ours, defaults, tuned) in BESIDE {
        for (how, least) in [("defaults", defaults), ("tuned", tuned)] {
            let name = format!("verify beside reladiff, {what}, {how}");
            let theirs = &told[format!("reladiff {what}, {how}")];
            let (Some(times), Some(wall)) = (theirs["times"].as_f64(), theirs["wall"].as_f64()) else {
                out.push(Row::missing(
                    name,
                    held(least),
                    "x",
                    "reladiff is not installed; PEERS=1 installs it",
                ));
                continue;
            };
            let mine = told[format!("ours {ours}")]["wall"].as_f64().unwrap_or(f64::NAN);
            let more = if theirs["more"] == true { "more than " } else { "" };
            let front = theirs["front"]["cpu"].as_f64().unwrap_or(f64::NAN);
            let note = format!(
                "{more}{wall:.1} s ({front:.1} s CPU of the front) against {mine:.2} s; it found {}",
                theirs["found"].as_str().unwrap_or("-")
            );
            out.push(Row::new(name, held(least), times, "x").note(note));
            if let Some(times) = theirs["pg_times"].as_f64().filter(|n| *n > 0.0) {
                let note = format!("{:.2} s", theirs["pg"].as_f64().unwrap_or(f64::NAN));
                out.push(
                    Row::new(format!("  its PostgreSQL CPU, {what}, {how}"), held(5.0), times, "x")
                        .note(note),
                );
            }
        }
    }
    if let Some(again) = told["new-day"]["wall"].as_f64() {
        let theirs = told["reladiff 8 columns, tuned"]["wall"].as_f64();
        let times = theirs.map(|wall| wall / again);
        let note = format!("{again:.2} s with 1000 rows of a day that was not compared before");
        out.push(match times {
            Some(times) => {
                let held = if traces >= 5 * WORTH { Budget::Least(100.0) } else { Budget::None };
                Row::new("verify again, beside reladiff tuned", held, times, "x").note(note)
            }
            None => Row::new("verify again", Budget::None, again, "s").note(note),
        });
    }
}
