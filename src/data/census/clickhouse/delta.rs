//! A few new rows: their entities before and after, in one statement that reads nothing else.
//!
//! One rule: it counts only when every row of the new parts was seen and none of newer ones; otherwise their units are
//! counted whole.

use std::collections::{BTreeMap, BTreeSet};

use ::clickhouse::Row;
use serde::Deserialize;

use super::super::book::{Bin, Made, Partition, SUM_MODULUS, Unit};
use super::parts::{self, Active};
use super::{Server, Side, hosted, sql};
use crate::data::tables::Spec;
use crate::domain::Trouble;

/// Rows of new parts up to which their entities are looked at one by one.
pub(super) const FEW: u64 = 20_000;
/// Rows of these entities, merged or not, that are held here: some 30 MB. An entity that was written so often that there
/// are more is counted by the server.
pub(super) const HELD: usize = 200_000;

/// A row of an entity that new parts hold a row of.
#[derive(Debug, Row, Deserialize)]
struct Seen {
    project: String,
    unit: u16,
    entity: String,
    rest: u64,
    part: String,
    deleted: u8,
    copied: u8,
    created: i64,
    updated: i64,
    version: i64,
    host: String,
}

hosted!(Seen);

/// One entity before and after.
#[derive(Debug, Default)]
struct Entity<'a> {
    rows: Vec<&'a Seen>,
    old_rows: Vec<&'a Seen>,
}

/// Adds the rows of new parts to the units of a partition, whose newest block was `newest` when it was listed; `None`
/// when not all of them were seen, or one of a block that came since.
pub(super) async fn add(
    server: Server<'_>,
    spec: &Spec,
    id: &str,
    new: &[&Active],
    newest: i64,
    here: &Partition,
    side: &mut Side,
) -> Result<Option<BTreeMap<(String, u16), Unit>>, Trouble> {
    let names: Vec<&str> = new.iter().map(|a| a.name.as_str()).collect();
    let statement = sql::entities(spec);
    let rows: Vec<Seen> = server.all(server.ch.query(&statement).bind(id).bind(&names), side).await?;
    let is_new = |row: &Seen| names.contains(&row.part.as_str());
    // A part that was merged away meanwhile shows its rows as old ones, or not at all.
    let is_all =
        rows.iter().filter(|row| is_new(row)).count() as u64 == new.iter().map(|a| a.rows).sum::<u64>();
    if !is_all || rows.len() > HELD || rows.iter().any(|row| parts::newest(id, &row.part) > newest) {
        return Ok(None);
    }
    let mut entities: BTreeMap<(&str, u16, &str), Entity<'_>> = BTreeMap::new();
    for row in &rows {
        let entity = entities.entry((&row.project, row.unit, &row.entity)).or_default();
        entity.rows.push(row);
        if !is_new(row) {
            entity.old_rows.push(row);
        }
    }
    let mut units: BTreeMap<(String, u16), Unit> = BTreeMap::new();
    for ((project, day, _), entity) in entities {
        let old = || here.units.get(project).and_then(|days| days.get(&day)).cloned();
        let unit = units.entry((project.to_owned(), day)).or_insert_with(|| old().unwrap_or_default());
        count(unit, &entity);
    }
    Ok(Some(units))
}

/// The row that wins, and the number of sorting keys.
fn merged<'a>(rows: &[&'a Seen]) -> (Option<&'a Seen>, u64) {
    let keys: BTreeSet<u64> = rows.iter().map(|row| row.rest).collect();
    (rows.iter().copied().max_by_key(|row| (row.version, row.updated)), keys.len() as u64)
}

fn count(unit: &mut Unit, entity: &Entity<'_>) {
    let ((now, keys), (before, old_keys)) = (merged(&entity.rows), merged(&entity.old_rows));
    unit.raw += (entity.rows.len() - entity.old_rows.len()) as u64;
    unit.keys += keys - old_keys;
    unit.ids += u64::from(before.is_none());
    let by_v3 = |row: &&Seen| row.deleted != 0 || row.copied == 0;
    if now.iter().chain(&before).any(by_v3) {
        unit.known = None;
    }
    if let Some(before) = before {
        take(unit, before);
    }
    if let Some(now) = now {
        put(unit, now);
    }
}

fn put(unit: &mut Unit, row: &Seen) {
    if row.deleted != 0 {
        unit.deleted += 1;
        return;
    }
    let made = made(unit, row.created);
    if row.copied == 0 {
        made.written += 1;
        return;
    }
    made.copied.add(Bin { rows: 1, updated: row.updated.rem_euclid(SUM_MODULUS) });
    made.newest = made.newest.max(row.created);
}

fn take(unit: &mut Unit, row: &Seen) {
    if row.deleted != 0 {
        unit.deleted = unit.deleted.saturating_sub(1);
        return;
    }
    let made = made(unit, row.created);
    if row.copied == 0 {
        made.written = made.written.saturating_sub(1);
        return;
    }
    made.copied.rows = made.copied.rows.saturating_sub(1);
    made.copied.updated = (made.copied.updated - row.updated).rem_euclid(SUM_MODULUS);
}

/// The entry of a moment's day.
fn made(unit: &mut Unit, created: i64) -> &mut Made {
    let day = created.div_euclid(super::super::book::DAY_MS) as i32;
    let at = unit.made.iter().position(|(d, _)| *d == day).unwrap_or_else(|| {
        unit.made.push((day, Made::default()));
        unit.made.len() - 1
    });
    &mut unit.made[at].1
}
