//! One census: both sides brought up to date, what differs looked at, and the report.
//!
//! One rule: what was counted goes into the book as it is counted; whoever drops a run loses nothing of it, as long as
//! the book is written then.

use std::time::Duration;

use super::book::{Book, DAY_MS, Day, TableBook};
use super::changed::{self, LARGEST};
use super::clickhouse::{self, Came, Server};
use super::compare::{self, Pairs};
use super::postgres::{self, Scope, Session};
use super::report::{Filter, Number, Proof, Report, TableReport};
use super::strays;
use super::written::{self, Asked, Policy};
use crate::clients::work::{ClickhouseWork, PostgresWork};
use crate::data::tables::spec;
use crate::domain::backfill::Table;
use crate::domain::{Kind, Trouble};

/// Rows that are read again in one run because rows were updated.
const REREAD: u64 = 5_000_000;
/// Ids that v3 wrote and that are looked up in one run.
const LOOK_UP: u64 = 2_000_000;
/// Rows of differing days that are compared by id in one run.
const DRILL: u64 = 5_000_000;
/// How often a table is counted in which two servers of ClickHouse answered. What was counted before is not counted
/// again, so that the next try is shorter than the time a connection is kept.
const TRIES: usize = 4;
/// Longest statement.
const STATEMENT: Duration = Duration::from_mins(10);

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// The table.
    pub table: Table,
    /// "PostgreSQL", "ClickHouse", "v3's ids", "strays", "days that differ".
    pub what: &'static str,
    /// Rows read for it so far.
    pub rows: u64,
}

/// Counts and compares. `t0` says what is known of T0 in milliseconds; `at` stamps the report.
///
/// # Errors
/// A server cannot be reached or refuses a statement. The book then holds what was counted until then.
pub async fn run(
    (pg, ch): (&PostgresWork, &ClickhouseWork),
    tables: &[Table],
    filter: &Filter,
    t0: &(dyn Fn(Table) -> Option<i64> + Sync),
    at: jiff::Timestamp,
    book: &mut Book,
    note: &mut (dyn FnMut(Note) + Send),
) -> Result<Report, Trouble> {
    let mut connection = pg.session().await?;
    let server = Server { ch: &ch.ask, limit: STATEMENT };
    book.run += 1;
    let number = book.run;
    let mut reports = Vec::new();
    for table in tables {
        let of_table = book.tables.entry(table.name().to_owned()).or_default();
        let mut session = Session { connection: &mut connection, object: &pg.object };
        let mut tries = 1;
        let report = loop {
            match one(&mut session, server, *table, filter, t0(*table), number, of_table, note).await {
                Err(trouble) if trouble.kind == Kind::Conflict && tries < TRIES => tries += 1,
                answer => break answer?,
            }
        };
        reports.push(report);
    }
    let equal = reports.iter().all(|r| !r.differs() && r.is_proven());
    Ok(Report { version: 1, at, tables: reports, equal })
}

#[expect(clippy::too_many_arguments, reason = "both servers, and which table")]
async fn one(
    session: &mut Session<'_>,
    server: Server<'_>,
    table: Table,
    filter: &Filter,
    t0: Option<i64>,
    number: u64,
    book: &mut TableBook,
    note: &mut (dyn FnMut(Note) + Send),
) -> Result<TableReport, Trouble> {
    let spec = spec(table);
    // ClickHouse first: a row that comes in between is then new in PostgreSQL, and never one too many here.
    let mut ch_side = clickhouse::Side::default();
    let tell = |what| move |rows| Note { table, what, rows };
    let there = {
        let tell = tell("ClickHouse");
        clickhouse::count(server, spec, &mut book.ch, &mut ch_side, None, &mut |rows| note(tell(rows)))
            .await?
            != Came::Absent
    };
    let pg_side = {
        let tell = tell("PostgreSQL");
        let mut scope = Scope { reread: REREAD, progress: &mut |rows| note(tell(rows)) };
        postgres::count(session, table, &mut book.pg, number, &mut scope).await?
    };
    let mut late = 0;
    if there {
        note(tell("v3's ids")(ch_side.read));
        let policy = Policy { at: pg_side.look.mark(), most: LOOK_UP };
        let mut asked = Asked::default();
        late =
            written::look_up(server, session, spec, &mut book.ch, policy, &mut asked, &mut ch_side).await?;
        if book.ch.unsearched > 0 || !book.ch.searched {
            note(tell("strays")(ch_side.read));
            strays::search(server, session, spec, &mut book.ch, ch_side.parts_rows, &mut ch_side).await?;
        }
    }
    // A T0 that is known says it better: of what a killed catch-up copied, the newest is no end of anything.
    let t0 = t0.or_else(|| book.ch.newest_copied());
    let pairs = compare::pairs(&book.pg.bins, &pg_side.open, &book.ch);
    if there {
        note(tell("days that differ")(ch_side.read));
        drill(session, server, table, filter, &pairs, t0, book, &mut ch_side).await?;
    }
    let counted = Counted { there, pg: &pg_side, ch: &ch_side, late, t0 };
    Ok(counted.report(table, filter, &pairs, book))
}

