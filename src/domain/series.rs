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

    /// Forgets everything: the number started anew (a counter was reset).
    pub fn clear(&mut self) {
        self.points.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
