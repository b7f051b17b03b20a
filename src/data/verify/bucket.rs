//! Rows counted and summed per project and hour.
//!
//! One rule: hashes are added modulo 2^64, so the order of rows does not matter and a duplicate does not cancel
//! itself out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A project and an hour of business time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket {
    /// `project_id`, one text for all its buckets.
    pub project: Arc<str>,
    /// Hours since 1970.
    pub hour: i64,
}

/// What a bucket holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// Rows; of ClickHouse only copied ones.
    pub rows: u64,
    /// Their hashes, modulo 2^64.
    pub hash: u64,
    /// Rows of ClickHouse that were deleted or that v3 wrote itself: the bucket is looked at closely.
    pub odd: u64,
}

impl Sum {
    /// Adds a row.
    pub const fn add(&mut self, hash: u64) {
        self.rows += 1;
        self.hash = self.hash.wrapping_add(hash);
    }

    /// Whether both sides hold the same rows.
    pub const fn agrees(&self, other: &Self) -> bool {
        self.rows == other.rows && self.hash == other.hash && self.odd == 0 && other.odd == 0
    }
}

/// Sums of one side.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    projects: HashMap<Box<[u8]>, HashMap<i64, Sum>>,
    nowhere: Sum,
}

impl Sums {
    /// The bucket's sum, to be changed.
    pub fn at(&mut self, project: &[u8], hour: i64) -> &mut Sum {
        // Looked up first: a key is made only for a project that is new.
        if !self.projects.contains_key(project) {
            self.projects.insert(project.into(), HashMap::new());
        }
        match self.projects.get_mut(project) {
            Some(hours) => hours.entry(hour).or_default(),
            None => &mut self.nowhere,
        }
    }

    /// Those of other rows as well.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (project, hours) in other.projects {
            for (hour, more) in hours {
                let sum = self.at(&project, hour);
                sum.rows += more.rows;
                sum.hash = sum.hash.wrapping_add(more.hash);
                sum.odd += more.odd;
            }
        }
        self
    }

    /// The bucket's sum.
    pub fn get(&self, bucket: &Bucket) -> Sum {
        let hours = self.projects.get(bucket.project.as_bytes());
        hours.and_then(|hours| hours.get(&bucket.hour)).copied().unwrap_or_default()
    }

    /// Rows of all buckets.
    pub fn rows(&self) -> u64 {
        self.projects.values().flat_map(HashMap::values).map(|s| s.rows).sum()
    }

    /// Rows per day.
    pub fn days(&self) -> BTreeMap<i64, u64> {
        let mut days = BTreeMap::new();
        for (hour, sum) in self.projects.values().flatten() {
            *days.entry(hour.div_euclid(24)).or_default() += sum.rows;
        }
        days
    }

    /// Buckets that hold something.
    pub fn len(&self) -> usize {
        self.projects.values().map(HashMap::len).sum()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Buckets in which the sides differ, in order, with the rows of the larger side.
    pub fn unlike(&self, other: &Self) -> Vec<(Bucket, u64)> {
        let all = |sum: &Sum| sum.rows + sum.odd;
        let (mut unlike, none) = (vec![], HashMap::new());
        let mut projects: Vec<_> = self.projects.keys().chain(other.projects.keys()).collect();
        projects.sort_unstable();
        projects.dedup();
        for name in projects {
            let project: Arc<str> = String::from_utf8_lossy(name).into();
            let ours = self.projects.get(name).unwrap_or(&none);
            let theirs = other.projects.get(name).unwrap_or(&none);
            let begun = unlike.len();
            let mut take = |hour: i64, ours: &Sum, theirs: &Sum| {
                if !ours.agrees(theirs) {
                    let bucket = Bucket { project: Arc::clone(&project), hour };
                    unlike.push((bucket, all(ours).max(all(theirs))));
                }
            };
            for (hour, sum) in ours {
                take(*hour, sum, &theirs.get(hour).copied().unwrap_or_default());
            }
            for (hour, sum) in theirs.iter().filter(|(hour, _)| !ours.contains_key(hour)) {
                take(*hour, &Sum::default(), sum);
            }
            unlike[begun..].sort_unstable_by_key(|(bucket, _)| bucket.hour);
        }
        unlike
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_and_an_extra_row_do_not_cancel() {
        let (mut a, mut b) = (Sums::default(), Sums::default());
        for hash in [5, 7] {
            a.at(b"p", 3).add(hash);
        }
        for hash in [7, 6] {
            b.at(b"p", 3).add(hash);
        }
        a.at(b"p", 49).add(1);
        b.at(b"p", 49).add(1);
        assert_eq!(a.unlike(&b), [(Bucket { project: "p".into(), hour: 3 }, 2)]);
        assert_eq!(a.days(), BTreeMap::from([(0, 2), (2, 1)]));
        b.at(b"a", 7).odd += 2;
        assert_eq!(a.unlike(&b).len(), 2);
        assert_eq!(b.unlike(&a)[0], (Bucket { project: "a".into(), hour: 7 }, 2));
        assert_eq!((b.len(), a.is_empty()), (3, false));
        let both = a.clone().and(b.clone());
        let at = |hour| both.get(&Bucket { project: "p".into(), hour });
        assert_eq!((at(3), at(49)), (Sum { rows: 4, hash: 25, odd: 0 }, Sum { rows: 2, hash: 2, odd: 0 }));
        assert_eq!((both.rows(), both.get(&Bucket { project: "a".into(), hour: 7 }).odd), (6, 2));
        assert_eq!((a.rows(), a.get(&Bucket { project: "q".into(), hour: 3 })), (3, Sum::default()));
    }
}
