//! How hard the data engine works the databases and the machine it runs on: it slows down when asked, and large rows do
//! not make it large.

use std::time::{Duration, Instant};

use cutover::clients::work::Access;

use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::forward::{ask, ch, compare, forget, spawn, sql, until, waiting};
use crate::sides;

/// What the program may hold at its peak.
const MOST_MIB: u64 = 256;
/// Rows of ten megabytes that go back.
const BACK: usize = 20;

fn timed(rehearsal: &Rehearsal, args: &[&str]) -> Duration {
    let begun = Instant::now();
    let output = rehearsal.verb(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    begun.elapsed()
}

#[tokio::test]
async fn rate_and_max_load_slow_it_down() {
    let rehearsal = waiting("900", &[]).await;
    // A rate: at least as long as so many rows take, however many jobs there are.
    let free = timed(&rehearsal, &["backfill", "run"]);
    forget(&rehearsal).await;
    let slow = timed(&rehearsal, &["backfill", "run", "--table", "traces", "--rate", "150", "--jobs", "4"]);
    assert!(slow >= Duration::from_secs(900 / 150), "900 rows at 150 a second took {slow:?}");
    assert!(slow < free * 20 + Duration::from_secs(12), "{slow:?}, without a rate {free:?}");
    timed(&rehearsal, &["backfill", "run"]);
    compare(&rehearsal, &[]).await;

    // A busy PostgreSQL: the copy waits until the others are done.
    forget(&rehearsal).await;
    const BUSY: u64 = 8;
    let begun = Instant::now();
    let others: Vec<_> = (0..4)
        .map(|_| {
            let url = rehearsal.field("postgres_url").to_owned();
            tokio::spawn(async move {
                use sqlx::Connection as _;
                let mut session = sqlx::PgConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(sqlx::AssertSqlSafe(format!("SELECT pg_sleep({BUSY})")))
                    .execute(&mut session)
                    .await
                    .unwrap();
            })
        })
        .collect();
    let asleep =
        "SELECT count(*)::text FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%'";
    until("four busy sessions", 10, async || ask(&rehearsal, asleep).await == "5").await;
    let mut child = spawn(&rehearsal, &["backfill", "run", "--max-load", "2"]);
    let (_, clickhouse) = sides::open(&rehearsal, Access::Read).await;
    while child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(90), "it waits for nobody");
        let copied = clickhouse.ask.one::<u64>(clickhouse.query("SELECT count() FROM traces")).await.unwrap();
        // Asked after the rows: whoever copied them did so while the others were at work.
        let busy = ask(&rehearsal, asleep).await == "5";
        assert!(!busy || copied == 0, "{copied} rows were copied in spite of four busy sessions");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() > Duration::from_secs(BUSY), "it did not wait: {:?}", begun.elapsed());
    for other in others {
        other.await.unwrap();
    }
    compare(&rehearsal, &[]).await;

    // A share of the time for verify.
    let verify = |load: &str| {
        let args = ["verify", "--columns", "all", "--fresh", "--step", "100", "--max-load", load];
        timed(&rehearsal, &args)
    };
    let full = verify("100");
    let fifth = verify("10");
    assert!(fifth > full * 3 / 2, "{fifth:?} at a tenth, {full:?} at full speed");
}

