//! Signals as messages: the end (TERM, HUP, INT from outside), the stop (TSTP) and the return (CONT).

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

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

    /// Waits until the program is asked to end: for verbs without a screen, which have no terminal to hand back.
    pub async fn end(&mut self) {
        while self.next().await != Asked::Terminate {}
    }
}

/// Cancels `stop` when the program is asked to end, so that what is at work can end in order.
pub fn cancelled_at_the_end(stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Ok(mut signals) = Signals::listen() else { return };
        signals.end().await;
        stop.cancel();
    })
}
