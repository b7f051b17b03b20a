//! ClickHouse as a store.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ::clickhouse::Row;
use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::time::Instant;

use super::{is_utc, major_minor, setting, unknown};
use crate::clients::clickhouse::{self as client, Clickhouse};
use crate::data::tables::spec;
use crate::domain::backfill::Table;
use crate::domain::store::{Setting, StoreFact, StoreKind};
use crate::domain::text::clean;
use crate::domain::{Fact, SourceId, Trouble};
use crate::sources::Source;
use crate::sources::shared::{Link, Shared, absent};

const LOOK: &str = "SELECT version() AS version, timezone() AS zone, hostName() AS host";
const DISKS: &str =
    "SELECT sum(total_space - free_space) AS used, sum(total_space) AS total FROM system.disks";
const SETTINGS: &str = "SELECT name, toString(value) AS value FROM system.settings WHERE name IN \
     ('compatibility', 'input_format_read_datetime_number_as_raw_value')";
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
    host: String,
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
    /// Servers that have each of the tables that move, at least; 0 where none of those is replicated.
    copies: u64,
    /// Tables that move and that each server has for itself.
    alone: u64,
}

/// Langfuse's own clustered schema has `event_log` on each server for itself (langfuse.md 3.1), and says so to nobody
/// who looks at traces: whether servers have the same rows is asked of the tables that move. A number from a subquery may
/// be NULL to ClickHouse, which the reader of its types does not take for a number.
fn replicas() -> String {
    let moving = Table::ALL.map(|table| format!("'{}'", spec(table).ch)).join(", ");
    format!(
        "SELECT count() AS tables, sum(is_readonly) AS read_only, max(absolute_delay) AS delay, \
         toUInt64(minIf(total_replicas, table IN ({moving}))) AS copies, \
         assumeNotNull((SELECT count() FROM system.tables WHERE database = currentDatabase() AND name IN ({moving}) \
         AND engine LIKE '%MergeTree' AND engine NOT LIKE 'Replicated%' AND engine NOT LIKE 'Shared%')) AS alone \
         FROM system.replicas WHERE database = currentDatabase()"
    )
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
    hosts: Hosts,
}

/// Who answered, one after the other. A poll dials anew when the last one is some seconds ago.
#[derive(Debug, Default)]
struct Hosts(VecDeque<String>);

/// Changes that are remembered.
const CHANGES: usize = 24;

impl Hosts {
    fn note(&mut self, host: &str) {
        if self.0.back().is_none_or(|last| last != host) {
            self.0.push_back(host.to_owned());
        }
        if self.0.len() > CHANGES {
            self.0.pop_front();
        }
    }

    /// Those that take turns: of two names the older may be gone, restarted under another, unless it answers again.
    fn taking_turns(&self) -> BTreeSet<&str> {
        let again = |host: &&String| self.0.iter().filter(|other| other == host).count() > 1;
        let Some(first) = self.0.iter().position(|host| again(&host)) else { return BTreeSet::new() };
        let last = self.0.iter().rposition(|host| again(&host)).unwrap_or(first);
        self.0.range(first..=last).map(String::as_str).collect()
    }
}

impl ClickhouseStore {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, link: Link::default(), hosts: Hosts::default() }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let shared = Arc::clone(&self.shared);
        let target = shared.targets.clickhouse.as_ref().ok_or_else(|| absent("ClickHouse", "clickhouse"))?;
        let ch = self.link.get(Box::pin(client::connect(&shared.reach, target))).await?;
        let answer = look(&ch, &mut self.hosts).await;
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

async fn look(ch: &Clickhouse, hosts: &mut Hosts) -> Result<StoreFact, Trouble> {
    let begun = Instant::now();
    let look: Look = ch.one(ch.query(LOOK)).await?;
    let latency = begun.elapsed();
    hosts.note(&clean(&look.host));
    let replicas = replicas();
    // System tables may be denied: the rest is worth having all the same.
    let (disks, named, replicas, dirty) = tokio::join!(
        ch.one::<Pair>(ch.query(DISKS)),
        ch.all::<Named>(ch.query(SETTINGS)),
        ch.one::<Replicas>(ch.query(&replicas)),
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
            servers(replicas.as_ref(), &hosts.taking_turns()),
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
        Some(_) => setting("replica lag", "no replicas", true, ""),
        None => unknown("replica lag", "grant SELECT on system.replicas"),
    }
}

