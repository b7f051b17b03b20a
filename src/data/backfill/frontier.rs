//! Which ranges are copied without a gap, counted from the newest.
//!
//! One rule: the cursor follows the first gap, never a range beyond it.

use std::collections::BTreeMap;

/// Ranges by number, newest first; a range is a number and the oldest moment it reaches. One without a row reaches
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Frontier {
    next: u64,
    done: BTreeMap<u64, Option<i64>>,
}

impl Frontier {
    /// Notes a copied range; gives the oldest moment that is now reached without a gap, when that has moved.
    pub(super) fn done(&mut self, number: u64, reaches: Option<i64>) -> Option<i64> {
        self.done.insert(number, reaches);
        let mut reached = None;
        while let Some(reaches) = self.done.remove(&self.next) {
            self.next += 1;
            reached = reaches.or(reached);
        }
        reached
    }

    /// Copied ranges beyond a gap: what a kill at this moment would copy again.
    pub(super) fn beyond(&self) -> usize {
        self.done.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gap_holds_the_cursor() {
        let mut frontier = Frontier::default();
        assert_eq!(frontier.done(1, Some(80)), None);
        assert_eq!((frontier.done(2, Some(70)), frontier.beyond()), (None, 2));
        assert_eq!((frontier.done(0, Some(90)), frontier.beyond()), (Some(70), 0));
        assert_eq!(frontier.done(3, None), None);
    }

    proptest! {
        #[test]
        fn nothing_newer_than_the_cursor_is_uncopied(order in Just((0..20_u64).collect::<Vec<_>>()).prop_shuffle()) {
            let (mut frontier, mut copied) = (Frontier::default(), vec![false; 20]);
            for number in order {
                copied[number as usize] = true;
                if let Some(reached) = frontier.done(number, Some(1000 - number as i64)) {
                    let ranges = (1000 - reached) as usize;
                    prop_assert!(copied[..=ranges].iter().all(|c| *c));
                }
            }
            prop_assert_eq!(frontier.next, 20);
        }
    }
}
