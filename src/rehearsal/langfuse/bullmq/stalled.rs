//! Keeping what is being worked alive, and taking back what a dead worker held.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use redis::Script;
use redis::aio::ConnectionManager;

use super::Keys;
use crate::rehearsal::clock;
use crate::rehearsal::langfuse::LangfuseError;

static EXTEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/extend.lua")));
static STALLED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/stalled.lua")));

/// How often one job may stall before it fails; BullMQ's default.
const STALLS_ALLOWED: u32 = 1;

/// The jobs a worker holds, with their lock tokens.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<Mutex<BTreeMap<String, String>>>);

impl Held {
    pub(super) fn take(&self, id: &str, token: &str) {
        self.lock().insert(id.to_owned(), token.to_owned());
    }

    pub(super) fn release(&self, id: &str) {
        self.lock().remove(id);
    }

    fn all(&self) -> Vec<(String, String)> {
        self.lock().iter().map(|(id, token)| (id.clone(), token.clone())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews every held lock. Failures are left to the next round: a lock lives two rounds.
pub(super) async fn renew(redis: &ConnectionManager, keys: &Keys, held: &Held, lock_for: Duration) {
    let mut redis = redis.clone();
    for (id, token) in held.all() {
        let _: Result<u8, _> = EXTEND
            .key(format!("{}:lock", keys.part(&id)))
            .key(keys.part("stalled"))
            .arg(token)
            .arg(millis(lock_for))
            .arg(&id)
            .invoke_async(&mut redis)
            .await;
    }
}

/// One stalled check; returns how many jobs failed and how many went back to `wait`.
pub(super) async fn check(
    redis: &ConnectionManager,
    keys: &Keys,
    every: Duration,
) -> Result<(usize, usize), LangfuseError> {
    let mut redis = redis.clone();
    let mut call = STALLED.prepare_invoke();
    for part in ["stalled", "wait", "active", "failed", "stalled-check", "meta", "paused", "marker", "events"]
    {
        call.key(keys.part(part));
    }
    call.arg(keys.base()).arg(clock::now_ms()).arg(millis(every)).arg(STALLS_ALLOWED);
    let (failed, recovered): (Vec<String>, Vec<String>) = call.invoke_async(&mut redis).await?;
    Ok((failed.len(), recovered.len()))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
