//! Servers for tests: private ones on free ports, gone when dropped.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::rehearsal::langfuse::LangfuseError;
use crate::rehearsal::langfuse::settings::Secret;
use crate::rehearsal::langfuse::stores::redis::Redis;

/// A port nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A private redis-server.
pub(crate) struct RedisServer {
    child: Child,
    _folder: tempfile::TempDir,
    pub(crate) url: String,
}

impl RedisServer {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--maxmemory-policy", "noeviction", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, _folder: folder, url: format!("redis://127.0.0.1:{port}") };
        for _ in 0..100 {
            if server.open().ping().await {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("redis-server on port {port} does not answer");
    }

    pub(crate) fn open(&self) -> Redis {
        let opened: Result<Redis, LangfuseError> = Redis::open(&Secret::new(&self.url));
        opened.unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
