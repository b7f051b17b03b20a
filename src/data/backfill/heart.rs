//! The heartbeat of a held lock.
//!
//! One rule: when a beat hits no row, the copy stops at that moment. When a beat cannot be sent, the row says later
//! whether the lock was still ours: nobody else's beat can match our name.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::line::Line;
use crate::clients::failure::within;
use crate::data::lock::{BEAT, Held};

/// How soon a beat that failed is tried again.
const SOON: std::time::Duration = std::time::Duration::from_secs(2);

/// Beats until `ended`; cancels `lost` when the lock is.
pub(super) async fn beat(held: Arc<Held>, mut line: Line, lost: CancellationToken, ended: CancellationToken) {
    let mut pause = BEAT;
    loop {
        if ended.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        let work = line.work.clone();
        // A server that is there and silent must not take the next beats with it.
        let answer = within(BEAT, &work.object, "heartbeat", async {
            let session = line.get().await?;
            held.beat(&work, session).await
        })
        .await;
        match answer {
            Ok(true) => pause = BEAT,
            Ok(false) => {
                lost.cancel();
                return;
            }
            Err(trouble) => {
                tracing::warn!(target: "backfill", "a heartbeat was not sent: {trouble}");
                line.drop_session();
                pause = SOON;
            }
        }
    }
}