#[tokio::test]
async fn who_cannot_see_the_load_is_told_so() {
    let rehearsal = waiting("60", &[]).await;
    sql(
        &rehearsal,
        "CREATE ROLE narrow LOGIN PASSWORD 'narrow'; GRANT ALL ON ALL TABLES IN SCHEMA public TO narrow",
    )
    .await;
    let config = rehearsal.dir().join("narrow.toml");
    let text = std::fs::read_to_string(rehearsal.config()).unwrap();
    let url = rehearsal.field("postgres_url");
    let (way, place) = url.split_once("://").unwrap();
    let place = place.split_once('@').map_or(place, |(_, place)| place);
    let narrow = text.replace(url, &format!("{way}://narrow:narrow@{place}"));
    assert_ne!(narrow, text);
    std::fs::write(&config, narrow).unwrap();
    let run = || {
        let mut verb = std::process::Command::new(CUTOVER);
        verb.arg("--config").arg(&config).args([
            "backfill",
            "run",
            "--table",
            "traces",
            "--max-load",
            "5",
            "--yes",
        ]);
        let output = verb.stdin(std::process::Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, words) = run();
    assert_eq!(code, Some(4), "{words}");
    assert!(words.contains("GRANT pg_read_all_stats"), "{words}");
    assert_eq!(
        ask(&rehearsal, "SELECT count(*)::text FROM background_migrations WHERE worker_id IS NOT NULL").await,
        "0"
    );
    sql(&rehearsal, "GRANT pg_read_all_stats TO narrow").await;
    let (code, words) = run();
    assert_eq!(code, Some(0), "{words}");
}

/// Runs a verb to its end; gives its exit code and the most memory that it held, in MiB (`VmHWM`, proc(5)).
async fn peak(rehearsal: &Rehearsal, args: &[&str]) -> (Option<i32>, u64) {
    let mut child = spawn(rehearsal, args);
    let path = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        most = kib.unwrap_or(0).max(most);
        if let Some(status) = child.try_wait().unwrap() {
            let mib = most / 1024;
            eprintln!("{args:?}: {mib} MiB");
            assert!(mib > 0);
            return (status.code(), mib);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Traces that only v3 has, with eleven megabytes of metadata each.
async fn large_metadata_in_v3(rehearsal: &Rehearsal) {
    let (_, clickhouse) = sides::open(rehearsal, Access::Write).await;
    let project = ask(rehearsal, "SELECT id FROM projects ORDER BY id LIMIT 1").await;
    for n in 0..BACK {
        let row = format!(
            "INSERT INTO traces (id, project_id, timestamp, name, metadata, created_at, updated_at, event_ts, is_deleted) \
             SELECT 'back-{n}', '{project}', at, 'n', map('k', repeat(hex(MD5('{n}')), 350000)), at, at + toIntervalSecond(5), \
             at + toIntervalSecond(5), 0 FROM (SELECT toDateTime64('2026-11-01 00:00:00', 3) AS at)"
        );
        ch(&clickhouse, &row).await;
    }
}

#[tokio::test]
async fn rows_of_ten_megabytes_fit_a_small_memory() {
    let rehearsal = waiting("20", &[]).await;
    let rows = "INSERT INTO traces (id, project_id, \"timestamp\", name, input, created_at, updated_at) \
         SELECT 'large-' || n, (SELECT id FROM projects ORDER BY id LIMIT 1), '2026-11-01'::timestamp + n * interval '1 second', 'n', \
         jsonb_build_object('text', repeat(md5(n::text), 330000)), '2026-11-01'::timestamp + n * interval '1 second', '2026-11-01' \
         FROM generate_series(1, 60) AS n";
    sql(&rehearsal, rows).await;
    // Two merges of such rows and an insert are more than the rehearsal's small engine may hold at once (700 MiB), and when
    // they meet is chance. It is not the program's memory.
    let (_, clickhouse) = sides::open(&rehearsal, Access::Write).await;
    ch(&clickhouse, "SYSTEM STOP MERGES traces").await;
    let large = "SELECT min(octet_length(input::text))::text FROM traces WHERE id LIKE 'large-%'";
    assert!(ask(&rehearsal, large).await.parse::<u64>().unwrap() > 10 << 20);
    let mut peaks = vec![];
    let mut run = async |args: &'static [&'static str], code: i32| {
        let (exit, mib) = peak(&rehearsal, args).await;
        assert_eq!(exit, Some(code), "{args:?}");
        peaks.push((mib, args));
    };
    run(&["backfill", "run"], 0).await;
    run(&["verify", "--columns", "all", "--grace", "0", "--fresh"], 0).await;
    // All of them differ: each is read whole on both sides.
    let change = "UPDATE traces SET output = '[1]', updated_at = now() WHERE id LIKE 'large-%'";
    sql(&rehearsal, change).await;
    run(&["verify", "--columns", "all", "--grace", "0", "--fresh"], 1).await;
    run(&["catch-up", "--yes"], 0).await;
    // And back: what only v3 has, with metadata of that size.
    large_metadata_in_v3(&rehearsal).await;
    run(&["restore", "--yes"], 0).await;
    let back = "SELECT count(*)::text FROM traces WHERE id LIKE 'back-%' AND octet_length(metadata::text) > 10485760";
    assert_eq!(ask(&rehearsal, back).await, BACK.to_string());
    let over: Vec<_> = peaks.iter().filter(|(mib, _)| *mib > MOST_MIB).collect();
    assert!(over.is_empty(), "more than {MOST_MIB} MiB: {over:?}");
}
