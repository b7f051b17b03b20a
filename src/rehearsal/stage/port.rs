//! Free loopback ports.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, TcpListener},
    sync::{LazyLock, Mutex, PoisonError},
};

use super::StageError;

static HANDED_OUT: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
/// Below the kernel's usual range for outgoing connections (32768..60999): a port from that range can be taken
/// by any connection between now and the moment the server listens, or while a killed store is down.
const QUIET: std::ops::Range<u16> = 15_000..32_000;
const ATTEMPTS: u32 = 200;

/// A TCP port on 127.0.0.1 that nothing listens on, never the same twice in one process.
pub fn free_port() -> Result<u16, StageError> {
    let mut handed_out = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut last = std::io::ErrorKind::AddrInUse.into();
    for _ in 0..ATTEMPTS {
        let random = uuid::Uuid::new_v4().as_u128() as u16;
        let port = QUIET.start + random % (QUIET.end - QUIET.start);
        if handed_out.contains(&port) {
            continue;
        }
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => {
                handed_out.insert(port);
                return Ok(port);
            }
            Err(refusal) => last = refusal,
        }
    }
    Err(StageError::Port(last))
}
