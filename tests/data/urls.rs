//! Every verb of the data engine on two databases that are given by URL alone: no file, no cluster.

use std::process::{Command, Stdio};

use cutover::clients::work::Access;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::forward::{ask, compare, sql, waiting};
use crate::sides;

/// Somebody with nothing but two URLs.
struct Stranger {
    home: TempDir,
    urls: [(&'static str, String); 2],
}

impl Stranger {
    fn new(rehearsal: &Rehearsal) -> Self {
        let (_, clickhouse) = rehearsal.databases();
        let mut url = reqwest::Url::parse(rehearsal.field("clickhouse_url")).unwrap();
        url.set_username(&clickhouse.user.unwrap()).unwrap();
        url.set_password(Some(clickhouse.password.unwrap().expose())).unwrap();
        url.set_path(&clickhouse.database.unwrap());
        let urls = [
            ("CUTOVER_POSTGRES_URL", rehearsal.field("postgres_url").to_owned()),
            ("CUTOVER_CLICKHOUSE_URL", url.into()),
        ];
        Self { home: tempfile::tempdir().unwrap(), urls }
    }

    fn verb(&self, args: &[&str], code: i32) -> Value {
        let mut command = Command::new(CUTOVER);
        for key in ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "HOME"] {
            command.env(key, self.home.path());
        }
        let output = command
            .args(args)
            .env("KUBECONFIG", "/nonexistent")
            .envs(self.urls.iter().map(|(key, url)| (*key, url.as_str())))
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}: {out}{err}");
        serde_json::from_str(&out).unwrap_or(Value::Null)
    }
}

#[tokio::test]
async fn the_whole_way_and_back() {
    let rehearsal = waiting("300", &[]).await;
    let stranger = Stranger::new(&rehearsal);
    stranger.verb(&["backfill"], 0);
    stranger.verb(&["backfill", "run", "--yes"], 0);
    stranger.verb(&["backfill", "status"], 0);
    compare(&rehearsal, &[]).await;
    let verified = stranger.verb(&["verify", "--columns", "all", "--grace", "0", "--json"], 0);
    assert_eq!(verified["wrong"].as_u64(), Some(0), "{verified:#}");
    stranger.verb(&["census"], 0);

    let late = "UPDATE traces SET name = 'late', updated_at = now() AT TIME ZONE 'UTC' \
                WHERE id IN (SELECT id FROM traces ORDER BY id LIMIT 3)";
    sql(&rehearsal, late).await;
    stranger.verb(&["verify", "--columns", "all", "--grace", "0"], 1);
    stranger.verb(&["catch-up", "--json"], 1);
    let caught = stranger.verb(&["catch-up", "--yes", "--json"], 0);
    assert_eq!(caught["tables"][0]["written"].as_u64(), Some(3), "{caught:#}");
    stranger.verb(&["verify", "--columns", "all", "--grace", "0"], 0);

    let (_, ch) = sides::open(&rehearsal, Access::Write).await;
    let own = "INSERT INTO traces SELECT * REPLACE ('of-v3' AS id, now64(3) AS timestamp, now64(3) AS created_at, \
               now64(3) AS updated_at, now64(3) + INTERVAL 1 SECOND AS event_ts) FROM traces FINAL LIMIT 1";
    ch.execute(ch.query(own)).await.unwrap();
    let here = "SELECT count(*)::text FROM traces WHERE id = 'of-v3'";
    let dry = stranger.verb(&["restore", "--json"], 0);
    assert_eq!(dry["tables"][0]["inserts"]["count"].as_u64(), Some(1), "{dry:#}");
    assert_eq!(ask(&rehearsal, here).await, "0", "a dry run writes nothing");
    stranger.verb(&["restore", "--yes"], 0);
    assert_eq!(ask(&rehearsal, here).await, "1");
    stranger.verb(&["verify", "--against", "pg", "--columns", "all", "--grace", "0"], 0);
}
