//! What every Pod and controller of the rehearsal shares.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kube::Client;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::events::Recorder;
use super::names::Names;
use crate::rehearsal::langfuse::{Faults, Kind};

/// Takes a log line: Pod, container, line.
pub type LogSink = Arc<dyn Fn(&str, &str, &str) + Send + Sync>;

/// The faults of each kind of process; all Pods of a kind share them, also across restarts.
#[derive(Debug, Clone, Default)]
pub struct PodFaults {
    /// Langfuse v2.
    pub v2: Faults,
    /// Langfuse v3 web.
    pub web: Faults,
    /// Langfuse v3 worker.
    pub worker: Faults,
}

impl PodFaults {
    /// The faults of one kind.
    pub fn of(&self, kind: Kind) -> &Faults {
        match kind {
            Kind::V2Web => &self.v2,
            Kind::V3Web => &self.web,
            Kind::V3Worker => &self.worker,
        }
    }
}

/// Shared by controllers and kubelet.
pub(super) struct World {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) names: Names,
    pub(super) log: LogSink,
    pub(super) faults: PodFaults,
    pub(super) recorder: Recorder,
    /// Something changed that controllers must look at.
    pub(super) changed: Arc<Notify>,
    pub(super) tasks: TaskTracker,
    /// The end of the rehearsal: processes die where they are.
    pub(super) cancel: CancellationToken,
    pub(super) addresses: AtomicU32,
    /// Where the ready Pods of v3 web listen.
    pub(super) web: watch::Sender<Vec<SocketAddr>>,
}

impl World {
    /// The next address of the Pod network.
    pub(super) fn next_ip(&self) -> String {
        let number = self.addresses.fetch_add(1, Ordering::Relaxed) + 10;
        format!("10.244.{}.{}", number / 250 % 250, number % 250 + 2)
    }
}
