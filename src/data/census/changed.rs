//! Days that differ, looked at id by id: what is not copied, what is gone, what was updated after it was copied.
//!
//! One rule: only days whose counts or sums of `updated_at` differ are looked at, each one once for the same
//! counts and sums; the memory is bounded by one day of one project.

use std::collections::HashMap;

use ::clickhouse::Row;
use serde::Deserialize;

use super::book::{Bin, ChBook, DAY_MS, Day, Drill};
use super::clickhouse::sql::{self, Where};
use super::clickhouse::{Server, Side, hosted};
use super::postgres::{Session, sql as pg};
use crate::clients::postgres::{from_row, trouble};
use crate::data::tables::Spec;
use crate::domain::Trouble;

/// Rows of a project's day that are looked at one by one; of larger ones only the counts are compared.
pub const LARGEST: u64 = 1_000_000;

#[derive(Debug, Row, Deserialize)]
struct Copied {
    id: String,
    updated: i64,
    host: String,
}

hosted!(Copied);

#[derive(Debug)]
struct Stored {
    id: String,
    created: i64,
    updated: i64,
}

from_row!(Stored { id, created, updated });

/// Looks at a project's day.
///
/// # Errors
/// A statement fails.
#[expect(clippy::too_many_arguments, reason = "both servers, and which day")]
pub async fn drill(
    server: Server<'_>,
    session: &mut Session<'_>,
    spec: &Spec,
    book: &ChBook,
    (project, day): (&str, Day),
    (pg_bin, ch_bin): (Bin, Bin),
    t0: Option<i64>,
    side: &mut Side,
) -> Result<Drill, Trouble> {
    let (from, to) = (i64::from(day) * DAY_MS, (i64::from(day) + 1) * DAY_MS);
    let stored: Vec<Stored> = sqlx::query_as(sqlx::AssertSqlSafe(pg::ids(spec.table)))
        .bind(from)
        .bind(to)
        .bind(project)
        .fetch_all(&mut *session.connection)
        .await
        .map_err(|e| trouble(session.object, &e))?;
    let mut copied = copied(server, spec, book, project, day, side).await?;
    let mut drill = Drill { pg: pg_bin, copied: ch_bin, t0, uncopied: 0, after: 0, gone: 0, changed: 0 };
    for row in stored {
        match copied.remove(&row.id) {
            None => {
                drill.uncopied += 1;
                drill.after += u64::from(t0.is_some_and(|t0| row.created > t0));
            }
            Some(updated) => drill.changed += u64::from(updated < row.updated),
        }
    }
    drill.gone = copied.len() as u64;
    Ok(drill)
}

/// Copied ids of a project's day with their `updated_at`; of an id that stands twice, the newest.
async fn copied(
    server: Server<'_>,
    spec: &Spec,
    book: &ChBook,
    project: &str,
    day: Day,
    side: &mut Side,
) -> Result<HashMap<String, i64>, Trouble> {
    let here = book.units().filter(|(p, _, unit)| *p == project && unit.made.iter().any(|(d, _)| *d == day));
    let mut days: Vec<u16> = here.map(|(_, unit, _)| unit).collect();
    days.sort_unstable();
    days.dedup();
    let mut found: HashMap<String, i64> = HashMap::new();
    for days in days.chunks(400) {
        let on = Where { projects: vec![project.to_owned()], days: days.to_vec(), ..Where::default() };
        let query = on.bind(server.ch.query(&sql::copied(spec, &on)));
        let query = query.bind(i64::from(day) * DAY_MS).bind((i64::from(day) + 1) * DAY_MS);
        for row in server.all::<Copied>(query, side).await? {
            let updated = found.entry(row.id).or_insert(row.updated);
            *updated = (*updated).max(row.updated);
        }
    }
    Ok(found)
}
