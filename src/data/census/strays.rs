//! Ids that stand in more than one unit: their business day was changed between two writes. ClickHouse never
//! merges them, so one entity is counted once for each.
//!
//! One rule: the newest version of the id decides which of them is the entity; the others are taken off.

use ::clickhouse::Row;
use serde::Deserialize;

use super::book::{Bin, ChBook, SUM_MODULUS, Strays};
use super::clickhouse::sql;
use super::clickhouse::{Server, Side, hosted};
use super::postgres::Session;
use super::written::{bump, find};
use crate::data::tables::Spec;
use crate::domain::Trouble;

/// Ids that one search groups.
const SLICE: u64 = 4_000_000;
/// Ids that one statement may name.
const PAGE: usize = 500;

#[derive(Debug, Row, Deserialize)]
struct Id {
    id: String,
    host: String,
}

#[derive(Debug, Row, Deserialize)]
struct Stand {
    project: String,
    id: String,
    #[expect(dead_code, reason = "the statement groups by it")]
    unit: u16,
    deleted: u8,
    copied: u8,
    made: i32,
    updated: i64,
    version: i64,
    host: String,
}

hosted!(Id, Stand);

/// Searches all ids of a table of so many rows; reads each id once for every slice, so that memory is bounded.
///
/// # Errors
/// A statement fails; the result of the last search stays.
pub async fn search(
    server: Server<'_>,
    session: &mut Session<'_>,
    spec: &Spec,
    book: &mut ChBook,
    rows: u64,
    side: &mut Side,
) -> Result<(), Trouble> {
    let slices = rows.div_ceil(SLICE).max(1);
    let mut ids = Vec::new();
    for slice in 0..slices {
        let query = server.ch.query(&sql::strays(spec)).bind(slices).bind(slice);
        ids.extend(server.all::<Id>(query, side).await?.into_iter().map(|i| i.id));
    }
    let mut strays = Strays::default();
    for page in ids.chunks(PAGE) {
        let stands: Vec<Stand> = server.all(server.ch.query(&sql::stands(spec)).bind(page), side).await?;
        let names: Vec<&str> = page.iter().map(String::as_str).collect();
        let found = find(session, spec, &names).await?;
        for group in stands.chunk_by(|a, b| a.project == b.project && a.id == b.id) {
            let here = group.first().and_then(|s| found.day(&s.project, &s.id));
            take_off(&mut strays, group, here);
        }
    }
    book.strays = strays;
    book.unsearched = 0;
    book.searched = true;
    Ok(())
}

/// Takes off all stands of one id that are counted and do not hold its newest version.
fn take_off(strays: &mut Strays, group: &[Stand], in_postgres: Option<i32>) {
    let Some(newest) = group.iter().map(|s| (s.version, s.updated)).max() else { return };
    strays.rows += (group.len() as u64).saturating_sub(1);
    let mut kept = false;
    for stand in group {
        if !kept && (stand.version, stand.updated) == newest {
            kept = true;
            continue;
        }
        let project = stand.project.clone();
        if stand.deleted != 0 {
            strays.tombstones += 1;
            if let Some(day) = in_postgres {
                bump(strays.deleted.entry(project).or_default(), day);
            }
            continue;
        }
        match (stand.copied != 0, in_postgres) {
            (true, _) => {
                let bin = Bin { rows: 1, updated: stand.updated.rem_euclid(SUM_MODULUS) };
                strays.copied.entry(project).or_default().push((stand.made, bin));
            }
            (false, Some(day)) => bump(strays.shared.entry(project).or_default(), day),
            (false, None) => bump(strays.v3_only.entry(project).or_default(), stand.made),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand(copied: bool, deleted: bool, version: i64) -> Stand {
        let (deleted, copied) = (u8::from(deleted), u8::from(copied));
        Stand {
            project: "p".into(),
            id: "i".into(),
            unit: 0,
            deleted,
            copied,
            made: 3,
            updated: 7,
            version,
            host: String::new(),
        }
    }

    #[test]
    fn the_newest_stays() {
        let mut strays = Strays::default();
        take_off(&mut strays, &[stand(true, false, 1), stand(false, false, 9)], Some(4));
        assert_eq!(strays.rows, 1);
        assert_eq!(strays.copied["p"], [(3, Bin { rows: 1, updated: 7 })]);
        assert!(strays.shared.is_empty());
        // A deletion that is newer takes the copy away.
        take_off(&mut strays, &[stand(true, false, 1), stand(true, true, 9), stand(false, false, 2)], None);
        assert_eq!((strays.copied["p"].len(), strays.v3_only["p"][0], strays.rows), (2, (3, 1), 3));
        // A copy that is newer takes the deletion away.
        take_off(&mut strays, &[stand(true, true, 1), stand(true, false, 2)], Some(4));
        assert_eq!((strays.tombstones, strays.deleted["p"][0]), (1, (4, 1)));
    }
}