/// Both sides of a table, counted.
struct Counted<'a> {
    /// Whether ClickHouse has the table.
    there: bool,
    pg: &'a postgres::Side,
    ch: &'a clickhouse::Side,
    /// Ids that were not looked up, because there were too many.
    late: u64,
    t0: Option<i64>,
}

impl Counted<'_> {
    fn report(&self, table: Table, filter: &Filter, pairs: &compare::Pairs, book: &TableBook) -> TableReport {
        let Self { there, pg: pg_side, ch: ch_side, late, t0 } = *self;
        let mut report = TableReport {
            table: table.name(),
            in_clickhouse: there,
            t0: t0.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()),
            proof: Proof {
                closed_days: book.pg.days.len(),
                rechecked_days: pg_side.rechecked,
                corrected_days: pg_side.corrected.len(),
                stale_days: pg_side.stale,
                postgres_rows_read: pg_side.read,
                counted_units: ch_side.counted,
                clickhouse_rows_read: ch_side.read,
                not_looked_up: late,
                units: 0,
            },
            ..TableReport::default()
        };
        let t0_day = t0.map(day_of);
        let taken = pairs.iter().filter(|((project, day), _)| filter.takes(project, *day));
        let days = taken.map(|((project, day), pair)| {
            compare::judge(project, *day, pair, book.drill(project, *day, pair.pg, pair.copied, t0), t0_day)
        });
        compare::sum_up(&mut report, days.collect());
        compare::sum_units(&mut report, &book.ch, filter, ch_side.parts_rows);
        if !there {
            // What stays in PostgreSQL is neither missing nor stranded.
            (report.missing, report.after_t0) = (Number::default(), Number::default());
            report.days.clear();
        }
        for number in [&mut report.changed, &mut report.missing, &mut report.gone] {
            number.estimate |= pg_side.stale > 0;
        }
        for number in [&mut report.v3_only, &mut report.shared, &mut report.missing, &mut report.clickhouse] {
            number.estimate |= late > 0;
        }
        report
    }
}

/// Day of a moment in milliseconds.
fn day_of(ms: i64) -> Day {
    Day::try_from(ms.div_euclid(DAY_MS)).unwrap_or(Day::MAX)
}

/// Looks at days that differ, and at the day of T0.
#[expect(clippy::too_many_arguments, reason = "both servers, and which table")]
async fn drill(
    session: &mut Session<'_>,
    server: Server<'_>,
    table: Table,
    filter: &Filter,
    pairs: &Pairs,
    t0: Option<i64>,
    book: &mut TableBook,
    side: &mut clickhouse::Side,
) -> Result<(), Trouble> {
    let mut left = DRILL;
    let of_t0 = t0.map(day_of);
    for ((project, day), pair) in pairs.iter().rev() {
        let asks = !pair.agrees() && (pair.copied.rows > 0 && pair.pg.rows > 0 || of_t0 == Some(*day));
        let rows = pair.pg.rows.max(pair.copied.rows);
        let small = rows <= LARGEST.min(left);
        if !asks || !small || !filter.takes(project, *day) {
            continue;
        }
        if book.drill(project, *day, pair.pg, pair.copied, t0).is_some() {
            continue;
        }
        left -= rows;
        let both = (pair.pg, pair.copied);
        let at = (project.as_str(), *day);
        let drill = changed::drill(server, session, spec(table), &book.ch, at, both, t0, side).await?;
        book.drilled.entry(project.clone()).or_default().insert(*day, drill);
    }
    book.drilled.retain(|project, days| {
        days.retain(|day, _| pairs.get(&(project.clone(), *day)).is_some_and(|pair| !pair.agrees()));
        !days.is_empty()
    });
    Ok(())
}
