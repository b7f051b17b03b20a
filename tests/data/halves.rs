//! A large table is read in halves by two sessions: together they say what one says that reads it whole.

use std::time::Duration;

use cutover::clients::reach::Reach;
use cutover::clients::target::Address;
use cutover::clients::work::{Access, PostgresWork, Purpose};
use cutover::data::tables::{Live, Tier, spec};
use cutover::data::verify::Range;
use cutover::data::verify::chain::Chain;
use cutover::data::verify::clickhouse::V3;
use cutover::data::verify::cost::Size;
use cutover::data::verify::halves::halves;
use cutover::data::verify::ids::{self, Stretch};
use cutover::data::verify::pace::{Pace, Rest};
use cutover::data::verify::postgres::V2;
use cutover::domain::backfill::Table;
use cutover::domain::{Kind, Mono, Now, Trouble};
use sqlx::AssertSqlSafe;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{sql, waiting};
use crate::sides;

/// PostgreSQL at another address.
pub async fn at(rehearsal: &Rehearsal, url: &str) -> PostgresWork {
    let (mut target, _) = rehearsal.databases();
    target.address = Address::url(url);
    let purpose = Purpose { name: "test", access: Access::Read, statement: Duration::from_secs(60) };
    PostgresWork::new(&Reach::new(None), &target, purpose).await.unwrap()
}

/// How many sessions read two halves; both see the same rows.
pub async fn sessions(v2: &V2) -> Result<usize, Trouble> {
    let who = async |session: &mut sqlx::PgConnection, whole: &bool| {
        let asked = sqlx::query_as("SELECT pg_backend_pid(), txid_current_snapshot()::text");
        let (pid, snapshot) = asked.fetch_one(session).await.map_err(|e| v2.work.trouble(&e))?;
        Ok::<(i32, String, bool), Trouble>((pid, snapshot, *whole))
    };
    let seen = v2.halved(&[false, false], &true, who).await?;
    assert_eq!(seen[0].1, seen[seen.len() - 1].1);
    assert!(seen.iter().all(|half| half.2 == (seen.len() == 1)));
    assert!(seen.len() == 1 || seen[0].0 != seen[1].0);
    Ok(seen.len())
}

/// What one of two is refused is asked by one.
async fn refused_is_asked_once_more(v2: &V2) {
    let ask = async |session: &mut sqlx::PgConnection, divisor: &i32| {
        let asked = sqlx::query_scalar::<_, i32>("SELECT 6 / $1").bind(divisor);
        asked.fetch_one(session).await.map_err(|e| v2.work.trouble(&e))
    };
    assert_eq!(v2.halved(&[1, 0], &2, ask).await.unwrap(), [3]);
    assert_eq!(sessions(v2).await.unwrap(), 1, "it does not try again");
    assert_eq!(v2.halved(&[1, 1], &0, ask).await.unwrap_err().kind, Kind::Refused);
}

/// Sums, and how many ids are on one side only, read whole and in halves.
async fn whole_and_halved(v2: &V2, v3: &V3, chain: &Chain) -> Result<(), Trouble> {
    let whole = v2.sums(chain, &Range::default(), &[]).await?;
    let pages: i64 = v2
        .ask(async |session| {
            let pages =
                sqlx::query_scalar("SELECT pg_relation_size('traces') / 8192").fetch_one(session).await;
            pages.map_err(|e| v2.work.trouble(&e))
        })
        .await?;
    let size = Size { v2_rows: 1_000_000, pages: pages.unsigned_abs(), by_place: true, ..Size::default() };
    let parts = halves(&size, v2.time, &Range::default());
    assert_eq!(parts.len(), 2);
    for half in &parts {
        let sql = format!("SELECT count(*) FROM traces t WHERE {half}");
        let rows = v2
            .ask(async |session| {
                let rows = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql.as_str())).fetch_one(session).await;
                rows.map_err(|e| v2.work.trouble(&e))
            })
            .await?;
        assert!((1..2_001).contains(&rows), "{half}: {rows}");
    }
    let halved = v2.sums(chain, &Range::default(), &parts).await?;
    assert_eq!((halved.rows(), halved.unlike(&whole)), (whole.rows(), vec![]));

    let now = || Now { wall: jiff::Timestamp::UNIX_EPOCH, mono: Mono::default() };
    let rest = Rest { pace: Pace::new(1.0), step: 1000, clock: &now };
    let mut seen = vec![];
    for middle in [None, Some("r2"), Some(""), Some("zzz")] {
        let months = [Range::default()];
        let mut compared = ids::compare((v2, &Stretch::cut(middle)), (v3, &months), &rest, &|_| {}).await?;
        let missing = compared.next(v2, v3).await?.unwrap_or_default().missing;
        seen.push((compared.rows, missing));
    }
    assert_eq!((seen[0].0, seen[0].1.len()), (whole.rows(), 2_001), "none was copied");
    assert!(seen.iter().all(|one| *one == seen[0]));
    Ok(())
}

#[tokio::test]
async fn halves_are_the_whole() {
    let rehearsal = waiting("10", &[]).await;
    sql(&rehearsal, "TRUNCATE traces CASCADE").await;
    let rows = "INSERT INTO traces (id, project_id, \"timestamp\", name, created_at, updated_at) \
         SELECT 'r' || n, (SELECT min(id) FROM projects), now() - n * interval '1 min', 'n', now(), now() \
         FROM generate_series(0, 2000) n";
    sql(&rehearsal, rows).await;
    let (postgres, clickhouse) = sides::open(&rehearsal, Access::Read).await;
    let spec = spec(Table::Traces);
    let mapping = Live::read(&clickhouse.ask, spec).await.unwrap().map(spec);
    let chain = Chain::new(&mapping, Tier::Scalar);
    let v3 = V3::new(clickhouse.clone(), spec);
    let v2 = V2::new(postgres, spec);
    assert_eq!(sessions(&v2).await.unwrap(), 2);
    whole_and_halved(&v2, &v3, &chain).await.unwrap();

    refused_is_asked_once_more(&v2).await;

    // Where one session is all there is, it reads all.
    sql(&rehearsal, "CREATE ROLE alone LOGIN PASSWORD 'alone' CONNECTION LIMIT 1; GRANT SELECT ON ALL TABLES IN SCHEMA public TO alone").await;
    let mut url = reqwest::Url::parse(rehearsal.field("postgres_url")).unwrap();
    url.set_username("alone").unwrap();
    url.set_password(Some("alone")).unwrap();
    let postgres = at(&rehearsal, url.as_str()).await;
    let v2 = V2::new(postgres, spec);
    assert_eq!(sessions(&v2).await.unwrap(), 1);
    whole_and_halved(&v2, &v3, &chain).await.unwrap();
}
