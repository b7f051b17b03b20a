//! Fifty million rows that are remembered, over a real open day: what a poll then costs both databases.
//!
//! Three years of days and projects stand in the book, with the real parts of 37 month partitions; the tables hold
//! the rows of the open day. The history is not there to be read, so a poll that read any of it would say so.

use std::time::{Duration, Instant};

use cutover::data::census::book::{Bin, ChBook, DAY_MS, Made, PgBook, PgDay, Unit};
use cutover::data::census::clickhouse::{self as ch, Came, Server, Side};
use cutover::data::census::postgres::poll::Poll;
use cutover::data::census::postgres::{Look, Session, sql};
use cutover::data::tables::spec;
use cutover::domain::backfill::Table;
use cutover::domain::units::Count;
use sqlx::Row as _;

use super::ground::Ground;

const HISTORY: u64 = 50_000_000;
const DAYS: i32 = 1095;
const PROJECTS: u64 = 8;
/// Rows of an average day.
const A_DAY: u64 = HISTORY / DAYS as u64;

/// Rows of a project's day: projects differ by size, weekends are quiet, the installation grows.
fn rows(n: i32, project: u64) -> u64 {
    let weekend = if n % 7 >= 5 { 3 } else { 10 };
    let growth = 400 + u64::from(n.cast_unsigned());
    let noise = 80 + (u64::from(n.cast_unsigned()) * 2_654_435_761 + project * 40_503) % 41;
    growth * weekend * noise * (PROJECTS - project) / 24_000
}

/// All of them, made to be [`HISTORY`] together.
fn history(open: i32) -> Vec<(i32, String, u64)> {
    let raw: Vec<_> = (0..DAYS)
        .flat_map(|n| (0..PROJECTS).map(move |p| (open - DAYS + n, format!("project-{p}"), rows(n, p))))
        .collect();
    let sum: u64 = raw.iter().map(|(.., rows)| rows).sum();
    let mut all: Vec<_> = raw.into_iter().map(|(d, p, rows)| (d, p, rows * HISTORY / sum)).collect();
    let short = HISTORY - all.iter().map(|(.., rows)| rows).sum::<u64>();
    all[0].2 += short;
    all
}

fn pg_book(look: &Look, history: &[(i32, String, u64)], open_rows: u64) -> PgBook {
    let mut book = PgBook {
        relation: look.relation.clone(),
        start: look.open() - DAYS,
        frontier: look.open(),
        base: look.moved(),
        base_rows: HISTORY + open_rows,
        life: look.life.clone(),
        ..PgBook::default()
    };
    for (day, project, rows) in history {
        book.days.entry(*day).or_insert(PgDay { rows: 0, read_at: Some(0) }).rows += rows;
        book.bins.entry(project.clone()).or_default().insert(*day, Bin { rows: *rows, updated: 1 });
    }
    book
}

/// Puts the history into the partitions that are really there.
fn remember(book: &mut ChBook, history: &[(i32, String, u64)]) {
    for (day, project, rows) in history {
        let date = cutover::data::census::report::date(*day);
        let id = format!("{}{:02}", date.year(), date.month());
        let partition = book.partitions.get_mut(&id).unwrap_or_else(|| panic!("no partition {id}"));
        let made =
            Made { copied: Bin { rows: *rows, updated: 1 }, written: 0, newest: i64::from(*day) * DAY_MS };
        let unit = Unit { raw: *rows, keys: *rows, ids: *rows, made: vec![(*day, made)], ..Unit::default() };
        partition.units.entry(project.clone()).or_default().insert(u16::try_from(*day).unwrap(), unit);
    }
}

/// So many rows of the open day in both databases, from a number on.
async fn write_both(g: &mut Ground, from: u64, rows: u64, low: i64, high: i64) {
    let at = format!(
        "timestamp 'epoch' + ({low} + ({high} - {low})::bigint * n / {rows}) * interval '1 millisecond'"
    );
    g.change(&format!(
        "INSERT INTO traces (id, project_id, timestamp, created_at, updated_at) \
         SELECT 'id-' || md5((n + {from})::text), 'project-' || n % {PROJECTS}, {at}, {at}, {at} FROM generate_series(1, {rows}) n"
    ))
    .await;
    let at = format!("fromUnixTimestamp64Milli(toInt64({low} + intDiv(({high} - {low}) * n, {rows})))");
    g.put(&format!(
        "INSERT INTO traces (id, project_id, timestamp, created_at, updated_at, event_ts, is_deleted) \
         SELECT concat('id-', lower(hex(MD5(toString(n + {from}))))), concat('project-', toString(n % {PROJECTS})), \
         {at} AS at, at, at, at, 0 FROM (SELECT toInt64(number + 1) AS n FROM numbers({rows}))"
    ))
    .await;
}

