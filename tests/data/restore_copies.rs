//! What was copied is nothing to restore, whatever became of it since; and one entity goes back once.

use std::process::Stdio;

use cutover::clients::work::{Access, ClickhouseWork};
use cutover::data::copied;
use cutover::data::tables::spec;
use cutover::domain::backfill::Table;
use serde_json::Value;

use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::forward::{ask, ch, compare_but, document, sql, waiting};
use crate::kills::{v2_rows, v3_writes_some};
use crate::sides;

fn restore(rehearsal: &Rehearsal, args: &[&str], code: i32) -> Value {
    let output = rehearsal.verb(&[&["restore", "--json"], args].concat());
    let told = document(&output);
    assert_eq!(output.status.code(), Some(code), "{told:#}");
    told
}

/// Rows of all tables that would be written.
fn wanted(told: &Value) -> u64 {
    let count = |table: &Value, what: &str| table[what]["count"].as_u64().unwrap();
    told["tables"].as_array().unwrap().iter().map(|t| count(t, "inserts") + count(t, "updates")).sum()
}

#[tokio::test]
async fn what_v2_deleted_stays_deleted() {
    let rehearsal = waiting("60", &[]).await;
    let (_, clickhouse) = sides::open(&rehearsal, Access::Write).await;
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(0));
    let some = "IN (SELECT id FROM scores ORDER BY id LIMIT 3)";
    let change = "SET value = 0.125, updated_at = now() AT TIME ZONE 'UTC'";
    for times in 1..=2 {
        sql(&rehearsal, &format!("UPDATE scores {change} WHERE id {some}")).await;
        let told = document(&rehearsal.verb(&["catch-up", "--yes", "--json"]));
        assert_eq!(told["tables"][2]["found"]["stale"]["count"], 3, "{times}: {told:#}");
    }
    let refreshed = "SELECT count() FROM scores FINAL WHERE event_ts != timestamp";
    assert_eq!(clickhouse.ask.one::<u64>(clickhouse.query(refreshed)).await.unwrap(), 3);
    sql(&rehearsal, &format!("DELETE FROM scores WHERE id {some}")).await;

    assert_eq!(wanted(&restore(&rehearsal, &[], 0)), 0, "v2 deleted them");
    let told =
        document(&rehearsal.verb(&["verify", "--columns", "key", "--grace", "0", "--fresh", "--json"]));
    let scores = &told["tables"][2]["differences"];
    assert_eq!((scores["extra"].as_u64(), scores["v3-only"].as_u64().unwrap_or(0)), (Some(3), 0), "{told:#}");
    one_definition(&clickhouse).await;
    one_entity_under_two_days(&rehearsal, &clickhouse).await;
}

/// What ClickHouse is asked, held against what is said here.
async fn one_definition(clickhouse: &ClickhouseWork) {
    let copied = copied::sql(spec(Table::Traces));
    let moment = |ms: i64| format!("fromUnixTimestamp64Milli(toInt64({ms}))");
    for time in [1_700_000_000_000, -2_208_988_800_000, 10_413_791_999_000] {
        for newer in [-1, 0, 1, 250, 251] {
            for updated in [time - 1, time + newer - 1, time + newer, time + newer + 1] {
                let question = format!(
                    "SELECT toUInt8({copied}) FROM (SELECT {} AS event_ts, {} AS timestamp, {} AS updated_at)",
                    moment(time + newer),
                    moment(time),
                    moment(updated)
                );
                let told = clickhouse.ask.one::<u8>(clickhouse.query(&question)).await.unwrap() == 1;
                assert_eq!(
                    told,
                    copied::was_copied(time + newer, time, updated),
                    "{newer}, {}",
                    updated - time
                );
            }
        }
    }
}

/// It was moved to an earlier day; the days are asked for one after the other.
async fn one_entity_under_two_days(rehearsal: &Rehearsal, clickhouse: &ClickhouseWork) {
    let project = ask(rehearsal, "SELECT id FROM projects ORDER BY id LIMIT 1").await;
    let rows = |id: &str, day: u32, version: u32, deleted: u8, rows: u32| {
        format!(
            "INSERT INTO traces (id, project_id, timestamp, name, created_at, updated_at, event_ts, is_deleted) \
             SELECT {id}, '{project}', toDateTime64('2026-11-{day:02} 00:00:00', 3), 'n', at, at, at, {deleted} FROM \
             (SELECT number, toDateTime64('2026-11-20 00:00:00', 3) + toIntervalSecond({version}) AS at FROM numbers({rows}))"
        )
    };
    ch(clickhouse, &rows("'0-moved'", 2, 2, 0, 1)).await;
    ch(clickhouse, &rows("'0-moved'", 3, 1, 1, 1)).await;
    ch(clickhouse, &rows("concat('many-', toString(number))", 3, 1, 0, 2000)).await;
    let told = restore(rehearsal, &["--yes"], 0);
    assert_eq!((wanted(&told), &told["tables"][0]["left"]), (2001, &serde_json::json!({})), "{told:#}");
    assert_eq!(ask(rehearsal, "SELECT count(*)::text FROM traces WHERE id = '0-moved'").await, "1");
}

/// Two at once: each row is written by one of them, and both say so in sum.
#[tokio::test]
async fn two_at_once_write_each_row_once() {
    let rehearsal = waiting("60", &[]).await;
    sql(&rehearsal, "TRUNCATE traces, observations, scores; DELETE FROM trace_sessions").await;
    v3_writes_some(&rehearsal, 1500).await;
    let start = || {
        let mut command = std::process::Command::new(CUTOVER);
        command.arg("--config").arg(rehearsal.config()).args(["restore", "--yes", "--json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut written = 0;
    for child in [start(), start()] {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        written += wanted(&document(&output));
    }
    assert_eq!((written, v2_rows(&rehearsal).await), (4500, 4500));
    assert_eq!(compare_but(&rehearsal, &[], &["event_ts"], 0).await, 4500);
}
