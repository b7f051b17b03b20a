//! Scores that users of v3 deleted by themselves: Langfuse's audit log is all that tells them from lost ones.

use serde_json::Value;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{sql, without};
use crate::sides;
use cutover::clients::work::Access;

/// The table as Langfuse's migrations make it, with what it notes of the first score and what is none of its notes.
async fn audit_log(rehearsal: &Rehearsal, [gone, lost]: [&str; 2]) {
    let note = |id: &str, kind: &str, score: &str, action: &str, project: &str| {
        format!(
            "INSERT INTO audit_logs (id, project_id, resource_type, resource_id, action) \
             SELECT '{id}', {project}, '{kind}', id, '{action}' FROM scores WHERE id = '{score}'; "
        )
    };
    let table = "CREATE TYPE \"AuditLogRecordType\" AS ENUM ('USER', 'API_KEY'); \
        CREATE TABLE audit_logs (id TEXT PRIMARY KEY, created_at TIMESTAMP(3) NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'), \
        updated_at TIMESTAMP(3) NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'), type \"AuditLogRecordType\" NOT NULL DEFAULT 'USER', \
        api_key_id TEXT, user_id TEXT, org_id TEXT, user_org_role TEXT, project_id TEXT, user_project_role TEXT, \
        resource_type TEXT NOT NULL, resource_id TEXT NOT NULL, action TEXT NOT NULL, before TEXT, after TEXT); \
        CREATE INDEX ON audit_logs (created_at); CREATE INDEX ON audit_logs (project_id); "
        .to_owned();
    let notes = [
        note("a", "score", gone, "delete", "project_id"),
        note("b", "score", lost, "update", "project_id"),
        note("c", "scoreConfig", lost, "delete", "project_id"),
        note("d", "score", lost, "delete", "'another'"),
        note("e", "score", lost, "delete", "NULL"),
    ];
    sql(rehearsal, &(table + &notes.concat())).await;
    let early = note("f", "score", lost, "delete", "project_id")
        + "UPDATE audit_logs SET created_at = '2001-01-01' WHERE id = 'f'";
    sql(rehearsal, &early).await;
}

/// Scores that are missing, and that were deleted.
fn verified(rehearsal: &Rehearsal) -> [u64; 2] {
    let args = ["verify", "--table", "scores", "--columns", "key", "--grace", "0", "--fresh", "--json"];
    let told: Value = serde_json::from_slice(&rehearsal.verb(&args).stdout).unwrap();
    ["missing", "deleted"].map(|kind| told["tables"][0]["differences"][kind].as_u64().unwrap_or(0))
}

/// Scores that catch-up copies, and leaves deleted.
fn caught_up(rehearsal: &Rehearsal, env: &[(&str, &str)]) -> [u64; 2] {
    let output = rehearsal.verb_with(&["catch-up", "--table", "scores", "--yes", "--json"], env);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        panic!("{e}: {}", String::from_utf8_lossy(&output.stderr));
    });
    let table = &told["tables"][0];
    [&table["written"], &table["deleted_in_v3"]].map(|count| count.as_u64().unwrap())
}

#[tokio::test]
async fn a_score_that_a_user_of_v3_deleted_stays_deleted() {
    let rehearsal = sides::backfilled("60");
    let (_, ch) = sides::open(&rehearsal, Access::Write).await;
    caught_up(&rehearsal, &[]);
    let ids: Vec<String> =
        ch.ask.all(ch.query("SELECT id FROM scores FINAL ORDER BY created_at, id LIMIT 2")).await.unwrap();
    ch.execute(ch.query("DELETE FROM scores WHERE id IN ?").bind(&ids)).await.unwrap();
    assert_eq!(verified(&rehearsal), [2, 0], "not noted, it cannot be told from a loss");
    audit_log(&rehearsal, [&ids[0], &ids[1]]).await;
    assert_eq!(verified(&rehearsal), [1, 1]);

    let blind = without(&rehearsal, "audit_logs", "").await;
    let blind = [("CUTOVER_POSTGRES_URL", blind.as_str())];
    let refused = rehearsal.verb_with(&["catch-up", "--table", "scores", "--yes"], &blind);
    let words = String::from_utf8_lossy(&refused.stderr);
    let grant = "GRANT SELECT (project_id, resource_type, resource_id, action, created_at) ON audit_logs";
    assert!(!refused.status.success() && words.contains(grant), "{words}");
    // What it asks for is enough.
    sql(&rehearsal, &format!("{grant} TO blind")).await;
    assert_eq!(caught_up(&rehearsal, &blind), [1, 1], "the lost one is copied, the deleted one is not");
    assert_eq!(verified(&rehearsal), [0, 1]);

    // What v2 wrote after the deletion was not deleted.
    let later = format!(
        "UPDATE scores SET updated_at = (SELECT max(created_at) FROM audit_logs) + interval '1 ms' WHERE id = '{}'",
        ids[0]
    );
    sql(&rehearsal, &later).await;
    assert_eq!(verified(&rehearsal), [1, 0]);
    assert_eq!(caught_up(&rehearsal, &[]), [1, 0]);
    assert_eq!(verified(&rehearsal), [0, 0]);
}
