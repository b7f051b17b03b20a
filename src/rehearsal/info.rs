//! What a running rehearsal tells the outside.

use std::path::PathBuf;

use serde::Serialize;

/// The one line of JSON of `--no-tui`, with exactly these keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Info {
    /// `cutover.toml`, for every other verb's `--config`.
    pub config: PathBuf,
    /// For `kubectl`.
    pub kubeconfig: PathBuf,
    /// Where clients go: the gateway.
    pub public_url: String,
    /// Langfuse v2 by itself.
    pub v2_url: String,
    /// Langfuse v3 web by itself.
    pub v3_url: String,
    /// With user and password.
    pub postgres_url: String,
    /// Without credentials; they are in `cutover.toml`.
    pub clickhouse_url: String,
    /// With the password.
    pub redis_url: String,
    /// Without credentials; they are in `cutover.toml`.
    pub s3_url: String,
    /// The process to send SIGTERM to.
    pub pid: u32,
}
