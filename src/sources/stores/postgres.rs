//! PostgreSQL as a store.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{is_utc, major_minor, setting, unknown};
use crate::clients::postgres::{self, Postgres, from_row};
use crate::data::restore::{Schema, Unmet, unmet};
use crate::domain::store::{Setting, StoreFact, StoreKind, VIEWS, WAY_BACK};
use crate::domain::text::clean;
use crate::domain::{Fact, SourceId, Trouble};
use crate::sources::Source;
use crate::sources::shared::{Link, Shared, absent};

/// Our own sessions are read-only on purpose, and in UTC whatever the server says: the client library asks for it as it
/// connects, so that `SHOW timezone` and even `reset_val` are ours. What other sessions get stands elsewhere: first for
/// this role, or for all in this database.
const ROLES: &str = "SELECT substr(entry, 10) FROM pg_db_role_setting s, unnest(s.setconfig) entry \
     WHERE lower(entry) LIKE 'timezone=%' \
     AND (s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) \
       OR s.setdatabase = 0 AND s.setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user))";
/// Then for all, in the server's files, which not everybody may read; GMT where they do not say.
const FILES: &str = "SELECT coalesce((SELECT setting FROM pg_file_settings \
     WHERE lower(name) = 'timezone' AND applied ORDER BY seqno DESC LIMIT 1), 'GMT')";

const LOOK: &str = "SELECT current_setting('server_version') AS version, \
     current_setting('server_version_num')::int AS number, \
     pg_is_in_recovery() AS replica, \
     pg_database_size(current_database()) AS size, \
     coalesce((SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase \
        WHERE d.datname = current_database() AND setconfig::text LIKE '%default_transaction_read_only=on%' LIMIT 1), '') AS read_only, \
     (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections, \
     current_setting('max_connections')::bigint AS max_connections, \
     to_regclass('background_migrations') IS NOT NULL AS has_migrations, \
     to_regclass('traces') IS NOT NULL AND to_regclass('observations') IS NOT NULL \
        AND to_regclass('scores') IS NOT NULL AS has_tables, \
     to_regclass('traces_view') IS NOT NULL AND to_regclass('observations_view') IS NOT NULL AS has_views";

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one row of answers to yes-or-no questions")]
struct Look {
    version: String,
    number: i32,
    replica: bool,
    size: i64,
    read_only: String,
    connections: i64,
    max_connections: i64,
    has_migrations: bool,
    has_tables: bool,
    has_views: bool,
}

from_row!(Look {
    version,
    number,
    replica,
    size,
    read_only,
    connections,
    max_connections,
    has_migrations,
    has_tables,
    has_views
});

/// The source.
#[derive(Debug)]
pub struct PostgresStore {
    shared: Arc<Shared>,
    link: Link<Postgres>,
}

impl PostgresStore {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, link: Link::default() }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let shared = Arc::clone(&self.shared);
        let target = shared.targets.postgres.as_ref().ok_or_else(|| absent("PostgreSQL", "postgres"))?;
        let pg = self.link.get(Box::pin(postgres::connect(&shared.reach, target))).await?;
        let answer = look(&pg).await;
        self.link.judge(answer).map(Fact::Store)
    }
}

impl Source for PostgresStore {
    fn id(&self) -> SourceId {
        SourceId::Store(StoreKind::Postgres)
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }
}

/// One round trip on a connection that stands.
async fn ping(pg: &Postgres) -> sqlx::Result<Duration> {
    let mut connection = pg.pool.acquire().await?;
    let begun = Instant::now();
    sqlx::query("SELECT 1").execute(&mut *connection).await?;
    Ok(begun.elapsed())
}

async fn look(pg: &Postgres) -> Result<StoreFact, Trouble> {
    let latency = match ping(pg).await {
        Ok(latency) => latency,
        Err(error) => return Err(pg.trouble(&error).await),
    };
    let look: Look = match sqlx::query_as(LOOK).fetch_one(&pg.pool).await {
        Ok(look) => look,
        Err(error) => return Err(pg.trouble(&error).await),
    };
    let mut settings = settings(&look, zone(pg).await.as_deref());
    settings.push(way_back(lacks(pg).await.as_deref()));
    Ok(StoreFact {
        kind: StoreKind::Postgres,
        version: clean(look.version.split(' ').next().unwrap_or_default()),
        role: if look.replica { "replica" } else { "primary" }.into(),
        latency,
        used: u64::try_from(look.size).ok(),
        limit: None,
        settings,
    })
}

