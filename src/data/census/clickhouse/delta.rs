//! A few new rows: their entities before and after, in one statement that reads nothing else.
//!
//! One rule: it counts only when every row of the new parts was seen and none of newer ones; otherwise their units are
//! counted whole.

use std::collections::BTreeMap;

use ::clickhouse::Row;
use serde::Deserialize;

use super::super::book::{Bin, Made, Partition, SUM_MODULUS, Unit};
use super::parts::Active;
use super::{Server, Side, sql};
use crate::data::tables::Spec;
use crate::domain::Trouble;

/// Rows of new parts up to which their entities are looked at one by one.
pub(super) const FEW: u64 = 20_000;

/// Deleted, copied, created at, updated at.
type Winner = (u8, u8, i64, i64);

#[derive(Debug, Row, Deserialize)]
struct Entity {
    project: String,
    unit: u16,
    rows: u64,
    old_rows: u64,
    keys: u64,
    old_keys: u64,
    now: Winner,
    before: Winner,
    newest: i64,
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
    let query = server.ch.query(&statement).bind(&names).bind(&names).bind(&names);
    let query = query.bind(id).bind(id).bind(&names);
    let entities: Vec<Entity> = server.all(query, side).await?;
    // A part that was merged away meanwhile shows its rows as old ones, or not at all.
    let seen: u64 = entities.iter().map(|e| e.rows - e.old_rows).sum();
    let is_all = seen == new.iter().map(|a| a.rows).sum::<u64>();
    if !is_all || entities.iter().any(|e| e.newest > newest) {
        return Ok(None);
    }
    let mut units: BTreeMap<(String, u16), Unit> = BTreeMap::new();
    for entity in entities {
        let old = || here.units.get(&entity.project).and_then(|days| days.get(&entity.unit)).cloned();
        let unit =
            units.entry((entity.project.clone(), entity.unit)).or_insert_with(|| old().unwrap_or_default());
        count(unit, &entity);
    }
    Ok(Some(units))
}

/// One entity before and after.
fn count(unit: &mut Unit, entity: &Entity) {
    unit.raw += entity.rows - entity.old_rows;
    unit.keys += entity.keys.saturating_sub(entity.old_keys);
    let before = (entity.old_rows > 0).then_some(entity.before);
    unit.ids += u64::from(before.is_none());
    let by_v3 = |w: &Winner| w.0 != 0 || w.1 == 0;
    if by_v3(&entity.now) || before.as_ref().is_some_and(by_v3) {
        unit.known = None;
    }
    if let Some(before) = before {
        take(unit, before);
    }
    put(unit, entity.now);
}

fn put(unit: &mut Unit, (deleted, copied, created, updated): Winner) {
    if deleted != 0 {
        unit.deleted += 1;
        return;
    }
    let made = made(unit, created);
    if copied == 0 {
        made.written += 1;
        return;
    }
    made.copied.add(Bin { rows: 1, updated: updated.rem_euclid(SUM_MODULUS) });
    made.newest = made.newest.max(created);
}

fn take(unit: &mut Unit, (deleted, copied, created, updated): Winner) {
    if deleted != 0 {
        unit.deleted = unit.deleted.saturating_sub(1);
        return;
    }
    let made = made(unit, created);
    if copied == 0 {
        made.written = made.written.saturating_sub(1);
        return;
    }
    made.copied.rows = made.copied.rows.saturating_sub(1);
    made.copied.updated = (made.copied.updated - updated).rem_euclid(SUM_MODULUS);
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
