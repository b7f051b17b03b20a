//! From sums that differ to ids that differ: the merged rows of ClickHouse first, then PostgreSQL's rows of the
//! buckets that still disagree.
//!
//! One rule: duplicates that ClickHouse has not merged yet vanish here, without PostgreSQL being asked again.

use std::collections::HashMap;
use std::sync::Arc;

use super::bucket::{Bucket, Sum, Sums};
use super::chain::Chain;
use super::clickhouse::{V3, V3Row};
use super::pace::Patience;
use super::postgres::V2;
use super::range::{Range, Slice};
use crate::domain::Trouble;

/// Buckets of one question.
const BUCKETS: usize = 2000;

/// Ids that have to be looked at.
#[derive(Debug, Default)]
pub struct Suspects {
    /// Their rows differ, or are on one side only.
    pub ids: Vec<String>,
    /// v3 does not have them in their hour.
    pub missing: Vec<(Arc<str>, String)>,
    /// v2 does not have them in their hour, and they were copied.
    pub extra: Vec<(Arc<str>, String)>,
    /// v3 wrote them; they matter only if v2 knows them, too.
    pub own: Vec<String>,
}

/// Takes buckets together until they hold `most` rows, and cuts one that holds more by itself.
pub fn batches(unlike: &[(Bucket, u64)], most: u64) -> Vec<(Vec<Bucket>, Option<Slice>)> {
    let mut batches: Vec<(Vec<Bucket>, u64)> = vec![];
    for (bucket, count) in unlike {
        match batches.last_mut() {
            Some((batch, rows)) if *rows + count <= most && batch.len() < BUCKETS => {
                batch.push(bucket.clone());
                *rows += count;
            }
            _ => batches.push((vec![bucket.clone()], *count)),
        }
    }
    let cut = |(batch, rows): (Vec<Bucket>, u64)| {
        Slice::cut(rows, most).into_iter().map(move |slice| (batch.clone(), slice))
    };
    batches.into_iter().flat_map(cut).collect()
}

/// The ids of one batch of buckets, or of a slice of one, that have to be looked at.
///
/// # Errors
/// A side cannot be asked.
pub async fn drill(
    v2: &V2,
    v3: &V3,
    chain: &Chain,
    range: &Range,
    sums: &Sums,
    (batch, slice): (&[Bucket], Option<Slice>),
) -> Result<Suspects, Trouble> {
    let merged = Patience::of(async || v3.rows(chain, batch, range, slice).await).await?;
    let mut copied = vec![Sum::default(); batch.len()];
    for row in merged.iter().filter(|row| !row.own) {
        copied[row.bucket].add(row.hash);
    }
    let bad: Vec<usize> = (0..batch.len())
        .filter(|at| {
            // Of a slice nobody has a sum.
            let theirs = sums.get(&batch[*at]);
            slice.is_some() || (theirs.rows, theirs.hash) != (copied[*at].rows, copied[*at].hash)
        })
        .collect();
    let mut suspects = Suspects::default();
    // In buckets that agree, v3's own rows stand beside a full copy.
    let agrees = |row: &&V3Row| bad.binary_search(&row.bucket).is_err();
    suspects.own.extend(merged.iter().filter(agrees).filter(|row| row.own).map(|row| row.id.to_string()));
    if bad.is_empty() {
        return Ok(suspects);
    }
    let asked: Vec<Bucket> = bad.iter().map(|at| batch[*at].clone()).collect();
    let mut theirs: HashMap<(usize, &str), Vec<&V3Row>> = HashMap::new();
    for row in merged.iter().filter(|row| !agrees(row)) {
        theirs.entry((row.bucket, &row.id)).or_default().push(row);
    }
    let project = |bucket: usize| batch.get(bucket).map_or_else(|| "".into(), |b| Arc::clone(&b.project));
    let ours = v2.rows(chain, &asked, range, slice).await?;
    for row in &ours {
        let bucket = bad.get(row.bucket).copied().unwrap_or(usize::MAX);
        match theirs.remove(&(bucket, &*row.id)) {
            None => suspects.missing.push((project(bucket), row.id.to_string())),
            Some(found) if found.len() == 1 && found[0].hash == row.hash && !found[0].own => {}
            Some(_) => suspects.ids.push(row.id.to_string()),
        }
    }
    for ((bucket, id), rows) in theirs {
        if rows.iter().all(|row| row.own) {
            suspects.own.push(id.to_owned());
        } else {
            suspects.extra.push((project(bucket), id.to_owned()));
        }
    }
    Ok(suspects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_what_may_be_held() {
        let bucket = |hour| Bucket { project: "p".into(), hour };
        let unlike: Vec<_> = [150_000, 60_000, 10, 900_000, 5]
            .iter()
            .enumerate()
            .map(|(at, rows)| (bucket(at as i64), *rows))
            .collect();
        let batches = batches(&unlike, 200_000);
        let sizes: Vec<_> = batches.iter().map(|(batch, slice)| (batch.len(), slice.is_some())).collect();
        let cut = sizes.iter().filter(|size| **size == (1, true)).count();
        assert!((5..=8).contains(&cut), "an hour of 900 000 rows is read in slices: {sizes:?}");
        assert_eq!((sizes[0], sizes[1], sizes[2 + cut]), ((1, false), (2, false), (1, false)));
    }
}
