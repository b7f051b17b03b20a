//! Hashes of ClickHouse's ids, to be asked for one by one in any order.
//!
//! One rule: the hashes are sorted, and their first 16 bits say where to look.

/// Bits that choose the place.
const BITS: u32 = 16;

/// An id as it came: its hash, and a second one that ClickHouse can compute.
pub type Id = (u64, u32);

/// Sorted hashes, and which of them were asked for.
#[derive(Debug, Default)]
pub(super) struct Index {
    rows: Vec<Id>,
    starts: Vec<u32>,
    seen: Vec<bool>,
}

impl Index {
    /// What is not merged yet comes more than once, and counts once.
    pub(super) fn new(mut rows: Vec<Id>) -> Self {
        rows.sort_unstable();
        rows.dedup_by_key(|row| row.0);
        let mut starts = vec![0_u32; (1 << BITS) + 1];
        for (hash, _) in &rows {
            starts[place(*hash) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        Self { seen: vec![false; rows.len()], rows, starts }
    }

    /// Whether it is there.
    pub(super) fn has(&self, hash: u64) -> bool {
        self.find(hash).is_some()
    }

    /// Whether it is there; remembers that it was asked for.
    pub(super) fn meet(&mut self, hash: u64) -> bool {
        let found = self.find(hash);
        if let Some(at) = found {
            self.seen[at] = true;
        }
        found.is_some()
    }

    /// Those that nobody met.
    pub(super) fn alone(&self) -> impl Iterator<Item = Id> + '_ {
        self.rows.iter().zip(&self.seen).filter(|(_, seen)| !**seen).map(|(row, _)| *row)
    }

    fn find(&self, hash: u64) -> Option<usize> {
        let from = *self.starts.get(place(hash))? as usize;
        let to = *self.starts.get(place(hash) + 1)? as usize;
        self.rows[from..to].binary_search_by_key(&hash, |row| row.0).ok().map(|at| from + at)
    }
}

const fn place(hash: u64) -> usize {
    (hash >> (u64::BITS - BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_met_is_alone() {
        let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut index = Index::new((0..3_000).chain(5..9).map(|n| (spread(n), n as u32)).collect());
        let met: Vec<u64> = (0..4_000).filter(|n| n % 7 != 0 && index.meet(spread(*n))).collect();
        assert_eq!(met, (0..3_000).filter(|n| n % 7 != 0).collect::<Vec<_>>());
        let mut alone: Vec<u32> = index.alone().map(|row| row.1).collect();
        alone.sort_unstable();
        assert_eq!(alone, (0..3_000).step_by(7).collect::<Vec<_>>());
        assert!(index.has(spread(7)) && !index.has(spread(3_001)));
        let mut empty = Index::new(vec![]);
        assert!(!empty.meet(u64::MAX) && !empty.meet(0));
    }
}