/// The zone of other sessions, one that is not UTC before others; nothing where it may not be seen.
async fn zone(pg: &Postgres) -> Option<String> {
    let roles: Vec<String> = sqlx::query_scalar(ROLES).fetch_all(&pg.pool).await.ok()?;
    let other = roles.iter().find(|zone| !is_utc(zone)).or(roles.first());
    match other {
        Some(zone) => Some(zone.clone()),
        None => sqlx::query_scalar(FILES).fetch_one(&pg.pool).await.ok(),
    }
}

/// What `cutover restore` needs and does not find, views aside; nothing where the catalogue could not be read.
async fn lacks(pg: &Postgres) -> Option<Vec<Unmet>> {
    let mut session = pg.pool.acquire().await.ok()?;
    let schema = Schema::of(&mut session).await.ok()?;
    Some(unmet(&schema).into_iter().filter(|lack| !lack.only_a_view).collect())
}

/// Whether what only v3 has could be written back, by the verb's own table of needs.
fn way_back(lacks: Option<&[Unmet]>) -> Setting {
    let Some(lacks) = lacks else {
        return unknown(WAY_BACK, "`cutover restore` shows without a write whether it finds what it needs");
    };
    let why: Vec<String> = lacks.iter().map(Unmet::sentence).collect();
    let (value, advice) =
        if why.is_empty() { ("open", "") } else { ("closed", "`cutover restore` would be refused: ") };
    setting(WAY_BACK, value, why.is_empty(), &format!("{advice}{}", why.join("; ")))
}

/// What Langfuse needs of the server, and how it is set.
fn settings(look: &Look, zone: Option<&str>) -> Vec<Setting> {
    let used = format!("{} of {}", look.connections, look.max_connections);
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    vec![
        match zone {
            Some(zone) => setting(
                "timezone",
                zone,
                is_utc(zone),
                "Langfuse stores UTC without a zone: set timezone = 'UTC'",
            ),
            None => unknown(
                "timezone",
                "ask `SHOW timezone` in psql: only who may read pg_file_settings sees it here",
            ),
        },
        setting(
            "version",
            &look.version,
            major_minor(&look.version).is_some_and(|v| v >= (12, 0)) && look.number >= 120_000,
            "Langfuse v3 needs PostgreSQL 12 or newer",
        ),
        setting(
            "recovery",
            yes(look.replica),
            !look.replica,
            "this is a replica: Langfuse needs the primary",
        ),
        setting(
            "read-only",
            yes(!look.read_only.is_empty()),
            look.read_only.is_empty(),
            "default_transaction_read_only is on for this database: Langfuse cannot write",
        ),
        setting(
            "connections",
            used,
            look.connections * 10 < look.max_connections * 9,
            "nearly all connections are taken: raise max_connections or use a pooler",
        ),
        setting(
            "tables",
            yes(look.has_tables),
            look.has_tables,
            "traces, observations or scores is not there: another database, or Langfuse v4 has dropped it",
        ),
        setting(
            "background_migrations",
            yes(look.has_migrations),
            look.has_migrations,
            "v2 must be at least 2.92 before it is migrated",
        ),
        setting(
            VIEWS,
            yes(look.has_views),
            look.has_views,
            "traces_view and observations_view are gone (v3.29.1 drops them): v2 cannot read any more; `cutover restore --views --yes` makes them again",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_closed_by_what_the_verb_refuses() {
        let all = unmet(&Schema::default());
        let told = way_back(Some(&all));
        assert_eq!((told.name, told.value.as_deref(), told.ok), (WAY_BACK, Some("closed"), Some(false)));
        for what in ["`cutover restore` would be refused", "table scores", "enum ScoreDataType", "v3.143"] {
            assert!(told.advice.contains(what), "{what}: {}", told.advice);
        }
        let open = way_back(Some(&[]));
        assert_eq!((open.ok, open.advice.as_str()), (Some(true), ""));
        assert_eq!(way_back(None).ok, None);
    }
}
