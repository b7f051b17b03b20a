//! Every difference that can be planted, found by id; nothing found where nothing is.

use cutover::clients::work::{Access, ClickhouseWork};
use serde_json::Value;

use super::{ODD, again, ch, findings, sql, still, verify};
use crate::common::rehearsal::Rehearsal;
use crate::sides;

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

    odd_rows_are_missing_then_equal(&rehearsal).await;
    plant(&rehearsal).await;
    all_columns_tell_all(&rehearsal);
    fewer_columns_tell_less(&rehearsal);
    // What v3 wrote is nobody's fault, until v2 has to take over.
    let told = verify(&rehearsal, &["--table", "traces"]);
    assert_eq!(told["tables"][0]["v3_only"], 1, "{told:#}");
    let told = verify(&rehearsal, &["--table", "traces", "--against", "pg"]);
    assert_eq!(findings(&told)["v3-only"].0, "v3-only", "{told:#}");
    let told = verify(&rehearsal, &["--table", "traces", "--against", "pg", "--columns", "key"]);
    assert_eq!(findings(&told)["v3-only"].0, "v3-only", "{told:#}");
    a_part_of_the_table_is_compared(&rehearsal);
    files_and_texts_say_the_same(&rehearsal);
    // A database that does not answer is told, and nothing is made up.
    rehearsal.fault(&["store-down", "store=clickhouse"]);
    assert_eq!(rehearsal.verb(&["verify"]).status.code(), Some(3));
}

/// Ids of every kind, JSON that is spelled in another way, numbers at their limits.
async fn odd_rows_are_missing_then_equal(rehearsal: &Rehearsal) {
    let odd = [
        "clh8m0xq30000qz8k1v5t2a9b",
        "CLH8M0XQ30000QZ8K1V5T2A9B",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "🙂 it's \"a/b\" \\",
        "json-spelling",
        "numbers",
    ];
    sql(rehearsal, ODD).await;
    let told = verify(rehearsal, &["--table", "traces"]);
    let missing: Vec<_> =
        findings(&told).into_iter().filter(|(_, (d, _))| d == "missing").map(|(id, _)| id).collect();
    let mut expected = odd.to_vec();
    expected.sort_unstable();
    assert_eq!(missing, expected, "{told:#}");
    // Twice: what is not merged yet is no difference.
    copy(rehearsal, &odd).await;
    copy(rehearsal, &odd).await;
    for columns in ["key", "scalar", "all"] {
        let told = verify(rehearsal, &["--table", "traces", "--columns", columns]);
        assert_eq!((&told["wrong"], findings(&told).len()), (&Value::from(0), 0), "{told:#}");
    }
}

fn all_columns_tell_all(rehearsal: &Rehearsal) {
    let told = verify(rehearsal, &["--table", "traces", "--columns", "all", "--values"]);
    // The same, when an hour holds more than is read at once: each row is told once.
    let cut = verify(rehearsal, &["--table", "traces", "--columns", "all", "--held", "5"]);
    let counted = |told: &Value| (told["wrong"].clone(), told["findings"].as_array().unwrap().len());
    assert_eq!(counted(&cut), counted(&told), "{cut:#}");
    let found = findings(&told);
    let expected = PLANTED.iter().map(|(id, difference, columns)| {
        let columns = columns.iter().map(|c| (*c).to_owned()).collect();
        ((*id).to_owned(), ((*difference).to_owned(), columns))
    });
    assert_eq!(found, expected.collect(), "{told:#}");
    assert_eq!(findings(&cut), found, "{cut:#}");
    assert_eq!(counted(&told), (Value::from(18), PLANTED.len()), "{told:#}");
    let lost = told["findings"].as_array().unwrap().iter().find(|f| f["id"] == "over").unwrap();
    let output = lost["columns"].as_array().unwrap().iter().find(|c| c["column"] == "output").unwrap();
    assert_eq!((&output["v2"], &output["v3"]), (&Value::from("\"o\""), &Value::from("NULL")));
    let moved = told["findings"].as_array().unwrap().iter().find(|f| f["id"] == "moved").unwrap();
    assert!(moved["note"].as_str().unwrap().contains("2026-05-04"), "{moved:#}");
}

/// Scalars see neither JSON nor precision; keys see who is there. Both agree with what the rows say.
fn fewer_columns_tell_less(rehearsal: &Rehearsal) {
    for (columns, unseen) in [
        ("scalar", &["input", "meta", "meta-digits", "meta-spelling", "digits"][..]),
        (
            "key",
            &[
                "input",
                "meta",
                "meta-digits",
                "meta-spelling",
                "digits",
                "name",
                "null",
                "millis",
                "tags",
                "stale",
            ][..],
        ),
    ] {
        let told = verify(rehearsal, &["--table", "traces", "--columns", columns]);
        let here: Vec<_> = findings(&told).into_keys().collect();
        let wanted: Vec<_> = PLANTED.iter().map(|p| p.0).filter(|id| !unseen.contains(id)).collect();
        let gone: Vec<_> = wanted.iter().filter(|id| !here.iter().any(|h| h == *id)).collect();
        assert!(columns == "key" || gone.is_empty(), "{columns}: {gone:?} {told:#}");
        let wrong: Vec<_> =
            here.iter().filter(|h| !wanted.contains(&h.as_str()) && *h != "v3-only").collect();
        assert!(wrong.is_empty(), "{columns}: {wrong:?} {told:#}");
        for id in ["cutover-canary-x", "missing-1", "missing-2", "extra", "early", "refreshed", "deleted"] {
            assert!(here.iter().any(|h| h == id), "{columns}: {id} {told:#}");
        }
    }
}

