//! The forward copy: what it writes, whom it gives way to, who can go on after it.

use std::process::Child;

use cutover::clients::work::{Access, ClickhouseWork};
use serde_json::Value;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{
    age_locks, ask, ch, compare, cursors_are_true, document, forget, is_finished, spawn, sql, until, waiting,
};
use crate::kills::{Moments, kill_after};
use crate::sides;

/// All tables, all columns; what cannot be converted is told and does not stop the rest.
#[tokio::test]
async fn everything_is_copied_and_what_cannot_be_is_told() {
    let rehearsal = waiting("1500", &[]).await;
    write_odd_values(&rehearsal).await;
    let output = rehearsal.verb(&["backfill", "run", "--block-rows", "200", "--json"]);
    let told = document(&output);
    assert_eq!(output.status.code(), Some(1), "{told:#}");
    assert_eq!(told["rejected"], 4, "{told:#}");
    let file = std::fs::read_to_string(told["rejects_file"].as_str().unwrap()).unwrap();
    let mut rejected: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    rejected.sort_by_key(|row| row["id"].as_str().unwrap().to_owned());
    let ids: Vec<_> =
        rejected.iter().map(|row| (row["id"].as_str().unwrap(), row["column"].as_str().unwrap())).collect();
    assert_eq!(
        ids,
        [
            ("after-2299", "timestamp"),
            ("bare-number", "metadata"),
            ("bare-true", "metadata"),
            ("dear", "cost_details")
        ]
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("ARE NOT IN CLICKHOUSE"));
    assert!(is_finished(&rehearsal).await);
    let journal = rehearsal.verb(&["journal"]);
    let journal = String::from_utf8_lossy(&journal.stdout).into_owned();
    assert!(journal.contains("backfill begun by") && journal.contains("3 ROW(S) NOT COPIED"), "{journal}");
    compare(&rehearsal, &["after-2299", "bare-number", "bare-true", "dear"]).await;
    others_tell_them_too(&rehearsal).await;
    // Again: there is nothing to do, and it is said.
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(0));
    let again = rehearsal.verb(&["backfill", "run", "--table", "traces"]);
    assert_eq!(again.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&again.stderr).contains("has finished"));
}

/// And one created_at for more rows than an insert holds.
async fn write_odd_values(rehearsal: &Rehearsal) {
    let big = "x".repeat(10 << 20);
    sql(
        rehearsal,
        &format!(
            r#"
            UPDATE traces SET created_at = '2024-05-03 10:00:00.123' WHERE id IN (SELECT id FROM traces ORDER BY id LIMIT 700);
            CREATE TEMP TABLE p AS SELECT id FROM projects ORDER BY id LIMIT 1;
            INSERT INTO traces (id, project_id, "timestamp", name, user_id, metadata, input, output, tags, created_at, updated_at) VALUES
              ('bare-number', (SELECT id FROM p), now(), 'x', NULL, '7', NULL, NULL, '{{}}', now() - interval '1 h', now()),
              ('bare-true', (SELECT id FROM p), now(), 'x', NULL, 'true', NULL, NULL, '{{}}', now() - interval '2 h', now()),
              ('it''s "a/b" \ 🦀', (SELECT id FROM p), now(), '', '', '{{"k": ""}}', '""', '"🦀"', '{{"a,b","c\"d"}}', now() - interval '3 h', now()),
              ('before-1970', (SELECT id FROM p), '1931-02-03 04:05:06.789', NULL, NULL, '[1, 2.50]', '0', '1e400', '{{}}', '1960-01-01', '1950-01-01'),
              ('after-2106', (SELECT id FROM p), '2150-02-03 04:05:06.789', NULL, NULL, NULL, 'null', '{{"10": 1, "9": 2}}', '{{}}', now() - interval '4 h', '2200-01-01'),
              ('after-2299', (SELECT id FROM p), '2400-01-01', NULL, NULL, NULL, NULL, NULL, '{{}}', now() - interval '5 h', now()),
              ('big', (SELECT id FROM p), now(), 'big', NULL, '"text"', to_jsonb('{big}'::text), NULL, '{{}}', now() - interval '6 h', now());
            INSERT INTO observations (id, project_id, trace_id, type, start_time, created_at, updated_at, calculated_total_cost)
              VALUES ('dear', (SELECT id FROM p), NULL, 'GENERATION', now(), now() - interval '1 h', now(), 1000000),
                     ('dear-enough', (SELECT id FROM p), NULL, 'SPAN', now(), now() - interval '1 h', now(), 999999.123456789012345);
            "#
        ),
    )
    .await;
}

