//! BullMQ's queues as they stand in Redis (langfuse.md 4.1, observed with BullMQ 5.34 to 6.7).
//!
//! One rule: queues are found by SCAN in small steps and read in one round trip; nothing is enumerated with KEYS.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{FromRedisValue, Pipeline, Value, cmd, pipe};
use base64::Engine as _;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::Source;
use super::shared::{Link, Shared, absent};
use crate::clients::redis::{self, Redis};
use crate::domain::queue::{Queue, QueuesFact};
use crate::domain::text::clean;
use crate::domain::{Fact, Kind, SourceId, Trouble};

/// The whole keyspace is scanned again at the latest after this, and sooner when that is cheap: a scan may take a
/// fiftieth of the time.
const RESCAN: Duration = Duration::from_secs(30);
const DUTY: u32 = 50;
/// Time one poll may spend on scanning.
const BUDGET: Duration = Duration::from_millis(600);
/// `delayed` scores are due time in ms times this, plus a counter.
const SCORE: i64 = 4096;

/// The source.
pub struct Queues {
    shared: Arc<Shared>,
    link: Link<Redis>,
    /// Keys without `:meta`, and the name of each.
    known: BTreeMap<String, String>,
    cursor: u64,
    scanned: Option<Instant>,
    /// Time the scan took so far.
    cost: Duration,
}

/// One queue's answers, in the order they are asked for.
type Answers = (
    (Value, Value, Value, Value, Value, Value, Value),
    (Option<u64>, Vec<Option<String>>, Option<String>, Vec<String>),
);

impl Queues {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            link: Link::default(),
            known: BTreeMap::new(),
            cursor: 0,
            scanned: None,
            cost: Duration::ZERO,
        }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let shared = Arc::clone(&self.shared);
        let target = shared.targets.redis.as_ref().ok_or_else(|| absent("Redis", "redis"))?;
        let redis = self.link.get(Box::pin(redis::connect(&shared.reach, target))).await?;
        let answer = self.look(&redis, target.prefix.as_deref()).await;
        self.link.judge(answer).map(Fact::Queues)
    }

    async fn look(&mut self, redis: &Redis, prefix: Option<&str>) -> Result<QueuesFact, Trouble> {
        self.discover(redis, prefix).await?;
        let now = time(redis).await?;
        let consumers = consumers(redis).await?;
        let mut queues = Vec::with_capacity(self.known.len());
        for (base, name) in &self.known {
            let mut queue = read_queue(redis, base, name, now).await?;
            queue.consumers = consumers.as_deref().map(|names| count_consumers(names, base, name));
            queues.push(queue);
        }
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(QueuesFact { queues })
    }

    /// Goes on with the scan for as long as the budget allows.
    async fn discover(&mut self, redis: &Redis, prefix: Option<&str>) -> Result<(), Trouble> {
        if self.cursor == 0 {
            let rest = (self.cost * DUTY).min(RESCAN);
            if self.scanned.is_some_and(|at| at.elapsed() < rest) {
                return Ok(());
            }
            self.cost = Duration::ZERO;
        }
        let begun = Instant::now();
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(self.cursor).arg("MATCH").arg("*:meta").arg("COUNT").arg(1000).arg("TYPE").arg("hash");
            let (cursor, keys): (u64, Vec<String>) = redis.ask(&scan).await?;
            for key in keys {
                let Some(base) = key.strip_suffix(":meta").filter(|base| !self.known.contains_key(*base))
                else {
                    continue;
                };
                if is_below(base, prefix) && is_bullmq(redis, &key).await? {
                    let name = base.rsplit(':').next().unwrap_or(base);
                    self.known.insert(base.to_owned(), clean(name));
                }
            }
            self.cursor = cursor;
            if cursor == 0 {
                self.scanned = Some(Instant::now());
                self.cost += begun.elapsed();
                return Ok(());
            }
            if begun.elapsed() > BUDGET {
                self.cost += begun.elapsed();
                return Ok(());
            }
        }
    }
}

impl Source for Queues {
    fn id(&self) -> SourceId {
        SourceId::Queues
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }
}

/// `x` holds `x:queue`, `x::queue` and, in cluster mode, `{x:queue}:queue`.
fn is_below(base: &str, prefix: Option<&str>) -> bool {
    prefix.is_none_or(|prefix| base.strip_prefix('{').unwrap_or(base).starts_with(prefix))
}

/// BullMQ writes its version, or the length of the event stream, into every `meta`.
async fn is_bullmq(redis: &Redis, key: &str) -> Result<bool, Trouble> {
    let fields: (Option<String>, Option<String>) =
        redis.ask(cmd("HMGET").arg(key).arg("version").arg("opts.maxLenEvents")).await?;
    Ok(fields.0.is_some_and(|v| v.starts_with("bullmq")) || fields.1.is_some())
}

/// The server's clock, in milliseconds.
async fn time(redis: &Redis) -> Result<i64, Trouble> {
    let (seconds, micros): (i64, i64) = redis.ask(&cmd("TIME")).await?;
    Ok(seconds.saturating_mul(1000).saturating_add(micros / 1000))
}

