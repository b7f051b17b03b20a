//! `kill -9` at random moments of the way back and of catch-up, started again each time.
//!
//! One rule: the moments are drawn from a fixed seed; `CUTOVER_KILLS=200` for more of them.

use std::time::Duration;

use cutover::clients::work::{Access, ClickhouseWork};
use cutover::data::tables::spec;
use cutover::domain::backfill::Table;
use serde_json::Value;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{ask, ch, compare_but, spawn, sql, until, waiting};
use crate::sides;

/// Kills, the seed of their moments, and the longest of these.
pub struct Moments {
    left: u32,
    seed: u32,
    longest: Duration,
}

impl Moments {
    pub fn new(default: u32) -> Self {
        let left = std::env::var("CUTOVER_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(default);
        Self { left, seed: 0x9e37_79b9, longest: Duration::from_millis(900) }
    }

    /// A kill came before anything was written: a machine with other work takes longer.
    fn later(&mut self) {
        self.longest += self.longest / 3;
    }
}

impl Iterator for Moments {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(self.longest * (self.seed >> 16) / (1 << 16))
    }
}

/// Starts the verb, waits until PostgreSQL hears of it, and kills it a moment later; whether it had ended before.
pub async fn kill_after(rehearsal: &Rehearsal, args: &[&str], moment: Duration) -> bool {
    let there = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'cutover {}' AND state = 'active'",
        args[0]
    );
    let mut child = spawn(rehearsal, args);
    until("a session", 30, async || {
        ask(rehearsal, &there).await != "0" || child.try_wait().unwrap().is_some()
    })
    .await;
    tokio::time::sleep(moment).await;
    let ended = child.try_wait().unwrap().is_some();
    let _ = child.kill();
    child.wait().unwrap();
    ended
}

pub const ROWS: usize = 4000;

/// Rows that only v3 has: as many of each table, on ten days.
pub async fn v3_writes(rehearsal: &Rehearsal) {
    v3_writes_some(rehearsal, ROWS).await;
}

/// The same, so many of each table.
pub async fn v3_writes_some(rehearsal: &Rehearsal, rows: usize) {
    let (_, clickhouse) = sides::open(rehearsal, Access::Write).await;
    let project = ask(rehearsal, "SELECT id FROM projects ORDER BY id LIMIT 1").await;
    let at = "toDateTime64('2026-11-10 00:00:00', 3) + toIntervalMinute(3 * number)";
    let common = format!(
        "'{project}' AS project_id, {at} AS created_at, {at} + toIntervalSecond(5) AS updated_at, \
         {at} + toIntervalSecond(5) AS event_ts, 0 AS is_deleted"
    );
    let json = r#"concat('{"n":', toString(number), ',"text":"', repeat('lorem ', 30), '"}')"#;
    for (table, columns) in [
        (
            "traces",
            format!(
                "concat('t-', toString(number)) AS id, {at} AS timestamp, 'n' AS name, {json} AS input, {json} AS output, \
                 if(number % 3 = 0, concat('s-', toString(number % 50)), NULL) AS session_id, \
                 map('k', concat('v', toString(number))) AS metadata, ['a','b'] AS tags, number % 2 = 0 AS public"
            ),
        ),
        (
            "observations",
            format!(
                "concat('o-', toString(number)) AS id, concat('t-', toString(number)) AS trace_id, 'GENERATION' AS type, \
                 'DEFAULT' AS level, {at} AS start_time, {json} AS input, 'gpt' AS provided_model_name, \
                 map('input', 3, 'output', number, 'total', number + 3) AS usage_details, \
                 map('input', toDecimal64(0, 12), 'output', toDecimal64(0.25, 12), 'total', toDecimal64(0.25, 12)) AS cost_details, \
                 cost_details AS provided_cost_details, toDecimal64(0.25, 12) AS total_cost"
            ),
        ),
        (
            "scores",
            format!(
                "concat('s-', toString(number)) AS id, concat('t-', toString(number)) AS trace_id, {at} AS timestamp, 'q' AS name, \
                 number / 8 AS value, 'API' AS source, 'NUMERIC' AS data_type"
            ),
        ),
    ] {
        let select = format!("SELECT {common}, {columns} FROM numbers({rows})");
        let names: Vec<&str> =
            select.split(" AS ").skip(1).map(|rest| rest.split([',', ' ']).next().unwrap()).collect();
        ch(&clickhouse, &format!("INSERT INTO {table} ({}) {select}", names.join(", "))).await;
    }
}

