//! The producing side: adding jobs.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;
use redis::aio::ConnectionManager;
use serde_json::{Value, json};

use super::{ATTEMPTS, BACKOFF_MS, KEEP_FAILED, Keys};
use crate::rehearsal::clock;
use crate::rehearsal::langfuse::LangfuseError;

static ADD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/add.lua")));

/// One queue, to add jobs to.
#[derive(Clone)]
pub(crate) struct Queue {
    keys: Keys,
    redis: ConnectionManager,
}

impl Queue {
    pub(crate) fn new(name: &str, redis: ConnectionManager) -> Self {
        Self { keys: Keys::new(name), redis }
    }

    /// Adds a job that may be worked after `delay`; Langfuse always gives a delay, so every job passes
    /// `delayed`, even with 0. Returns the job's id.
    pub(crate) async fn add(
        &self,
        name: &str,
        data: &Value,
        delay: Duration,
    ) -> Result<String, LangfuseError> {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let options = json!({
            "attempts": ATTEMPTS,
            "backoff": {"delay": BACKOFF_MS, "type": "exponential"},
            "delay": delay_ms,
            "removeOnComplete": true,
            "removeOnFail": KEEP_FAILED,
        });
        let mut redis = self.redis.clone();
        let id = ADD
            .key(self.keys.part("marker"))
            .key(self.keys.part("meta"))
            .key(self.keys.part("id"))
            .key(self.keys.part("delayed"))
            .key(self.keys.part("events"))
            .arg(self.keys.base())
            .arg(name)
            .arg(data.to_string())
            .arg(options.to_string())
            .arg(clock::now_ms())
            .arg(delay_ms)
            .invoke_async(&mut redis)
            .await?;
        Ok(id)
    }
}

static RETRY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/retry.lua")));

/// Puts every job of a queue that has failed by now back to where jobs wait; returns how many. What fails again
/// meanwhile stays: a retried job has no attempt left, and would go round for as long as its reason lasts.
pub(crate) async fn retry_failed(
    redis: &mut ConnectionManager,
    keys: &Keys,
) -> Result<u64, redis::RedisError> {
    let (mut all, until) = (0, clock::now_ms());
    loop {
        let mut call = RETRY.prepare_invoke();
        for part in ["failed", "wait", "marker", "events", "meta", "paused"] {
            call.key(keys.part(part));
        }
        let moved: u64 = call.arg(keys.base()).arg(until).invoke_async(redis).await?;
        all += moved;
        if moved == 0 {
            return Ok(all);
        }
    }
}
