//! The backfill stands still, fails, or leaves rows behind.

use std::time::Duration;

use cutover::domain::backfill::{OURS, Table};
use serde_json::Value;

use crate::common::api::restart_worker;
use crate::common::person::Person;
use crate::common::rehearsal::Rehearsal;
use crate::common::sitting::{Watching, finding, flat, read, rehearse, sit_down, zoom};

fn every_migration(status: &Value, state: &str) -> bool {
    let all = status["migrations"]["value"].as_array();
    all.is_some_and(|all| all.iter().all(|m| m["state"] == state))
}

/// One number of the database, by a session of its own.
fn ask(rehearsal: &Rehearsal, sql: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::Connection as _;
        let mut session = sqlx::PgConnection::connect(rehearsal.field("postgres_url")).await.unwrap();
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&mut session).await.unwrap()
    })
}

/// 6000 rows of one moment and a batch of 1000.
#[test]
fn a_cursor_that_cannot_pass_a_tie_group_is_told_with_its_size() {
    let rehearsal = Rehearsal::start(&["--seed", "7", "--rate", "5", "--scenario", "stuck-cursor"]);
    let mut watching = Watching::start(&rehearsal.config());
    let told = watching.finding("cursor-frozen");
    assert!(
        told.starts_with("critical") && told.contains("6 000 rows at") && told.contains("batch size 1000"),
        "{told}"
    );
    let size = ask(
        &rehearsal,
        "SELECT count(*)::text FROM traces GROUP BY created_at ORDER BY count(*) DESC LIMIT 1",
    );
    assert_eq!(size, "6000");
    let mut person = sit_down(&rehearsal);
    zoom(&mut person, '6');
    read(&mut person, "the cursor of traces cannot pass a group of rows");
    read(&mut person, "set args.batchSize above 6 000");
}

/// The worker dies within a batch and is back before its lock is stale. The cockpit copies in its place; for the other
/// tables the worker is restarted.
#[test]
fn a_dead_worker_is_told_with_the_age_of_its_lock_and_the_remedies_work() {
    let rehearsal = rehearse("dead-worker");
    let mut watching = Watching::start(&rehearsal.config());
    let traces = Table::Traces.migration();
    // A claim would get the lock now; whoever watches waits for a worker that is only slow.
    let quiet = watching.until("a lock of a minute", |status| {
        migration(status, traces)["lock_age_seconds"].as_f64().is_some_and(|age| age > 60.0)
    });
    let age = migration(&quiet, traces)["lock_age_seconds"].as_f64();
    assert!(age > Some(90.0) || finding(&quiet, "backfill-stalled").is_none(), "{quiet:#}");
    let told = watching.finding("backfill-stalled");
    assert!(
        told.starts_with("critical")
            && told.contains("lock age 1m")
            && told.contains("restart the worker now"),
        "{told}"
    );
    let mut person = sit_down(&rehearsal);
    zoom(&mut person, '2');
    person.see("stalled");
    let aged = |screen: &str| screen.contains("1m") || screen.contains("2m");
    person.wait("the age of the lock", |screen| screen.contains("lock") && aged(screen));
    let verb = "backfill run --table traces --yes";
    act(&mut person, "Copy traces in the worker's place", verb, "traces: would be copied now");
    copied_by_us(&rehearsal, &mut watching, Table::Traces);
    restart_worker(&rehearsal);
    let status = watching.until("the end of the backfill", |status| every_migration(status, "finished"));
    assert_eq!(finding(&status, "backfill-stalled"), None);
}

/// A write conflict in a batch.
#[test]
fn a_failed_migration_is_told_with_its_reason_and_the_remedy_works() {
    let rehearsal = rehearse("failed-migration");
    let mut watching = Watching::start(&rehearsal.config());
    let told = watching.finding("backfill-failed");
    assert!(
        told.contains("due to a write conflict")
            && told.contains("clear failed_at, failed_reason and locked_at"),
        "{told}"
    );
    let mut person = sit_down(&rehearsal);
    zoom(&mut person, '6');
    read(&mut person, "Transaction failed due to a write conflict or a deadlock");
    read(&mut person, "keep state, restart the worker");
    zoom(&mut person, '6');
    zoom(&mut person, '2');
    person.see("failed");
    let sql = "WITH cleared AS (UPDATE background_migrations SET failed_at = NULL, failed_reason = NULL, locked_at = NULL \
               WHERE failed_at IS NOT NULL RETURNING 1) SELECT count(*)::text FROM cleared";
    assert_eq!(ask(&rehearsal, sql), "1");
    restart_worker(&rehearsal);
    watching.until("the end of the backfill", |status| every_migration(status, "finished"));
}