pub async fn v2_rows(rehearsal: &Rehearsal) -> usize {
    let all = "SELECT ((SELECT count(*) FROM traces) + (SELECT count(*) FROM observations) + (SELECT count(*) FROM scores))::text";
    ask(rehearsal, all).await.parse().unwrap()
}

#[tokio::test]
async fn the_way_back_survives_kills() {
    let rehearsal = waiting("100", &[]).await;
    let clear = "TRUNCATE traces, observations, scores; DELETE FROM trace_sessions";
    sql(&rehearsal, clear).await;
    v3_writes(&rehearsal).await;
    let (mut rounds, mut within) = (0, 0);
    let mut moments = Moments::new(15);
    while let Some(moment) = moments.next() {
        let before = v2_rows(&rehearsal).await;
        if before == 3 * ROWS {
            assert_eq!(compare_but(&rehearsal, &[], &["event_ts"], 0).await, 3 * ROWS);
            sql(&rehearsal, clear).await;
            rounds += 1;
        }
        let ended = kill_after(&rehearsal, &["restore", "--yes"], moment).await;
        let after = v2_rows(&rehearsal).await;
        within += u32::from(!ended && after > 0 && after < 3 * ROWS);
        if !ended && after == before {
            moments.later();
        }
    }
    let output = rehearsal.verb(&["restore", "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(compare_but(&rehearsal, &[], &["event_ts"], 0).await, 3 * ROWS, "after {rounds} full rounds");
    let again = rehearsal.verb(&["restore", "--json"]);
    let told: Value = serde_json::from_slice(&again.stdout).unwrap();
    let rows = |what: &str| {
        told["tables"].as_array().unwrap().iter().map(|t| t[what]["count"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((rows("inserts"), rows("updates")), (0, 0), "{told:#}");
    eprintln!("restore: {within} kills left a part behind, {rounds} full rounds");
    assert!(within > 0, "no kill came within a write");
}

/// Columns that v3 alone has something to say in, see [`both_write`].
const SAID: [(&str, &str); 2] = [("traces", "release"), ("observations", "version")];

/// v2 has nothing where v3 will say something.
pub async fn v2_leaves_room(rehearsal: &Rehearsal) {
    for (table, column) in SAID {
        sql(rehearsal, &format!("UPDATE {table} SET {column} = NULL")).await;
    }
}

/// Whatever was written until now: no row is gone, and none has lost what v3 said.
pub async fn nothing_is_lost(clickhouse: &ClickhouseWork, point: &str) {
    for (table, column) in SAID {
        let lost = format!(
            "SELECT groupArray(id) FROM (SELECT id, countIf(ifNull({column}, '') = 'of v3') AS said, \
             argMax((ifNull({column}, ''), is_deleted), (event_ts, updated_at)) AS winner FROM {table} GROUP BY project_id, id) \
             WHERE winner.2 != 0 OR (said > 0 AND winner.1 != 'of v3')"
        );
        let lost: Vec<String> = clickhouse.ask.one(clickhouse.query(&lost)).await.unwrap();
        assert!(lost.is_empty(), "{point}: lost in {table}: {lost:?}");
    }
}

/// After a run that came to its end: each entity once, with all that v2 has and v3 said.
pub async fn all_is_whole(rehearsal: &Rehearsal, clickhouse: &ClickhouseWork, point: &str) {
    nothing_is_lost(clickhouse, point).await;
    let look = rehearsal.verb(&["catch-up"]);
    assert_eq!(look.status.code(), Some(0), "{point}: {}", String::from_utf8_lossy(&look.stdout));
    let all = compare_but(rehearsal, &[], &["event_ts", "release", "version"], 0).await;
    assert_eq!(all, v2_rows(rehearsal).await, "{point}");
}

/// v2 goes on: names change, rows come; v3 writes over some without knowing the rest of them, and says something.
pub async fn both_write(rehearsal: &Rehearsal, clickhouse: &ClickhouseWork, round: u32) {
    sql(
        rehearsal,
        &format!(
            r#"
            UPDATE traces SET name = 'r{round}', output = '{{"round": {round}}}', updated_at = now() AT TIME ZONE 'UTC'
              WHERE hashtext(id || '{round}') % 3 = 0;
            UPDATE observations SET status_message = 'r{round}', updated_at = now() AT TIME ZONE 'UTC'
              WHERE hashtext(id || '{round}') % 3 = 0;
            INSERT INTO traces (id, project_id, "timestamp", name, metadata, tags, created_at, updated_at)
              SELECT 'late-{round}-' || n, (SELECT id FROM projects ORDER BY id LIMIT 1), now() AT TIME ZONE 'UTC', 'late',
                     '{{"a": 1}}', '{{x}}', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' FROM generate_series(1, 40) AS n;
            -- Another day: the old place in v3 has to go.
            UPDATE traces SET "timestamp" = "timestamp" - interval '2 days', updated_at = now() AT TIME ZONE 'UTC'
              WHERE hashtext(id || '{round}') % 400 = 0;
            "#
        ),
    )
    .await;
    // As v3's merge writes them, with nothing in them but who they are and what was said now.
    for (table, columns) in [
        ("traces", "timestamp, release"),
        (
            "observations",
            "start_time, version, type, trace_id, level, usage_details, cost_details, provided_cost_details",
        ),
    ] {
        let names = format!("id, project_id, {columns}, created_at, updated_at, event_ts, is_deleted");
        let columns = columns.replace("release", "'of v3'").replace("version", "'of v3'");
        let values =
            format!("id, project_id, {columns}, created_at, updated_at, event_ts + toIntervalMinute(10), 0");
        let partial = format!(
            "INSERT INTO {table} ({names}) SELECT {values} FROM (SELECT * FROM {table} ORDER BY event_ts DESC \
             LIMIT 1 BY project_id, id) WHERE cityHash64(id, {round}) % 7 = 0 AND is_deleted = 0"
        );
        ch(clickhouse, &partial).await;
    }
}

#[tokio::test]
async fn catch_up_survives_kills() {
    let rehearsal = waiting("2500", &[]).await;
    v2_leaves_room(&rehearsal).await;
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(0));
    let (_, clickhouse) = sides::open(&rehearsal, Access::Write).await;
    let (mut round, mut within, mut whole) = (0, 0, 0);
    let mut moments = Moments::new(15);
    while let Some(moment) = moments.next() {
        if round % 2 == 0 {
            both_write(&rehearsal, &clickhouse, round).await;
        }
        let before = winners(&clickhouse).await;
        let ended = kill_after(&rehearsal, &["catch-up", "--yes"], moment).await;
        let wrote = winners(&clickhouse).await != before;
        nothing_is_lost(&clickhouse, &format!("round {round}")).await;
        whole += u32::from(ended);
        within += u32::from(!ended && wrote);
        if !ended && !wrote {
            moments.later();
        }
        round += 1;
    }
    both_write(&rehearsal, &clickhouse, 1_000_000).await;
    let output = rehearsal.verb(&["catch-up", "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    all_is_whole(&rehearsal, &clickhouse, "in the end").await;
    eprintln!("catch-up: {within} kills came after a write, {whole} runs ended before");
    assert!(within > 0, "no kill came within a write");
}

/// Changes with every row that wins over another.
async fn winners(clickhouse: &ClickhouseWork) -> Vec<u64> {
    let mut all = vec![];
    for table in Table::BACKFILLED {
        let sum = format!(
            "SELECT sum(cityHash64(project_id, id, is_deleted, toUnixTimestamp64Milli(event_ts))) FROM {} FINAL",
            spec(table).ch
        );
        all.push(clickhouse.ask.one::<u64>(clickhouse.query(&sum)).await.unwrap());
    }
    all
}
