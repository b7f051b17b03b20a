//! ClickHouse as a store.

use std::sync::Arc;

use ::clickhouse::Row;
use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::time::Instant;

use super::{is_utc, major_minor, setting, unknown};
use crate::clients::clickhouse::{self as client, Clickhouse};
use crate::domain::store::{Setting, StoreFact, StoreKind};
use crate::domain::text::clean;
use crate::domain::{Fact, SourceId, Trouble};
use crate::sources::Source;
use crate::sources::shared::{Link, Shared, absent};

const LOOK: &str = "SELECT version() AS version, timezone() AS zone";
const DISKS: &str =
    "SELECT sum(total_space - free_space) AS used, sum(total_space) AS total FROM system.disks";
const SETTINGS: &str = "SELECT name, toString(value) AS value FROM system.settings WHERE name IN \
     ('compatibility', 'input_format_read_datetime_number_as_raw_value')";
const REPLICAS: &str = "SELECT count() AS tables, sum(is_readonly) AS read_only, max(absolute_delay) AS delay \
     FROM system.replicas WHERE database = currentDatabase()";
const DIRTY: &str = "SELECT toInt64(version) AS version, toUInt8(dirty) AS dirty FROM schema_migrations \
     ORDER BY sequence DESC LIMIT 1";

/// From this version on, every Langfuse v3 up to 3.225.4 stores times in the year 9999 (langfuse.md 8, 10 #24).
const TOO_NEW: (u32, u32) = (26, 8);
/// A replica this many seconds behind is told.
const LAGGING: u64 = 60;
/// Oldest version that Langfuse v3 takes.
const TOO_OLD: (u32, u32) = (24, 3);

#[derive(Debug, Row, Deserialize)]
struct Look {
    version: String,
    zone: String,
}

#[derive(Debug, Row, Deserialize)]
struct Pair {
    used: u64,
    total: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Replicas {
    tables: u64,
    read_only: u64,
    /// Seconds that the most behind of them is behind.
    delay: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Named {
    name: String,
    value: String,
}

#[derive(Debug, Row, Deserialize)]
struct Dirty {
    version: i64,
    dirty: u8,
}

/// The source.
#[derive(Debug)]
pub struct ClickhouseStore {
    shared: Arc<Shared>,
    link: Link<Clickhouse>,
}

impl ClickhouseStore {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, link: Link::default() }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let shared = Arc::clone(&self.shared);
        let target = shared.targets.clickhouse.as_ref().ok_or_else(|| absent("ClickHouse", "clickhouse"))?;
        let ch = self.link.get(Box::pin(client::connect(&shared.reach, target))).await?;
        let answer = look(&ch).await;
        self.link.judge(answer).map(Fact::Store)
    }
}

impl Source for ClickhouseStore {
    fn id(&self) -> SourceId {
        SourceId::Store(StoreKind::Clickhouse)
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }
}

async fn look(ch: &Clickhouse) -> Result<StoreFact, Trouble> {
    let begun = Instant::now();
    let look: Look = ch.one(ch.query(LOOK)).await?;
    let latency = begun.elapsed();
    // System tables may be denied: the rest is worth having all the same.
    let (disks, named, replicas, dirty) = tokio::join!(
        ch.one::<Pair>(ch.query(DISKS)),
        ch.all::<Named>(ch.query(SETTINGS)),
        ch.one::<Replicas>(ch.query(REPLICAS)),
        ch.all::<Dirty>(ch.query(DIRTY)),
    );
    let disks = disks.ok().filter(|d| d.total > 0);
    let replicas = replicas.ok();
    Ok(StoreFact {
        kind: StoreKind::Clickhouse,
        role: role(replicas.as_ref()),
        latency,
        used: disks.as_ref().map(|d| d.used),
        limit: disks.as_ref().map(|d| d.total),
        settings: vec![
            version(&look.version, named.ok().as_deref()),
            setting(
                "timezone",
                &look.zone,
                is_utc(&look.zone),
                "times are read in the server's zone: run it in UTC",
            ),
            read_only(replicas.as_ref()),
            lag(replicas.as_ref()),
            migrations(dirty.ok().as_deref()),
        ],
        version: clean(&look.version),
    })
}

fn read_only(replicas: Option<&Replicas>) -> Setting {
    match replicas {
        Some(r) => setting(
            "read-only tables",
            r.read_only.to_string(),
            r.read_only == 0,
            "replicated tables cannot be written: look at Keeper",
        ),
        None => unknown("read-only tables", "grant SELECT on system.replicas"),
    }
}

fn lag(replicas: Option<&Replicas>) -> Setting {
    match replicas {
        Some(r) if r.tables > 0 => setting(
            "replica lag",
            format!("{} s", r.delay),
            r.delay < LAGGING,
            "replicas disagree: counts jump with the replica that answers; wait for it, or pin one replica",
        ),
        Some(_) => setting("replica lag", "one server", true, ""),
        None => unknown("replica lag", "grant SELECT on system.replicas"),
    }
}

fn role(replicas: Option<&Replicas>) -> String {
    match replicas {
        Some(r) if r.tables > 0 => format!("{} replicated tables", r.tables),
        Some(_) => "single".into(),
        None => "-".into(),
    }
}

/// 26.8 reads the milliseconds that Langfuse sends as seconds, unless told otherwise.
fn version(version: &str, settings: Option<&[Named]>) -> Setting {
    let Some(number) = major_minor(version) else {
        return unknown("version", "it cannot be read");
    };
    if number < TOO_OLD {
        return setting("version", version, false, "Langfuse v3 needs ClickHouse 24.3 or newer");
    }
    if number < TOO_NEW {
        return setting("version", version, true, "");
    }
    let advice = "from 26.8 on, Langfuse v3 up to 3.225.4 stores every time in the year 9999: use 26.6 or older, or give \
         Langfuse's user a profile with compatibility = '26.7'";
    let Some(settings) = settings else {
        return unknown("version", advice);
    };
    let get = |name: &str| settings.iter().find(|s| s.name == name).map(|s| s.value.as_str());
    let compatible = get("compatibility").and_then(major_minor).is_some_and(|v| v < TOO_NEW);
    let raw = get("input_format_read_datetime_number_as_raw_value") == Some("1");
    setting("version", version, compatible || raw, advice)
}

fn migrations(dirty: Option<&[Dirty]>) -> Setting {
    match dirty {
        Some([last, ..]) => setting(
            "schema version",
            format!("{}{}", last.version, if last.dirty == 0 { "" } else { " dirty" }),
            last.dirty == 0,
            "a ClickHouse migration was interrupted: `migrate force` the version before it, then restart web",
        ),
        _ => unknown(
            "schema version",
            "schema_migrations is not there or empty: web has not run its migrations",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_gate() {
        let compatibility = |value: &str| vec![Named { name: "compatibility".into(), value: value.into() }];
        assert_eq!(version("25.3.2.1", None).ok, Some(true));
        assert_eq!(version("24.1.0.0", None).ok, Some(false));
        assert_eq!(version("26.9.2.1", None).ok, None);
        assert_eq!(version("26.9.2.1", Some(&compatibility(""))).ok, Some(false));
        assert_eq!(version("26.9.2.1", Some(&compatibility("26.7"))).ok, Some(true));
    }
}
