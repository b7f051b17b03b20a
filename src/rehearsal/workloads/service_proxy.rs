//! A stable loopback address in front of one Service: what a `ClusterIP` is in a cluster.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Listens on a free loopback port and passes connections on to the addresses in turn; with none of them, a
/// connection is closed at once.
pub(super) async fn expose(
    addresses: watch::Receiver<Vec<SocketAddr>>,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (tracker, cancel) = (tasks.clone(), cancel.clone());
    tasks.spawn(async move {
        let turn = AtomicUsize::new(0);
        while let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await {
            let Ok((mut client, _)) = accepted else {
                // Out of descriptors, most likely: give others time to close theirs.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let target = {
                let known = addresses.borrow();
                known.get(turn.fetch_add(1, Ordering::Relaxed) % known.len().max(1)).copied()
            };
            let Some(target) = target else { continue };
            let cancel = cancel.clone();
            tracker.spawn(async move {
                let pass = async {
                    let mut server = TcpStream::connect(target).await?;
                    copy_bidirectional(&mut client, &mut server).await
                };
                cancel.run_until_cancelled(pass).await
            });
        }
    });
    Ok(address)
}
