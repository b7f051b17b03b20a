//! Langfuse v2 as it runs before the migration: one Docker container with `restart: always`, outside the cluster.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::langfuse::{self, Faults, Kind, LangfuseError, Pod};
use super::workloads::LogSink;

/// Name of the container.
pub(super) const NAME: &str = "langfuse-v2";
/// Docker waits 100 ms before the first restart.
const RESTART: Duration = Duration::from_millis(100);

/// Starts the container and keeps it running on the same port until `cancel`.
pub(super) async fn start(
    mut env: BTreeMap<String, String>,
    log: LogSink,
    faults: Faults,
    tasks: &TaskTracker,
    cancel: CancellationToken,
) -> Result<SocketAddr, LangfuseError> {
    let pod = move || {
        let log = Arc::clone(&log);
        Pod::new(NAME, move |line| log(NAME, NAME, line), faults.clone())
    };
    let mut process = langfuse::start(Kind::V2Web, env.clone(), pod()).await?;
    let address = process.addr();
    env.insert("PORT".into(), address.port().to_string());
    tasks.spawn(async move {
        loop {
            tokio::select! {
                _ = process.wait() => {}
                () = cancel.cancelled() => {
                    process.kill();
                    return;
                }
            }
            loop {
                if cancel.run_until_cancelled(tokio::time::sleep(RESTART)).await.is_none() {
                    return;
                }
                match langfuse::start(Kind::V2Web, env.clone(), pod()).await {
                    Ok(started) => {
                        process = started;
                        break;
                    }
                    Err(error) => tracing::debug!("{NAME}: {error}"),
                }
            }
        }
    });
    Ok(address)
}
