//! The steps an operator climbs.

use crate::domain::Split;

/// Ascending splits from 0 to 100.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder(Vec<Split>);

impl Default for Ladder {
    fn default() -> Self {
        Self([0, 5, 25, 50, 100].into_iter().filter_map(Split::new).collect())
    }
}

impl Ladder {
    /// A ladder of `steps` in any order; 0 and 100 are always on it. `None` when a step is above 100.
    pub fn new(steps: &[u8]) -> Option<Self> {
        let mut all = steps.iter().map(|s| Split::new(*s)).collect::<Option<Vec<_>>>()?;
        all.extend([Split::V2, Split::V3]);
        all.sort_unstable();
        all.dedup();
        Some(Self(all))
    }

    /// All steps, ascending.
    pub fn steps(&self) -> &[Split] {
        &self.0
    }

    /// The first step above `from`.
    pub fn next(&self, from: Split) -> Option<Split> {
        self.0.iter().copied().find(|s| *s > from)
    }

    /// The last step below `from`.
    pub fn previous(&self, from: Split) -> Option<Split> {
        self.0.iter().copied().rev().find(|s| *s < from)
    }

    /// Steps that a move `from` -> `to` would skip.
    pub fn skipped(&self, from: Split, to: Split) -> usize {
        self.0.iter().filter(|s| **s > from && **s < to).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(p: u8) -> Split {
        Split::new(p).unwrap()
    }

    #[test]
    fn neighbours_and_ends() {
        let ladder = Ladder::new(&[50, 10]).unwrap();
        assert_eq!(ladder.steps(), [0, 10, 50, 100].map(split));
        assert_eq!(ladder.next(split(10)), Some(split(50)));
        assert_eq!(ladder.next(split(11)), Some(split(50)));
        assert_eq!(ladder.next(Split::V3), None);
        assert_eq!(ladder.previous(split(50)), Some(split(10)));
        assert_eq!(ladder.previous(Split::V2), None);
        assert_eq!(ladder.skipped(Split::V2, Split::V3), 2);
        assert_eq!(Ladder::new(&[101]), None);
    }
}
