//! What v3 wrote, held against PostgreSQL: entities that only v3 has, and those that both have.
//!
//! One rule: every id is looked up, once, and again only when PostgreSQL gained or lost rows; above what a run
//! can afford the number is an estimate and says so.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use ::clickhouse::Row;
use serde::Deserialize;

use super::book::{ChBook, Day, Known};
use super::clickhouse::sql::{self, Where};
use super::clickhouse::{Server, Side, hosted};
use super::postgres::{Session, sql as pg};
use crate::clients::postgres::{from_row, trouble};
use crate::data::tables::Spec;
use crate::domain::Trouble;
use crate::domain::latency::CANARY;

/// Ids of one look-up by primary key.
const PAGE: usize = 2_000;
/// Ids that one statement of ClickHouse may name.
const BATCH: u64 = 100_000;

/// What was asked of PostgreSQL already, by a hash of project and id: the day, or that it is not there.
#[derive(Debug, Default)]
pub struct Asked {
    hasher: RandomState,
    days: HashMap<u64, Option<Day>>,
}

/// Answers that are remembered, 16 bytes each.
const REMEMBERED: usize = 1_000_000;

impl Asked {
    /// Forgets what was not there: v2 may have got it since.
    pub fn forget_absent(&mut self) {
        self.days.retain(|_, day| day.is_some());
    }

    fn key(&self, project: &str, id: &str) -> u64 {
        self.hasher.hash_one((project, id))
    }
}

/// Which ids are looked up.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// PostgreSQL's insertions and deletions: what was looked up at another moment is looked up again.
    pub at: (i64, i64),
    /// How many ids.
    pub most: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Written {
    project: String,
    unit: u16,
    id: String,
    deleted: u8,
    made: i32,
    host: String,
}

hosted!(Written);

#[derive(Debug)]
struct Found {
    id: String,
    project: String,
    day: i32,
}

from_row!(Found { id, project, day });

/// Looks ids up, the newest units first. Gives the number of those that the policy left out.
///
/// # Errors
/// A statement fails; what was looked up before it stays in the book.
pub async fn look_up(
    server: Server<'_>,
    session: &mut Session<'_>,
    spec: &Spec,
    book: &mut ChBook,
    policy: Policy,
    asked: &mut Asked,
    side: &mut Side,
) -> Result<u64, Trouble> {
    let Policy { at, most } = policy;
    let (mut left, mut late) = (most, 0);
    let mut todo: Vec<(String, Vec<(String, u16)>)> = Vec::new();
    for (id, partition) in &book.partitions {
        let (mut batch, mut size) = (Vec::new(), 0);
        for (project, days) in partition.units.iter().rev() {
            for (day, unit) in days.iter().rev() {
                let ids = unit.written() + unit.deleted;
                if ids == 0 || unit.known.as_ref().is_some_and(|k| k.at == at) {
                    continue;
                }
                if ids > left {
                    late += ids;
                    continue;
                }
                left -= ids;
                size += ids;
                batch.push((project.clone(), *day));
                if size >= BATCH || batch.len() >= 200 {
                    todo.push((id.clone(), std::mem::take(&mut batch)));
                    size = 0;
                }
            }
        }
        if !batch.is_empty() {
            todo.push((id.clone(), batch));
        }
    }
    for (partition, units) in todo {
        batch(server, session, spec, book, &partition, &units, at, asked, side).await?;
    }
    Ok(late)
}