/// What cannot be copied is named by verify and catch-up; what PostgreSQL could not hold is met in ClickHouse.
async fn others_tell_them_too(rehearsal: &Rehearsal) {
    verify_and_catch_up_name_them(rehearsal);
    let (_, clickhouse) = sides::open(rehearsal, Access::Write).await;
    v3_writes_what_is_no_text(&clickhouse).await;
    verify_and_catch_up_leave_it(rehearsal, &clickhouse).await;
    restore_and_census_go_on(rehearsal);
    let forget = "ALTER TABLE traces DELETE WHERE event_ts > timestamp SETTINGS mutations_sync = 2";
    clickhouse.execute(clickhouse.query(forget)).await.unwrap();
}

fn verify_and_catch_up_name_them(rehearsal: &Rehearsal) {
    let output = rehearsal.verb(&["verify", "--columns", "all", "--grace", "0", "--json"]);
    let told = document(&output);
    let mut missing: Vec<_> = told["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["difference"] != "precision")
        .map(|f| (f["id"].as_str().unwrap(), f["note"].as_str().unwrap().starts_with("cannot be copied: ")))
        .collect();
    missing.sort_unstable();
    let rejected = ["after-2299", "bare-number", "bare-true", "dear"].map(|id| (id, true));
    assert_eq!((output.status.code(), missing.as_slice()), (Some(1), &rejected[..]), "{told:#}");
    let output = rehearsal.verb(&["catch-up", "--yes", "--json"]);
    let told = document(&output);
    let tables = told["tables"].as_array().unwrap();
    let count: u64 = tables.iter().map(|t| t["rejected"]["count"].as_u64().unwrap()).sum();
    assert_eq!((output.status.code(), count), (Some(1), 4), "{told:#}");
}

/// Texts that are no UTF-8, and an id that is none: over a row of v2's, and where v2 has nothing.
async fn v3_writes_what_is_no_text(clickhouse: &ClickhouseWork) {
    for (replace, whose) in [("unhex('ff00') AS name", "big"), ("unhex('ff41') AS id", "before-1970")] {
        let odd = format!(
            "INSERT INTO traces SELECT * REPLACE ({replace}, event_ts + toIntervalHour(1) AS event_ts, \
             updated_at + toIntervalHour(1) AS updated_at) FROM (SELECT * FROM traces FINAL WHERE id = '{whose}')"
        );
        clickhouse.execute(clickhouse.query(&odd)).await.unwrap();
    }
}

async fn verify_and_catch_up_leave_it(rehearsal: &Rehearsal, clickhouse: &ClickhouseWork) {
    let args = ["verify", "--table", "traces", "--columns", "all", "--grace", "0", "--json"];
    let told = document(&rehearsal.verb(&args));
    let big = told["findings"].as_array().unwrap().iter().find(|f| f["id"] == "big");
    let big = big.unwrap_or_else(|| panic!("{told:#}"));
    assert_eq!(
        (&big["difference"], &big["columns"][0]["column"]),
        (&Value::from("v3-updated"), &Value::from("name")),
        "{big:#}"
    );
    let output = rehearsal.verb(&["catch-up", "--yes"]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "the four that cannot be copied: {words}");
    let name = "SELECT hex(argMax(name, event_ts)) FROM traces WHERE id = 'big'";
    assert_eq!(
        clickhouse.ask.one::<String>(clickhouse.query(name)).await.unwrap(),
        "FF00",
        "bytes stay bytes"
    );
}

fn restore_and_census_go_on(rehearsal: &Rehearsal) {
    let dry = document(&rehearsal.verb(&["restore", "--json"]));
    let left = dry["tables"][0]["left"]["refused"]["examples"].to_string();
    assert!(
        left.contains("/big: name: the text is not UTF-8") && left.contains("/FF41: its id is not UTF-8"),
        "{dry:#}"
    );
    let census = rehearsal.verb(&["census", "--json"]);
    assert!(matches!(census.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&census.stderr));
}

/// A copy that is still at work when something happens to it.
const SLOWLY: &[&str] = &["backfill", "run", "--rate", "1000", "--block-rows", "100"];

/// Order, foreign locks, two at once, and a lock that is taken away.
#[tokio::test]
async fn it_gives_way_as_a_worker_does() {
    let rehearsal = waiting("2500", &[]).await;
    order_and_foreign_locks_are_kept(&rehearsal).await;
    let mut stays = one_of_two_stays(&rehearsal).await;
    a_taken_lock_stops_it(&rehearsal, &mut stays).await;
    a_lock_is_given_back(&rehearsal).await;
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(0));
    compare(&rehearsal, &[]).await;
}

