//! However catch-up ends, it says what it found, what it wrote and what it left.

use cutover::clients::work::Access;
use cutover::data::backfill::Rejects;
use cutover::data::catch_up::{Options, Watch, table};
use cutover::data::rows::Rejected;
use cutover::domain::backfill::Table;
use cutover::domain::{Kind, Trouble};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{document, sql, waiting};
use crate::sides;

/// Rows that come late: four that are fine, and twelve older ones with a number for metadata.
const LATE: &str = r#"
    INSERT INTO traces (id, project_id, "timestamp", name, metadata, created_at, updated_at)
    SELECT CASE WHEN n > 12 THEN 'late-' ELSE 'bad-' END || n, (SELECT id FROM projects ORDER BY id LIMIT 1),
           at + n * interval '1 s', 'late', CASE WHEN n > 12 THEN '{"a": 1}' ELSE '7' END::jsonb, at, at
    FROM generate_series(1, 16) AS n, (SELECT (now() AT TIME ZONE 'UTC') + interval '1 s' AS at) AS v"#;

/// What the list does when it is asked.
enum List<'a> {
    IsFull,
    /// Somebody presses Ctrl-C.
    Stops(&'a CancellationToken),
}

impl Rejects for List<'_> {
    fn write(&mut self, _: Table, _: &[Rejected]) -> Result<(), Trouble> {
        match self {
            Self::IsFull => Err(Trouble::new(Kind::Refused, "the list", "no space left")),
            Self::Stops(stop) => {
                stop.cancel();
                Ok(())
            }
        }
    }
}

/// Late rows that v3 has.
async fn there(rehearsal: &Rehearsal) -> u64 {
    let (_, ch) = sides::open(rehearsal, Access::Read).await;
    ch.ask.one::<u64>(ch.query("SELECT uniqExact(id) FROM traces WHERE id LIKE 'late-%'")).await.unwrap()
}

fn traces(rehearsal: &Rehearsal, args: &[&str], code: i32) -> Value {
    let output = rehearsal.verb(&[&["catch-up", "--table", "traces", "--json"], args].concat());
    let told = document(&output);
    assert_eq!(output.status.code(), Some(code), "{told:#}{}", String::from_utf8_lossy(&output.stderr));
    told
}

#[tokio::test]
async fn counts_are_told_however_it_ends() {
    let rehearsal = waiting("60", &[]).await;
    assert_eq!(rehearsal.verb(&["backfill", "run", "--yes"]).status.code(), Some(0));
    for stops in [false, true] {
        sql(&rehearsal, "DELETE FROM traces WHERE id LIKE 'late-%' OR id LIKE 'bad-%'").await;
        sql(&rehearsal, LATE).await;
        let (pg, ch) = sides::open(&rehearsal, Access::Write).await;
        ch.execute(ch.query("DELETE FROM traces WHERE id LIKE 'late-%'")).await.unwrap();
        let (options, stop) = (Options { write: true, stretch: 2 }, CancellationToken::new());
        let mut list = if stops { List::Stops(&stop) } else { List::IsFull };
        let (found, ended) =
            table(&pg, &ch, Table::Traces, options, &Watch::default(), &stop, &mut list).await;
        assert_eq!(ended.unwrap_err().kind, if stops { Kind::Timeout } else { Kind::Refused });
        let found = found.unwrap();
        assert_eq!((found.written, there(&rehearsal).await), (4, 4), "{found:#?}");
        assert!((1..12).contains(&found.rejected_count) && found.looked_at < 16, "{found:#?}");
    }
    all_that_is_rejected_is_listed(&rehearsal).await;
    deleted_projects_stay_deleted(&rehearsal).await;
    a_clock_that_was_set_back(&rehearsal).await;
}

async fn all_that_is_rejected_is_listed(rehearsal: &Rehearsal) {
    let dry = traces(rehearsal, &[], 1);
    assert_eq!(dry["rejects_file"], Value::Null, "a look writes nothing");
    for _ in 0..2 {
        let told = traces(rehearsal, &["--yes"], 1);
        assert_eq!(told["tables"][0]["rejected"]["count"], 12, "{told:#}");
        let list = std::fs::read_to_string(told["rejects_file"].as_str().unwrap()).unwrap();
        let ids: std::collections::BTreeSet<String> = list
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!((ids.len(), list.lines().count()), (12, 12), "the list of the last run: {list}");
    }
    // It cannot be written: what was copied up to there is told, and stands in the journal.
    let path = traces(rehearsal, &["--yes"], 1)["rejects_file"].as_str().unwrap().to_owned();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    sql(rehearsal, "UPDATE traces SET name = 'n', updated_at = now() AT TIME ZONE 'UTC' + interval '1 min' WHERE id = 'late-16'").await;
    let output = rehearsal.verb(&["catch-up", "--table", "traces", "--yes"]);
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(4), "{text}{error}");
    assert!(text.contains("1 stale") && text.contains("1 written") && text.contains("ended early"), "{text}");
    let journal = String::from_utf8_lossy(&rehearsal.verb(&["journal"]).stdout).into_owned();
    assert!(journal.contains("catch-up failed") && journal.contains("1 traces written"), "{journal}");
    std::fs::remove_dir(&path).unwrap();
    sql(rehearsal, "DELETE FROM traces WHERE id LIKE 'bad-%'").await;
    traces(rehearsal, &[], 0);
}

/// Langfuse marks a project, deletes what v3 has of it, and leaves v2's rows for a while.
async fn deleted_projects_stay_deleted(rehearsal: &Rehearsal) {
    sql(
        rehearsal,
        "ALTER TABLE projects ADD COLUMN IF NOT EXISTS deleted_at timestamp(3); \
         INSERT INTO projects (id, name, org_id, deleted_at) SELECT 'going', 'n', min(org_id), now() FROM projects; \
         INSERT INTO traces (id, project_id, \"timestamp\", name, created_at, updated_at) \
         SELECT 'of-going', 'going', at, 'n', at, at FROM (SELECT now() AT TIME ZONE 'UTC' AS at) AS v",
    )
    .await;
    let told = traces(rehearsal, &["--yes"], 0);
    let told = &told["tables"][0];
    assert_eq!((&told["project_gone"], &told["written"]), (&json!(1), &json!(0)), "{told:#}");
    sql(rehearsal, "UPDATE projects SET deleted_at = NULL").await;
    let told = traces(rehearsal, &["--yes"], 0);
    let told = &told["tables"][0];
    assert_eq!((&told["project_gone"], &told["written"]), (&json!(0), &json!(1)), "{told:#}");
}

/// A dump of v2 was restored after the copy, or its clock was set back.
async fn a_clock_that_was_set_back(rehearsal: &Rehearsal) {
    for back in ["1 hour", "2 hours"] {
        sql(
            rehearsal,
            &format!(
                "UPDATE traces SET name = '{back}', updated_at = (now() AT TIME ZONE 'UTC') + interval '1 day' \
                 - interval '{back}' WHERE id = 'late-15'"
            ),
        )
        .await;
        let told = traces(rehearsal, &["--yes"], 0);
        assert_eq!(told["tables"][0]["found"]["stale"]["count"], 1, "{back}: {told:#}");
        traces(rehearsal, &[], 0);
        let (_, ch) = sides::open(rehearsal, Access::Read).await;
        let name = "SELECT name FROM traces WHERE id = 'late-15' ORDER BY event_ts DESC LIMIT 1";
        assert_eq!(ch.ask.one::<String>(ch.query(name)).await.unwrap(), back);
    }
}
