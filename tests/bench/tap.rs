//! A listener between the program and a server that counts what the program asks, each protocol by its own rule.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub enum Protocol {
    /// Requests.
    Http,
    /// Statements: simple queries and executions.
    Postgres,
    /// Commands.
    Redis,
}

/// A listener in front of one server.
pub struct Tap {
    /// Where to connect instead.
    pub address: SocketAddr,
    asked: Arc<AtomicU64>,
}

impl Tap {
    /// Listens, for as long as the bench runs.
    pub fn before(server: &str, protocol: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let (server, counter) = (server.to_owned(), Arc::clone(&asked));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if let Ok(server) = TcpStream::connect(&server) {
                    join(&client, &server, protocol, &counter);
                }
            }
        });
        Self { address, asked }
    }

    /// Requests, statements or commands so far.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn join(client: &TcpStream, server: &TcpStream, protocol: Protocol, counter: &Arc<AtomicU64>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let pipe = |from: &TcpStream, to: &TcpStream, mut seen: Box<dyn FnMut(&[u8]) + Send>| {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut chunk = [0; 65_536];
            while let Ok(n @ 1..) = from.read(&mut chunk) {
                seen(&chunk[..n]);
                if to.write_all(&chunk[..n]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    };
    let counter = Arc::clone(counter);
    let mut rest = Rest { protocol, held: vec![], started: false };
    let count = move |chunk: &[u8]| {
        counter.fetch_add(rest.count(chunk), Ordering::Relaxed);
    };
    pipe(client, server, Box::new(count));
    pipe(server, client, Box::new(|_: &[u8]| {}));
}

/// What was not understood yet of one connection.
struct Rest {
    protocol: Protocol,
    held: Vec<u8>,
    started: bool,
}

impl Rest {
    fn count(&mut self, chunk: &[u8]) -> u64 {
        self.held.extend_from_slice(chunk);
        match self.protocol {
            Protocol::Http => self.http(),
            Protocol::Postgres => self.whole(|rest| rest.postgres()),
            Protocol::Redis => self.whole(|rest| rest.redis()),
        }
    }

    /// Whole messages from the front: their length, and whether they count.
    fn whole(&mut self, message: impl Fn(&mut Self) -> Option<(usize, bool)>) -> u64 {
        let mut asked = 0;
        while let Some((length, counts)) = message(self)
            && length <= self.held.len()
        {
            self.held.drain(..length);
            asked += u64::from(counts);
        }
        asked
    }

    fn http(&mut self) -> u64 {
        const LINE: &[u8] = b" HTTP/1.1\r\n";
        let found = self.held.windows(LINE.len()).filter(|w| *w == LINE).count() as u64;
        let keep = self.held.len().min(LINE.len() - 1);
        self.held.drain(..self.held.len() - keep);
        found
    }

    /// Before the session there are messages without a type: a wish for TLS (which the rehearsal declines), the start.
    fn postgres(&mut self) -> Option<(usize, bool)> {
        let length =
            |from: usize| Some(u32::from_be_bytes(self.held.get(from..from + 4)?.try_into().ok()?) as usize);
        if !self.started {
            let wish = self.held.get(4..8)? == 80_877_103_u32.to_be_bytes();
            let length = length(0)?;
            self.started = !wish && length <= self.held.len();
            return Some((length, false));
        }
        Some((length(1)? + 1, matches!(self.held[0], b'Q' | b'E')))
    }

    /// An array of bulk strings.
    fn redis(&mut self) -> Option<(usize, bool)> {
        let line = |from: usize| {
            let end = from + self.held.get(from..)?.windows(2).position(|w| w == b"\r\n")?;
            let number: usize = std::str::from_utf8(self.held.get(from + 1..end)?).ok()?.parse().ok()?;
            Some((number, end + 2))
        };
        let (parts, mut at) = line(0)?;
        for _ in 0..parts {
            let (length, from) = line(at)?;
            at = from + length + 2;
        }
        Some((at, true))
    }
}