async fn order_and_foreign_locks_are_kept(rehearsal: &Rehearsal) {
    let refused = |args: &[&str], words: &str| {
        let output = rehearsal.verb(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{text}");
        assert!(text.contains(words), "{text}");
    };
    sql(rehearsal, "UPDATE background_migrations SET finished_at = NULL WHERE name LIKE '%1216%'").await;
    refused(&["backfill", "run"], "left to Langfuse's worker");
    sql(rehearsal, "UPDATE background_migrations SET finished_at = now() WHERE name LIKE '%1216%'").await;
    refused(&["backfill", "run", "--table", "scores"], "comes after 20241024_1730");
    sql(
        rehearsal,
        "UPDATE background_migrations SET worker_id = 'somebody', locked_at = (now() AT TIME ZONE 'UTC') - interval '40 s' \
         WHERE name LIKE '%1730%'",
    )
    .await;
    refused(&["backfill", "run"], "worker somebody, whose heartbeat is 4");
    refused(&["backfill", "resume"], "worker somebody");
    age_locks(rehearsal).await;
}

/// Two at once: one copies, which is given, the other is told who.
async fn one_of_two_stays(rehearsal: &Rehearsal) -> Child {
    let mut one = spawn(rehearsal, SLOWLY);
    let mut two = spawn(rehearsal, SLOWLY);
    until("one of two", 20, async || one.try_wait().unwrap().is_some() || two.try_wait().unwrap().is_some())
        .await;
    let (mut stays, mut gone) = if one.try_wait().unwrap().is_some() { (two, one) } else { (one, two) };
    assert_eq!(gone.wait().unwrap().code(), Some(4));
    assert!(stays.try_wait().unwrap().is_none());
    stays
}

/// Another worker takes the row: ours stops at its next word, and what it said is true.
async fn a_taken_lock_stops_it(rehearsal: &Rehearsal, copy: &mut Child) {
    sql(rehearsal, "UPDATE background_migrations SET worker_id = 'thief', locked_at = now() AT TIME ZONE 'UTC' WHERE name LIKE '%1730%'").await;
    assert_eq!(copy.wait().unwrap().code(), Some(4));
    assert_eq!(
        ask(rehearsal, "SELECT worker_id FROM background_migrations WHERE name LIKE '%1730%'").await,
        "thief"
    );
    cursors_are_true(rehearsal).await;
}

/// SIGTERM: the lock is given back, and the next one can go on.
async fn a_lock_is_given_back(rehearsal: &Rehearsal) {
    age_locks(rehearsal).await;
    let mut third = spawn(rehearsal, SLOWLY);
    until("a cursor", 20, async || {
        ask(rehearsal, "SELECT worker_id FROM background_migrations WHERE name LIKE '%1730%'").await
            != "thief"
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(third.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(third.wait().unwrap().code(), Some(75));
    assert_eq!(
        ask(rehearsal, "SELECT locked_at::text FROM background_migrations WHERE name LIKE '%1730%'").await,
        ""
    );
    cursors_are_true(rehearsal).await;
}

/// Killed at any moment, again and again: nothing is lost, nothing lives twice.
#[tokio::test]
async fn kills_lose_nothing() {
    let rehearsal = waiting("1200", &[]).await;
    let begun =
        "SELECT count(*)::text FROM background_migrations WHERE state ? 'maxDate' AND finished_at IS NULL";
    let (mut rounds, mut within) = (0, 0);
    for moment in Moments::new(25) {
        if is_finished(&rehearsal).await {
            compare(&rehearsal, &[]).await;
            forget(&rehearsal).await;
            rounds += 1;
        }
        let args = ["backfill", "run", "--block-rows", "40", "--jobs", "4"];
        let ended = kill_after(&rehearsal, &args, moment).await;
        within += u32::from(!ended && ask(&rehearsal, begun).await != "0");
        cursors_are_true(&rehearsal).await;
        age_locks(&rehearsal).await;
    }
    let output = rehearsal.verb(&["backfill", "run"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(compare(&rehearsal, &[]).await, 1200 + 2400 + 600, "after {rounds} full rounds");
    eprintln!("backfill: {within} kills came within a copy, {rounds} full rounds");
    assert!(within > 0, "no kill came within a copy");
}

/// Ours is killed and Langfuse's worker goes on; the worker dies and ours goes on.
#[tokio::test]
async fn a_worker_takes_over_and_the_other_way_round() {
    let rehearsal = waiting("3000", &[]).await;
    let mut child =
        spawn(&rehearsal, &["backfill", "run", "--block-rows", "50", "--rate", "600", "--jobs", "2"]);
    let begun = "SELECT count(*)::text FROM background_migrations WHERE name LIKE '%1730%' AND locked_at IS NOT NULL \
                 AND state ? 'maxDate'";
    until("our copy", 20, async || ask(&rehearsal, begun).await == "1").await;
    let left = "SELECT count(*)::text FROM traces t, background_migrations m WHERE m.name LIKE '%1730%' AND m.finished_at IS NULL \
                AND t.created_at <= ((m.state ->> 'maxDate')::timestamptz AT TIME ZONE 'UTC')";
    let left = async || ask(&rehearsal, left).await.parse::<u64>().unwrap();
    until("rows of ours", 30, async || (1..3000).contains(&left().await)).await;
    child.kill().unwrap();
    child.wait().unwrap();
    cursors_are_true(&rehearsal).await;
    let left = left().await;
    assert!((1..3000).contains(&left), "{left} rows are left to the worker");
    age_locks(&rehearsal).await;
    sql(&rehearsal, "UPDATE background_migrations SET args = '{\"batchSize\": 500}'").await;
    rehearsal.fault(&["worker-dies-in-batch", "table=observations"]);
    rehearsal.fault(&["backfill", "enabled=true"]);
    // The worker finishes the traces we began, and dies within the observations.
    let dead = "SELECT count(*)::text FROM background_migrations WHERE name LIKE '%1737%' AND locked_at IS NOT NULL \
                AND state ? 'maxDate' AND finished_at IS NULL";
    until("the worker among the observations", 60, async || ask(&rehearsal, dead).await == "1").await;
    // It dies after its first insert, before the cursor moves.
    until("the worker's first batch", 20, async || {
        let (_, clickhouse) = sides::open(&rehearsal, Access::Read).await;
        clickhouse.ask.one::<u64>(clickhouse.query("SELECT count() FROM observations")).await.unwrap() > 0
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    rehearsal.fault(&["backfill", "enabled=false"]);
    let fresh = rehearsal.verb(&["backfill", "run"]);
    assert_eq!(fresh.status.code(), Some(4), "{}", String::from_utf8_lossy(&fresh.stderr));
    cursors_are_true(&rehearsal).await;
    age_locks(&rehearsal).await;
    let output = rehearsal.verb(&["backfill", "run"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    compare(&rehearsal, &[]).await;
}

/// While a worker writes costs, ours holds the next migration and begins when they are there.
#[tokio::test]
async fn the_costs_are_waited_for() {
    let rehearsal = waiting("300", &[]).await;
    sql(
        &rehearsal,
        "UPDATE background_migrations SET finished_at = NULL, worker_id = 'w', locked_at = now() AT TIME ZONE 'UTC' \
         WHERE name LIKE '%1216%'",
    )
    .await;
    let mut child = spawn(&rehearsal, &["backfill", "run"]);
    let held = "SELECT count(*)::text FROM background_migrations WHERE name LIKE '%1730%' AND locked_at IS NOT NULL \
                AND state = '{}'";
    until("the next one to be held", 20, async || ask(&rehearsal, held).await == "1").await;
    assert!(child.try_wait().unwrap().is_none());
    sql(
        &rehearsal,
        "UPDATE background_migrations SET finished_at = now(), locked_at = NULL WHERE name LIKE '%1216%'",
    )
    .await;
    assert_eq!(child.wait().unwrap().code(), Some(0));
    compare(&rehearsal, &[]).await;
}

/// It failed in the middle: `run` leaves that to the operator, `resume` goes on from the cursor, and looks at nothing above.
#[tokio::test]
async fn a_failed_one_is_resumed_from_its_cursor() {
    let rehearsal = waiting("600", &[]).await;
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(0));
    let middle = "SELECT to_char(percentile_disc(0.5) WITHIN GROUP (ORDER BY created_at), \
                  'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM traces";
    let cursor = ask(&rehearsal, middle).await;
    let (_, clickhouse) = sides::open(&rehearsal, Access::Write).await;
    let below = format!("created_at <= parseDateTime64BestEffort('{cursor}', 3, 'UTC')");
    ch(&clickhouse, &format!("ALTER TABLE traces DELETE WHERE {below} SETTINGS mutations_sync = 2")).await;
    sql(
        &rehearsal,
        &format!(
            "UPDATE background_migrations SET state = '{{\"maxDate\": \"{cursor}\"}}', finished_at = NULL, \
             failed_at = now(), failed_reason = 'a write conflict', worker_id = 'w' WHERE name LIKE '%1730%'"
        ),
    )
    .await;
    let left = format!("SELECT count(*)::text FROM traces WHERE created_at <= '{cursor}'");
    let left: u64 = ask(&rehearsal, &left).await.parse().unwrap();
    assert!((1..600).contains(&left), "{left}");

    let refused = rehearsal.verb(&["backfill", "run", "--yes"]);
    let words = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{words}");
    assert!(words.contains("has failed: a write conflict"), "{words}");

    let output = rehearsal.verb(&["backfill", "resume", "--yes", "--json"]);
    let (told, words) = (document(&output), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(0), "{told:#}{words}");
    assert!(words.contains("traces: goes on at "), "{words}");
    let traces = &told["tables"][0];
    assert_eq!((&traces["table"], &traces["finished"]), (&"traces".into(), &true.into()), "{told:#}");
    assert_eq!(traces["rows"], left, "{told:#}");
    let rows = "SELECT count() FROM traces";
    assert_eq!(clickhouse.ask.one::<u64>(clickhouse.query(rows)).await.unwrap(), 600, "nothing twice");
    let row = "SELECT (failed_at IS NULL AND failed_reason IS NULL AND locked_at IS NULL)::text \
               FROM background_migrations WHERE name LIKE '%1730%'";
    assert_eq!(ask(&rehearsal, row).await, "true");
    assert!(is_finished(&rehearsal).await);
    compare(&rehearsal, &[]).await;
}
