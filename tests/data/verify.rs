//! Every difference that can be planted, found by id; nothing found where nothing is.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::{Duration, Instant};

use cutover::clients::work::{Access, ClickhouseWork};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::sides;

/// A copied history that nobody writes to: not even `status` with its canaries.
async fn still(traces: &str) -> Rehearsal {
    let rehearsal =
        Rehearsal::start(&["--traces", traces, "--rate", "0", "--seed", "7", "--scenario", "happy"]);
    let mut session = PgConnection::connect(rehearsal.field("postgres_url")).await.unwrap();
    let open = "SELECT count(*) FROM background_migrations WHERE finished_at IS NULL";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(open).fetch_one(&mut session).await.unwrap() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(100), "the backfill is not over");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    rehearsal
}

async fn sql(rehearsal: &Rehearsal, statements: &str) {
    let mut session = PgConnection::connect(rehearsal.field("postgres_url")).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(&mut session).await.unwrap();
}

async fn ch(work: &ClickhouseWork, statement: &str) {
    work.execute(work.query(statement)).await.unwrap_or_else(|trouble| panic!("{statement}: {trouble}"));
}

/// Copies traces into ClickHouse as they are there, with other values for some columns.
async fn again(work: &ClickhouseWork, id: &str, replace: &str) {
    ch(work, &format!("INSERT INTO traces SELECT * REPLACE ({replace}) FROM traces FINAL WHERE id = '{id}'"))
        .await;
}

