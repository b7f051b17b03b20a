//! The way from a source to the channel: one place per source, where the newest answer replaces the one before.
//!
//! One rule: a slow reader costs a source nothing, and gets the newest answer when it is ready.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};

use crate::cockpit::msg::Msg;

/// One source's place.
#[derive(Debug, Default)]
pub struct Slot {
    newest: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    deaths: Vec<Msg>,
    answer: Option<Msg>,
}

impl Slot {
    /// Puts an answer in the place of the one before.
    pub fn put(&self, msg: Msg) {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).answer = Some(msg);
        self.filled.notify_one();
    }

    /// Notes a panic; these are few, and none replaces another.
    pub fn died(&self, msg: Msg) {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).deaths.push(msg);
        self.filled.notify_one();
    }

    fn take(&self) -> Option<Msg> {
        let mut waiting = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.deaths.is_empty() { waiting.answer.take() } else { Some(waiting.deaths.remove(0)) }
    }

    /// Hands over for as long as somebody reads.
    pub async fn deliver(&self, to: mpsc::Sender<Msg>) {
        loop {
            self.filled.notified().await;
            // Room first, then the newest: what waited for room may have been replaced meanwhile.
            while let Ok(permit) = to.reserve().await {
                match self.take() {
                    Some(msg) => permit.send(msg),
                    None => break,
                }
            }
            if to.is_closed() {
                return;
            }
        }
    }
}
