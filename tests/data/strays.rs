//! One entity under two times or two sorting keys of v3, further apart than catch-up looks at a time.

use cutover::clients::work::{Access, ClickhouseWork};
use cutover::data::catch_up::{Class, Found, Options, Unlisted, Watch, table};
use cutover::domain::backfill::Table;
use tokio_util::sync::CancellationToken;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{ask, ch, sql, waiting};
use crate::sides;

/// Looks, or writes, in stretches of ten rows of v2.
async fn catch_up(rehearsal: &Rehearsal, of: Table, write: bool) -> Found {
    let access = if write { Access::Write } else { Access::Read };
    let (pg, ch) = sides::open(rehearsal, access).await;
    let options = Options { write, stretch: 10 };
    let stop = CancellationToken::new();
    let (found, ended) = table(&pg, &ch, of, options, &Watch::default(), &stop, &mut Unlisted).await;
    ended.unwrap();
    found.expect("it was copied")
}

fn counts(found: &Found) -> [u64; 4] {
    Class::ALL.map(|class| found.counts.get(&class).copied().unwrap_or(0))
}

async fn ids(rehearsal: &Rehearsal, table: &str, order: &str, limit: u32) -> Vec<String> {
    let list = format!(
        "SELECT json_agg(id ORDER BY id)::text FROM (SELECT id FROM {table} ORDER BY {order} LIMIT {limit}) AS t"
    );
    serde_json::from_str(&ask(rehearsal, &list).await).unwrap()
}

/// v3's rows, made of v2's with some columns replaced, before anything is copied.
async fn v3_writes(rehearsal: &Rehearsal, clickhouse: &ClickhouseWork) -> [Vec<String>; 3] {
    // The oldest three: what was said of them came days later, with a time of its own.
    let traces = ids(rehearsal, "traces", "\"timestamp\", id", 3).await;
    let [scores, observations] =
        [ids(rehearsal, "scores", "id", 2).await, ids(rehearsal, "observations", "id", 2).await];
    for id in &traces {
        let columns = "SELECT concat(project_id, ''',''', (extract(epoch FROM \"timestamp\") * 1000 + 3456000000)::int8) FROM traces";
        let of = ask(rehearsal, &format!("{columns} WHERE id = '{id}'")).await;
        let (project, at) = of.split_once("','").unwrap();
        let statement = format!(
            "INSERT INTO traces (id, project_id, timestamp, session_id, created_at, updated_at, event_ts, is_deleted) \
             SELECT '{id}', '{project}', fromUnixTimestamp64Milli(toInt64({at})), 's3', now64(3), now64(3), now64(3), 0"
        );
        ch(clickhouse, &statement).await;
    }
    [traces, scores, observations]
}

/// A score was copied before v2 gave it another name; an observation of another type was written by v3.
async fn they_are_sorted_anew(clickhouse: &ClickhouseWork, [scores, observations]: [&[String]; 2]) {
    let older = "'before' AS name, updated_at - INTERVAL 1 DAY AS updated_at";
    let newer = "'TOOL' AS type, now64(3) AS updated_at, now64(3) AS event_ts";
    for (table, columns, ids) in [("scores", older, scores), ("observations", newer, observations)] {
        let statement = format!(
            "INSERT INTO {table} SELECT * REPLACE ({columns}) FROM {table} WHERE id IN ? LIMIT 1 BY id"
        );
        clickhouse.execute(clickhouse.query(&statement).bind(ids)).await.unwrap();
    }
}

#[tokio::test]
async fn rows_that_lie_far_apart_become_one() {
    let rehearsal = waiting("60", &[]).await;
    sql(&rehearsal, "UPDATE traces SET name = 'of v2'").await;
    let (_, clickhouse) = sides::open(&rehearsal, Access::Write).await;
    let [traces, scores, observations] = v3_writes(&rehearsal, &clickhouse).await;
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(0));
    they_are_sorted_anew(&clickhouse, [&scores, &observations]).await;

    let tables = [
        (Table::Traces, &traces, [0, 0, 3, 0]),
        (Table::Scores, &scores, [0, 0, 0, 2]),
        (Table::Observations, &observations, [0, 0, 0, 2]),
    ];
    for (table, ids, expected) in tables {
        let name = table.name();
        let living = format!("SELECT count() FROM {name} FINAL WHERE id IN ?");
        let living =
            || async { clickhouse.ask.one::<u64>(clickhouse.query(&living).bind(ids)).await.unwrap() };
        assert_eq!(living().await, 2 * ids.len() as u64, "{name}: each is there twice");
        assert_eq!(counts(&catch_up(&rehearsal, table, false).await), expected, "{name}, a look");
        let wrote = catch_up(&rehearsal, table, true).await;
        assert_eq!((counts(&wrote), wrote.written), (expected, ids.len() as u64), "{name}");
        assert_eq!(living().await, ids.len() as u64, "{name}: each is there once");
        assert_eq!(counts(&catch_up(&rehearsal, table, true).await), [0; 4], "{name}, once more");
    }
    let whole = "SELECT countIf(name = 'of v2' AND session_id = 's3') FROM traces FINAL WHERE id IN ?";
    assert_eq!(clickhouse.ask.one::<u64>(clickhouse.query(whole).bind(&traces)).await.unwrap(), 3);
    let renamed = "SELECT countIf(name != 'before') FROM scores FINAL WHERE id IN ?";
    assert_eq!(clickhouse.ask.one::<u64>(clickhouse.query(renamed).bind(&scores)).await.unwrap(), 2);
    let kept = "SELECT countIf(type = 'TOOL') FROM observations FINAL WHERE id IN ?";
    assert_eq!(clickhouse.ask.one::<u64>(clickhouse.query(kept).bind(&observations)).await.unwrap(), 2);
}
