//! Stand-ins of Langfuse v2.95.12 and v3.29.0: the same doors, the same stores behind them, the same ways to fail.
//!
//! One rule: a process here is told what it is by [`Kind`] and configured by Langfuse's own environment
//! variables and nothing else, so that editing a Deployment's `env` really reconfigures it. It keeps no state
//! that a restart would not lose, and it knows nothing of Kubernetes: whoever plays the kubelet calls
//! [`start`], [`Process::stop`] (SIGTERM) and [`Process::kill`] (SIGKILL).
//!
//! | folder | holds |
//! |---|---|
//! | `stores` | thin clients of PostgreSQL, ClickHouse, Redis and S3, built from the environment |
//! | `bullmq` | the job queues in BullMQ 5's key layout |
//! | `events` | the ingestion events: validation, order, grouping |
//! | `otel` | OTLP traces (protobuf and JSON) turned into ingestion events |
//! | `serving` | what v2 and v3 web share: listener, authentication, health, answers |
//! | `v2`, `web`, `worker` | the three processes |
//! | `backfill` | the background migrations PostgreSQL -> ClickHouse with the real protocol |

mod backfill;
mod bullmq;
mod error;
mod events;
mod faults;
mod js;
mod otel;
mod pod;
mod process;
mod serving;
mod settings;
mod stores;
#[cfg(test)]
mod tests;
mod v2;
mod web;
mod worker;

pub use bullmq::{Counts, counts as queue_counts};
pub use error::LangfuseError;
pub use faults::Faults;
pub use pod::Pod;
pub use process::{Exit, Process};

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

/// Which Langfuse container a process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `langfuse/langfuse:2.95.12`: one container, PostgreSQL only.
    V2Web,
    /// `langfuse/langfuse:3.29.0`: accepts events, stores them in S3 and queues them.
    V3Web,
    /// `langfuse/langfuse-worker:3.29.0`: works the queues and runs the background migrations.
    V3Worker,
}

impl Kind {
    /// The version the health page names, without a leading `v`.
    pub fn version(self) -> &'static str {
        match self {
            Self::V2Web => "2.95.12",
            Self::V3Web | Self::V3Worker => "3.29.0",
        }
    }
}

/// Starts one Langfuse process on loopback.
///
/// `PORT` is honoured when set and not `0`; otherwise a free port is taken, because the pods of a rehearsal
/// share one address. The port is bound when this returns, but v3 web answers only after its migrations.
///
/// # Errors
/// [`LangfuseError::Environment`] names the missing or malformed variables, as the real process does before it
/// exits with code 1; [`LangfuseError::Bind`] when the port is taken.
pub async fn start(kind: Kind, env: BTreeMap<String, String>, pod: Pod) -> Result<Process, LangfuseError> {
    // Another room may have installed it already: any provider will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = match settings::Settings::read(kind, &env) {
        Ok(settings) => settings,
        Err(error) => {
            pod.log().error(&format!("❌ Invalid environment variables: {error}"));
            return Err(error);
        }
    };
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port));
    let listener =
        TcpListener::bind(wanted).await.map_err(|source| LangfuseError::Bind { addr: wanted, source })?;
    Process::spawn(kind, settings, &pod, listener)
}
