//! The four stores, their settings, wrong credentials, and sessions that cannot write.

use std::sync::Arc;

use ::redis::cmd;

use super::*;
use crate::clients::{clickhouse, postgres as pg, redis as rd, s3};
use crate::domain::store::{StoreFact, StoreKind};
use crate::domain::{Fact, Kind};
use crate::sources::stores::{ClickhouseStore, PostgresStore, RedisStore, S3Store};
use crate::sources::{Source, queues::Queues};

fn ok(fact: &StoreFact, name: &str) -> Option<bool> {
    fact.settings.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("{name}: {:?}", fact.settings)).ok
}

async fn store(mut source: impl Source) -> StoreFact {
    match source.poll().await.unwrap() {
        Fact::Store(fact) => fact,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_real_stores() {
    let Some((stage, stores)) = started().await else {
        return;
    };
    let at = stores.endpoints();
    let shared = Shared::new(targets(&at));

    let fact = store(PostgresStore::new(Arc::clone(&shared))).await;
    assert_eq!((fact.kind, fact.role.as_str()), (StoreKind::Postgres, "primary"));
    assert_eq!(ok(&fact, "timezone"), Some(true), "{:?}", fact.settings);
    assert_eq!(ok(&fact, "tables"), Some(false), "no schema was loaded");
    assert_eq!(ok(&fact, "way back"), Some(false), "nor what `cutover restore` needs");
    let fact = store(ClickhouseStore::new(Arc::clone(&shared))).await;
    assert_eq!(ok(&fact, "timezone"), Some(true));
    assert!(fact.version.starts_with('2'), "{}", fact.version);
    for read in ["read-only tables", "replica lag", "servers"] {
        assert_eq!(ok(&fact, read), Some(true), "{:?}", fact.settings);
    }
    let fact = store(RedisStore::new(Arc::clone(&shared))).await;
    assert_eq!(ok(&fact, "maxmemory-policy"), Some(true));
    let fact = store(S3Store::new(Arc::clone(&shared))).await;
    assert_eq!(ok(&fact, "put/list/get/delete"), Some(true), "{:?}", fact.settings);

    elsewhere(&at, &shared).await;
    writes_are_refused(&shared).await;
    wrong_credentials(&at, &shared).await;
    queues(&shared).await;
    stores.stop().await;
    stage.close().await.unwrap();
}

/// A server that is not in UTC, and then a user who is not.
async fn elsewhere(at: &Endpoints, shared: &Arc<Shared>) {
    use sqlx::Connection as _;
    let mut main = sqlx::PgConnection::connect(&at.postgres_url).await.unwrap();
    let told = async || {
        let fact = store(PostgresStore::new(Arc::clone(shared))).await;
        let zone = fact.settings.into_iter().find(|s| s.name == "timezone").unwrap();
        (zone.value.unwrap_or_default(), zone.ok)
    };
    let until = async |zone: &str, ok| {
        let seen = async { while told().await != (zone.to_owned(), Some(ok)) {} };
        tokio::time::timeout(std::time::Duration::from_secs(20), seen)
            .await
            .unwrap_or_else(|_| panic!("{zone}"));
    };
    let before = told().await.0;
    for (statement, zone, ok) in [
        ("ALTER SYSTEM SET timezone = 'Europe/Berlin'", "Europe/Berlin", false),
        ("ALTER ROLE CURRENT_USER SET timezone = 'Asia/Tokyo'", "Asia/Tokyo", false),
        ("ALTER ROLE CURRENT_USER RESET timezone", "Europe/Berlin", false),
        ("ALTER SYSTEM RESET timezone", before.as_str(), true),
    ] {
        sqlx::raw_sql(statement).execute(&mut main).await.unwrap();
        sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut main).await.unwrap();
        until(zone, ok).await;
    }
}

async fn writes_are_refused(shared: &Shared) {
    let postgres = pg::connect(&shared.reach, shared.targets.postgres.as_ref().unwrap()).await.unwrap();
    let error = sqlx::query("CREATE TABLE harm (id int)").execute(&postgres.pool).await.unwrap_err();
    let trouble = postgres.trouble(&error).await;
    assert_eq!(trouble.kind, Kind::Refused, "{trouble}");
    let clickhouse =
        clickhouse::connect(&shared.reach, shared.targets.clickhouse.as_ref().unwrap()).await.unwrap();
    let write = clickhouse.query("CREATE TABLE harm (id Int32) ENGINE = Memory");
    let trouble = clickhouse.all::<u8>(write).await.unwrap_err();
    assert_eq!(trouble.kind, Kind::Refused, "{trouble}");
    let slow = sqlx::query("SELECT pg_sleep(30)").execute(&postgres.pool).await.unwrap_err();
    assert_eq!(postgres.trouble(&slow).await.kind, Kind::Timeout);
}

async fn wrong_credentials(at: &Endpoints, shared: &Shared) {
    let reach = &shared.reach;
    let wrong = |target: PostgresTarget| PostgresTarget { password: Some(Secret::new("wrong")), ..target };
    let trouble = pg::connect(reach, &wrong(postgres(&at.postgres_url))).await.unwrap_err();
    assert_eq!(trouble.kind, Kind::Unauthorized, "{trouble}");
    let nowhere = PostgresTarget { database: Some("nowhere".into()), ..postgres(&at.postgres_url) };
    let trouble = pg::connect(reach, &nowhere).await.unwrap_err();
    assert_eq!(trouble.kind, Kind::Missing, "{trouble}");
    let target = shared.targets.clickhouse.clone().unwrap();
    let trouble = clickhouse::connect(
        reach,
        &ClickhouseTarget { password: Some(Secret::new("wrong")), ..target.clone() },
    )
    .await;
    assert_eq!(trouble.unwrap_err().kind, Kind::Unauthorized);
    let trouble =
        clickhouse::connect(reach, &ClickhouseTarget { database: Some("nowhere".into()), ..target }).await;
    assert_eq!(trouble.unwrap_err().kind, Kind::Missing);
    let trouble =
        rd::connect(reach, &RedisTarget { password: Some(Secret::new("wrong")), ..redis(&at.redis_url) })
            .await;
    assert_eq!(trouble.unwrap_err().kind, Kind::Unauthorized);
    let target = shared.targets.s3.clone().unwrap();
    let wrong = S3Target { secret_key: Secret::new("wrong"), ..target.clone() };
    let trouble = s3::connect(reach, &wrong).await.unwrap().head().await.unwrap_err();
    assert_eq!(trouble.kind, Kind::Forbidden, "{trouble}");
    assert!(!trouble.to_string().contains("X-Amz"), "{trouble}");
    let nowhere = S3Target { bucket: "nowhere".into(), ..target };
    let trouble = s3::connect(reach, &nowhere).await.unwrap().head().await.unwrap_err();
    assert_eq!(trouble.kind, Kind::Missing, "{trouble}");
}

async fn queues(shared: &Arc<Shared>) {
    let redis = rd::connect(&shared.reach, shared.targets.redis.as_ref().unwrap()).await.unwrap();
    let (seconds, _): (i64, i64) = redis.ask(&cmd("TIME")).await.unwrap();
    let now = seconds * 1000;
    let run = async |text: &str| {
        let mut words = text.split(' ');
        let mut command = cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        redis.ask::<::redis::Value>(&command).await.unwrap();
    };
    for base in ["bull:ingestion-queue", "{otel-ingestion-queue}:otel-ingestion-queue", "x::trace-upsert"] {
        run(&format!("HSET {base}:meta opts.maxLenEvents 10000 version bullmq:5.34.10")).await;
        run(&format!("SET {base}:id 7")).await;
    }
    run("HSET other:meta a b").await;
    let base = "bull:ingestion-queue";
    run(&format!("LPUSH {base}:wait 1 2")).await;
    run(&format!("HSET {base}:1 timestamp {}", now - 60_000)).await;
    run(&format!("ZADD {base}:delayed {} 3 {} 4", (now - 90_000) * 4096, (now + 3_600_000) * 4096)).await;
    run(&format!("HSET {base}:3 timestamp {}", now - 95_000)).await;
    run(&format!("ZADD {base}:failed 1 5")).await;
    run("HSET bull:ingestion-queue:meta paused 1").await;
    let Fact::Queues(fact) = Queues::new(Arc::clone(shared)).poll().await.unwrap() else { panic!() };
    let names: Vec<_> = fact.queues.iter().map(|q| q.name.as_str()).collect();
    assert_eq!(names, ["ingestion-queue", "otel-ingestion-queue", "trace-upsert"]);
    let queue = &fact.queues[0];
    assert_eq!((queue.waiting, queue.delayed, queue.overdue, queue.failed), (2, 2, 1, 1));
    assert_eq!((queue.added, queue.paused, queue.consumers), (Some(7), true, Some(0)));
    assert!(queue.oldest.is_some_and(|age| (94..120).contains(&age.as_secs())), "{:?}", queue.oldest);
    assert_eq!(queue.version.as_deref(), Some("bullmq:5.34.10"));
}
