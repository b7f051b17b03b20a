//! The consuming side: one blocking connection that waits on the marker, and up to `concurrency` jobs at once.

use std::sync::LazyLock;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{Script, Value as Reply};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::stalled::{self, Held};
use super::{ATTEMPTS, BACKOFF_MS, KEEP_FAILED, Keys};
use crate::rehearsal::clock;
use crate::rehearsal::langfuse::LangfuseError;
use crate::rehearsal::langfuse::faults::Faults;
use crate::rehearsal::langfuse::stores::redis::Redis;

static FETCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/fetch.lua")));
static COMPLETE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/complete.lua")));
static FAIL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/fail.lua")));

/// The longest block on the marker when no delayed job is known, seconds (BullMQ's `drainDelay`).
const DRAIN_DELAY_S: f64 = 5.0;
/// The shortest block, seconds.
const SHORTEST_BLOCK_S: f64 = 0.002;

/// The pause before a lost Redis is tried again.
const RECONNECT: Duration = Duration::from_secs(1);

/// BullMQ's clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How long a lock lives without renewal; renewed twice as often.
    pub(crate) lock: Duration,
    /// How often stalled jobs are looked for.
    pub(crate) stalled_check: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { lock: Duration::from_secs(30), stalled_check: Duration::from_secs(30) }
    }
}

/// A job in work.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: Value,
    attempts: u64,
    backoff_ms: u64,
    token: String,
}

/// A consumer of one queue.
pub(crate) struct Worker {
    pub(crate) queue: &'static str,
    pub(crate) concurrency: usize,
    pub(crate) pace: Pace,
    pub(crate) redis: Redis,
    pub(crate) faults: Faults,
}

enum Fetched {
    Job(Job),
    /// Nothing to do before this time, epoch milliseconds; 0 when nothing is known.
    Nothing(i64),
}

impl Worker {
    /// Works jobs until `stop`; then takes no new ones and returns when the open ones are done. A lost Redis is
    /// waited for. `work` returns the reason when a job fails.
    pub(crate) async fn run<W, F>(self, stop: CancellationToken, work: W)
    where
        W: Fn(Job) -> F + Sync,
        F: Future<Output = Result<(), String>> + Send,
    {
        let keys = Keys::new(self.queue);
        let held = Held::default();
        tokio::select! {
            () = self.fetch_and_work(&keys, &held, &stop, &work) => {}
            () = self.keep_locks(&keys, &held) => {}
            () = self.look_for_stalled(&keys) => {}
        }
    }