async fn look(g: &mut Ground) -> Look {
    Session { connection: &mut g.main, object: "test" }.look(Table::Traces).await.unwrap()
}

/// One poll of PostgreSQL in a session of its own; gives all rows and how long it took from here.
async fn poll_pg(g: &Ground, poll: &mut Poll) -> (Count, Duration) {
    let mut connection = g.pg.session().await.unwrap();
    let mut session = Session { connection: &mut connection, object: "test" };
    let begun = Instant::now();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let look = poll.look(&mut session).await.unwrap();
    poll.advance(&mut session, &look, deadline).await.unwrap();
    let total = poll.total(&mut session, &look, deadline).await.unwrap();
    let took = begun.elapsed();
    connection.close().await.unwrap();
    (total.count, took)
}

async fn poll_ch(g: &Ground, book: &mut ChBook) -> (Side, Duration) {
    let mut side = Side::default();
    let server = Server { ch: &g.ch.ask, limit: Duration::from_secs(30) };
    let begun = Instant::now();
    let came = ch::count(server, spec(Table::Traces), book, &mut side, None, &mut |_| {}).await.unwrap();
    assert_eq!(came, Came::Whole);
    (side, begun.elapsed())
}

/// Rows that PostgreSQL took from the indexes of the table, when the statistics have settled.
async fn taken(g: &mut Ground) -> i64 {
    let read = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'traces'";
    let mut before = -1;
    loop {
        sqlx::raw_sql("SELECT pg_stat_force_next_flush()").execute(&mut g.main).await.unwrap();
        let now: i64 = sqlx::query_scalar(read).fetch_one(&mut g.main).await.unwrap();
        if now == before {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(1_200)).await;
    }
}

/// Execution time (ms) and buffers of a statement, as PostgreSQL measures them.
async fn explained(g: &mut Ground, statement: &str, binds: &[i64]) -> (f64, u64) {
    let mut text = statement.to_owned();
    for (n, bind) in binds.iter().enumerate() {
        text = text.replace(&format!("${}", n + 1), &bind.to_string());
    }
    let query = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}");
    let row = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_one(&mut g.main).await.unwrap();
    let plan: serde_json::Value = row.get(0);
    let top = &plan[0]["Plan"];
    let of = |key: &str| top[key].as_u64().unwrap();
    (plan[0]["Execution Time"].as_f64().unwrap(), of("Shared Hit Blocks") + of("Shared Read Blocks"))
}

/// The tables: old months with a row each, and the open day.
async fn tables(g: &mut Ground, open: i32, low: i64, now: i64) {
    // One row in each old month, so that its partition and its part are real.
    g.put(&format!(
        "INSERT INTO traces (id, project_id, timestamp, created_at, updated_at, event_ts, is_deleted) SELECT 'seed', 'seed', \
         toDateTime64(toDate({} + number * 15), 3) AS at, at, at, at, 0 FROM numbers(73)",
        open - DAYS
    ))
    .await;
    write_both(g, 0, A_DAY, low, now).await;
    g.change("VACUUM (ANALYZE) traces").await;
    g.put("OPTIMIZE TABLE traces FINAL").await;
    // A part that is merged away between two statements has its month counted whole, and the remembered history
    // has no rows to be counted.
    g.put("SYSTEM STOP MERGES").await;
}

/// Both books with the history in them.
struct Remembered {
    poll: Poll,
    book: ChBook,
    /// Rows that ClickHouse had before the history was put beside them.
    seeds: u64,
}

