//! Signals as messages: the end (TERM, HUP, INT from outside), the stop (TSTP) and the return (CONT).

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// End in order.
    Terminate,
    /// Hand the terminal back and stop.
    Stop,
    /// Running again: the screen may be somebody else's.
    Continue,
}

/// The signals we listen to.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    hup: Signal,
    int: Signal,
    tstp: Signal,
    cont: Signal,
}

impl Signals {
    /// Starts to listen; the default actions no longer happen.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            hup: signal(SignalKind::hangup())?,
            int: signal(SignalKind::interrupt())?,
            tstp: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            cont: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    /// The next request.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.term.recv() => Asked::Terminate,
            _ = self.hup.recv() => Asked::Terminate,
            _ = self.int.recv() => Asked::Terminate,
            _ = self.tstp.recv() => Asked::Stop,
            _ = self.cont.recv() => Asked::Continue,
        }
    }
}
