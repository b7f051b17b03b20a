//! Redis (or Valkey): the real server, `noeviction` as BullMQ requires, its log kept so that a restart keeps jobs.

use std::{path::PathBuf, time::Duration};

use redis::{Client, aio::MultiplexedConnection};

use super::{Server, Service, StoreError, password, write_private};
use crate::rehearsal::stage::{Program, Stage, StageError, find_program, free_port};

/// Redis as a service.
pub type Redis = Service<RedisServer>;

/// Memory it may take before it refuses writes; `redis-full` lowers it.
pub const MAX_MEMORY: u64 = 256 << 20;

/// One data directory on one port.
pub struct RedisServer {
    program: PathBuf,
    config: PathBuf,
    port: u16,
    password: String,
}

impl RedisServer {
    /// `redis://default:password@127.0.0.1:port`: redis-cli up to 7.0 takes no empty user.
    pub fn url(&self) -> String {
        format!("redis://default:{}@127.0.0.1:{}", self.password, self.port)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, redis::RedisError> {
        Client::open(self.url())?.get_multiplexed_async_connection().await
    }
}

impl Server for RedisServer {
    fn program(&self) -> Program {
        Program::new("redis", &self.program, [&self.config])
    }

    async fn probe(&self) -> Result<(), String> {
        let mut connection = self.connect().await.map_err(|refusal| refusal.to_string())?;
        redis::cmd("PING").exec_async(&mut connection).await.map_err(|refusal| refusal.to_string())
    }
}

impl Redis {
    /// `CONFIG SET maxmemory`, in bytes: below what is in use, every write is refused with OOM.
    pub async fn set_maxmemory(&self, bytes: u64) -> Result<(), StoreError> {
        let failed = |source| StoreError::Redis { doing: "CONFIG SET maxmemory", source };
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("maxmemory").arg(bytes);
        let work = async { command.exec_async(&mut self.server().connect().await?).await };
        let answer = tokio::time::timeout(Duration::from_secs(5), work).await;
        answer.unwrap_or_else(|_| Err(timed_out())).map_err(failed)
    }
}

fn timed_out() -> redis::RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

pub(super) async fn start(stage: &Stage) -> Result<Redis, StoreError> {
    let room = stage.room("redis")?;
    let program = find_program(&["redis-server", "valkey-server"], &[]).ok_or(StageError::Missing {
        program: "redis-server or valkey-server",
        place: "on PATH",
        remedy: "install Redis 7 or Valkey (apt-get install redis-server)",
    })?;
    let server =
        RedisServer { program, config: room.join("redis.conf"), port: free_port()?, password: password() };
    let lines = [
        "bind 127.0.0.1".to_owned(),
        format!("port {}", server.port),
        format!("requirepass {}", server.password),
        format!("dir \"{}\"", room.display()),
        format!("maxmemory {MAX_MEMORY}"),
        "maxmemory-policy noeviction".to_owned(),
        "save \"\"".to_owned(),
        "appendonly yes".to_owned(),
        "appendfsync no".to_owned(),
        "daemonize no".to_owned(),
    ];
    write_private(&server.config, &lines.join("\n"))?;
    Service::begin(server, stage.starter()?).await
}
