//! How hard the servers are asked: a share of the time, and less when they answer slowly.
//!
//! One rule: the pause is as long as the work was, times what the share leaves; a server that answers more slowly than
//! at its best gets a longer one.

use std::time::Duration;

use crate::domain::{Kind, Mono, Now, Trouble};

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// Slower than this times its best, plus a little, a server is busy.
const SLOW: u32 = 2;
const LITTLE: Duration = Duration::from_millis(10);

/// How long a server that went away in the middle is waited for, besides the attempts themselves.
const PATIENCE: Duration = Duration::from_mins(1);
/// The longest pause between two attempts.
const ATTEMPT: Duration = Duration::from_secs(4);

/// Waits for a server that went away: what was asked is asked again from its beginning. One question has one, for where
/// one stands in another a minute becomes many: [`V2`](super::postgres::V2) has its own.
#[derive(Debug)]
pub struct Patience {
    left: Duration,
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { left: PATIENCE, pause: Duration::from_millis(250) }
    }
}

impl Patience {
    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The trouble itself, where waiting does not help or has lasted a minute.
    pub async fn wait(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        let passes = matches!(trouble.kind, Kind::Unreachable | Kind::Throttled(_));
        if !passes || self.left.is_zero() {
            return Err(trouble);
        }
        tracing::warn!(target: "verify", "asked again: {trouble}");
        let pause = self.pause.min(self.left);
        (self.left, self.pause) = (self.left.saturating_sub(pause), (self.pause * 2).min(ATTEMPT));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Asks until there is an answer, or patience is over.
    ///
    /// # Errors
    /// The last trouble.
    pub async fn of<T>(ask: impl AsyncFn() -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut patience = Self::default();
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => patience.wait(trouble).await?,
            }
        }
    }
}

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

/// Pauses of one stream of questions.
#[derive(Clone, Copy)]
pub struct Rest<'a> {
    /// How long.
    pub pace: Pace,
    /// Rows of a question.
    pub step: i64,
    /// Reads both clocks.
    pub clock: &'a (dyn Fn() -> Now + Sync),
}

impl Rest<'_> {
    /// Now, before a question.
    pub fn begin(&self) -> Mono {
        (self.clock)().mono
    }

    /// Pauses after a question that was asked then.
    pub async fn after(&self, begun: Mono) {
        if self.pace.is_limited() {
            tokio::time::sleep(self.pace.pause(self.begin().since(begun))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_went_away_is_waited_for_a_minute() {
        let begun = tokio::time::Instant::now();
        let trouble = |kind| Trouble::new(kind, "PostgreSQL x", "gone");
        let asked = std::cell::Cell::new(0);
        let answer = Patience::of(async || {
            asked.set(asked.get() + 1);
            if asked.get() < 5 { Err(trouble(Kind::Unreachable)) } else { Ok(asked.get()) }
        });
        assert_eq!(answer.await.unwrap(), 5);
        assert_eq!(begun.elapsed(), Duration::from_millis(250 + 500 + 1000 + 2000));
        let begun = tokio::time::Instant::now();
        let never: Result<(), _> = Patience::of(async || Err(trouble(Kind::Unreachable))).await;
        assert_eq!((never.unwrap_err().kind, begun.elapsed()), (Kind::Unreachable, PATIENCE));
        let begun = tokio::time::Instant::now();
        let refused: Result<(), _> = Patience::of(async || Err(trouble(Kind::Forbidden))).await;
        assert_eq!((refused.unwrap_err().kind, begun.elapsed()), (Kind::Forbidden, Duration::ZERO));
    }

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