/// One batch of units of a partition.
#[expect(clippy::too_many_arguments, reason = "both servers, both books, and what to look up")]
async fn batch(
    server: Server<'_>,
    session: &mut Session<'_>,
    spec: &Spec,
    book: &mut ChBook,
    partition: &str,
    units: &[(String, u16)],
    at: (i64, i64),
    asked: &mut Asked,
    side: &mut Side,
) -> Result<(), Trouble> {
    let on = within(partition, units);
    let query = on.bind(server.ch.query(&sql::written(spec, &on)));
    let written: Vec<Written> = server.all(query, side).await?;
    let new = written.iter().filter(|w| !asked.days.contains_key(&asked.key(&w.project, &w.id)));
    let ids: Vec<&str> = new.map(|w| w.id.as_str()).collect();
    let found = find(session, spec, &ids).await?;
    let mut known: BTreeMap<(&str, u16), Known> =
        units.iter().map(|(p, d)| ((p.as_str(), *d), Known { at, ..Known::default() })).collect();
    for w in &written {
        let Some(known) = known.get_mut(&(w.project.as_str(), w.unit)) else { continue };
        // Our own probes are nobody's data.
        if w.id.starts_with(CANARY) {
            continue;
        }
        let key = asked.key(&w.project, &w.id);
        let answer = || found.day(&w.project, &w.id);
        let there = asked.days.get(&key).copied().unwrap_or_else(answer);
        if asked.days.len() < REMEMBERED {
            asked.days.insert(key, there);
        }
        match (there, w.deleted != 0) {
            (Some(day), false) => bump(&mut known.shared, day),
            (Some(day), true) => bump(&mut known.deleted, day),
            (None, false) => bump(&mut known.v3_only, w.made),
            (None, true) => {}
        }
    }
    let Some(partition) = book.partitions.get_mut(partition) else { return Ok(()) };
    for ((project, day), known) in known {
        if let Some(unit) = partition.units.get_mut(project).and_then(|days| days.get_mut(&day)) {
            unit.known = Some(known);
        }
    }
    Ok(())
}

/// The rows of some units of a partition.
fn within(partition: &str, units: &[(String, u16)]) -> Where {
    let mut projects: Vec<String> = units.iter().map(|(p, _)| p.clone()).collect();
    let mut days: Vec<u16> = units.iter().map(|(_, d)| *d).collect();
    projects.dedup();
    days.sort_unstable();
    days.dedup();
    Where { partition: Some(partition.to_owned()), projects, days, ..Where::default() }
}

/// What PostgreSQL has of some ids. An id of another project is another entity, and run items of two projects may share
/// one.
#[derive(Debug, Default)]
pub(super) struct Stored(HashMap<String, Vec<(String, Day)>>);

impl Stored {
    /// The day of an entity; nothing where PostgreSQL does not have it.
    pub(super) fn day(&self, project: &str, id: &str) -> Option<Day> {
        self.0.get(id)?.iter().find(|(p, _)| p == project).map(|(_, day)| *day)
    }
}

/// Project and day of the ids that PostgreSQL has.
pub(super) async fn find(session: &mut Session<'_>, spec: &Spec, ids: &[&str]) -> Result<Stored, Trouble> {
    let mut found = Stored::default();
    for page in ids.chunks(PAGE) {
        let rows: Vec<Found> = sqlx::query_as(sqlx::AssertSqlSafe(pg::known(spec.table)))
            .bind(page)
            .fetch_all(&mut *session.connection)
            .await
            .map_err(|e| trouble(session.object, &e))?;
        for Found { id, project, day } in rows {
            found.0.entry(id).or_default().push((project, day));
        }
    }
    Ok(found)
}

/// One more on a day.
pub(super) fn bump(days: &mut Vec<(Day, u64)>, day: Day) {
    match days.iter_mut().find(|(d, _)| *d == day) {
        Some((_, n)) => *n += 1,
        None => days.push((day, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_id_of_two_projects_is_two_entities() {
        let both = vec![("a".to_owned(), 5), ("b".to_owned(), 6)];
        let stored = Stored(HashMap::from([("x".to_owned(), both)]));
        let days = ["a", "b", "c"].map(|project| stored.day(project, "x"));
        assert_eq!(days, [Some(5), Some(6), None]);
        assert_eq!(stored.day("a", "y"), None);
    }
}
