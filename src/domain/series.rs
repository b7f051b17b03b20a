//! A bounded history of one number, for rates and sparklines.

use std::collections::VecDeque;
use std::time::Duration;

use super::Mono;

/// The newest readings of a number, oldest first, at most `cap` of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    points: VecDeque<(Mono, f64)>,
    cap: usize,
}

impl Series {
    /// An empty history of at most `cap` readings.
    pub fn new(cap: usize) -> Self {
        Self { points: VecDeque::with_capacity(cap.min(1024)), cap: cap.max(1) }
    }

    /// Adds a reading; the oldest falls out.
    pub fn push(&mut self, at: Mono, value: f64) {
        if self.points.len() == self.cap {
            self.points.pop_front();
        }
        self.points.push_back((at, value));
    }

    /// All readings, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Mono, f64)> + '_ {
        self.points.iter().copied()
    }

    /// The newest reading.
    pub fn last(&self) -> Option<(Mono, f64)> {
        self.points.back().copied()
    }

    /// Change per second over the readings of the last `window`; `None` with fewer than two of them, or less
    /// than a second between them: two polls in a row say nothing about a rate.
    pub fn rate(&self, window: Duration) -> Option<f64> {
        let (last_at, last) = self.last()?;
        let from = last_at.0.saturating_sub(window);
        let (first_at, first) = self.iter().find(|(at, _)| at.0 >= from)?;
        let secs = last_at.since(first_at).as_secs_f64();
        (secs >= 1.0).then(|| (last - first) / secs)
    }

    /// Change per second as the straight line through all readings of the last `window` has it: a number that
    /// moves in steps (batches) gives a calm rate. `None` where [`Self::rate`] says nothing.
    pub fn slope(&self, window: Duration) -> Option<f64> {
        self.rate(window)?;
        let (last_at, last) = self.last()?;
        let from = last_at.0.saturating_sub(window);
        // Relative to the newest reading, so that large counts lose no digits.
        let points = self.iter().filter(|(at, _)| at.0 >= from);
        let points: Vec<(f64, f64)> =
            points.map(|(at, value)| (-last_at.since(at).as_secs_f64(), value - last)).collect();
        let n = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
        let (up, down) = points.iter().fold((0.0, 0.0), |(up, down), p| {
            let dx = p.0 - x;
            (up + dx * (p.1 - y), down + dx * dx)
        });
        (down > 0.0).then(|| up / down)
    }

    /// Forgets everything: the number started anew (a counter was reset).
    pub fn clear(&mut self) {
        self.points.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_steps_is_calm() {
        // A batch of 1750 rows every 35 s, read every 5 s: 50 rows a second, whenever it is asked.
        let mut series = Series::new(120);
        let (mut rates, mut slopes) = (Vec::new(), Vec::new());
        for n in 0..120_u64 {
            series.push(Mono::from_secs(n * 5), (n / 7 * 1750) as f64 + 5e7);
            if n > 70 {
                rates.extend(series.rate(Duration::from_secs(60)));
                slopes.extend(series.slope(Duration::from_mins(5)));
            }
        }
        let spread = |all: &[f64]| {
            let of = |pick: fn(f64, f64) -> f64, from| all.iter().copied().fold(from, pick);
            of(f64::max, f64::MIN) - of(f64::min, f64::MAX)
        };
        assert!(slopes.iter().all(|s| (s - 50.0).abs() < 1.5), "{slopes:?}");
        assert!(spread(&slopes) * 5.0 < spread(&rates), "{rates:?}");
        let mut two = Series::new(9);
        two.push(Mono::from_secs(1), 10.0);
        assert_eq!(two.slope(Duration::from_secs(60)), None);
        two.push(Mono::from_secs(11), 30.0);
        assert_eq!(two.slope(Duration::from_secs(60)), Some(2.0));
    }

    #[test]
    fn rate_over_a_window_and_bound() {
        let mut series = Series::new(3);
        assert_eq!(series.rate(Duration::from_secs(60)), None);
        for (at, value) in [(0, 0.0), (10, 50.0), (20, 300.0), (30, 400.0)] {
            series.push(Mono::from_secs(at), value);
        }
        assert_eq!(series.iter().count(), 3);
        assert_eq!(series.rate(Duration::from_secs(60)), Some(17.5));
        assert_eq!(series.rate(Duration::from_secs(10)), Some(10.0));
    }
}
