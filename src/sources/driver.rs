//! The one driver: cadence, deadline, back-off with full jitter, poll-now, pause, and a new start after a panic.
//!
//! One rule: this is the only place of the room that starts tasks.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::slot::Slot;
use super::{Make, Source};
use crate::clients::failure::transport_remedy;
use crate::cockpit::msg::Msg;
use crate::domain::text::clean;
use crate::domain::units::span;
use crate::domain::{Fact, Kind, SourceId, Trouble};

/// Readings that a watch asks for come no faster than this.
const CALM: Duration = Duration::from_millis(250);
/// Longest wait between two tries.
const CAP: Duration = Duration::from_secs(30);

/// What steers one driven source.
#[derive(Debug, Clone)]
pub struct Steering {
    /// Asks for a reading now.
    pub trigger: Arc<Notify>,
    /// While true, nothing is asked.
    pub paused: watch::Receiver<bool>,
}

/// Starts a source's two tasks: one reads, one hands over.
pub fn start(tasks: &mut JoinSet<()>, id: SourceId, make: Make, to: mpsc::Sender<Msg>, steering: Steering) {
    let slot = Arc::new(Slot::default());
    let handing = Arc::clone(&slot);
    tasks.spawn(async move { handing.deliver(to).await });
    tasks.spawn(async move { drive(id, make, &slot, steering).await });
}

async fn drive(id: SourceId, make: Make, slot: &Slot, mut steering: Steering) {
    let mut source = make();
    let mut failures = 0_u32;
    loop {
        if steering.paused.wait_for(|paused| !paused).await.is_err() {
            return;
        }
        let begun = Instant::now();
        let wait = match AssertUnwindSafe(read(id, source.as_mut())).catch_unwind().await {
            Ok(answer) => {
                let wait = pause_after(id, &answer, &mut failures, begun.elapsed());
                slot.put(Msg::Fact(id, Box::new(answer)));
                wait
            }
            Err(panic) => {
                slot.died(Msg::TaskDied { task: id.name().into(), cause: cause(panic.as_ref()) });
                source = make();
                failures = failures.saturating_add(1);
                Some(back_off(id, failures))
            }
        };
        if AssertUnwindSafe(rest(source.as_mut(), wait, failures, &steering.trigger))
            .catch_unwind()
            .await
            .is_err()
        {
            source = make();
        }
    }
}

/// One reading within the deadline: less than two cadences, so that a slow source is late and never stuck.
async fn read(id: SourceId, source: &mut dyn Source) -> Result<Fact, Trouble> {
    let limit = id.cadence().0 * 19 / 10;
    tokio::time::timeout(limit, source.poll()).await.unwrap_or_else(|_| {
        Err(Trouble::new(Kind::Timeout, id.name(), format!("no answer in {}", span(limit)))
            .remedy(transport_remedy(Kind::Timeout)))
    })
}

/// Waits for the next turn; with nothing configured, until somebody asks.
async fn rest(source: &mut dyn Source, wait: Option<Duration>, failures: u32, trigger: &Notify) {
    let due = async {
        match wait {
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
    };
    let news = async {
        // After a failure the back-off alone decides: a watch that fails fast must not drive it.
        if failures > 0 || wait.is_none() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(CALM).await;
        source.changed().await;
    };
    tokio::select! {
        () = due => {}
        () = trigger.notified() => {}
        () = news => {}
    }
}

fn pause_after(
    id: SourceId,
    answer: &Result<Fact, Trouble>,
    failures: &mut u32,
    took: Duration,
) -> Option<Duration> {
    match answer {
        Ok(_) => {
            *failures = 0;
            Some(id.cadence().0.saturating_sub(took).max(Duration::from_millis(50)))
        }
        Err(trouble) if trouble.kind == Kind::NotConfigured => None,
        Err(trouble) => {
            *failures = failures.saturating_add(1);
            let told = if let Kind::Throttled(Some(wait)) = trouble.kind {
                wait.min(CAP * 2)
            } else {
                Duration::ZERO
            };
            // A server that is away is asked as often as one that is there, so that it is seen within two cadences
            // when it is back; one that refuses is asked less and less.
            let again = if is_away(trouble.kind) { back_off(id, 0) } else { back_off(id, *failures) };
            Some(again.max(told))
        }
    }
}

/// Nobody is there, or nobody who is able to answer.
const fn is_away(kind: Kind) -> bool {
    matches!(kind, Kind::Timeout | Kind::Unreachable | Kind::Unexpected)
}

/// Full jitter between a quarter of the cadence and an end that doubles with each failure, up to `CAP`.
pub fn back_off(id: SourceId, failures: u32) -> Duration {
    let cadence = id.cadence().0;
    let end = (cadence * 2_u32.saturating_pow(failures.min(8))).min(CAP).max(cadence);
    let share = f64::from(random()) / f64::from(u32::MAX);
    (cadence / 4).max(end.mul_f64(share))
}

/// Random enough to keep sources apart.
fn random() -> u32 {
    uuid::Uuid::new_v4().as_fields().0
}

fn cause(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    clean(text.unwrap_or("panic"))
}
