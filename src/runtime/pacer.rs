//! When to draw: at once after a key, gathered after data, never when nothing changed.

use std::time::Duration;

use crate::domain::Mono;

/// Two frames after keys are at least this far apart.
const AFTER_KEY: Duration = Duration::from_millis(16);
/// Two frames after data are, at least: what comes together is shown together.
const AFTER_DATA: Duration = Duration::from_millis(40);
/// What a frame after data costs. A stream of data is shown this often: nobody reads numbers faster.
const PRICE: Duration = Duration::from_millis(500);
/// So many frames after data may come at once, then their price has to pass: the first answers of a start are seen
/// when they are there.
const BURST: u32 = 6;

/// Decides when the next frame is due.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pacer {
    last: Option<Mono>,
    due: Option<Mono>,
    /// Whether the frame that is due is there for data alone.
    data: bool,
    /// When every frame after data so far is paid for.
    paid: Mono,
}

impl Pacer {
    /// A key changed something: show it as soon as the eye can tell.
    pub fn key(&mut self, now: Mono) {
        self.data = false;
        self.want(self.after(AFTER_KEY, now));
    }

    /// What was asked for has happened, or has not: nothing to gather, show it now.
    pub fn answer(&mut self, now: Mono) {
        self.data = false;
        self.want(now);
    }

    /// Data arrived: gather what comes with it.
    pub fn data(&mut self, now: Mono) {
        self.data = self.due.is_none() || self.data;
        let credit = Mono(self.paid.0.saturating_sub(PRICE * (BURST - 1)));
        self.want(self.after(AFTER_DATA, now).max(credit));
    }

    fn after(&self, apart: Duration, now: Mono) -> Mono {
        self.last.map_or(now, |last| last.after(apart).max(now))
    }

    fn want(&mut self, at: Mono) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When a frame is due; `None` when nothing changed.
    pub const fn due(&self) -> Option<Mono> {
        self.due
    }

    /// A frame was drawn.
    pub fn drawn(&mut self, now: Mono) {
        if self.due.is_some() && self.data {
            self.paid = self.paid.max(now).after(PRICE);
        }
        self.last = Some(now);
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_overtake_data_and_nothing_means_no_frame() {
        let mut pacer = Pacer::default();
        assert_eq!(pacer.due(), None);
        pacer.data(Mono::from_millis(1_000));
        assert_eq!(pacer.due(), Some(Mono::from_millis(1_000)), "the first is at once");
        pacer.drawn(Mono::from_millis(1_000));
        pacer.data(Mono::from_millis(1_010));
        assert_eq!(pacer.due(), Some(Mono::from_millis(1_040)), "and what follows it soon");
        pacer.key(Mono::from_millis(1_020));
        assert_eq!(pacer.due(), Some(Mono::from_millis(1_020)));
        pacer.drawn(Mono::from_millis(1_020));
        assert_eq!(pacer.due(), None);
    }

    #[test]
    fn a_burst_is_shown_at_once_and_a_stream_twice_a_second() {
        let mut pacer = Pacer::default();
        let mut drawn = vec![];
        for ms in (0..10_000).step_by(5) {
            let now = Mono::from_millis(ms);
            pacer.data(now);
            if pacer.due().is_some_and(|at| at <= now) {
                pacer.drawn(now);
                drawn.push(ms);
            }
        }
        assert_eq!(drawn[..6], [0, 40, 80, 120, 160, 200]);
        assert!(drawn[6..].windows(2).all(|w| w[1] - w[0] == 500), "{drawn:?}");
        pacer.drawn(Mono::from_millis(10_000));
        // A quiet while earns the burst back.
        let later = Mono::from_millis(20_000);
        pacer.data(later);
        assert_eq!(pacer.due(), Some(later));
    }
}