/// What one poll of both databases read, and how long it took from here.
struct Polled {
    taken: u64,
    pg_time: Duration,
    side: Side,
    ch_time: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_of_fifty_million_rows_reads_what_is_new() {
    let Some(mut g) = Ground::new(50).await else { return };
    g.change("TRUNCATE traces").await;
    let now = look(&mut g).await.now;
    let open = ((now - 3_600_000) / DAY_MS) as i32;
    let (low, history) = (i64::from(open) * DAY_MS, history(open));
    assert_eq!(history.iter().map(|h| h.2).sum::<u64>(), HISTORY);
    tables(&mut g, open, low, now).await;
    let mut all = remembered(&mut g, &history).await;

    let (first, _) = poll_pg(&g, &mut all.poll).await;
    assert_eq!(first, Count::exact(HISTORY + A_DAY));
    poll_ch(&g, &mut all.book).await;

    let closed = ((now - 3_600_000) / 60_000 * 60_000).max(low);
    let mut number = A_DAY;
    for (round, new) in [(1, 25), (2, 100), (3, 0)] {
        if new > 0 {
            write_both(&mut g, number, new, now, now + 4_000).await;
        }
        number += new;
        let polled = poll_both(&mut g, &mut all, number).await;
        what_is_new_is_read_alone(&mut g, &polled, closed, new).await;
        let (ms, blocks) = statements_of_a_poll(&mut g, closed).await;
        let Polled { taken, pg_time, side, ch_time } = polled;
        eprintln!(
            "poll {round}, {new} new rows of {}: PostgreSQL {ms:.1} ms ({taken} rows, {blocks} buffers; {pg_time:?} from here), \
             ClickHouse {:?} ({} rows, {} units; {ch_time:?} from here)",
            HISTORY + number,
            side.server,
            side.read,
            side.counted
        );
    }
    at_its_best(&mut g, &mut all.book, number, now).await;
    let size =
        serde_json::to_vec(&all.book).unwrap().len() + serde_json::to_vec(&all.poll.book).unwrap().len();
    assert!(size < 4_000_000, "{size} bytes remembered");
    g.stop().await;
}

async fn remembered(g: &mut Ground, history: &[(i32, String, u64)]) -> Remembered {
    let seen = look(g).await;
    let poll = Poll::new(Table::Traces, pg_book(&seen, history, A_DAY));
    let mut book = ChBook::default();
    poll_ch(g, &mut book).await;
    let (mut seeds, mut days) = (0, 0);
    for (_, _, unit) in book.units() {
        seeds += unit.ids;
        days += 1;
    }
    assert!(days > 70 && seeds > A_DAY);
    remember(&mut book, history);
    assert_eq!(book.totals().live, HISTORY + seeds);
    Remembered { poll, book, seeds }
}

/// With so many rows of the open day written so far: both say how many rows there are.
async fn poll_both(g: &mut Ground, all: &mut Remembered, number: u64) -> Polled {
    let before = taken(g).await;
    let (total, pg_time) = poll_pg(g, &mut all.poll).await;
    assert_eq!(total, Count::exact(HISTORY + number));
    let taken = (taken(g).await - before).cast_unsigned();
    let (side, ch_time) = poll_ch(g, &mut all.book).await;
    assert_eq!(all.book.totals().live, HISTORY + all.seeds + number - A_DAY);
    Polled { taken, pg_time, side, ch_time }
}

/// Rows of the minutes that are not closed, and the two ends of the index; units of the new rows.
async fn what_is_new_is_read_alone(g: &mut Ground, polled: &Polled, closed: i64, new: u64) {
    let (taken, side) = (polled.taken, &polled.side);
    let hours = g.rows_since(closed).await;
    assert!(taken <= hours + 10, "{taken} rows taken, {hours} since the last closed minute");
    let granules = 3 * 8_192 * PROJECTS;
    assert!(side.read <= 2_000 + new * 4 + if new > 0 { granules } else { 0 }, "{side:?}");
}

/// Milliseconds and buffers of the two statements that PostgreSQL is asked.
async fn statements_of_a_poll(g: &mut Ground, closed: i64) -> (f64, u64) {
    let (look_ms, look_blocks) = explained(g, &sql::look(Table::Traces), &[]).await;
    let tail = [closed, 9_000_000_000_000_000];
    let (tail_ms, tail_blocks) = explained(g, &sql::between(Table::Traces), &tail).await;
    assert!(look_blocks + tail_blocks < 1_000, "{look_blocks} + {tail_blocks} buffers");
    (look_ms + tail_ms, look_blocks + tail_blocks)
}

/// What the engine's process itself computes, which a busy machine does not stretch; its HTTP front included.
async fn at_its_best(g: &mut Ground, book: &mut ChBook, mut number: u64, now: i64) {
    let (mut ticks, rounds) = (0, 10);
    let (mut least, mut floor) = (Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        let live = book.totals().live;
        write_both(g, number, 25, now, now + 4_000).await;
        number += 25;
        let before = g.engine_ticks();
        least = least.min(poll_ch(g, book).await.0.server);
        ticks += g.engine_ticks() - before;
        assert_eq!(book.totals().live, live + 25);
        let (server, mut side) = (Server { ch: &g.ch.ask, limit: Duration::from_secs(30) }, Side::default());
        server.all::<String>(g.ch.query("SELECT hostName()"), &mut side).await.unwrap();
        floor = floor.min(side.server);
    }
    let cpu = ticks * 10 / rounds;
    eprintln!(
        "ClickHouse: {least:?} at best (two statements; SELECT hostName() takes {floor:?}), {cpu} ms of CPU a poll with HTTP front and merges"
    );
}
