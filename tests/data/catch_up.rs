//! What the backfill left behind: found, shown, copied, and then not found again.

use cutover::clients::work::Access;
use cutover::data::cell::Cell;
use cutover::data::rows;
use cutover::data::tables::{Live, spec};
use cutover::domain::backfill::Table;
use serde_json::Value;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{compare_but, sql, waiting, without};
use crate::sides;

fn catch_up(rehearsal: &Rehearsal, args: &[&str], code: i32) -> Value {
    let output = rehearsal.verb(&[&["catch-up", "--json"], args].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn counts(document: &Value, table: &str) -> [u64; 4] {
    let tables = document["tables"].as_array().unwrap();
    let found = &tables.iter().find(|t| t["table"] == table).unwrap()["found"];
    ["missing", "stale", "overwritten", "twice"].map(|class| found[class]["count"].as_u64().unwrap())
}

/// v2 writes on, and v3 writes over rows that it does not know.
async fn both_write(rehearsal: &Rehearsal) {
    sql(
        rehearsal,
        r#"
        CREATE TEMP TABLE ids AS SELECT id, row_number() OVER (ORDER BY id) AS n FROM traces;
        -- Three come late, one of them with a number for metadata.
        INSERT INTO traces (id, project_id, "timestamp", name, metadata, tags, created_at, updated_at)
          SELECT 'late-' || n, (SELECT id FROM projects ORDER BY id LIMIT 1), now() AT TIME ZONE 'UTC', 'late',
                 CASE n WHEN 3 THEN '7' ELSE '{"a": 1}' END::jsonb, '{x}',
                 (now() AT TIME ZONE 'UTC') + interval '1 s', now() AT TIME ZONE 'UTC' FROM generate_series(1, 3) AS n;
        -- Five change: a name, an emptied name, another day.
        UPDATE traces SET name = 'renamed', updated_at = now() AT TIME ZONE 'UTC' WHERE id IN (SELECT id FROM ids WHERE n <= 3);
        UPDATE traces SET name = NULL, updated_at = now() AT TIME ZONE 'UTC' WHERE id IN (SELECT id FROM ids WHERE n = 4);
        UPDATE traces SET "timestamp" = "timestamp" - interval '3 days', updated_at = now() AT TIME ZONE 'UTC'
          WHERE id IN (SELECT id FROM ids WHERE n = 5);
        UPDATE traces SET user_id = 'u2', public = true, input = '{"q": 1}' WHERE id IN (SELECT id FROM ids WHERE n BETWEEN 11 AND 14);
        UPDATE scores SET value = 0.125, updated_at = now() AT TIME ZONE 'UTC' WHERE id IN (SELECT id FROM scores ORDER BY id LIMIT 2);
        "#,
    )
    .await;
    let (_, ch) = sides::open(rehearsal, Access::Write).await;
    let postgres: Vec<String> = {
        use sqlx::Connection as _;
        let mut session = sqlx::PgConnection::connect(rehearsal.field("postgres_url")).await.unwrap();
        sqlx::query_scalar("SELECT id FROM traces WHERE user_id = 'u2' AND public ORDER BY id")
            .fetch_all(&mut session)
            .await
            .unwrap()
    };
    assert_eq!(postgres.len(), 4);
    let partial = "INSERT INTO traces (id, project_id, timestamp, session_id, tags, created_at, updated_at, event_ts, is_deleted) \
        SELECT id, project_id, timestamp, 's3', ['v3'], now64(3), now64(3) + INTERVAL 1 HOUR, now64(3) + INTERVAL 1 HOUR, ? \
        FROM traces WHERE id IN ? LIMIT 1 BY id";
    ch.execute(ch.query(partial).bind(0).bind(&postgres[..3])).await.unwrap();
    // And one that is deleted there.
    ch.execute(ch.query(partial).bind(1).bind(&postgres[3..])).await.unwrap();
}

/// Look, write, look again: zero; and what is there is right.
#[tokio::test]
async fn what_was_left_behind_is_found_and_copied() {
    let rehearsal = waiting("700", &[]).await;
    let nothing = rehearsal.verb(&["catch-up"]);
    assert!(String::from_utf8_lossy(&nothing.stdout).contains("nothing was copied of it"), "{nothing:?}");
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(0));
    let clean = catch_up(&rehearsal, &[], 0);
    assert_eq!(counts(&clean, "traces"), [0; 4], "{clean:#}");
    both_write(&rehearsal).await;

    let look = catch_up(&rehearsal, &[], 1);
    assert_eq!(counts(&look, "traces"), [2, 5, 3, 0], "{look:#}");
    assert_eq!(counts(&look, "scores"), [0, 2, 0, 0], "{look:#}");
    let traces = &look["tables"][0];
    assert_eq!(
        (traces["written"].as_u64(), traces["deleted_in_v3"].as_u64()),
        (Some(0), Some(1)),
        "{look:#}"
    );
    assert_eq!(traces["rejected"]["examples"][0]["id"], "late-3", "{look:#}");
    assert_eq!(counts(&catch_up(&rehearsal, &[], 1), "traces"), [2, 5, 3, 0], "a look writes nothing");

    // One row cannot be converted: that stays a finding.
    let wrote = catch_up(&rehearsal, &["--yes"], 1);
    assert_eq!(wrote["tables"][0]["written"], 10, "{wrote:#}");
    let again = catch_up(&rehearsal, &[], 1);
    assert_eq!((counts(&again, "traces"), counts(&again, "scores")), ([0; 4], [0; 4]), "{again:#}");
    sql(&rehearsal, "UPDATE traces SET metadata = '[7]' WHERE id = 'late-3'").await;
    catch_up(&rehearsal, &["--yes"], 0);
    catch_up(&rehearsal, &[], 0);

    let partial = merged_rows_are_whole(&rehearsal).await;
    let without: Vec<&str> = partial.iter().map(String::as_str).collect();
    compare_but(&rehearsal, &without, &["event_ts"], 3).await;
    changed_again(&rehearsal).await;
    deleted_by_users_of_v3(&rehearsal).await;
    let journal = String::from_utf8_lossy(&rehearsal.verb(&["journal"]).stdout).into_owned();
    assert!(journal.contains("catch-up done by") && journal.contains("5 stale, 3 overwritten"), "{journal}");
}

fn stale(rehearsal: &Rehearsal) -> Value {
    let output =
        rehearsal.verb(&["verify", "--table", "traces", "--columns", "all", "--grace", "0", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    told["tables"][0]["differences"]["stale"].clone()
}

/// Rows of all tables that are missing, and that were deleted.
fn verified(rehearsal: &Rehearsal, columns: &str) -> [u64; 2] {
    let output = rehearsal.verb(&["verify", "--columns", columns, "--grace", "0", "--fresh", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    ["missing", "deleted"].map(|kind| {
        let tables = told["tables"].as_array().unwrap();
        tables.iter().map(|table| table["differences"][kind].as_u64().unwrap_or(0)).sum()
    })
}

/// What was copied before changes in v2 again, some of it in its time alone; and an insert that was cut after the first
/// of two partitions left a trace on two days.
async fn changed_again(rehearsal: &Rehearsal) {
    sql(
        rehearsal,
        "UPDATE traces SET name = 'again', updated_at = now() AT TIME ZONE 'UTC' WHERE name = 'renamed'; \
         UPDATE traces SET updated_at = now() AT TIME ZONE 'UTC' WHERE id = 'late-1'",
    )
    .await;
    assert_eq!(stale(rehearsal), 4, "what v2 wrote last is not v3's own");
    assert_eq!(counts(&catch_up(rehearsal, &["--yes"], 0), "traces"), [0, 4, 0, 0]);
    assert_eq!(stale(rehearsal), 0);
    let (_, ch) = sides::open(rehearsal, Access::Write).await;
    let older = "INSERT INTO traces SELECT * REPLACE (timestamp - INTERVAL 4 DAY AS timestamp, \
                 event_ts - INTERVAL 4 DAY AS event_ts) FROM traces FINAL WHERE id = 'late-2'";
    ch.execute(ch.query(older)).await.unwrap();
    assert_eq!(counts(&catch_up(rehearsal, &["--yes"], 0), "traces"), [0, 0, 0, 1]);
    let days = "SELECT count() FROM traces FINAL WHERE id = 'late-2'";
    assert_eq!(ch.ask.one::<u64>(ch.query(days)).await.unwrap(), 1);
    catch_up(rehearsal, &[], 0);
}

/// v3 deletes a trace as its own worker does, with what belongs to it; only the note tells that from rows that are missing.
async fn deleted_by_users_of_v3(rehearsal: &Rehearsal) {
    let (_, ch) = sides::open(rehearsal, Access::Write).await;
    let trace = "(SELECT min(trace_id) FROM observations WHERE trace_id IN (SELECT id FROM traces FINAL WHERE is_deleted = 0))";
    let id: String = ch.ask.one(ch.query(&trace[1..trace.len() - 1])).await.unwrap();
    for (table, column) in [("traces", "id"), ("observations", "trace_id"), ("scores", "trace_id")] {
        ch.execute(ch.query(&format!("DELETE FROM {table} WHERE {column} = ?")).bind(&id)).await.unwrap();
    }
    let look = catch_up(rehearsal, &[], 1);
    assert_eq!(counts(&look, "traces"), [1, 0, 0, 0], "{look:#}");
    let gone = counts(&look, "observations")[0];
    assert!(gone > 0, "{look:#}");
    let all = 1 + gone + counts(&look, "scores")[0];
    let before = look["tables"][0]["deleted_in_v3"].as_u64().unwrap();
    let [missing, deleted] = verified(rehearsal, "all");
    assert_eq!(missing, all, "not noted, it cannot be told from a loss");
    note(rehearsal, &id).await;
    who_may_not_read_the_notes_is_told(rehearsal, all).await;
    for columns in ["key", "scalar", "all"] {
        assert_eq!(verified(rehearsal, columns), [0, deleted + all], "{columns}");
    }
    let look = catch_up(rehearsal, &["--yes"], 0);
    assert_eq!((counts(&look, "traces"), counts(&look, "observations")), ([0; 4], [0; 4]), "{look:#}");
    assert_eq!(look["tables"][0]["deleted_in_v3"].as_u64(), Some(before + 1), "{look:#}");
    assert_eq!(look["tables"][1]["deleted_in_v3"].as_u64(), Some(gone), "{look:#}");

    late_event(rehearsal, &id).await;
    let look = catch_up(rehearsal, &["--yes"], 0);
    assert_eq!(look["tables"][0]["deleted_in_v3"].as_u64(), Some(before + 1), "{look:#}");
    assert_eq!(verified(rehearsal, "all"), [0, deleted + all]);
    ch.execute(ch.query("DELETE FROM traces WHERE id = ?").bind(&id)).await.unwrap();

    // What v2 wrote after the deletion was not deleted.
    sql(rehearsal, &format!("UPDATE traces SET updated_at = (SELECT max(updated_at) FROM pending_deletions) + interval '1 ms' WHERE id = '{id}'")).await;
    assert_eq!(verified(rehearsal, "all"), [1, deleted + all - 1]);
    assert_eq!(counts(&catch_up(rehearsal, &["--yes"], 0), "traces"), [1, 0, 0, 0]);
}

/// The table as Langfuse's migrations make it; a note of one trace, and of another project's traces with all other ids.
async fn note(rehearsal: &Rehearsal, id: &str) {
    sql(
        rehearsal,
        &format!(
            "CREATE TABLE pending_deletions (id TEXT PRIMARY KEY, project_id TEXT NOT NULL, object TEXT NOT NULL, \
             object_id TEXT NOT NULL, is_deleted BOOLEAN NOT NULL DEFAULT false, \
             created_at TIMESTAMP(3) NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'), \
             updated_at TIMESTAMP(3) NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')); \
             INSERT INTO pending_deletions SELECT 'd', project_id, 'trace', id, true FROM traces WHERE id = '{id}'; \
             INSERT INTO pending_deletions SELECT 'of-' || id, 'another', 'trace', id, true FROM traces WHERE id <> '{id}'"
        ),
    )
    .await;
}

/// To a user without the right to read them, what was deleted looks missing: `verify` says so, and nothing is copied.
async fn who_may_not_read_the_notes_is_told(rehearsal: &Rehearsal, deleted: u64) {
    let blind = without(rehearsal, "pending_deletions", "").await;
    let blind = [("CUTOVER_POSTGRES_URL", blind.as_str())];
    let args = ["verify", "--columns", "key", "--grace", "0", "--fresh", "--json"];
    let output = rehearsal.verb_with(&args, &blind);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["wrong"].as_u64(), Some(deleted), "{told:#}");
    assert!(told.to_string().contains("pending_deletions cannot be read"), "{told:#}");

    let output = rehearsal.verb_with(&["catch-up", "--yes"], &blind);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains(
            "GRANT SELECT (project_id, object, object_id, created_at, updated_at) ON pending_deletions"
        ),
        "{text}"
    );
    assert_eq!(verified(rehearsal, "key")[0], 0, "with the right to read them, nothing is missing");
    sql(rehearsal, "DROP OWNED BY blind; DROP ROLE blind").await;
}

/// A late event brings a deleted trace back in v3, where what was deleted stays unknown.
async fn late_event(rehearsal: &Rehearsal, id: &str) {
    let (_, ch) = sides::open(rehearsal, Access::Write).await;
    let late = "INSERT INTO traces (id, project_id, timestamp, tags, created_at, updated_at, event_ts, is_deleted) \
        SELECT ?, project_id, now64(3) - INTERVAL 1 HOUR, ['late'], now64(3), now64(3), now64(3), 0 FROM traces LIMIT 1";
    let project = format!("SELECT project_id FROM traces WHERE id = '{id}'");
    let project: String = sqlx::query_scalar(sqlx::AssertSqlSafe(project))
        .fetch_one(&mut *sides::open(rehearsal, Access::Read).await.0.session().await.unwrap())
        .await
        .unwrap();
    let late = late.replace("SELECT ?, project_id", &format!("SELECT ?, '{project}'"));
    ch.execute(ch.query(&late).bind(id)).await.unwrap();
}

/// v3's fields and v2's in one row; gives the ids that v3 wrote.
async fn merged_rows_are_whole(rehearsal: &Rehearsal) -> Vec<String> {
    let (postgres, clickhouse) = sides::open(rehearsal, Access::Read).await;
    let mut session = postgres.session().await.unwrap();
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT id FROM traces WHERE user_id = 'u2' AND public ORDER BY id")
            .fetch_all(&mut *session)
            .await
            .unwrap();
    let mapping = Live::read(&clickhouse.ask, spec(Table::Traces)).await.unwrap().map(spec(Table::Traces));
    let asked: Vec<&str> = ids.iter().map(String::as_str).collect();
    let found = rows::from_clickhouse(&clickhouse, &mapping, &asked).await.unwrap();
    assert_eq!(found.len(), 4);
    for row in found {
        if row.key.id == ids[3] {
            assert_eq!(row.get(&mapping, "is_deleted"), &Cell::Int(1), "deleted stays deleted");
            continue;
        }
        assert_eq!(row.get(&mapping, "session_id"), &Cell::Text("s3".into()));
        assert_eq!(row.get(&mapping, "user_id"), &Cell::Text("u2".into()));
        assert_eq!(row.get(&mapping, "public"), &Cell::Bool(true));
        assert_eq!(row.get(&mapping, "input"), &Cell::Text("{\"q\":1}".into()));
        let Cell::List(tags) = row.get(&mapping, "tags") else { panic!("tags") };
        assert_eq!(tags[0], "v3");
        assert!(!row.get(&mapping, "name").is_empty());
    }
    ids
}