/// The same, resumed from the cockpit.
#[test]
fn a_failed_migration_goes_on_from_the_cockpit() {
    let rehearsal = rehearse("failed-migration");
    let mut watching = Watching::start(&rehearsal.config());
    assert!(watching.finding("backfill-failed").contains("`cutover backfill resume`"));
    let scores = Table::Scores.migration();
    watching.until("the scores, which go on", |status| migration(status, scores)["state"] == "finished");
    let mut person = sit_down(&rehearsal);
    zoom(&mut person, '2');
    person.see("failed");
    let verb = "backfill resume --table observations --yes";
    act(&mut person, "Resume the backfill of observations from its cursor", verb, "observations: failed");
    let status = copied_by_us(&rehearsal, &mut watching, Table::Observations);
    assert!(every_migration(&status, "finished"), "{status:#}");
    assert_eq!(finding(&status, "backfill-failed"), None);
}

/// What the cockpit offers about a finding: chosen, shown as a dry run, run to its end.
fn act(person: &mut Person, title: &str, verb: &str, shown: &str) {
    person.press("a");
    person.see(title);
    let chosen = format!("▶ {title}");
    for _ in 0..9 {
        if person.text().contains(&chosen) {
            break;
        }
        person.press("j");
        person.look(Duration::from_millis(300));
    }
    person.see(&chosen);
    person.press("\r");
    person.wait("the dry run", |screen| {
        let screen = flat(screen);
        screen.contains(&format!("runs cutover {verb}")) && screen.contains(shown)
    });
    person.answer("\t", "▶ Run it");
    person.press("\r");
    read(person, &format!("cutover {verb} is done"));
}

/// Waits for the end of a migration; this program carried it out, under a name that tells it from a worker, and says so.
fn copied_by_us(rehearsal: &Rehearsal, watching: &mut Watching, table: Table) -> Value {
    let name = table.migration();
    let status = watching.until(name, |status| migration(status, name)["state"] == "finished");
    let worker = migration(&status, name)["worker"].as_str().unwrap();
    assert!(worker.starts_with(OURS), "{worker}");
    let journal = rehearsal.verb(&["journal"]);
    let journal = String::from_utf8_lossy(&journal.stdout);
    let begun = format!("{}, as worker {worker}", table.name());
    assert!(journal.contains(&begun) && journal.contains("backfill"), "{journal}");
    status
}

fn migration<'a>(status: &'a Value, name: &str) -> &'a Value {
    let all = status["migrations"]["value"].as_array();
    all.and_then(|all| all.iter().find(|m| m["name"] == name)).unwrap_or(&Value::Null)
}

/// v2 goes on writing while and after the backfill runs.
#[test]
fn rows_that_v2_wrote_after_the_backfills_start_are_counted_exactly() {
    let rehearsal = rehearse("late-writes");
    let mut watching = Watching::start(&rehearsal.config());
    let told = watching.finding("rows-stranded");
    assert!(
        told.contains("newer than the backfill's start")
            && told.contains("`cutover catch-up` shows and copies them"),
        "{told}"
    );
    let finished = |status: &Value| every_migration(status, "finished");
    for table in ["traces", "observations", "scores"] {
        let column = if table == "observations" { "start_time" } else { "\"timestamp\"" };
        let t0 = watching.until("the end of the backfill", finished);
        let t0 = row(&t0, table)["t0"].as_str().unwrap().to_owned();
        let count = || -> u64 {
            let sql = format!(
                "SELECT count(*)::text FROM {table} WHERE created_at > '{t0}' AND {column} IS NOT NULL"
            );
            ask(&rehearsal, &sql).parse().unwrap()
        };
        // v2 writes on meanwhile: what is told must lie between what was so before and what is so after.
        let before = count();
        let status = watching.until("a newer count", |status| {
            let told = &row(status, table)["stranded"];
            told["estimate"] == false && told["value"].as_u64() >= Some(before)
        });
        let told = &row(&status, table)["stranded"];
        let after = count();
        assert_eq!(told["estimate"], false, "{told}");
        assert!(
            told["value"].as_u64().is_some_and(|n| (before..=after).contains(&n)),
            "{before} {told} {after}"
        );
        assert!(before > 0, "nothing was written to {table}");
    }
    let mut person = sit_down(&rehearsal);
    zoom(&mut person, '2');
    person.wait("the stranded rows", |screen| flat(screen).contains("stranded"));
    person.press("z");

    // The finding's own verb, from the cockpit: the dry run first, then the copy; T0 moves on.
    let before = watching.until("T0", |_| true);
    let t0 = |status: &Value| row(status, "traces")["t0"].as_str().unwrap().to_owned();
    act(&mut person, "Copy what the backfill left behind", "catch-up --yes", "missing: in v2 and not in v3");
    let moved = watching.until("a later T0", |status| t0(status) > t0(&before));
    assert!(
        row(&moved, "traces")["stranded"]["value"].as_u64()
            < row(&before, "traces")["stranded"]["value"].as_u64()
    );
    let journal = rehearsal.verb(&["journal"]);
    assert!(String::from_utf8_lossy(&journal.stdout).contains("catch-up"), "{journal:?}");
}

fn row<'a>(status: &'a Value, table: &str) -> &'a Value {
    status["tables"].as_array().unwrap().iter().find(|t| t["table"] == table).unwrap()
}
