//! Whether a copy has come for every row of a stretch of `created_at`: what lets T0 move on.
//!
//! One rule: that a row is copied says nothing of older ones. A catch-up walks the business time and may be killed
//! after its first stretch: only a stretch that agrees whole is covered.

use std::collections::BTreeSet;

use ::clickhouse::Row;
use serde::Deserialize;

use super::book::{Bin, ChBook, DAY_MS, Day, SUM_MODULUS};
use super::clickhouse::sql::{self, Where};
use super::clickhouse::{Server, Side, hosted};
use super::postgres::Session;
use crate::data::tables::Spec;
use crate::domain::Trouble;

/// Rows of the units that are read for one answer; of more it is not said.
const MOST: u64 = 3_000_000;
/// Days that one statement names.
const NAMED: usize = 400;

#[derive(Debug, Row, Deserialize)]
struct Sum {
    rows: u64,
    updated: i64,
    host: String,
}

hosted!(Sum);

/// Whether as many rows created after one moment and up to another (milliseconds) are copied as PostgreSQL has, with
/// the same sum of `updated_at`. `false` also when that is too much to read.
///
/// # Errors
/// A statement fails.
pub async fn is_covered(
    server: Server<'_>,
    session: &mut Session<'_>,
    spec: &Spec,
    book: &ChBook,
    (after, until): (i64, i64),
    side: &mut Side,
) -> Result<bool, Trouble> {
    let (from, to) = (after + 1, until + 1);
    let (first, last) = (day_of(from), day_of(until));
    let (mut days, mut rows) = (BTreeSet::new(), 0);
    for (_, day, unit) in book.units() {
        if unit.made.iter().any(|(made, m)| (first..=last).contains(made) && m.copied.rows > 0) {
            days.insert(day);
            rows += unit.raw;
        }
    }
    if rows > MOST {
        return Ok(false);
    }
    let mut copied = Bin::default();
    for days in days.into_iter().collect::<Vec<_>>().chunks(NAMED) {
        let on = Where { days: days.to_vec(), ..Where::default() };
        let query = on.bind(server.ch.query(&sql::copied_sum(spec, &on))).bind(from).bind(to);
        for sum in server.all::<Sum>(query, side).await? {
            copied.add(Bin { rows: sum.rows, updated: sum.updated.rem_euclid(SUM_MODULUS) });
        }
    }
    Ok(copied == session.bin(spec.table, from, to).await?)
}

fn day_of(ms: i64) -> Day {
    Day::try_from(ms.div_euclid(DAY_MS)).unwrap_or(Day::MAX)
}