async fn read_queue(redis: &Redis, base: &str, name: &str, now: i64) -> Result<Queue, Trouble> {
    let key = |suffix: &str| format!("{base}:{suffix}");
    let due = now.saturating_mul(SCORE).saturating_add(SCORE - 1);
    let mut ask: Pipeline = pipe();
    ask.llen(key("wait"))
        .llen(key("paused"))
        .zcard(key("prioritized"))
        .llen(key("active"))
        .zcard(key("delayed"));
    ask.zcount(key("delayed"), "-inf", due).zcard(key("failed"));
    ask.get(key("id")).hmget(key("meta"), &["paused", "version"]).lindex(key("wait"), -1);
    ask.zrange(key("delayed"), 0, 0);
    let values: Vec<Value> = redis.pipe(ask.ignore_errors()).await?;
    let answers = parse(&values).ok_or_else(|| {
        Trouble::new(
            Kind::Unexpected,
            &redis.object,
            format!("queue {name}: keys of other types than BullMQ's"),
        )
        .remedy("check the key prefix (REDIS_KEY_PREFIX)")
    })?;
    let (
        (wait, paused, prioritized, active, delayed, overdue, failed),
        (added, meta, oldest_waiting, first_delayed),
    ) = answers;
    let waiting = [&wait, &paused, &prioritized].map(number).into_iter().fold(0, u64::saturating_add);
    let overdue = number(&overdue);
    let oldest_overdue = first_delayed.into_iter().next().filter(|_| overdue > 0);
    Ok(Queue {
        name: name.to_owned(),
        waiting,
        active: number(&active),
        delayed: number(&delayed),
        overdue,
        failed: number(&failed),
        oldest: oldest(redis, base, now, [oldest_waiting, oldest_overdue]).await?,
        added,
        paused: meta.first().is_some_and(Option::is_some),
        consumers: None,
        version: meta.get(1).cloned().flatten().as_deref().map(clean),
    })
}

/// Age of the older of these jobs, by the time they were added.
async fn oldest(
    redis: &Redis,
    base: &str,
    now: i64,
    jobs: [Option<String>; 2],
) -> Result<Option<Duration>, Trouble> {
    let mut ask = pipe();
    let mut asked = 0;
    for job in jobs.iter().flatten() {
        ask.hget(format!("{base}:{job}"), "timestamp");
        asked += 1;
    }
    if asked == 0 {
        return Ok(None);
    }
    let stamps: Vec<Option<i64>> = redis.pipe(&ask).await?;
    let oldest = stamps.into_iter().flatten().min();
    Ok(oldest.map(|at| Duration::from_millis(u64::try_from(now.saturating_sub(at)).unwrap_or(0))))
}

fn number(value: &Value) -> u64 {
    match value {
        Value::Int(n) => u64::try_from(*n).unwrap_or(0),
        _ => 0,
    }
}

fn parse(values: &[Value]) -> Option<Answers> {
    let [wait, paused, prioritized, active, delayed, overdue, failed, id, meta, first, zero] = values else {
        return None;
    };
    // A key of another type answers an error in its place.
    if [wait, paused, prioritized, active, delayed, overdue, failed]
        .iter()
        .any(|v| matches!(v, Value::ServerError(_)))
    {
        return None;
    }
    let numbers = (
        wait.clone(),
        paused.clone(),
        prioritized.clone(),
        active.clone(),
        delayed.clone(),
        overdue.clone(),
        failed.clone(),
    );
    let added = Option::<u64>::from_redis_value_ref(id).ok()?;
    let meta = Vec::<Option<String>>::from_redis_value_ref(meta).ok()?;
    let first = Option::<String>::from_redis_value_ref(first).ok()?;
    let zero = Vec::<String>::from_redis_value_ref(zero).ok()?;
    Some((numbers, (added, meta, first, zero)))
}

/// Names of all connections; `None` when `CLIENT LIST` is not allowed or not offered.
async fn consumers(redis: &Redis) -> Result<Option<Vec<String>>, Trouble> {
    match redis.ask::<String>(cmd("CLIENT").arg("LIST")).await {
        Ok(list) => Ok(Some(
            list.lines()
                .filter_map(|line| line.split(' ').find_map(|field| field.strip_prefix("name=")))
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        )),
        Err(trouble) if matches!(trouble.kind, Kind::Forbidden | Kind::Refused) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// A worker's blocking connection is named `<prefix>:<base64 of the queue's name>`, with `:w:<name>` when the
/// worker has a name; `:qe` is a listener for events.
fn count_consumers(names: &[String], base: &str, queue: &str) -> u32 {
    let prefix = base.strip_suffix(queue).unwrap_or(base);
    let wanted = format!("{prefix}{}", base64::engine::general_purpose::STANDARD.encode(queue));
    let count = names
        .iter()
        .filter(|name| {
            name.strip_prefix(&wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(":w"))
        })
        .count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_the_sheet() {
        assert!(is_below("bull:ingestion-queue", None));
        assert!(is_below("x::ingestion-queue", Some("x:")));
        assert!(is_below("{x:ingestion-queue}:ingestion-queue", Some("x")));
        assert!(!is_below("bull:ingestion-queue", Some("x")));
    }

    #[test]
    fn consumers_by_connection_name() {
        let names = ["bull:aW5nZXN0aW9uLXF1ZXVl", "bull:aW5nZXN0aW9uLXF1ZXVl:qe", "other"].map(String::from);
        assert_eq!(count_consumers(&names, "bull:ingestion-queue", "ingestion-queue"), 1);
        assert_eq!(count_consumers(&names, "bull:trace-upsert", "trace-upsert"), 0);
    }

    /// Answers of a stranger in the place of Redis': any kind of value, any number of them.
    fn value() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(Value::Nil),
            any::<i64>().prop_map(Value::Int),
            Just(Value::Int(i64::MAX)),
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(Value::BulkString),
            ".{0,9}".prop_map(Value::SimpleString),
            Just(Value::Okay),
        ];
        leaf.prop_recursive(2, 12, 4, |inner| proptest::collection::vec(inner, 0..4).prop_map(Value::Array))
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_answered_it_is_read_or_told(values in proptest::collection::vec(value(), 10..13)) {
            if let Some(((wait, paused, prioritized, ..), _)) = parse(&values) {
                let _ = [&wait, &paused, &prioritized].map(number).into_iter().fold(0, u64::saturating_add);
            }
        }
    }
}
