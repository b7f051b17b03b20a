//! `cutover census` as a stranger runs it: two databases by URL alone, no cluster.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cutover::domain::backfill::Table;

use super::ground::Ground;
use super::two_servers::walk;
use crate::common::rehearsal::CUTOVER;

fn verb(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(CUTOVER)
        .arg("--config")
        .arg(folder.join("cutover.toml"))
        .arg("census")
        .args(args)
        .env("XDG_STATE_HOME", folder)
        .env("KUBECONFIG", "/nonexistent")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// The file of T0, beside which the counts are kept.
fn state(folder: &Path) -> PathBuf {
    let book = walk(folder, &|path| path.to_string_lossy().ends_with(".census.json")).unwrap();
    PathBuf::from(book.to_string_lossy().replace(".census.json", ".json"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verb_needs_two_urls_and_says_what_is_missing() {
    let Some(mut g) = Ground::new(120).await else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cutover.toml"), g.config()).unwrap();

    let (code, text, words) = verb(folder.path(), &[]);
    assert_eq!(code, Some(1), "{text}{words}");
    assert!(text.contains("traces             120      0        120"), "{text}");
    assert!(text.contains("dataset_run_items: stays in PostgreSQL"), "{text}");

    for table in Table::BACKFILLED {
        g.copy(table, "true", 1_000).await;
    }
    let (code, text, words) = verb(folder.path(), &["--json"]);
    assert_eq!(code, Some(0), "{text}{words}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["equal"], true);
    assert_eq!(report["tables"][0]["clickhouse"], serde_json::json!({"value": 120, "estimate": false}));
    // The second run remembered the first one's days.
    assert!(report["tables"][0]["proof"]["postgres_rows_read"].as_u64().unwrap() < 60, "{report}");

    g.change("UPDATE scores SET updated_at = now() WHERE id = (SELECT min(id) FROM scores)").await;
    let (code, text, _) = verb(folder.path(), &["--table", "scores", "--days"]);
    assert_eq!(code, Some(1), "{text}");
    let day: String = sqlx::query_scalar("SELECT created_at::date::text FROM scores ORDER BY id LIMIT 1")
        .fetch_one(&mut g.main)
        .await
        .unwrap();
    assert!(text.contains(&format!("\n{day}")), "{text}");
    assert!(!text.contains("traces"), "{text}");
    // The cockpit shows what only a look by id finds: a whole one.
    let state = cutover::sources::ledger::Ledger::open(Some(state(folder.path())));
    assert_eq!(state.changed(Table::Scores).unwrap().rows, 1);
    // Another day has no difference.
    let (code, text, _) =
        verb(folder.path(), &["--table", "scores", "--from", "1999-01-01", "--to", "1999-12-31"]);
    assert_eq!(code, Some(0), "{text}");

    assert_eq!(verb(folder.path(), &["--table", "users"]).0, Some(2));
    assert_eq!(verb(folder.path(), &["--from", "yesterday"]).0, Some(2));
    std::fs::write(folder.path().join("cutover.toml"), "").unwrap();
    let (code, _, words) = verb(folder.path(), &[]);
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("[postgres]"), "{words}");
    g.stop().await;
}
