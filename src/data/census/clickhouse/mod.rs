//! ClickHouse's side: units counted once, proven by the parts of their partition.
//!
//! One rule: a merge is no change; new parts say which units are to be counted again, and nothing else is read.

mod delta;
pub mod parts;
mod server;
pub mod sql;

use std::collections::{BTreeMap, BTreeSet};

use ::clickhouse::Row;
use serde::Deserialize;
use tokio::time::Instant;

use super::book::{Bin, ChBook, Made, Partition, Unit};
use crate::data::tables::Spec;
use crate::domain::{Kind, Trouble};

pub(in crate::data::census) use server::hosted;
pub use server::{Hosted, Known, Parts, Server, Side};

use parts::{Active, Change};
use sql::Where;

/// Rows that one statement groups.
const SLICE: u64 = 3_000_000;
/// Units that are named to the server one by one; for more of them the whole partition is read.
const NAMED: usize = 400;

#[derive(Row, Deserialize)]
struct Touched {
    part: String,
    project: String,
    unit: u16,
    host: String,
}

#[derive(Debug, Row, Deserialize)]
struct UnitRow {
    project: String,
    unit: u16,
    made: i32,
    raw: u64,
    keys: u64,
    ids: u64,
    deleted: u64,
    copied: u64,
    written: u64,
    updated: i64,
    newest: i64,
    host: String,
}

hosted!(Touched, UnitRow);

/// How far a count came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// There is no such table.
    Absent,
    /// The time was up; what is left is counted the next time.
    Part,
    /// Everything is counted.
    Whole,
}

