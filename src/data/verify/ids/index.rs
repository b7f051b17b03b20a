//! Hashes of ClickHouse's ids, to be asked for one by one in any order.
//!
//! One rule: what is equal is not looked at. The hashes stand in parts by their first bits; parts whose sums are v2's are
//! done, the others are sorted and asked part by part, as a part fits where the processor reaches it quickly.

/// Bits of a hash that choose its part, and as many again its place there.
const BITS: u32 = 10;
const PARTS: usize = 1 << BITS;
/// Questions that are put in order at once: 4 MB.
const AT_ONCE: usize = 1 << 18;

/// An id as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// What both sides know it by.
    pub hash: u64,
    /// What ClickHouse can compute: CRC-32.
    pub sum: u32,
    /// The day that one of its rows stands in, as ClickHouse's `Date`: where it is to be looked for by its sum.
    pub day: u16,
}

/// Ids as they come.
#[derive(Debug)]
pub struct Heap(Vec<Vec<Id>>);

impl Default for Heap {
    fn default() -> Self {
        Self(vec![vec![]; PARTS])
    }
}

impl Heap {
    /// Takes one more.
    pub fn push(&mut self, id: Id) {
        self.0[part(id.hash)].push(id);
    }
}

/// The parts that have to be looked at, hash by hash: not those that hold copies alone, as many as v2 has ids there and
/// with the same sum. Other ids with that sum come once in 2^64 parts.
pub(super) fn unlike(v2: &[u64], copied: &Heap, others: [&Heap; 2]) -> Vec<bool> {
    let mut sums = vec![(0_usize, 0_u64); PARTS];
    for hash in v2 {
        let (count, sum) = &mut sums[part(*hash)];
        *count += 1;
        *sum = sum.wrapping_add(*hash);
    }
    let theirs = copied
        .0
        .iter()
        .map(|part| (part.len(), part.iter().fold(0_u64, |sum, id| sum.wrapping_add(id.hash))));
    let parts = sums.into_iter().zip(theirs).enumerate();
    parts.map(|(at, (v2, v3))| v2 != v3 || others.iter().any(|heap| !heap.0[at].is_empty())).collect()
}

/// Sorted hashes, and which of them were asked for.
#[derive(Debug)]
pub(super) struct Index(Vec<Part>);

#[derive(Debug)]
struct Part {
    rows: Vec<Id>,
    starts: Vec<u32>,
    seen: Vec<bool>,
}

impl Index {
    /// Of the parts that are looked at. What is not merged yet comes more than once, and counts once.
    pub(super) fn new(heap: Heap, looked: &[bool]) -> Self {
        let rows = heap.0.into_iter().zip(looked);
        Self(rows.map(|(rows, looked)| Part::new(if *looked { rows } else { vec![] })).collect())
    }

    /// Whether it is there.
    pub(super) fn has(&self, hash: u64) -> bool {
        self.0[part(hash)].find(hash).is_some()
    }

    /// Whether it is there; remembers that it was asked for.
    pub(super) fn meet(&mut self, hash: u64) -> bool {
        let part = &mut self.0[part(hash)];
        let found = part.find(hash);
        if let Some(at) = found {
            part.seen[at] = true;
        }
        found.is_some()
    }

    /// Those that nobody met.
    pub(super) fn alone(&self) -> impl Iterator<Item = Id> + '_ {
        let rows = self.0.iter().flat_map(|part| part.rows.iter().zip(&part.seen));
        rows.filter(|(_, seen)| !**seen).map(|(row, _)| *row)
    }
}

impl Part {
    fn new(mut rows: Vec<Id>) -> Self {
        if rows.is_empty() {
            return Self { rows, starts: vec![], seen: vec![] };
        }
        rows.sort_unstable();
        rows.dedup_by_key(|row| row.hash);
        let mut starts = vec![0_u32; PARTS + 1];
        for row in &rows {
            starts[place(row.hash) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        Self { seen: vec![false; rows.len()], rows, starts }
    }

    fn find(&self, hash: u64) -> Option<usize> {
        if self.rows.is_empty() {
            return None;
        }
        let (from, to) = (self.starts[place(hash)] as usize, self.starts[place(hash) + 1] as usize);
        self.rows[from..to].binary_search_by_key(&hash, |row| row.hash).ok().map(|at| from + at)
    }
}

const fn part(hash: u64) -> usize {
    (hash >> (u64::BITS - BITS)) as usize
}

const fn place(hash: u64) -> usize {
    part(hash << BITS)
}

/// Asks about each hash of the parts that are looked at, with its place in the list, in an order that is good for
/// [`Index`].
pub(super) fn each(hashes: &[u64], looked: &[bool], mut ask: impl FnMut(usize, u64)) {
    let mut ordered = vec![(0, 0); hashes.len().min(AT_ONCE)];
    for (n, chunk) in hashes.chunks(AT_ONCE).enumerate() {
        let asked = || chunk.iter().enumerate().filter(|(_, hash)| looked[part(**hash)]);
        let mut ends = [0_usize; PARTS];
        for (_, hash) in asked() {
            ends[part(*hash)] += 1;
        }
        for at in 1..PARTS {
            ends[at] += ends[at - 1];
        }
        let all = ends[PARTS - 1];
        for (at, hash) in asked() {
            let end = &mut ends[part(*hash)];
            *end -= 1;
            ordered[*end] = (n * AT_ONCE + at, *hash);
        }
        for (at, hash) in &ordered[..all] {
            ask(*at, *hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_met_is_alone() {
        let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let id = |n: u64| Id { hash: spread(n), sum: n as u32, day: 0 };
        let mut heap = Heap::default();
        (0..3_000).chain(5..9).for_each(|n| heap.push(id(n)));
        let mut index = Index::new(heap, &[true; PARTS]);
        let met: Vec<u64> = (0..4_000).filter(|n| n % 7 != 0 && index.meet(spread(*n))).collect();
        assert_eq!(met, (0..3_000).filter(|n| n % 7 != 0).collect::<Vec<_>>());
        let mut alone: Vec<u32> = index.alone().map(|row| row.sum).collect();
        alone.sort_unstable();
        assert_eq!(alone, (0..3_000).step_by(7).collect::<Vec<_>>());
        assert!(index.has(spread(7)) && !index.has(spread(3_001)));
        let mut empty = Index::new(Heap::default(), &[true; PARTS]);
        assert!(!empty.meet(u64::MAX) && !empty.meet(0));
    }

    #[test]
    fn every_hash_is_asked_about_once() {
        for length in [0, 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 7] {
            let hashes: Vec<u64> =
                (0..length as u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            let mut asked = vec![0; length];
            each(&hashes, &[true; PARTS], |at, hash| {
                assert_eq!(hashes[at], hash);
                asked[at] += 1;
            });
            assert!(asked.iter().all(|times| *times == 1));
        }
    }
}
