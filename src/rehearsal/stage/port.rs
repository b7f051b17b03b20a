//! Free loopback ports.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, TcpListener},
    sync::{LazyLock, Mutex, PoisonError},
};

use super::StageError;

static HANDED_OUT: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A TCP port on 127.0.0.1 that nothing listens on, never the same twice in one process.
pub fn free_port() -> Result<u16, StageError> {
    let mut handed_out = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    // The kernel may offer a port again that was handed out and is not yet in use.
    let mut tried = Vec::new();
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(StageError::Port)?;
        let port = listener.local_addr().map_err(StageError::Port)?.port();
        if handed_out.insert(port) {
            return Ok(port);
        }
        tried.push(listener);
    }
}