/// Only a part of the table, and only what is asked for.
fn a_part_of_the_table_is_compared(rehearsal: &Rehearsal) {
    let wrong = |args: &[&str]| verify(rehearsal, &[&["--table", "traces"], args].concat())["wrong"].clone();
    assert_eq!(wrong(&["--from", "2026-05-05", "--to", "2026-05-06"]), 0);
    assert_ne!(wrong(&["--from", "2026-05-04", "--to", "2026-05-04"]), 0);
    let slip = rehearsal.verb(&["verify", "--project", "another"]);
    let said = String::from_utf8_lossy(&slip.stderr).into_owned();
    assert!(slip.status.code() == Some(2) && said.contains("has no project \"another\""), "{said}");
}

fn files_and_texts_say_the_same(rehearsal: &Rehearsal) {
    let csv = rehearsal.dir().join("differences.csv").display().to_string();
    let output =
        rehearsal.verb(&["verify", "--table", "traces", "--columns", "all", "--grace", "0", "--csv", &csv]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("18 DIFFERENCES in 1 526 rows") && text.contains("overwritten"), "{text}");
    let lines = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(lines.lines().count(), 1 + PLANTED.len(), "{lines}");
    assert!(lines.contains(",over,name user_id metadata input output,"), "{lines}");
    let output = rehearsal.verb(&["verify", "--explain"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("one pass over each side"), "{output:?}");
}

/// Id, what is wrong with it, and the columns that say so; sorted as findings are.
const PLANTED: [(&str, &str, &[&str]); 23] = [
    ("deleted", "deleted", &[]),
    ("digits", "precision", &["input"]),
    ("extra", "extra", &[]),
    // Under another hour of its day: one row, and met in two places.
    ("hours", "changed", &["timestamp"]),
    ("input", "changed", &["input"]),
    ("meta", "changed", &["metadata"]),
    ("meta-digits", "precision", &["metadata"]),
    ("meta-spelling", "changed", &["metadata"]),
    ("millis", "changed", &["updated_at"]),
    ("missing-1", "missing", &[]),
    ("missing-2", "missing", &[]),
    ("moved", "moved", &["timestamp"]),
    ("name", "changed", &["name"]),
    ("null", "changed", &["user_id"]),
    ("over", "overwritten", &["name", "user_id", "metadata", "input", "output"]),
    // catch-up wrote it a second time, and v2 deleted it then.
    ("refreshed", "extra", &[]),
    // Of an hour before 1970, in which v2 has nothing.
    ("early", "extra", &[]),
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
    sql(
        rehearsal,
        r#"UPDATE traces SET input = '{"n": 12345678901234567890}' WHERE id = 'digits';
           UPDATE traces SET metadata = '{"n": 12345678901234567890, "t": "1.10"}' WHERE id = 'meta-digits';
           UPDATE traces SET metadata = '{"k": "1.10"}' WHERE id = 'meta-spelling';"#,
    )
    .await;
    let early = "'1969-12-31 23:30:00'";
    sql(
        rehearsal,
        &format!(r#"UPDATE traces SET "timestamp" = {early}, created_at = {early} WHERE id = 'early'"#),
    )
    .await;
    let copied: Vec<&str> = ids
        .iter()
        .copied()
        .filter(|id| !["missing-1", "missing-2", "refused", "cutover-canary-x"].contains(id))
        .collect();
    copy(rehearsal, &copied).await;
    plant_in_v2(rehearsal).await;
    let (_, work) = sides::open(rehearsal, Access::Write).await;
    plant_in_v3(&work).await;
}

async fn plant_in_v2(rehearsal: &Rehearsal) {
    sql(
        rehearsal,
        r"DELETE FROM traces WHERE id IN ('extra', 'early', 'refreshed', 'v3-only');
           UPDATE traces SET name = 'later', updated_at = '2026-05-05' WHERE id = 'stale';
           UPDATE traces SET metadata = '7' WHERE id = 'refused';
           UPDATE traces SET user_id = NULL WHERE id = 'null';
           UPDATE traces SET tags = '{t,t2}' WHERE id = 'tags';",
    )
    .await;
}

async fn plant_in_v3(work: &ClickhouseWork) {
    again(work, "name", "'other' AS name").await;
    again(work, "input", "'{\"i\":2}' AS input").await;
    again(work, "meta", "map('k', 'w') AS metadata").await;
    again(work, "meta-spelling", "map('k', '1.1') AS metadata").await;
    again(
        work,
        "hours",
        "timestamp + toIntervalHour(2) AS timestamp, event_ts + toIntervalHour(2) AS event_ts",
    )
    .await;
    again(work, "millis", "updated_at + toIntervalMillisecond(1) AS updated_at").await;
    again(work, "deleted", "toUInt8(1) AS is_deleted, now64(3) AS event_ts").await;
    again(work, "v3-only", "now64(3) AS event_ts").await;
    again(work, "refreshed", "event_ts + toIntervalMillisecond(1) AS event_ts").await;
    again(work, "v3-newer", "'newer' AS name, now64(3) AS event_ts").await;
    again(
        work,
        "over",
        "'' AS name, NULL AS user_id, map() AS metadata, NULL AS input, NULL AS output, now64(3) AS event_ts",
    )
    .await;
    // Under another day: another row forever. The first one is gone, the second one stays beside it.
    let later = "timestamp + toIntervalDay(3) AS timestamp, event_ts + toIntervalDay(3) AS event_ts";
    again(work, "moved", later).await;
    again(work, "twice", later).await;
    ch(work, "ALTER TABLE traces DELETE WHERE id = 'moved' AND toDate(timestamp) = '2026-05-04' SETTINGS mutations_sync = 2")
        .await;
}
