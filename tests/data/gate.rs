//! A gate before PostgreSQL and ClickHouse that stops the program at one of its messages.
//!
//! One rule: everything passes as it is, up to the message that is waited for; from there on nothing does.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::rehearsal::Rehearsal;
use crate::common::sitting::altered;

/// Where a message is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Before the server has it.
    Before,
    /// After the server has answered, and before the program hears it.
    After,
}

/// Bytes of one message at most; longer ones are several.
const CHUNK: usize = 16_384;

struct State {
    seen: AtomicU32,
    at: AtomicU32,
    after: AtomicBool,
    reached: Mutex<Sender<()>>,
}

/// Both gates.
pub struct Gate {
    /// A configuration that goes through them.
    pub config: PathBuf,
    state: Arc<State>,
    reached: Receiver<()>,
    _dir: tempfile::TempDir,
}

impl Gate {
    /// Stands before the databases of a rehearsal.
    pub fn before(rehearsal: &Rehearsal) -> Self {
        let (send, reached) = channel();
        let state = Arc::new(State {
            seen: AtomicU32::new(0),
            at: AtomicU32::new(0),
            after: AtomicBool::new(false),
            reached: Mutex::new(send),
        });
        let doors: Vec<(String, String)> = ["postgres_url", "clickhouse_url"]
            .map(|url| {
                let server =
                    rehearsal.field(url).split(['@', '/']).find(|part| part.starts_with("127.0.0.1:"));
                let server = server.unwrap().to_owned();
                (server.clone(), serve(server, Arc::clone(&state)))
            })
            .into();
        let changes: Vec<(&str, &str)> = doors.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let (dir, config) = altered(rehearsal, &changes);
        Self { config, state, reached, _dir: dir }
    }

    /// Sets where the next program stops: at its `nth` message, from 1.
    pub fn set(&self, nth: u32, stop: Stop) {
        while self.reached.try_recv().is_ok() {}
        self.state.after.store(stop == Stop::After, Ordering::SeqCst);
        self.state.seen.store(0, Ordering::SeqCst);
        self.state.at.store(nth, Ordering::SeqCst);
    }

    /// How many messages came since.
    pub fn seen(&self) -> u32 {
        self.state.seen.load(Ordering::SeqCst)
    }

    /// Waits until the program stands there, or has ended before; whether it stands there.
    pub fn wait(&self, child: &mut Child) -> bool {
        loop {
            if self.reached.recv_timeout(Duration::from_millis(10)).is_ok() {
                return true;
            }
            if let Some(status) = child.try_wait().unwrap() {
                let late = self.reached.try_recv().is_ok();
                assert!(late || status.success(), "it ended with {status} without being stopped");
                return late;
            }
        }
    }
}

/// Lets connections through to a server; gives the address to come to.
fn serve(server: String, state: Arc<State>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(behind) = TcpStream::connect(&server) else { continue };
            let held = Arc::new(AtomicBool::new(false));
            let (client_too, behind_too) = (client.try_clone().unwrap(), behind.try_clone().unwrap());
            let (up, down) = ((Arc::clone(&state), Arc::clone(&held)), (Arc::clone(&state), held));
            std::thread::spawn(move || carry(client, behind, |to, chunk| up.0.sent(&up.1, to, chunk)));
            std::thread::spawn(move || {
                carry(behind_too, client_too, |to, chunk| down.0.heard(&down.1, to, chunk));
            });
        }
    });
    address
}

/// Carries chunks until one side ends; `pass` says whether there is more to pass, the rest is thrown away.
fn carry(mut from: TcpStream, mut to: TcpStream, pass: impl Fn(&mut TcpStream, &[u8]) -> bool) {
    let (mut chunk, mut open) = ([0; CHUNK], true);
    while let Ok(n @ 1..) = from.read(&mut chunk) {
        open = open && pass(&mut to, &chunk[..n]);
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

impl State {
    fn sent(&self, held: &AtomicBool, to: &mut TcpStream, chunk: &[u8]) -> bool {
        let number = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        if number == self.at.load(Ordering::SeqCst) {
            if !self.after.load(Ordering::SeqCst) {
                self.say();
                return false;
            }
            held.store(true, Ordering::SeqCst);
        }
        to.write_all(chunk).is_ok()
    }

    fn heard(&self, held: &AtomicBool, to: &mut TcpStream, chunk: &[u8]) -> bool {
        if held.load(Ordering::SeqCst) {
            self.say();
            return false;
        }
        to.write_all(chunk).is_ok()
    }

    fn say(&self) {
        let _ = self.reached.lock().unwrap().send(());
    }
}
