//! Which ids are on one side only, from the hashes of all ids: PostgreSQL sends 8 bytes a row and reads its index only.
//!
//! One rule: a hash stands for an id; two different ids with one hash come once in 10^6 runs over 5 million rows.

mod block;
mod index;
mod pages;

use self::index::Index;
use self::pages::Hashes;
use super::clickhouse::{Ids, V3};
use super::drill::Suspects;
use super::pace::{Patience, Rest};
use super::postgres::V2;
use super::range::Range;
use crate::domain::Trouble;

pub use self::block::{Block, Entry};
pub use self::index::{Heap, Id};
pub use self::pages::Stretch;

/// Rows of either side that this way may hold: 8 bytes for each of v2 and 4 where v3 lacks it, 16 for each of v3.
pub const MOST: u64 = 6_000_000;

/// Ids that are named at once.
const NAMED: usize = 50_000;

/// What the streams say.
#[derive(Debug)]
pub struct Compared {
    hashes: Hashes,
    apart: Apart,
    /// Rows of v2.
    pub rows: u64,
    /// Rows that v3 wrote and v2 does not know.
    pub v3_only: u64,
    /// Bytes that ClickHouse sent.
    pub received: u64,
}

/// Reads the ids of both sides at once and holds them against each other.
///
/// # Errors
/// A side cannot be asked.
pub async fn compare(
    (v2, stretches): (&V2, &[Stretch]),
    (v3, months): (&V3, &[Range]),
    rest: &Rest<'_>,
    seen: &(dyn Fn(u64) + Sync),
) -> Result<Compared, Trouble> {
    // From the beginning, where the server went away: what came twice would be taken for what is not merged.
    let theirs = Patience::of(async || {
        let (mut ids, mut received) = (Ids::default(), 0);
        for month in months {
            let begun = rest.begin();
            received += v3.ids(month, &mut ids, seen).await?;
            rest.after(begun).await;
        }
        Ok((ids, received))
    });
    let (hashes, (ids, received)) = futures::try_join!(Hashes::read(v2, stretches, rest), theirs)?;
    let apart = apart(&hashes.all, ids);
    let rows = hashes.all.len() as u64;
    Ok(Compared { rows, v3_only: apart.v3_only, received, hashes, apart })
}

impl Compared {
    /// What has to be looked at, a part at a time: nothing when that was all.
    ///
    /// # Errors
    /// A side cannot be asked.
    pub async fn next(&mut self, v2: &V2, v3: &V3) -> Result<Option<Suspects>, Trouble> {
        let Apart { missing, copied, deleted, named, .. } = &mut self.apart;
        let places = missing.split_off(missing.len().saturating_sub(NAMED));
        let extra = copied.alone().filter(|id| !deleted.has(id.hash));
        let extra: Vec<Id> = extra.skip(*named).take(NAMED).collect();
        *named += extra.len();
        if places.is_empty() && extra.is_empty() {
            return Ok(None);
        }
        let theirs = async {
            if extra.is_empty() { Ok(vec![]) } else { Patience::of(async || v3.named(&extra).await).await }
        };
        let (missing, extra) = futures::try_join!(self.hashes.names(v2, &places), theirs)?;
        // Ids alone do not say whose they are.
        let missing = missing.into_iter().map(|id| ("".into(), id)).collect();
        Ok(Some(Suspects { missing, extra, ..Suspects::default() }))
    }
}

/// What is on one side only.
#[derive(Debug)]
struct Apart {
    /// Places in v2's list, in order: v3 lacks them or has deleted them.
    missing: Vec<u32>,
    /// Copies, and which of them v2 knows.
    copied: Index,
    /// What v3 has deleted.
    deleted: Index,
    /// Copies of nothing that were named.
    named: usize,
    /// Ids that v3 wrote.
    v3_only: u64,
}

fn apart(v2: &[u64], Ids { copied, own, deleted }: Ids) -> Apart {
    let looked = index::unlike(v2, &copied, [&own, &deleted]);
    let [mut copied, mut own, deleted] = [copied, own, deleted].map(|heap| Index::new(heap, &looked));
    let mut missing = vec![];
    index::each(v2, &looked, |place, hash| {
        // Both are met: an id may be there as a copy and as v3's own row.
        let there = copied.meet(hash) | own.meet(hash);
        if !there || deleted.has(hash) {
            missing.extend(u32::try_from(place));
        }
    });
    missing.sort_unstable();
    let alone = own.alone().filter(|id| !deleted.has(id.hash) && !copied.has(id.hash));
    let v3_only = alone.count() as u64;
    Apart { missing, copied, deleted, named: 0, v3_only }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A few numbers as hashes all over the parts, or as many as share the first of them.
    fn id(n: u16) -> Id {
        let hash =
            if n.is_multiple_of(3) { u64::from(n) } else { u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) };
        Id { hash, sum: 0, day: 0 }
    }

    fn heap(ids: &[u16]) -> Heap {
        let mut heap = Heap::default();
        for n in ids {
            heap.push(id(*n));
        }
        heap
    }

    fn hashes(ids: &[u16]) -> BTreeSet<u64> {
        ids.iter().map(|n| id(*n).hash).collect()
    }

    proptest! {
        /// Copies of what v2 has, but for a few lost and a few that come twice; and what v3 did.
        #[test]
        fn what_is_on_one_side_is_found(
            v2 in proptest::collection::btree_set(0_u16..3_000, 0..400),
            lost in vec(any::<prop::sample::Index>(), 0..4),
            again in vec(0_u16..3_000, 0..4),
            wrote in vec(0_u16..3_000, 0..6),
            gone in vec(0_u16..3_000, 0..3),
        ) {
            let v2: Vec<u16> = v2.into_iter().collect();
            let mut copies = v2.clone();
            for at in lost {
                if !copies.is_empty() {
                    copies.remove(at.index(copies.len()));
                }
            }
            copies.extend(again);
            let ours: Vec<u64> = v2.iter().map(|n| id(*n).hash).collect();
            let (copied, own, deleted) = (hashes(&copies), hashes(&wrote), hashes(&gone));
            let found = apart(&ours, Ids { copied: heap(&copies), own: heap(&wrote), deleted: heap(&gone) });

            let there = |hash: &u64| (copied.contains(hash) || own.contains(hash)) && !deleted.contains(hash);
            let missing: Vec<u32> = (0..).zip(&ours).filter(|(_, hash)| !there(hash)).map(|(at, _)| at).collect();
            prop_assert_eq!(&found.missing, &missing);
            let of_v2: BTreeSet<u64> = ours.iter().copied().collect();
            let beyond = |ids: &BTreeSet<u64>| -> BTreeSet<u64> { &(ids - &of_v2) - &deleted };
            let all: Vec<u64> = found.copied.alone().map(|id| id.hash).filter(|hash| !found.deleted.has(*hash)).collect();
            let extra: BTreeSet<u64> = all.iter().copied().collect();
            prop_assert_eq!(extra.len(), all.len());
            prop_assert_eq!(extra, beyond(&copied));
            prop_assert_eq!(found.v3_only, (&beyond(&own) - &copied).len() as u64);
        }
    }
}
