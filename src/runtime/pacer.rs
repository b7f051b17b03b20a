//! When to draw: at once after a key, gathered after data, never when nothing changed.

use std::time::Duration;

use crate::domain::Mono;

/// Two frames after keys are at least this far apart.
const AFTER_KEY: Duration = Duration::from_millis(16);
/// Two frames after data are.
const AFTER_DATA: Duration = Duration::from_millis(250);

/// Decides when the next frame is due.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pacer {
    last: Option<Mono>,
    due: Option<Mono>,
}

impl Pacer {
    /// A key changed something: show it as soon as the eye can tell.
    pub fn key(&mut self, now: Mono) {
        self.want(now, AFTER_KEY);
    }

    /// Data arrived: gather what comes with it.
    pub fn data(&mut self, now: Mono) {
        self.want(now, AFTER_DATA);
    }

    fn want(&mut self, now: Mono, apart: Duration) {
        let at = self.last.map_or(now, |last| last.after(apart).max(now));
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When a frame is due; `None` when nothing changed.
    pub const fn due(&self) -> Option<Mono> {
        self.due
    }

    /// A frame was drawn.
    pub fn drawn(&mut self, now: Mono) {
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
        assert_eq!(pacer.due(), Some(Mono::from_millis(1_250)));
        pacer.key(Mono::from_millis(1_020));
        assert_eq!(pacer.due(), Some(Mono::from_millis(1_020)));
        pacer.drawn(Mono::from_millis(1_020));
        assert_eq!(pacer.due(), None);
    }
}
