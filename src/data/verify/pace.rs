//! How hard the servers are asked: a share of the time, and less when they answer slowly.
//!
//! One rule: the pause is as long as the work was, times what the share leaves; a server that answers more slowly than
//! at its best gets a longer one.

use std::time::Duration;

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// Slower than this times its best, plus a little, a server is busy.
const SLOW: u32 = 2;
const LITTLE: Duration = Duration::from_millis(10);

/// Pauses between ranges.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    load: f64,
    best: Option<Duration>,
    factor: u32,
}

impl Pace {
    /// A share of the time, 0.05..=1.
    pub const fn new(load: f64) -> Self {
        Self { load: load.clamp(0.05, 1.0), best: None, factor: 1 }
    }

    /// Whether there are pauses at all.
    pub fn is_limited(&self) -> bool {
        self.load < 1.0
    }

    /// Takes in how long a small question took.
    pub fn probed(&mut self, took: Duration) {
        let best = self.best.map_or(took, |best| best.min(took));
        self.best = Some(best);
        let busy = took > best * SLOW + LITTLE;
        self.factor = if busy { (self.factor * 2).min(16) } else { 1.max(self.factor / 2) };
    }

    /// The pause after work that took so long.
    pub fn pause(&self, worked: Duration) -> Duration {
        worked.mul_f64((1.0 - self.load) / self.load).saturating_mul(self.factor).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_time_is_three_parts_of_pause() {
        let ms = Duration::from_millis;
        let mut pace = Pace::new(0.25);
        pace.probed(ms(1));
        assert_eq!(pace.pause(ms(100)), ms(300));
        pace.probed(ms(50));
        assert_eq!(pace.pause(ms(100)), ms(600));
        pace.probed(ms(60));
        assert_eq!(pace.pause(ms(100)), ms(1200));
        pace.probed(ms(1));
        assert_eq!(pace.pause(ms(100)), ms(600));
        assert_eq!(Pace::new(1.0).pause(ms(100)), ms(0));
        assert!(!Pace::new(1.0).is_limited() && Pace::new(0.0).pause(Duration::from_secs(9)) == LONGEST);
    }
}
