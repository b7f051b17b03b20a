//! Projects that were deleted under v3: their rows stay in PostgreSQL for a while, and nobody misses them.

use serde_json::{Value, json};

use crate::common::rehearsal::Rehearsal;
use crate::forward::{sql, waiting, without};

/// Rows of the deleted project, one of which cannot be converted, and one of another that is missing.
const ROWS: &str = "ALTER TABLE projects ADD COLUMN IF NOT EXISTS deleted_at timestamp(3); \
    INSERT INTO projects (id, name, org_id, deleted_at) SELECT 'going', 'n', min(org_id), now() FROM projects; \
    INSERT INTO traces (id, project_id, \"timestamp\", name, metadata, created_at, updated_at) \
    SELECT 'of-' || project || n, project, at, 'n', CASE n WHEN 3 THEN '{\"a\": 1e400}'::jsonb END, at, at \
    FROM (SELECT 'going' AS project, generate_series(1, 3) AS n, '2026-11-01 10:00'::timestamp AS at \
    UNION ALL SELECT (SELECT min(id) FROM projects WHERE id <> 'going'), 1, '2026-11-03') AS p";

/// Traces that are missing, deleted, or one of the two, and what is noted.
fn verified(rehearsal: &Rehearsal, more: &[&str], env: &[(&str, &str)]) -> (Value, String) {
    let args = ["verify", "--table", "traces", "--grace", "0", "--fresh", "--json"];
    let told: Value =
        serde_json::from_slice(&rehearsal.verb_with(&[&args, more].concat(), env).stdout).unwrap();
    let found = &told["tables"][0]["differences"];
    (json!([found["missing"], found["deleted"], found["v2-alone"]]), told["notes"].to_string())
}

#[tokio::test]
async fn rows_of_a_deleted_project_are_not_missing() {
    let rehearsal = waiting("60", &[]).await;
    assert_eq!(rehearsal.verb(&["backfill", "run"]).status.code(), Some(0));
    sql(&rehearsal, ROWS).await;
    // By ids and by buckets.
    for more in [["--columns", "key"], ["--columns", "scalar"], ["--columns", "all"]] {
        let (found, notes) = verified(&rehearsal, &more, &[]);
        assert_eq!(found, json!([1, 3, 0]), "{more:?}: {notes}");
    }
    // Somebody who may not know is told so.
    let blind = without(&rehearsal, "projects", "").await;
    let (found, notes) = verified(&rehearsal, &["--columns", "all"], &[("CUTOVER_POSTGRES_URL", &blind)]);
    assert_eq!(found, json!([4, 0, 0]), "{notes}");
    let grant = "GRANT SELECT (id, deleted_at) ON projects";
    assert!(notes.contains(grant), "{notes}");
    // What it asks for is enough.
    sql(&rehearsal, &format!("{grant} TO blind")).await;
    let (found, notes) = verified(&rehearsal, &["--columns", "key"], &[("CUTOVER_POSTGRES_URL", &blind)]);
    assert_eq!(found, json!([1, 3, 0]), "{notes}");
    assert!(!notes.contains("GRANT"), "{notes}");
    // For the way back nothing changes: v2 does not know what a deleted project is, and nothing would mend it.
    let told = rehearsal.verb(&["verify", "--table", "traces", "--against", "pg", "--grace", "0", "--json"]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(
        (&told["wrong"], &told["tables"][0]["differences"]["missing"]),
        (&json!(0), &json!(4)),
        "{told:#}"
    );
    // The project is back, and nothing else changed: all of its rows are missing, also where equal days are remembered.
    let all = || {
        let told = rehearsal.verb(&["verify", "--table", "traces", "--columns", "all", "--json"]).stdout;
        let table = serde_json::from_slice::<Value>(&told).unwrap()["tables"][0].take();
        (table["differences"]["missing"].as_u64().unwrap(), table["remembered"].as_u64().unwrap())
    };
    assert_eq!(all(), (1, 0));
    sql(&rehearsal, "UPDATE projects SET deleted_at = NULL").await;
    let (missing, remembered) = all();
    assert!(missing == 4 && (40..60).contains(&remembered), "{missing} missing, {remembered} not read again");
}
