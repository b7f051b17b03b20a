//! Which ids are on one side only, from the hashes of all ids: 8 bytes a row, nothing else is read.
//!
//! One rule: a hash stands for an id; two different ids with one hash come once in 10^6 runs over 5 million rows.

use super::clickhouse::{Ids, V3};
use super::drill::Suspects;
use super::postgres::V2;
use super::range::Range;
use crate::domain::Trouble;

/// Rows of either side that this way may hold: 16 bytes each.
pub const MOST: u64 = 6_000_000;

/// What the streams say.
#[derive(Debug, Default)]
pub struct Compared {
    /// What has to be looked at.
    pub suspects: Suspects,
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
    v2: &V2,
    v3: &V3,
    range: &Range,
    seen: &(dyn Fn(u64) + Sync),
) -> Result<Compared, Trouble> {
    let (mut theirs, (ids, received)) = futures::try_join!(v2.ids(range), v3.ids(range, seen))?;
    let rows = theirs.len() as u64;
    let Ids { mut copied, mut own, mut deleted } = ids;
    for list in [&mut theirs, &mut copied, &mut own, &mut deleted] {
        list.sort_unstable();
        list.dedup();
    }
    let alive = |hash: &u64| {
        (copied.binary_search(hash).is_ok() || own.binary_search(hash).is_ok())
            && deleted.binary_search(hash).is_err()
    };
    let missing: Vec<u64> = theirs.iter().filter(|hash| !alive(hash)).copied().collect();
    let unknown = |hash: &&u64| theirs.binary_search(hash).is_err() && deleted.binary_search(hash).is_err();
    let extra: Vec<u64> = copied.iter().filter(unknown).copied().collect();
    let v3_only = own.iter().filter(unknown).filter(|h| copied.binary_search(h).is_err()).count() as u64;
    let (missing, extra) = futures::try_join!(v2.named(&missing, range), v3.named(&extra, range))?;
    let missing = missing.into_iter().map(|id| (Box::default(), id)).collect();
    let extra = extra.into_iter().map(|id| (Box::default(), id)).collect();
    let suspects = Suspects { missing, extra, ..Suspects::default() };
    Ok(Compared { suspects, rows, v3_only, received })
}