/// Whether all servers that answer have the same rows (langfuse#6263): more of them than have copies of a table do not.
fn servers(replicas: Option<&Replicas>, turns: &BTreeSet<&str>) -> Setting {
    let Some(r) = replicas else { return unknown("servers", "grant SELECT on system.replicas") };
    let copies = match (r.alone, r.copies) {
        // None is there, or all servers share them.
        (0, 0) => u64::MAX,
        (0, copies) => copies,
        _ => 1,
    };
    if turns.len() <= 1 {
        return setting("servers", "one answers", true, "");
    }
    let names: Vec<&str> = turns.iter().copied().collect();
    setting(
        "servers",
        format!("{} take turns: {}", turns.len(), names.join(", ")),
        turns.len() as u64 <= copies,
        "they do not have the same rows: data appears and vanishes with the one that answers; use one shard with \
         Replicated tables on all of its replicas, or let the address name one server",
    )
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
    fn servers_that_take_turns_must_be_replicas_of_each_other() {
        let seen = |names: &[&str]| {
            let mut hosts = Hosts::default();
            for name in names {
                hosts.note(name);
            }
            hosts
        };
        let ok = |hosts: &Hosts, tables, copies, alone| {
            let replicas = Replicas { tables, read_only: 0, delay: 0, copies, alone };
            servers(Some(&replicas), &hosts.taking_turns())
        };
        let restarted = seen(&["a", "a", "b", "b"]);
        assert_eq!(ok(&restarted, 0, 0, 9).ok, Some(true), "a pod that came back under another name");
        let turns = seen(&["a", "b", "b", "a"]);
        let told = ok(&turns, 0, 0, 9);
        assert_eq!((told.ok, told.value.as_deref()), (Some(false), Some("2 take turns: a, b")));
        assert_eq!(ok(&turns, 9, 2, 0).ok, Some(true), "replicas");
        assert_eq!(ok(&turns, 8, 2, 1).ok, Some(false), "one table that moves is each server's own");
        assert_eq!(ok(&turns, 0, 0, 0).ok, Some(true), "no table, or all shared");
        let shards = seen(&["a", "b", "c", "d", "a", "c"]);
        assert_eq!(ok(&shards, 9, 2, 0).ok, Some(false), "two shards of two");
        assert_eq!(servers(None, &turns.taking_turns()).ok, None);
    }

    /// The clustered schema of Langfuse has `event_log` on each server for itself.
    #[cfg(feature = "rehearsal")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn only_tables_that_move_have_to_be_replicas_of_each_other() {
        use crate::rehearsal::stores::clickhouse::clickhouse_schema;
        use crate::sources::tests::{started, targets};
        let Some((stage, stores)) = started().await else { return };
        let at = stores.endpoints();
        let shared = Shared::new(targets(&at));
        let target = shared.targets.clickhouse.as_ref().unwrap();
        let ch = client::connect(&shared.reach, target).await.unwrap();
        let writes = ::clickhouse::Client::default()
            .with_url(&at.clickhouse_url)
            .with_user(&at.clickhouse_user)
            .with_password(&at.clickhouse_password)
            .with_database(&at.clickhouse_database);
        let seen = async || {
            let r: Replicas = ch.one(ch.query(&replicas())).await.unwrap();
            (r.tables, r.copies, r.alone)
        };
        for (statement, alone) in clickhouse_schema().iter().zip([1, 2, 3, 3, 3, 3]) {
            writes.query(statement).execute().await.unwrap();
            assert_eq!(seen().await, (0, 0, alone), "{statement}");
        }
        stores.stop().await;
        stage.close().await.unwrap();
    }

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
