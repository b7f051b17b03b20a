//! How many jobs a queue holds per state, as BullMQ's `getJobCounts` answers.

use redis::aio::ConnectionLike;

use super::Keys;

/// Jobs per state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the states of a BullMQ job")]
pub struct Counts {
    pub active: u64,
    pub completed: u64,
    pub delayed: u64,
    pub failed: u64,
    pub paused: u64,
    pub prioritized: u64,
    pub waiting: u64,
    pub waiting_children: u64,
}

/// Counts one queue in one round trip.
///
/// # Errors
/// When Redis cannot be reached.
pub async fn counts(
    connection: &mut (impl ConnectionLike + Send),
    queue: &str,
) -> Result<Counts, redis::RedisError> {
    let keys = Keys::new(queue);
    let mut pipe = redis::pipe();
    for list in ["active", "wait", "paused"] {
        pipe.llen(keys.part(list));
    }
    for set in ["completed", "delayed", "failed", "prioritized", "waiting-children"] {
        pipe.zcard(keys.part(set));
    }
    let [active, waiting, paused, completed, delayed, failed, prioritized, waiting_children]: [u64; 8] =
        pipe.query_async(connection).await?;
    Ok(Counts { active, completed, delayed, failed, paused, prioritized, waiting, waiting_children })
}