/// Brings the book up to date, one partition at least, until the deadline.
///
/// # Errors
/// A statement fails; what was counted before it stays in the book. [`Kind::Conflict`]: two servers answered.
pub async fn count(
    server: Server<'_>,
    spec: &Spec,
    book: &mut ChBook,
    side: &mut Side,
    deadline: Option<Instant>,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Came, Trouble> {
    let Some((known, now)) = server.parts(spec, side).await? else {
        *book = ChBook::default();
        return Ok(Came::Absent);
    };
    if book.relation == known.relation {
        return changed(server, spec, book, (known, now), side, deadline, progress).await;
    }
    let other = ChBook { relation: known.relation.clone(), ..ChBook::default() };
    let before = std::mem::replace(book, other);
    let came = changed(server, spec, book, (known, now), side, deadline, progress).await;
    // It may be another server's table, and the next answer come from the one that is known.
    if matches!(&came, Err(trouble) if trouble.kind == Kind::Conflict) {
        *book = before;
    }
    came
}

/// Counts what changed in a table since the book.
async fn changed(
    server: Server<'_>,
    spec: &Spec,
    book: &mut ChBook,
    (known, now): (Known, Option<Parts>),
    side: &mut Side,
    deadline: Option<Instant>,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Came, Trouble> {
    let replicated = known.is_replicated();
    let Some(now) = now else {
        whole(server, spec, book, side).await?;
        return Ok(Came::Whole);
    };
    let newest = now.values().flatten().map(|a| a.part.max).max().unwrap_or(-1);
    let before: u64 = book.raw();
    book.partitions.retain(|id, _| now.contains_key(id));
    side.parts_rows = now.values().flatten().map(|a| a.rows).sum();
    book.unsearched += before.saturating_sub(book.raw());
    let (mut came, mut begun, mut counted) = (Came::Whole, false, Vec::new());
    for (id, active) in now {
        let change = match book.partitions.get(&id).filter(|then| !then.parts.is_empty()) {
            None => Change::Rewritten,
            Some(then) => parts::compare(&then.parts, &active, then.seen, replicated),
        };
        let is_new = change != Change::None;
        if is_new && begun && deadline.is_some_and(|end| Instant::now() >= end) {
            came = Came::Part;
            continue;
        }
        let seen = take_in(server, spec, book, &id, &active, &change, side).await?;
        // Also after a merge: the parts of tomorrow are held against these.
        let here = book.partitions.entry(id.clone()).or_default();
        here.parts = active.into_iter().map(|a| a.part).collect();
        here.seen = newest;
        if is_new {
            // Until it is asked, and for good where this is interrupted.
            here.unsure = seen.unwrap_or(i64::MAX);
            begun = true;
            progress(side.read);
            if seen.is_none() {
                counted.push(id);
            }
        }
    }
    came_meanwhile(server, spec, book, counted, side).await?;
    Ok(came)
}

/// Counts what changed in a partition: a few new rows by themselves, else the units that they belong to, else all.
/// Gives the newest block that may be in it, where that is known.
async fn take_in(
    server: Server<'_>,
    spec: &Spec,
    book: &mut ChBook,
    id: &str,
    active: &[Active],
    change: &Change,
    side: &mut Side,
) -> Result<Option<i64>, Trouble> {
    let all: u64 = active.iter().map(|a| a.rows).sum();
    let (on, rows) = match change {
        Change::None => return Ok(None),
        Change::Rewritten => (Where::default(), all),
        Change::Grown(names, fresh) => {
            let unsure = book.partitions.get(id).map_or(-1, |p| p.unsure);
            let new: Vec<&Active> = active.iter().filter(|a| names.contains(&a.name)).collect();
            let sure = new.iter().all(|a| a.part.min > unsure);
            let newest = active.iter().map(|a| a.part.max).max().unwrap_or(-1);
            if *fresh && sure && few(server, spec, book, id, &new, newest, side).await? {
                return Ok(Some(newest));
            }
            let on = touched(server, spec, id, names, side).await?;
            let came: u64 = new.iter().map(|a| a.rows).sum();
            let is_named = on != Where::default();
            let here = book.partitions.get(id).filter(|_| is_named);
            // A new part may hold old rows, too.
            let rows = here.map_or(all, |here| all.min(known_rows(here, &on) + came));
            (on, rows)
        }
    };
    book.unsearched += partition(server, spec, book, id, on, rows, side).await?;
    Ok(None)
}

/// Parts that came after the list and before the end of the count may be counted or not: the next count may not add
/// their rows to what is known, it counts their units whole.
async fn came_meanwhile(
    server: Server<'_>,
    spec: &Spec,
    book: &mut ChBook,
    counted: Vec<String>,
    side: &mut Side,
) -> Result<(), Trouble> {
    if counted.is_empty() {
        return Ok(());
    }
    let now = server.parts(spec, side).await?.and_then(|(_, parts)| parts).unwrap_or_default();
    for id in counted {
        let newest = now.get(&id).into_iter().flatten().map(|a| a.part.max).max();
        if let Some(here) = book.partitions.get_mut(&id) {
            here.unsure = newest.unwrap_or(i64::MAX);
        }
    }
    Ok(())
}

/// Adds the rows of a few new parts to a partition; `false` when they are to be counted with their units.
async fn few(
    server: Server<'_>,
    spec: &Spec,
    book: &mut ChBook,
    id: &str,
    new: &[&Active],
    newest: i64,
    side: &mut Side,
) -> Result<bool, Trouble> {
    let rows: u64 = new.iter().map(|a| a.rows).sum();
    let Some(here) = book.partitions.get_mut(id).filter(|_| rows <= delta::FEW) else { return Ok(false) };
    let Some(units) = delta::add(server, spec, id, new, newest, here, side).await? else { return Ok(false) };
    for ((project, day), unit) in units {
        side.counted += 1;
        here.units.entry(project).or_default().insert(day, unit);
    }
    book.unsearched += rows;
    Ok(true)
}

/// Rows of the units that are named, as many as there were when they were counted.
fn known_rows(here: &Partition, on: &Where) -> u64 {
    let days = on.projects.iter().filter_map(|project| here.units.get(project));
    days.flat_map(|units| on.days.iter().filter_map(|day| units.get(day))).map(|unit| unit.raw).sum()
}

/// Counts units of one partition, which hold so many rows at most; gives the number of rows that may have come or gone
/// in them.
async fn partition(
    server: Server<'_>,
    spec: &Spec,
    book: &mut ChBook,
    id: &str,
    on: Where,
    rows: u64,
    side: &mut Side,
) -> Result<u64, Trouble> {
    let all = on == Where::default();
    let slices = rows.div_ceil(SLICE).max(1);
    let mut found: BTreeMap<(String, u16), Unit> = BTreeMap::new();
    for slice in 0..slices {
        let on = Where { partition: Some(id.to_owned()), slice: Some((slice, slices)), ..on.clone() };
        let query = on.bind(server.ch.query(&sql::units(spec, &on)));
        for row in server.all::<UnitRow>(query, side).await? {
            add(found.entry((row.project.clone(), row.unit)).or_default(), &row);
        }
    }
    let here = book.partitions.entry(id.to_owned()).or_default();
    let mut moved = 0;
    if all {
        let before = std::mem::take(&mut here.units);
        moved += before.values().flat_map(|d| d.values()).map(|u| u.raw).sum::<u64>();
    }
    for ((project, day), unit) in found {
        side.counted += 1;
        let old = here.units.entry(project).or_default().insert(day, unit.clone());
        moved += unit.raw.max(old.map_or(0, |u| u.raw));
    }
    Ok(moved)
}

fn add(unit: &mut Unit, row: &UnitRow) {
    unit.raw += row.raw;
    unit.keys += row.keys;
    unit.ids += row.ids;
    unit.deleted += row.deleted;
    let made = if let Some((_, made)) = unit.made.iter_mut().find(|(day, _)| *day == row.made) {
        made
    } else {
        unit.made.push((row.made, Made::default()));
        let Some((_, made)) = unit.made.last_mut() else { return };
        made
    };
    made.copied.add(Bin { rows: row.copied, updated: row.updated });
    made.written += row.written;
    made.newest = made.newest.max(row.newest);
}

/// The units that new parts hold rows of.
async fn touched(
    server: Server<'_>,
    spec: &Spec,
    partition: &str,
    names: &[String],
    side: &mut Side,
) -> Result<Where, Trouble> {
    let query = server.ch.query(&sql::touched(spec)).bind(partition).bind(names);
    let touched: Vec<Touched> = server.all(query, side).await?;
    // A part that was merged away since it was listed shows none of its rows: then all of them are counted.
    let seen: BTreeSet<&str> = touched.iter().map(|t| t.part.as_str()).collect();
    if seen.len() < names.len() {
        return Ok(Where::default());
    }
    let projects: BTreeSet<String> = touched.iter().map(|t| t.project.clone()).collect();
    let days: BTreeSet<u16> = touched.iter().map(|t| t.unit).collect();
    // Every pair of the two is counted: a few more than needed, each of them whole.
    if projects.len() * days.len() > NAMED {
        return Ok(Where::default());
    }
    let (projects, days) = (projects.into_iter().collect(), days.into_iter().collect());
    Ok(Where { projects, days, ..Where::default() })
}

/// Without `system.parts` nothing is proven, and everything is counted.
async fn whole(server: Server<'_>, spec: &Spec, book: &mut ChBook, side: &mut Side) -> Result<(), Trouble> {
    #[derive(Row, Deserialize)]
    struct Listed {
        partition: String,
        rows: u64,
        host: String,
    }
    hosted!(Listed);
    let query = format!(
        "SELECT _partition_id AS partition, count() AS rows, hostName() AS host FROM {} GROUP BY partition",
        spec.ch
    );
    let rows: Vec<Listed> = server.all(server.ch.query(&query), side).await?;
    book.partitions.clear();
    for row in rows {
        side.parts_rows += row.rows;
        book.unsearched += row.rows;
        book.partitions.insert(row.partition.clone(), Partition::default());
        partition(server, spec, book, &row.partition, Where::default(), row.rows, side).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_as_long_as_they_were() {
        let unit = |raw| Unit { raw, ..Unit::default() };
        let mut here = Partition::default();
        for (project, day, raw) in [("a", 1, 10), ("a", 2, 200), ("b", 1, 3_000), ("b", 2, 40_000)] {
            here.units.entry(project.to_owned()).or_default().insert(day, unit(raw));
        }
        let on = |projects: &[&str], days: &[u16]| Where {
            projects: projects.iter().map(|&p| p.to_owned()).collect(),
            days: days.to_vec(),
            ..Where::default()
        };
        assert_eq!(known_rows(&here, &on(&["a"], &[2])), 200);
        assert_eq!(known_rows(&here, &on(&["a", "b"], &[1])), 3_010);
        assert_eq!(known_rows(&here, &on(&["c"], &[1, 2])), 0, "a unit that was not there");
    }
}
