//! Which ids are on one side only, from the hashes of all ids: PostgreSQL sends 8 bytes a row and reads its index only.
//!
//! One rule: a hash stands for an id; two different ids with one hash come once in 10^6 runs over 5 million rows.

mod index;
mod pages;

use self::index::Index;
use self::pages::Hashes;
use super::clickhouse::{Ids, V3};
use super::drill::Suspects;
use super::postgres::V2;
use crate::domain::Trouble;

pub use self::index::{Heap, Id};

/// Rows of either side that this way may hold: 8 bytes for each of v2, 17 for each of v3.
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
pub async fn compare(v2: &V2, v3: &V3, seen: &(dyn Fn(u64) + Sync)) -> Result<Compared, Trouble> {
    // Its side is put in order as soon as it is there; the other one mostly takes longer.
    let ordered = async {
        let (Ids { copied, own, deleted }, received) = v3.ids(seen).await?;
        Ok(([copied, own, deleted].map(Index::new), received))
    };
    let (hashes, ([mut copied, mut own, deleted], received)) = futures::try_join!(Hashes::read(v2), ordered)?;
    let mut missing = vec![];
    index::each(&hashes.all, |place, hash| {
        // Both are met: an id may be there as a copy and as v3's own row.
        let there = copied.meet(hash) | own.meet(hash);
        if !there || deleted.has(hash) {
            missing.push(place);
        }
    });
    missing.sort_unstable();
    let extra: Vec<Id> = copied.alone().filter(|id| !deleted.has(id.hash)).collect();
    let v3_only = own.alone().filter(|id| !deleted.has(id.hash) && !copied.has(id.hash)).count() as u64;
    let (missing, extra) = futures::try_join!(hashes.names(v2, &missing), v3.named(&extra))?;
    let missing = missing.into_iter().map(|id| (Box::default(), id)).collect();
    let extra = extra.into_iter().map(|id| (Box::default(), id)).collect();
    let suspects = Suspects { missing, extra, ..Suspects::default() };
    Ok(Compared { suspects, rows: hashes.all.len() as u64, v3_only, received })
}