    async fn fetch_and_work<W, F>(&self, keys: &Keys, held: &Held, stop: &CancellationToken, work: &W)
    where
        W: Fn(Job) -> F + Sync,
        F: Future<Output = Result<(), String>> + Send,
    {
        let id = uuid::Uuid::new_v4();
        let mut serial = 0_u64;
        let mut blocking: Option<MultiplexedConnection> = None;
        let mut open = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = meanwhile(&mut open, self.faults.flowing()) => {}
            }
            if open.len() >= self.concurrency {
                open.next().await;
                continue;
            }
            serial += 1;
            let token = format!("{id}:{serial}");
            let reached = match meanwhile(&mut open, self.fetch(keys, &token)).await {
                Ok(Fetched::Job(job)) => {
                    held.take(&job.id, &job.token);
                    open.push(self.process(keys, held, job, work));
                    Ok(())
                }
                // The wait is never cancelled by a finished job: an abandoned BZPOPMIN would swallow a marker.
                Ok(Fetched::Nothing(next)) => tokio::select! {
                    () = stop.cancelled() => break,
                    waited = meanwhile(&mut open, self.wait_for_marker(keys, &mut blocking, next)) => waited,
                },
                Err(error) => Err(error),
            };
            if reached.is_err() {
                blocking = None;
                meanwhile(&mut open, tokio::time::sleep(RECONNECT)).await;
            }
        }
        drop(blocking);
        while open.next().await.is_some() {}
    }

    async fn process<W, F>(&self, keys: &Keys, held: &Held, job: Job, work: &W)
    where
        W: Fn(Job) -> F + Sync,
        F: Future<Output = Result<(), String>> + Send,
    {
        let outcome = work(job.clone()).await;
        // A job that cannot be closed now is closed by the stalled check of whoever lives then.
        let _ = match outcome {
            Ok(()) => self.complete(keys, &job).await,
            Err(reason) => self.fail(keys, &job, &reason).await,
        };
        held.release(&job.id);
    }

    async fn fetch(&self, keys: &Keys, token: &str) -> Result<Fetched, LangfuseError> {
        let mut redis = self.redis.commands();
        let mut call = FETCH.prepare_invoke();
        for part in ["wait", "active", "delayed", "paused", "meta", "marker", "events", "prioritized"] {
            call.key(keys.part(part));
        }
        call.arg(keys.base()).arg(clock::now_ms()).arg(token).arg(stalled::millis(self.pace.lock));
        let reply: Vec<Reply> = call.invoke_async(&mut redis).await?;
        read_fetched(reply, token)
    }

    async fn complete(&self, keys: &Keys, job: &Job) -> Result<i64, LangfuseError> {
        let mut redis = self.redis.commands();
        let mut call = COMPLETE.prepare_invoke();
        for part in ["active", "stalled", "events", "wait", "prioritized", "meta"] {
            call.key(keys.part(part));
        }
        Ok(call.arg(keys.base()).arg(&job.id).arg(&job.token).invoke_async(&mut redis).await?)
    }

    async fn fail(&self, keys: &Keys, job: &Job, reason: &str) -> Result<i64, LangfuseError> {
        let mut redis = self.redis.commands();
        let mut call = FAIL.prepare_invoke();
        for part in ["active", "stalled", "events", "delayed", "failed", "marker", "meta"] {
            call.key(keys.part(part));
        }
        call.arg(keys.base()).arg(&job.id).arg(&job.token).arg(clock::now_ms()).arg(reason);
        call.arg(job.attempts).arg(job.backoff_ms).arg(KEEP_FAILED);
        Ok(call.invoke_async(&mut redis).await?)
    }

    /// Blocks on the marker until a job may be there or `next_ms` is due.
    async fn wait_for_marker(
        &self,
        keys: &Keys,
        blocking: &mut Option<MultiplexedConnection>,
        next_ms: i64,
    ) -> Result<(), LangfuseError> {
        if blocking.is_none() {
            *blocking = Some(self.redis.blocking(&keys.client_name()).await?);
        }
        let Some(connection) = blocking.as_mut() else {
            return Ok(());
        };
        let until_due = (next_ms - clock::now_ms()) as f64 / 1000.0;
        let seconds =
            if next_ms == 0 { DRAIN_DELAY_S } else { until_due.clamp(SHORTEST_BLOCK_S, DRAIN_DELAY_S * 2.0) };
        let _: Reply =
            redis::cmd("BZPOPMIN").arg(keys.part("marker")).arg(seconds).query_async(connection).await?;
        Ok(())
    }

    async fn keep_locks(&self, keys: &Keys, held: &Held) {
        let commands = self.redis.commands();
        loop {
            tokio::time::sleep(self.pace.lock / 2).await;
            stalled::renew(&commands, keys, held, self.pace.lock).await;
        }
    }

    async fn look_for_stalled(&self, keys: &Keys) {
        let commands = self.redis.commands();
        loop {
            // An unreachable Redis is the fetch loop's business; the next round tries again.
            let _ = stalled::check(&commands, keys, self.pace.stalled_check).await;
            tokio::time::sleep(self.pace.stalled_check).await;
        }
    }
}

/// Waits for `what` while the open jobs go on: they move only when they are polled, and a job in work ends whether
/// or not there is another to fetch.
async fn meanwhile<J: Future<Output = ()>, T>(
    open: &mut FuturesUnordered<J>,
    what: impl Future<Output = T>,
) -> T {
    tokio::pin!(what);
    loop {
        tokio::select! {
            done = &mut what => return done,
            Some(()) = open.next(), if !open.is_empty() => {}
        }
    }
}

fn read_fetched(reply: Vec<Reply>, token: &str) -> Result<Fetched, LangfuseError> {
    let texts: Vec<Option<String>> = reply
        .into_iter()
        .map(redis::from_redis_value)
        .collect::<Result<_, _>>()
        .map_err(redis::RedisError::from)?;
    let text = |index: usize| texts.get(index).cloned().flatten();
    let Some(id) = text(0) else {
        return Ok(Fetched::Nothing(text(1).and_then(|due| due.parse().ok()).unwrap_or(0)));
    };
    let options: Value = text(3).and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    let data = text(2).and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    Ok(Fetched::Job(Job {
        id,
        name: text(1).unwrap_or_default(),
        data,
        attempts: options["attempts"].as_u64().unwrap_or(ATTEMPTS),
        backoff_ms: options["backoff"]["delay"].as_u64().unwrap_or(BACKOFF_MS),
        token: token.to_owned(),
    }))
}
