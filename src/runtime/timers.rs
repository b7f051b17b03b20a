//! Moments the model asked to be woken at.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::domain::Mono;

/// The screen's own clock: ages roll over on it.
const SECOND: Duration = Duration::from_secs(1);

/// Wake-ups, earliest first.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<Mono>>,
    second: Mono,
}

impl Timers {
    /// Asks for a wake-up.
    pub fn add(&mut self, at: Mono) {
        self.heap.push(Reverse(at));
    }

    /// When to wake up next: the earliest wish, at the latest the next second.
    pub fn next(&self) -> Mono {
        let second = self.second.after(SECOND);
        self.heap.peek().map_or(second, |Reverse(at)| (*at).min(second))
    }

    /// Takes out what is due.
    pub fn pop(&mut self, now: Mono) {
        while self.heap.peek().is_some_and(|Reverse(at)| *at <= now) {
            self.heap.pop();
        }
        if now >= self.second.after(SECOND) {
            self.second = now;
        }
    }
}
