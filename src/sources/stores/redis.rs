//! Redis or Valkey as a store.

use std::collections::HashMap;
use std::sync::Arc;

use ::redis::cmd;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{major_minor, setting, unknown};
use crate::clients::redis::{self, Redis};
use crate::domain::store::{Setting, StoreFact, StoreKind};
use crate::domain::text::clean;
use crate::domain::{Fact, Kind, SourceId, Trouble};
use crate::sources::Source;
use crate::sources::shared::{Link, Shared, absent};

/// The source.
#[derive(Debug)]
pub struct RedisStore {
    shared: Arc<Shared>,
    link: Link<Redis>,
}

impl RedisStore {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, link: Link::default() }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let shared = Arc::clone(&self.shared);
        let target = shared.targets.redis.as_ref().ok_or_else(|| absent("Redis", "redis"))?;
        let redis = self.link.get(Box::pin(redis::connect(&shared.reach, target))).await?;
        let answer = look(&redis).await;
        self.link.judge(answer).map(Fact::Store)
    }
}

impl Source for RedisStore {
    fn id(&self) -> SourceId {
        SourceId::Store(StoreKind::Redis)
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }
}

async fn look(redis: &Redis) -> Result<StoreFact, Trouble> {
    let begun = Instant::now();
    redis.ask::<String>(&cmd("PING")).await?;
    let latency = begun.elapsed();
    let text: String = redis.ask(&cmd("INFO")).await?;
    let info = parse(&text);
    let get = |key: &str| info.get(key).copied().unwrap_or("-");
    // Valkey says redis_version 7.2.4 for compatibility.
    let version = info.get("valkey_version").copied().unwrap_or_else(|| get("redis_version"));
    let policy = policy(redis, &info).await?;
    let limit = get("maxmemory").parse::<u64>().ok().filter(|n| *n > 0);
    Ok(StoreFact {
        kind: StoreKind::Redis,
        version: clean(version),
        role: clean(get("role")),
        latency,
        used: get("used_memory").parse().ok(),
        limit,
        settings: vec![
            policy,
            setting(
                "version",
                version,
                major_minor(version).is_some_and(|v| v >= (6, 2)),
                "Langfuse v3 needs Redis 7 or Valkey",
            ),
            setting(
                "evicted_keys",
                get("evicted_keys"),
                get("evicted_keys") == "0",
                "keys were evicted: queued events may be lost; set maxmemory-policy noeviction",
            ),
            setting(
                "cluster mode",
                get("cluster_enabled"),
                get("cluster_enabled") != "1",
                "a cluster needs REDIS_CLUSTER_ENABLED and Langfuse >= 3.70; here only this node's queues are seen",
            ),
            setting(
                "role",
                get("role"),
                get("role") == "master",
                "this is a replica: Langfuse needs the master",
            ),
        ],
    })
}

/// `CONFIG GET` is often blocked on managed services; INFO names the policy too.
async fn policy(redis: &Redis, info: &HashMap<&str, &str>) -> Result<Setting, Trouble> {
    let name = "maxmemory-policy";
    let advice = "queued jobs may be evicted: set maxmemory-policy noeviction";
    let said = match redis.ask::<Vec<String>>(cmd("CONFIG").arg("GET").arg(name)).await {
        Ok(pair) => pair.into_iter().nth(1),
        Err(trouble) if matches!(trouble.kind, Kind::Forbidden | Kind::Refused | Kind::Unexpected) => None,
        Err(trouble) => return Err(trouble),
    };
    let value = said.or_else(|| info.get("maxmemory_policy").map(|p| (*p).to_owned()));
    Ok(value.map_or_else(|| unknown(name, advice), |v| setting(name, &v, v == "noeviction", advice)))
}

fn parse(info: &str) -> HashMap<&str, &str> {
    info.lines().filter_map(|line| line.trim_end().split_once(':')).collect()
}
