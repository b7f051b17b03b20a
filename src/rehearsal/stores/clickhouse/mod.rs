//! ClickHouse: a `clickhouse` binary where there is one, else the engine as a Python package (chdb) behind an
//! HTTP front of ours. Both are the real engine, and no client can tell the difference by how it must speak.

mod binary;
mod chdb;
mod python;
mod schema;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, time::Duration};

pub use schema::clickhouse_schema;

use super::{Server, Service, StoreError, password};
use crate::rehearsal::stage::{Program, Stage, StageError, Stop, free_port};

/// ClickHouse as a service.
pub type ClickHouse = Service<ClickHouseServer>;

/// Langfuse's user (`CLICKHOUSE_USER`).
pub const USER: &str = "langfuse";
/// A user that may read and set settings, and not write (`readonly=2`).
pub const READER: &str = "reader";
/// `CLICKHOUSE_DB`.
pub const DATABASE: &str = "default";

/// Settings of Langfuse's user.
///
/// Langfuse sends `DateTime64(3)` values as epoch milliseconds in JSON. ClickHouse 26.8 began to read a bare
/// integer there as *seconds*: measured on 26.9, `1730000000123` becomes 9999-12-31 23:59:59. With this setting
/// it is 2024-10-27 03:33:20.123 again; strings and ISO times are read as before. `compatibility = '26.7'` does
/// the same, together with everything else that changed since, so the one named setting is used.
const PROFILE: &[(&str, &str)] = &[("input_format_read_datetime_number_as_raw_value", "1")];

/// Memory the engine may use, in bytes: the whole rehearsal has 1.5 GiB.
const MAX_MEMORY: u64 = 700 << 20;

/// One data directory on one port.
pub struct ClickHouseServer {
    engine: Engine,
    port: u16,
    password: String,
    reader_password: String,
    http: reqwest::Client,
}

enum Engine {
    Binary { program: PathBuf, config: PathBuf },
    Chdb { python: PathBuf, front: PathBuf, config: PathBuf },
}

impl ClickHouseServer {
    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The password of [`USER`].
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The password of [`READER`].
    pub fn reader_password(&self) -> &str {
        &self.reader_password
    }
}

impl Server for ClickHouseServer {
    fn program(&self) -> Program {
        match &self.engine {
            Engine::Binary { program, config } => {
                let config = format!("--config-file={}", config.display());
                Program::new("clickhouse", program, ["server", &config]).env("TZ", "UTC")
            }
            Engine::Chdb { python, front, config } => {
                // -E and -s: nothing of the user's own Python gets in.
                let args = ["-E".as_ref(), "-s".as_ref(), front.as_os_str(), config.as_os_str()];
                Program::new("clickhouse", python, args).env("TZ", "UTC").stop_by(Stop::Stdin)
            }
        }
    }

    async fn probe(&self) -> Result<(), String> {
        let request = self
            .http
            .post(self.url())
            .header("X-ClickHouse-User", USER)
            .header("X-ClickHouse-Key", &self.password)
            .body("SELECT 1");
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        answer.map(|_| ()).map_err(|refusal| refusal.to_string())
    }
}

pub(super) async fn start(stage: &Stage, progress: &(dyn Fn(&str) + Sync)) -> Result<ClickHouse, StoreError> {
    let room = stage.room("clickhouse")?;
    let (port, words, reader_words) = (free_port()?, password(), password());
    let engine = match binary::find() {
        Some(program) => {
            Engine::Binary { program, config: binary::configure(&room, port, &words, &reader_words)? }
        }
        None => chdb::set_up(stage, &room, port, [(USER, &words), (READER, &reader_words)], progress).await?,
    };
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()
        .map_err(|why| StageError::Path { path: room.clone(), source: std::io::Error::other(why) })?;
    let server = ClickHouseServer { engine, port, password: words, reader_password: reader_words, http };
    Service::begin(server, stage.starter()?).await
}
