//! Both databases of a rehearsal, as the data engine reaches them.

use std::time::Duration;

use cutover::clients::reach::Reach;
use cutover::clients::work::{Access, ClickhouseWork, PostgresWork, Purpose};

use crate::common::rehearsal::Rehearsal;

/// A rehearsal whose backfill has run.
pub fn backfilled(traces: &str) -> Rehearsal {
    let rehearsal =
        Rehearsal::start(&["--traces", traces, "--rate", "1", "--seed", "11", "--scenario", "happy"]);
    rehearsal.until(&["status", "--json", "--wait", "3"], Duration::from_secs(100), |text| {
        let status: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let migrations = &status["migrations"]["value"];
        migrations
            .as_array()
            .is_some_and(|all| !all.is_empty() && all.iter().all(|m| m["state"] == "finished"))
    });
    rehearsal
}

/// Both sides for one purpose.
pub async fn open(rehearsal: &Rehearsal, access: Access) -> (PostgresWork, ClickhouseWork) {
    let purpose = Purpose { name: "test", access, statement: Duration::from_secs(60) };
    let reach = Reach::new(None);
    let (postgres, clickhouse) = rehearsal.databases();
    (
        PostgresWork::new(&reach, &postgres, purpose).await.unwrap(),
        ClickhouseWork::new(&reach, &clickhouse, purpose).await.unwrap(),
    )
}
