//! The census against both databases read row by row: whatever happens to them, its numbers are theirs.

mod ground;
mod oracle;
mod scale;
mod too_long;
mod two_servers;
mod verb;

use cutover::data::census::postgres::Session;
use cutover::data::census::postgres::poll::Poll;
use cutover::data::census::report::{Number, Proof, day};
use cutover::data::census::{Filter, Report};
use cutover::domain::backfill::Table;
use cutover::domain::units::Count;

use ground::Ground;
use oracle::{Numbers, numbers};

/// A census of all tables that v3.29 has, held against every row; gives the report.
async fn checked(ground: &mut Ground, what: &str) -> Report {
    let tables = Table::BACKFILLED;
    let report = ground.census(&tables, &Filter::default()).await;
    for (table, said) in tables.into_iter().zip(&report.tables) {
        let truth = numbers(&mut ground.main, &ground.ch, table).await;
        assert_eq!(Numbers::from(said), truth, "{what}: {}", table.name());
        for number in [said.postgres, said.clickhouse, said.missing, said.changed, said.v3_only] {
            assert!(!number.estimate, "{what}: {}", table.name());
        }
    }
    report
}

fn proof(report: &Report) -> &Proof {
    &report.tables[0].proof
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_census_says_what_every_row_says() {
    let Some(mut g) = Ground::new(1_500).await else { return };
    g.put("SYSTEM STOP MERGES").await;
    let report = checked(&mut g, "nothing copied").await;
    assert!(!report.equal && report.tables[0].missing == report.tables[0].postgres);
    assert_eq!(report.tables[0].t0, None);

    for table in Table::BACKFILLED {
        g.copy(table, "true", 400).await;
    }
    let report = checked(&mut g, "all copied").await;
    assert!(report.equal, "{report:#?}");
    remembered(&mut g).await;
    inserted_while_counted(&mut g).await;
    odd_projects(&mut g).await;
    duplicates(&mut g).await;
    written_by_v3(&mut g).await;
    deletions(&mut g).await;
    behind_our_back(&mut g).await;
    nobody_counts(&mut g).await;
    silently_changed(&mut g).await;
    merged_and_mutated(&mut g).await;
    came_while_counted(&mut g).await;
    filters(&mut g).await;
    g.stop().await;
}

/// A second census reads the open day, a few days by chance, and nothing of ClickHouse but its parts.
async fn remembered(g: &mut Ground) {
    let whole = g.book.clone();
    let report = checked(g, "again").await;
    let proof = proof(&report);
    assert!(proof.closed_days > 60, "{proof:?}");
    let chosen = proof.rechecked_days as u64;
    let a_day = report.tables[0].postgres.value / 20;
    assert!(proof.postgres_rows_read < a_day * (chosen + 2), "{proof:?}");
    assert_eq!((proof.counted_units, proof.corrected_days), (0, 0), "{proof:?}");
    assert!(proof.clickhouse_rows_read < 300, "parts, not rows: {proof:?}");
    assert_eq!(g.book.tables["traces"].ch, whole.tables["traces"].ch);

    // A new row in PostgreSQL and its copy: one unit more.
    g.change(
        "INSERT INTO traces (id, project_id, timestamp, created_at, updated_at) \
         SELECT 'fresh', min(project_id), now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' FROM traces",
    )
    .await;
    assert_eq!(checked(g, "one new").await.tables[0].missing, Number::exact(1));
    g.copy(Table::Traces, "t.id = 'fresh'", 1).await;
    let report = checked(g, "one copied").await;
    assert!(report.equal && report.tables[0].proof.counted_units <= 3, "{:?}", report.tables[0].proof);
}

/// A base that was taken while rows came says later that more were inserted than were seen: closed days are counted
/// once more, and none is read; and then never again.
async fn inserted_while_counted(g: &mut Ground) {
    let pg = &mut g.book.tables.get_mut("traces").unwrap().pg;
    let closed: u64 = pg.days.values().map(|day| day.rows).sum();
    pg.base.inserted -= 5;
    let report = checked(g, "late statistics").await;
    let counted = proof(&report);
    assert_eq!(counted.corrected_days, 0, "{counted:?}");
    assert!((closed..closed * 3 / 2).contains(&counted.postgres_rows_read), "{closed}: {counted:?}");
    let report = checked(g, "after late statistics").await;
    assert!(proof(&report).postgres_rows_read < closed / 2, "{closed}: {:?}", proof(&report));
}

/// Names that have to be quoted everywhere.
async fn odd_projects(g: &mut Ground) {
    for name in ["o'Brien \"x\"", "a/b\\c", "😀 und ä?", "%s; DROP TABLE traces; --", ""] {
        let name = name.replace('\'', "''");
        g.change(&format!(
            "INSERT INTO traces (id, project_id, timestamp, created_at, updated_at) \
             SELECT id || '{name}-odd', '{name}', timestamp, created_at, updated_at FROM traces \
             WHERE project_id = (SELECT max(project_id) FROM traces WHERE project_id ~ '^c[0-9a-z]+$') ORDER BY id LIMIT 7"
        ))
        .await;
    }
    let report = checked(g, "odd projects").await;
    assert_eq!(report.tables[0].missing, Number::exact(35));
    assert!(report.tables[0].proof.corrected_days > 0, "they went into closed days");
    g.copy(Table::Traces, "t.project_id !~ '^[a-z0-9-]+$' AND t.project_id <> 'a/b\\c'", 100).await;
    let report = checked(g, "odd projects copied").await;
    assert_eq!(report.tables[0].missing, Number::exact(7));
    let days = &report.tables[0].days;
    assert!(days.iter().all(|d| d.project == "a/b\\c") && !days.is_empty(), "{days:?}");
    g.copy(Table::Traces, "t.project_id = 'a/b\\c'", 100).await;
    assert!(checked(g, "all odd projects copied").await.equal);
}

/// The same key twice is told from the same id with another key.
async fn duplicates(g: &mut Ground) {
    for table in Table::BACKFILLED {
        g.copy(table, "t.created_at > (SELECT max(created_at) - interval '5 days' FROM traces)", 1_000).await;
    }
    let report = checked(g, "the same rows again").await;
    assert!(report.equal && report.tables[0].duplicates_by_key > 10, "{report:?}");
    assert_eq!(report.tables[0].duplicates_by_id, Number::exact(0));
    let again = |table: &str, what: &str, from: &str| {
        format!(
            "INSERT INTO {table} SELECT * REPLACE ({what}) FROM {table} WHERE id IN (SELECT id FROM {table} {from})"
        )
    };
    // Another day, with the same version or another; another type; another name.
    g.put(&again(
        "traces",
        "timestamp + toIntervalDay(40) AS timestamp, timestamp + toIntervalDay(40) AS event_ts",
        "ORDER BY id LIMIT 5",
    ))
    .await;
    g.put(&again(
        "traces",
        "timestamp - toIntervalDay(2) AS timestamp, timestamp - toIntervalDay(2) AS event_ts",
        "ORDER BY id LIMIT 3",
    ))
    .await;
    g.put(&again("observations", "'EVENT' AS type", "WHERE type = 'SPAN' ORDER BY id LIMIT 4")).await;
    g.put(&again("scores", "concat(name, '2') AS name", "ORDER BY id LIMIT 6")).await;
    let report = checked(g, "moved rows").await;
    let by_id: Vec<u64> = report.tables.iter().map(|t| t.duplicates_by_id.value).collect();
    assert!(by_id.iter().all(|n| *n >= 3), "{by_id:?}");
}

/// Rows of v3's own: over copied ones, over missing ones, and of nobody else.
async fn written_by_v3(g: &mut Ground) {
    g.put(
        "INSERT INTO traces (id, timestamp, project_id, created_at, updated_at, event_ts, is_deleted) \
         SELECT id, timestamp, project_id, now64(3), now64(3), now64(3), 0 FROM traces ORDER BY id DESC LIMIT 9",
    )
    .await;
    g.put(
        "INSERT INTO traces (id, timestamp, project_id, created_at, updated_at, event_ts, is_deleted) \
         SELECT concat('v3-', toString(number)), now64(3) - toIntervalDay(1 + number % 50), 'p''1', now64(3), now64(3), now64(3), 0 FROM numbers(123)",
    )
    .await;
    let report = checked(g, "written by v3").await;
    assert_eq!(report.tables[0].v3_only, Number::exact(123));
    // v2 gets one of them later.
    g.change("INSERT INTO traces (id, project_id, timestamp) VALUES ('v3-7', 'p''1', now()), ('v3-8', 'another', now())")
        .await;
    let report = checked(g, "known to v2 later").await;
    assert_eq!(report.tables[0].v3_only, Number::exact(122), "the id of another project is another entity");
    assert_eq!(report.tables[0].missing, Number::exact(1));
    assert_eq!(report.tables[0].after_t0, Number::exact(1));
}

async fn deletions(g: &mut Ground) {
    // In v3: a copied one, one of v3's own, and an old one that came back.
    g.put(
        "INSERT INTO traces SELECT * REPLACE (1 AS is_deleted, now64(3) AS event_ts) FROM traces \
         WHERE id IN ('v3-1', 'v3-2', 'fresh') LIMIT 1 BY id",
    )
    .await;
    g.put(
        "INSERT INTO scores SELECT * REPLACE (1 AS is_deleted, timestamp - toIntervalDay(1) AS event_ts) FROM scores ORDER BY id DESC LIMIT 2",
    )
    .await;
    let report = checked(g, "deleted in v3").await;
    assert_eq!((report.tables[0].tombstones, report.tables[0].deleted_in_v3), (3, Number::exact(1)));
    // In v2, after they were counted: closed days and the open one.
    g.change("DELETE FROM traces WHERE id IN (SELECT id FROM traces WHERE id NOT LIKE 'v3-%' ORDER BY created_at LIMIT 11)").await;
    g.change(
        "DELETE FROM observations WHERE id IN (SELECT id FROM observations ORDER BY created_at DESC LIMIT 3)",
    )
    .await;
    let report = checked(g, "deleted in v2").await;
    assert!(report.tables[0].gone.value >= 9, "{:?}", report.tables[0]);
    assert!(report.tables[0].proof.corrected_days > 0);
    assert_eq!(report.tables[1].gone, Number::exact(3));
}

/// Closed days that change in ways the statistics tell of.
async fn behind_our_back(g: &mut Ground) {
    // Updated, and nothing else moves.
    g.change("UPDATE traces SET name = 'x', updated_at = now() WHERE id IN (SELECT id FROM traces ORDER BY created_at LIMIT 13)").await;
    let report = checked(g, "updated").await;
    assert!(report.tables[0].changed.value >= 10 && !report.equal, "{:?}", report.tables[0]);
    // One in, one out, of the same day: counts agree, ids do not.
    let (before, days) = (report.tables[1].missing.value, report.tables[1].days.len());
    g.change(
        "CREATE TEMP TABLE victim AS SELECT * FROM observations ORDER BY created_at OFFSET 200 LIMIT 1; \
         DELETE FROM observations WHERE id IN (SELECT id FROM victim); \
         UPDATE victim SET id = 'instead', updated_at = updated_at + interval '1 second'; \
         INSERT INTO observations SELECT * FROM victim",
    )
    .await;
    let report = checked(g, "one for another").await;
    assert_eq!(report.tables[1].missing.value, before + 1);
    assert_eq!(report.tables[1].days.len(), days + 1);
    // Far into the past.
    g.change("INSERT INTO scores (id, project_id, name, source, trace_id, timestamp, created_at) VALUES ('old', 'p', 'n', 'API', 't', '1969-07-20', '1969-07-20 20:17')").await;
    let report = checked(g, "before 1970").await;
    assert_eq!(report.tables[2].missing, Number::exact(1));
}

/// A day that no statistic tells of is found by chance, and all others after it.
async fn silently_changed(g: &mut Ground) {
    let pg = &mut g.book.tables.get_mut("traces").unwrap().pg;
    let days: Vec<i32> = pg.days.keys().copied().collect();
    for day in days {
        pg.days.get_mut(&day).unwrap().rows += 1;
        let bin = pg.bins.values_mut().find_map(|days| days.get_mut(&day)).unwrap();
        bin.rows += 1;
    }
    // The statistics must agree with the false counts, or they would tell.
    pg.base_rows += pg.days.len() as u64;
    let wrong = pg.days.len();
    for _ in 0..50 {
        let report = g.census(&[Table::Traces], &Filter::default()).await;
        let proof = proof(&report);
        if proof.rechecked_days > 0 {
            assert_eq!(proof.corrected_days, wrong, "{proof:?}");
            checked(g, "corrected").await;
            return;
        }
    }
    panic!("no day of {wrong} was chosen in 50 runs");
}

/// Without `track_counts` what was counted before proves nothing: all of it is counted again, and a poll says `~`.
async fn nobody_counts(g: &mut Ground) {
    let before = checked(g, "while it is counted").await.tables[0].postgres.value;
    let switch = async |g: &mut Ground, to: &str| {
        let set = format!("ALTER SYSTEM SET track_counts = {to}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut g.main).await.unwrap();
        sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut g.main).await.unwrap();
        let shown = async |g: &mut Ground| -> String {
            sqlx::query_scalar("SHOW track_counts").fetch_one(&mut g.main).await.unwrap()
        };
        while shown(g).await != to {
            tokio::task::yield_now().await;
        }
    };
    switch(g, "off").await;
    let old = "(SELECT id FROM traces ORDER BY created_at LIMIT 1)";
    g.change(&format!("DELETE FROM traces WHERE id = {old}")).await;
    g.change(&format!("UPDATE traces SET updated_at = now() WHERE id = {old}")).await;
    let report = checked(g, "nobody counts").await;
    assert_eq!(report.tables[0].postgres.value, before - 1);
    let mut poll = Poll::new(Table::Traces, g.book.tables["traces"].pg.clone());
    let mut session = Session { connection: &mut g.main, object: "test" };
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let look = poll.look(&mut session).await.unwrap();
    poll.advance(&mut session, &look, deadline).await.unwrap();
    let total = poll.total(&mut session, &look, deadline).await.unwrap();
    assert_eq!(total.count, Count::about(before - 1));
    switch(g, "on").await;
    checked(g, "it is counted again").await;
}

/// Merges are no news; mutations and dropped partitions are.
async fn merged_and_mutated(g: &mut Ground) {
    let before = checked(g, "before the merge").await.tables[0].clone();
    g.put("SYSTEM START MERGES").await;
    for table in ["traces", "observations", "scores"] {
        g.put(&format!("OPTIMIZE TABLE {table} FINAL")).await;
    }
    let report = checked(g, "merged").await;
    let now = &report.tables[0];
    assert_eq!(now.proof.counted_units, 0, "a merge changes no entity");
    assert_eq!((now.clickhouse, now.copied, now.shared), (before.clickhouse, before.copied, before.shared));
    g.put("ALTER TABLE traces DELETE WHERE id LIKE 'v3-3%'").await;
    checked(g, "mutated").await;
    let partition = "SELECT toUInt32(min(toYYYYMM(timestamp))) FROM traces";
    let partition: u32 = g.ch.ask.one(g.ch.query(partition)).await.unwrap();
    g.put(&format!("ALTER TABLE traces DROP PARTITION {partition}")).await;
    checked(g, "a partition dropped").await;
    g.put("TRUNCATE TABLE scores").await;
    let report = checked(g, "emptied").await;
    assert_eq!(report.tables[2].missing, report.tables[2].postgres);
}

/// Parts that come between the list of parts and the count are counted, and not on the list: once, all the same.
async fn came_while_counted(g: &mut Ground) {
    g.put("SYSTEM STOP MERGES").await;
    checked(g, "before").await;
    let before = g.book.tables["traces"].ch.clone();
    g.put(
        "INSERT INTO traces SELECT * REPLACE (concat('meanwhile-', id) AS id, now64(3) AS event_ts) FROM traces \
         WHERE is_deleted = 0 ORDER BY id LIMIT 3",
    )
    .await;
    checked(g, "three more").await;
    let traces = &mut g.book.tables.get_mut("traces").unwrap().ch;
    for (id, partition) in &mut traces.partitions {
        let listed = &before.partitions[id];
        (partition.parts, partition.seen) = (listed.parts.clone(), listed.seen);
    }
    let report = checked(g, "listed before they came, counted after").await;
    assert!(report.tables[0].proof.counted_units > 0);
    g.put("SYSTEM START MERGES").await;
}

async fn filters(g: &mut Ground) {
    let all = checked(g, "emptied").await;
    let project = all.tables[2].days.iter().find(|d| d.project != "p").unwrap().project.clone();
    let of_one = Filter { project: Some(project.clone()), ..Filter::default() };
    let one = g.census(&[Table::Scores], &of_one).await;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM scores WHERE project_id = $1")
        .bind(&project)
        .fetch_one(&mut g.main)
        .await
        .unwrap();
    assert_eq!(one.tables[0].postgres.value, count as u64);
    let old = jiff::civil::date(1969, 7, 20);
    let of_day = Filter { from: Some(day(old)), to: Some(day(old)), ..Filter::default() };
    let one = g.census(&[Table::Scores], &of_day).await;
    assert_eq!((one.tables[0].postgres, one.tables[0].missing), (Number::exact(1), Number::exact(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_items_are_counted_as_the_worker_joins_them() {
    let Some(mut g) = Ground::new(200).await else { return };
    let table = Table::DatasetRunItems;
    let report = g.census(&[table], &Filter::default()).await;
    assert!(report.equal && !report.tables[0].in_clickhouse);
    assert!(report.tables[0].postgres.value > 0, "{report:?}");
    g.run_items().await;
    let report = g.census(&[table], &Filter::default()).await;
    assert_eq!(report.tables[0].missing, report.tables[0].postgres);
    g.copy(table, "true", 10).await;
    let report = g.census(&[table], &Filter::default()).await;
    let truth = numbers(&mut g.main, &g.ch, table).await;
    assert_eq!(Numbers::from(&report.tables[0]), truth);
    assert!(report.equal);
    // An item whose dataset item is gone is not expected any more.
    g.change("DELETE FROM dataset_items WHERE id = (SELECT min(dataset_item_id) FROM dataset_run_items)")
        .await;
    let report = g.census(&[table], &Filter::default()).await;
    let truth = numbers(&mut g.main, &g.ch, table).await;
    assert_eq!(Numbers::from(&report.tables[0]), truth);
    assert!(truth.gone > 0);
    g.stop().await;
}
