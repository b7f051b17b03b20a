//! ClickHouse's side: units counted once, proven by the parts of their partition.
//!
//! One rule: a merge is no change; new parts say which units are to be counted again, and nothing else is read.

mod delta;
pub mod parts;
pub mod sql;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::clickhouse::query::Query;
use ::clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;
use tokio::time::Instant;

use super::book::{Bin, ChBook, Made, Part, Partition, Unit};
use crate::clients::clickhouse::{Clickhouse, trouble};
use crate::data::tables::{Spec, is_replicated};
use crate::domain::{Kind, Trouble};

use parts::{Active, Change};
use sql::Where;

/// Rows that one statement groups.
const SLICE: u64 = 3_000_000;
/// Units that are named to the server one by one; for more of them the whole partition is read.
const NAMED: usize = 400;

/// What one pass over ClickHouse found beside what went into the book.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Side {
    /// Rows in all parts, as `system.parts` says.
    pub parts_rows: u64,
    /// Units that were counted in this pass.
    pub counted: usize,
    /// Rows that the statements of this pass went over, as far as the server says it.
    pub read: u64,
    /// Time that the server spent on them.
    pub server: Duration,
}

/// The server, and how long one statement may take.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// The client.
    pub ch: &'a Clickhouse,
    /// Longest wait for one answer.
    pub limit: Duration,
}

/// A table as the server knows it.
#[derive(Debug, Clone, Row, Deserialize)]
pub struct Known {
    /// Names it: a table made anew is another one.
    pub relation: String,
    /// `ReplacingMergeTree`, `ReplicatedReplacingMergeTree`.
    pub engine: String,
}

impl Known {
    /// Whether blocks get their numbers before they are committed.
    pub fn is_replicated(&self) -> bool {
        is_replicated(&self.engine)
    }
}

#[derive(Row, Deserialize)]
struct PartRow {
    path: String,
    engine: String,
    partition: String,
    name: String,
    rows: u64,
    min: i64,
    max: i64,
    hash: String,
}

/// Active parts by partition.
pub type Parts = BTreeMap<String, Vec<Active>>;

#[derive(Row, Deserialize)]
struct Touched {
    part: String,
    project: String,
    unit: u16,
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
}

impl Server<'_> {
    /// All rows of an answer; what the server says it cost goes to `side`.
    ///
    /// # Errors
    /// The statement fails, or takes longer than the limit.
    pub async fn all<T: RowOwned + RowRead>(&self, query: Query, side: &mut Side) -> Result<Vec<T>, Trouble> {
        let ask = async {
            let mut cursor = query.fetch::<T>()?;
            let mut rows = Vec::new();
            while let Some(row) = cursor.next().await? {
                rows.push(row);
            }
            if let Some(summary) = cursor.summary() {
                side.read += summary.read_rows().unwrap_or(0);
                side.server += Duration::from_nanos(summary.elapsed_ns().unwrap_or(0));
            }
            Ok(rows)
        };
        let object = &self.ch.object;
        match tokio::time::timeout(self.limit, ask).await {
            Ok(answer) => answer.map_err(|e| trouble(object, &e)),
            Err(_) => Err(Trouble::new(Kind::Timeout, object, "a count did not answer in time")),
        }
    }

    /// The table and its active parts by partition: `None` for the parts when the user may not see them, and
    /// `None` for all of it when there is no such table.
    ///
    /// # Errors
    /// A statement fails.
    pub async fn parts(
        &self,
        spec: &Spec,
        side: &mut Side,
    ) -> Result<Option<(Known, Option<Parts>)>, Trouble> {
        let query = self.ch.query(sql::PARTS).bind(spec.ch);
        let (rows, shown): (Vec<PartRow>, bool) = match self.all(query, side).await {
            Err(trouble) if trouble.kind == Kind::Forbidden => (vec![], false),
            answer => (answer?, true),
        };
        let known = match rows.first() {
            Some(row) => Some(Known { relation: parts::relation(&row.path), engine: row.engine.clone() }),
            None => self.all(self.ch.query(sql::TABLE).bind(spec.ch), side).await?.pop(),
        };
        let mut all = Parts::new();
        for row in rows {
            let mutation = parts::mutation(&row.partition, &row.name);
            let part = Part { min: row.min, max: row.max, mutation, hash: row.hash };
            all.entry(row.partition).or_default().push(Active { name: row.name, rows: row.rows, part });
        }
        for parts in all.values_mut() {
            parts.sort_by_key(|active| active.part.min);
        }
        Ok(known.map(|known| (known, shown.then_some(all))))
    }
}

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
/// A statement fails; what was counted before it stays in the book.
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
    if book.relation != known.relation {
        *book = ChBook { relation: known.relation.clone(), ..ChBook::default() };
    }
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
    let on = match change {
        Change::None => return Ok(None),
        Change::Rewritten => Where::default(),
        Change::Grown(names, fresh) => {
            let unsure = book.partitions.get(id).map_or(-1, |p| p.unsure);
            let new: Vec<&Active> = active.iter().filter(|a| names.contains(&a.name)).collect();
            let sure = new.iter().all(|a| a.part.min > unsure);
            let newest = active.iter().map(|a| a.part.max).max().unwrap_or(-1);
            if *fresh && sure && few(server, spec, book, id, &new, newest, side).await? {
                return Ok(Some(newest));
            }
            touched(server, spec, id, names, side).await?
        }
    };
    let rows = active.iter().map(|a| a.rows).sum();
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

/// Counts units of one partition; gives the number of rows that may have come or gone in them.
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
    let slices = if all { rows.div_ceil(SLICE).max(1) } else { 1 };
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
    struct Rows {
        partition: String,
        rows: u64,
    }
    let query =
        format!("SELECT _partition_id AS partition, count() AS rows FROM {} GROUP BY partition", spec.ch);
    let rows: Vec<Rows> = server.all(server.ch.query(&query), side).await?;
    book.partitions.clear();
    for row in rows {
        side.parts_rows += row.rows;
        book.unsearched += row.rows;
        book.partitions.insert(row.partition.clone(), Partition::default());
        partition(server, spec, book, &row.partition, Where::default(), row.rows, side).await?;
    }
    Ok(())
}