fn document(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn verify(rehearsal: &Rehearsal, args: &[&str]) -> Value {
    told(rehearsal, &[&["--grace", "0"], args].concat())
}

fn told(rehearsal: &Rehearsal, args: &[&str]) -> Value {
    let output = rehearsal.verb(&[&["verify", "--json"], args].concat());
    let told = document(&output);
    assert_eq!(output.status.code(), Some(i32::from(told["wrong"] != 0)), "{told:#}");
    told
}

/// Id to difference and columns.
fn findings(told: &Value) -> BTreeMap<String, (String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |f: &Value| {
        let columns = f["columns"].as_array().unwrap().iter().map(|c| text(&c["column"])).collect();
        (text(&f["id"]), (text(&f["difference"]), columns))
    };
    told["findings"].as_array().unwrap().iter().map(one).collect()
}

/// Rows with ids, values and JSON of every kind, in both databases, and no difference between them.
const ODD: &str = r#"
    CREATE TEMP TABLE p AS SELECT id FROM projects ORDER BY id LIMIT 1;
    INSERT INTO traces (id, project_id, "timestamp", name, user_id, metadata, input, output, tags, public, created_at, updated_at)
    SELECT v.id, p.id, '2026-05-04 03:02:01.123', v.name, v.user_id, v.metadata::jsonb, v.input::jsonb, v.output::jsonb, v.tags::text[],
           true, '2026-05-04 03:02:02', '2026-05-04 03:02:03' FROM p, (VALUES
      ('clh8m0xq30000qz8k1v5t2a9b', NULL, NULL, NULL, NULL, NULL, '{}'),
      ('CLH8M0XQ30000QZ8K1V5T2A9B', '', '', '{}', '[]', '{}', '{a,"b c"}'),
      ('4bf92f3577b34da6a3ce929d0e0e4736', 'x', NULL, '"text"', '1.0', '0', '{"b","a"}'),
      ('🙂 it''s "a/b" \', 'é', 'É', '[1, 2.50]', '{"bb": 1, "a": 1.50, "10": true, "9": null}', 'false', '{}'),
      ('json-spelling', 'n', 'u', '{"n": 1.0, "s": "{\"x\": 1}", "o": {"y": [1.50, null], "x": "é"}, "z": null, "t": true}', '"\u00e9\n\t\""', '""', '{}'),
      ('numbers', 'n', 'u', '{"big": 1e25, "small": 1e-9}', '[1e25, 0.0000001, -0.0, 123456.789, 1e2]', 'null', '{}')
    ) AS v(id, name, user_id, metadata, input, output, tags);
"#;

/// Writes rows as the forward copy does.
async fn copy(rehearsal: &Rehearsal, ids: &[&str]) {
    use cutover::data::rows;
    use cutover::data::tables::{Live, spec};
    use cutover::domain::backfill::Table;
    let (postgres, clickhouse) = sides::open(rehearsal, Access::Write).await;
    let mapping = Live::read(&clickhouse.ask, spec(Table::Traces)).await.unwrap().map(spec(Table::Traces));
    let mut session = postgres.session().await.unwrap();
    let mut bytes = vec![];
    for row in rows::from_postgres(&postgres, &mut session, &mapping, ids).await.unwrap() {
        rows::encode(&row.unwrap(), &mapping.columns, &mut bytes).unwrap();
    }
    let sql = format!("INSERT INTO traces ({}) FORMAT RowBinary", mapping.ch_list());
    let mut insert = clickhouse.insert(sql).buffered_with_capacity(1 << 20);
    insert.write_buffered(&bytes);
    insert.end().await.unwrap();
}

#[tokio::test]
async fn every_planted_difference_is_found_and_nothing_else() {
    let rehearsal = still("1500").await;
    for columns in ["key", "scalar", "all"] {
        let told = verify(&rehearsal, &["--columns", columns]);
        assert_eq!((&told["wrong"], findings(&told).len()), (&Value::from(0), 0), "{told:#}");
        let rows: Vec<_> = told["tables"].as_array().unwrap().iter().map(|t| t["rows"].clone()).collect();
        assert_eq!(rows, [1500, 3000, 750], "{told:#}");
    }

    let odd = [
        "clh8m0xq30000qz8k1v5t2a9b",
        "CLH8M0XQ30000QZ8K1V5T2A9B",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "🙂 it's \"a/b\" \\",
        "json-spelling",
        "numbers",
    ];
    sql(&rehearsal, ODD).await;
    let told = verify(&rehearsal, &["--table", "traces"]);
    let missing: Vec<_> =
        findings(&told).into_iter().filter(|(_, (d, _))| d == "missing").map(|(id, _)| id).collect();
    let mut expected = odd.to_vec();
    expected.sort_unstable();
    assert_eq!(missing, expected, "{told:#}");
    // Twice: what is not merged yet is no difference.
    copy(&rehearsal, &odd).await;
    copy(&rehearsal, &odd).await;
    for columns in ["key", "scalar", "all"] {
        let told = verify(&rehearsal, &["--table", "traces", "--columns", columns]);
        assert_eq!((&told["wrong"], findings(&told).len()), (&Value::from(0), 0), "{told:#}");
    }

    plant(&rehearsal).await;
    let told = verify(&rehearsal, &["--table", "traces", "--columns", "all", "--values"]);
    let found = findings(&told);
    let expected = PLANTED.iter().map(|(id, difference, columns)| {
        let columns = columns.iter().map(|c| (*c).to_owned()).collect();
        ((*id).to_owned(), ((*difference).to_owned(), columns))
    });
    assert_eq!(found, expected.collect(), "{told:#}");
    let lost = told["findings"].as_array().unwrap().iter().find(|f| f["id"] == "over").unwrap();
    let output = lost["columns"].as_array().unwrap().iter().find(|c| c["column"] == "output").unwrap();
    assert_eq!((&output["v2"], &output["v3"]), (&Value::from("\"o\""), &Value::from("NULL")));
    let moved = told["findings"].as_array().unwrap().iter().find(|f| f["id"] == "moved").unwrap();
    assert!(moved["note"].as_str().unwrap().contains("2026-05-04"), "{moved:#}");

    // Scalars see neither JSON nor precision; keys see who is there. Both agree with what the rows say.
    for (columns, unseen) in [
        ("scalar", &["input", "meta", "digits"][..]),
        ("key", &["input", "meta", "digits", "name", "null", "millis", "tags", "stale"][..]),
    ] {
        let told = verify(&rehearsal, &["--table", "traces", "--columns", columns]);
        let here: Vec<_> = findings(&told).into_keys().collect();
        let wanted: Vec<_> = PLANTED.iter().map(|p| p.0).filter(|id| !unseen.contains(id)).collect();
        let gone: Vec<_> = wanted.iter().filter(|id| !here.iter().any(|h| h == *id)).collect();
        assert!(columns == "key" || gone.is_empty(), "{columns}: {gone:?} {told:#}");
        let wrong: Vec<_> =
            here.iter().filter(|h| !wanted.contains(&h.as_str()) && *h != "v3-only").collect();
        assert!(wrong.is_empty(), "{columns}: {wrong:?} {told:#}");
        for id in ["cutover-canary-x", "missing-1", "missing-2", "extra", "deleted"] {
            assert!(here.iter().any(|h| h == id), "{columns}: {id} {told:#}");
        }
    }
    // What v3 wrote is nobody's fault, until v2 has to take over.
    let told = verify(&rehearsal, &["--table", "traces"]);
    assert_eq!(told["tables"][0]["v3_only"], 1, "{told:#}");
    let told = verify(&rehearsal, &["--table", "traces", "--against", "pg"]);
    assert_eq!(findings(&told)["v3-only"].0, "v3-only", "{told:#}");

    // Only a part of the table, and only what is asked for.
    let wrong = |args: &[&str]| verify(&rehearsal, &[&["--table", "traces"], args].concat())["wrong"].clone();
    assert_eq!(wrong(&["--from", "2026-05-05", "--to", "2026-05-06"]), 0);
    assert_ne!(wrong(&["--from", "2026-05-04", "--to", "2026-05-04"]), 0);
    let slip = rehearsal.verb(&["verify", "--project", "another"]);
    let said = String::from_utf8_lossy(&slip.stderr).into_owned();
    assert!(slip.status.code() == Some(2) && said.contains("has no project \"another\""), "{said}");
    // As a file and as text.
    let csv = rehearsal.dir().join("differences.csv").display().to_string();
    let output =
        rehearsal.verb(&["verify", "--table", "traces", "--columns", "all", "--grace", "0", "--csv", &csv]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("14 DIFFERENCES in 1 523 rows") && text.contains("overwritten"), "{text}");
    let lines = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(lines.lines().count(), 1 + PLANTED.len(), "{lines}");
    assert!(lines.contains(",over,name user_id metadata input output,"), "{lines}");
    let output = rehearsal.verb(&["verify", "--explain"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("one pass over each side"), "{output:?}");
    // A database that does not answer is told, and nothing is made up.
    rehearsal.fault(&["store-down", "store=clickhouse"]);
    assert_eq!(rehearsal.verb(&["verify"]).status.code(), Some(3));
}

/// Id, what is wrong with it, and the columns that say so; sorted as findings are.
const PLANTED: [(&str, &str, &[&str]); 18] = [
    ("deleted", "deleted", &[]),
    ("digits", "precision", &["input"]),
    ("extra", "extra", &[]),
    ("input", "changed", &["input"]),
    ("meta", "changed", &["metadata"]),
    ("millis", "changed", &["updated_at"]),
    ("missing-1", "missing", &[]),
    ("missing-2", "missing", &[]),
    ("moved", "moved", &["timestamp"]),
    ("name", "changed", &["name"]),
    ("null", "changed", &["user_id"]),
    ("over", "overwritten", &["name", "user_id", "metadata", "input", "output"]),
    ("stale", "stale", &["name", "updated_at"]),
    ("tags", "changed", &["tags"]),
    ("twice", "moved", &["timestamp"]),
    ("v3-newer", "v3-updated", &["name"]),
    ("refused", "missing", &[]),
    ("cutover-canary-x", "probe", &[]),
];

/// Plants one difference of each kind, each at a row of its own.
async fn plant(rehearsal: &Rehearsal) {
    let mut ids: Vec<&str> = PLANTED.iter().map(|p| p.0).collect();
    ids.push("v3-only");
    let list = ids.iter().map(|id| format!("('{id}')")).collect::<Vec<_>>().join(", ");
    sql(
        rehearsal,
        &format!(
            r#"INSERT INTO traces (id, project_id, "timestamp", name, user_id, metadata, input, output, tags, public, created_at, updated_at)
               SELECT v.id, (SELECT id FROM projects ORDER BY id LIMIT 1), '2026-05-04 09:00:00.5', 'n', 'u', '{{"k": "v"}}', '{{"i": 1}}', '"o"', '{{t}}',
                      true, '2026-05-04 09:00:01', '2026-05-04 09:00:02' FROM (VALUES {list}) v(id)"#
        ),
    )
    .await;
    sql(rehearsal, r#"UPDATE traces SET input = '{"n": 12345678901234567890}' WHERE id = 'digits'"#).await;
    let copied: Vec<&str> = ids
        .iter()
        .copied()
        .filter(|id| !["missing-1", "missing-2", "refused", "cutover-canary-x"].contains(id))
        .collect();
    copy(rehearsal, &copied).await;
    sql(
        rehearsal,
        r"DELETE FROM traces WHERE id IN ('extra', 'v3-only');
           UPDATE traces SET name = 'later', updated_at = '2026-05-05' WHERE id = 'stale';
           UPDATE traces SET metadata = '7' WHERE id = 'refused';
           UPDATE traces SET user_id = NULL WHERE id = 'null';
           UPDATE traces SET tags = '{t,t2}' WHERE id = 'tags';",
    )
    .await;
    let (_, work) = sides::open(rehearsal, Access::Write).await;
    again(&work, "name", "'other' AS name").await;
    again(&work, "input", "'{\"i\":2}' AS input").await;
    again(&work, "meta", "map('k', 'w') AS metadata").await;
    again(&work, "millis", "updated_at + toIntervalMillisecond(1) AS updated_at").await;
    again(&work, "deleted", "toUInt8(1) AS is_deleted, now64(3) AS event_ts").await;
    again(&work, "v3-only", "now64(3) AS event_ts").await;
    again(&work, "v3-newer", "'newer' AS name, now64(3) AS event_ts").await;
    again(
        &work,
        "over",
        "'' AS name, NULL AS user_id, map() AS metadata, NULL AS input, NULL AS output, now64(3) AS event_ts",
    )
    .await;
    // Under another day: another row forever. The first one is gone, the second one stays beside it.
    let later = "timestamp + toIntervalDay(3) AS timestamp, event_ts + toIntervalDay(3) AS event_ts";
    again(&work, "moved", later).await;
    again(&work, "twice", later).await;
    ch(&work, "ALTER TABLE traces DELETE WHERE id = 'moved' AND toDate(timestamp) = '2026-05-04' SETTINGS mutations_sync = 2")
        .await;
}

/// Rows, those of remembered days, differences.
fn remembered(told: &Value) -> (u64, u64, u64) {
    let table = &told["tables"][0];
    (table["rows"].as_u64().unwrap(), table["remembered"].as_u64().unwrap(), told["wrong"].as_u64().unwrap())
}

/// Carries statements out, and waits until PostgreSQL's statistics show them.
async fn counted(rehearsal: &Rehearsal, statements: &str) {
    let mut watcher = PgConnection::connect(rehearsal.field("postgres_url")).await.unwrap();
    let moved = "SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relname = 'traces'";
    let before: i64 = sqlx::query_scalar(moved).fetch_one(&mut watcher).await.unwrap();
    sql(rehearsal, statements).await;
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(moved).fetch_one(&mut watcher).await.unwrap() == before {
        assert!(begun.elapsed() < Duration::from_secs(70), "the statistics say nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Where PostgreSQL's statistics are believed, nothing that happened is overlooked: each kind of change, alone.
#[tokio::test]
async fn what_the_statistics_prove_is_true() {
    let rehearsal = still("2000").await;
    counted(&rehearsal, "UPDATE traces SET name = name WHERE id = (SELECT min(id) FROM traces)").await;
    let verify = |args: &[&str]| told(&rehearsal, &[&["--table", "traces"], args].concat());
    assert_eq!(remembered(&verify(&[])), (2000, 0, 0));
    let whole = remembered(&verify(&[]));
    assert!(matches!(whole, (2000, 1501..=2000, 0)), "{whole:?}");

    // A row that came today, with a time long ago.
    let new = "INSERT INTO traces (id, project_id, \"timestamp\", created_at, updated_at) SELECT 'came', \
               (SELECT min(id) FROM projects), '2026-06-01', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'";
    counted(&rehearsal, new).await;
    let told = verify(&[]);
    assert_eq!(findings(&told)["came"].0, "missing", "{told:#}");
    assert!(matches!(remembered(&told), (2001, 1400..2001, 1)), "{told:#}");
    // It is still told, and goes when it is gone.
    assert_eq!(remembered(&verify(&[])).2, 1);
    counted(&rehearsal, "DELETE FROM traces WHERE id = 'came'").await;
    assert_eq!(remembered(&verify(&[])).2, 0);
    // Written into the past: no open window shows it, but there is one insertion too many.
    counted(&rehearsal, &new.replace("now() AT TIME ZONE 'UTC'", "timestamp '2026-05-01'")).await;
    assert_eq!(findings(&verify(&[]))["came"].0, "missing");
    counted(&rehearsal, "DELETE FROM traces WHERE id = 'came'").await;
    // One goes from v2 and another comes, on one day and on two: as many as before.
    let day = "UPDATE traces SET name = name WHERE false; WITH gone AS (DELETE FROM traces WHERE id = (SELECT id FROM traces \
               WHERE \"timestamp\" < '2026-11-01' ORDER BY \"timestamp\" DESC LIMIT 1) RETURNING *) INSERT INTO traces \
               (id, project_id, \"timestamp\", created_at, updated_at) SELECT 'instead', project_id, \"timestamp\", \
               now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' FROM gone";
    counted(&rehearsal, day).await;
    let kinds: Vec<_> = findings(&verify(&[])).into_values().map(|(kind, _)| kind).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert!(kinds.contains(&"missing".to_owned()) && kinds.contains(&"extra".to_owned()), "{kinds:?}");
    // Changed without a word in updated_at.
    counted(
        &rehearsal,
        "UPDATE traces SET user_id = 'silently' WHERE id = (SELECT id FROM traces WHERE id <> 'instead' \
         ORDER BY \"timestamp\" LIMIT 1)",
    )
    .await;
    assert_eq!(remembered(&verify(&[])).2, 3);
    let swap =
        format!("DELETE FROM traces WHERE id = (SELECT max(id) FROM traces WHERE id <> 'instead'); {new}");
    counted(&rehearsal, &swap).await;
    let kinds: Vec<_> = findings(&verify(&[])).into_values().map(|(kind, _)| kind).collect();
    assert!(kinds.contains(&"missing".to_owned()) && kinds.contains(&"extra".to_owned()), "{kinds:?}");
    // ClickHouse: a version more, a month rewritten.
    let (_, work) = sides::open(&rehearsal, Access::Write).await;
    ch(&work, "INSERT INTO traces SELECT * REPLACE ('other' AS name) FROM traces FINAL WHERE timestamp > '2026-05-02' AND id != 'came' \
               ORDER BY timestamp LIMIT 5, 1").await;
    ch(&work, "OPTIMIZE TABLE traces FINAL").await;
    assert_eq!(remembered(&verify(&[])).2, 6, "merged with what was known");
    ch(&work, "ALTER TABLE traces UPDATE user_id = 'other' WHERE id = (SELECT min(id) FROM traces) SETTINGS mutations_sync = 2")
        .await;
    assert_eq!(remembered(&verify(&[])).2, 7, "a mutation");
    let again = remembered(&verify(&[]));
    assert!(again.1 > 1000 && again.2 == 7, "{again:?}");
}

/// A run that is killed goes on; the next one reads only what changed, and sees what changed.
#[tokio::test]
async fn what_was_found_equal_is_not_read_again_until_it_changes() {
    let rehearsal = still("3000").await;
    let slow = ["--table", "traces", "--max-load", "5", "--step", "40"];
    let mut child = std::process::Command::new(CUTOVER)
        .arg("--config")
        .arg(rehearsal.config())
        .arg("verify")
        .args(slow)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let file = rehearsal.dir().join("state/verify.json");
    let known = || -> usize {
        let book = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        book.and_then(|b| {
            b["known"].as_object()?.values().next()?["days"].as_object().map(serde_json::Map::len)
        })
        .unwrap_or(0)
    };
    let begun = Instant::now();
    while known() < 5 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is remembered");
        assert!(child.try_wait().unwrap().is_none(), "it was faster than that");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = remembered(&verify(&rehearsal, &["--table", "traces"]));
    assert!(resumed.0 == 3000 && resumed.1 > 0 && resumed.1 < 3000 && resumed.2 == 0, "{resumed:?}");
    // All but the days that are read again by chance.
    let again = remembered(&told(&rehearsal, &["--table", "traces"]));
    assert!(again.0 == 3000 && again.1 > 2500 && again.2 == 0, "{again:?}");

    // One new day.
    sql(&rehearsal, ODD).await;
    let told = verify(&rehearsal, &["--table", "traces"]);
    assert!(matches!(remembered(&told), (3006, _, 6)), "{told:#}");
    // Changed in v2, long ago by its own time.
    let old = "(SELECT id FROM traces WHERE \"timestamp\" > '2026-06-01' ORDER BY \"timestamp\" LIMIT 1)";
    sql(
        &rehearsal,
        &format!(
            "UPDATE traces SET name = 'changed', updated_at = now() AT TIME ZONE 'UTC' WHERE id = {old}"
        ),
    )
    .await;
    let told = verify(&rehearsal, &["--table", "traces"]);
    let stale: Vec<_> = findings(&told).into_values().filter(|(d, _)| d == "stale").collect();
    assert_eq!(stale, [("stale".to_owned(), vec!["name".to_owned(), "updated_at".to_owned()])], "{told:#}");
    // Changed in v3.
    let (_, work) = sides::open(&rehearsal, Access::Write).await;
    ch(&work, "INSERT INTO traces SELECT * REPLACE ('other' AS name) FROM traces FINAL WHERE timestamp > '2026-06-01' ORDER BY timestamp DESC LIMIT 1")
        .await;
    let told = verify(&rehearsal, &["--table", "traces"]);
    assert!(findings(&told).into_values().any(|(d, c)| d == "changed" && c == ["name"]), "{told:#}");
    // The state that the cockpit reads.
    let results = cutover::data::verify::state::results(&rehearsal.dir().join("state"));
    assert!(results.len() == 1 && results[0].wrong == 8 && results[0].rows == 3006, "{results:?}");
}
