//! Row counts of ClickHouse's tables: what is live, what the backfill wrote, what only v3 has.
//!
//! One rule: what the parts prove unchanged is not read again; what changed costs at most a tenth of the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Source;
use super::shared::{Link, Shared, absent};
use crate::clients::clickhouse::{self as client, Clickhouse};
use crate::clients::postgres::{self, Postgres};
use crate::data::census::book::{ChBook, Totals};
use crate::data::census::clickhouse::{self as census, Came, Server, Side};
use crate::data::census::covered;
use crate::data::census::postgres::Session;
use crate::data::census::strays;
use crate::data::census::written::{self, Asked, Policy};
use crate::data::tables::spec;
use crate::domain::backfill::{RowsFact, Side as Of, Table, TableRows};
use crate::domain::units::Count;
use crate::domain::{Fact, Kind, SourceId, Trouble};

/// Above this many raw rows ids that stand in two places are searched by the verb alone.
const AFFORDABLE: u64 = 3_000_000;
/// Time one poll may spend, over all tables.
const BUDGET: Duration = Duration::from_millis(2500);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(6);
/// How long after its time a poll is given up, which the driver would do without a word to us.
const OVER: Duration = Duration::from_secs(5);
/// Shortest rest after a count that the server could not end.
const REST: Duration = Duration::from_secs(5);
/// Ids of v3 that one poll looks up in PostgreSQL.
const LOOK_UP: u64 = 100_000;
/// v2 may get an id of v3's later: what it did not have is looked up again.
const AGAIN: Duration = Duration::from_mins(2);
/// Between two looks for a table that comes with a newer v3.
const ABSENT: Duration = Duration::from_mins(1);
/// Between two writes of what was counted.
const KEEP: Duration = Duration::from_secs(20);

/// The source.
pub struct ClickhouseRows {
    shared: Arc<Shared>,
    clickhouse: Link<Clickhouse>,
    postgres: Link<Postgres>,
    tables: BTreeMap<Table, Counted>,
    kept: Option<Instant>,
}

/// One table's counting.
#[derive(Debug, Default)]
struct Counted {
    book: ChBook,
    asked: Asked,
    /// PostgreSQL's insertions and deletions when absent ids were last looked up.
    at: (i64, i64),
    looked: Option<Instant>,
    /// When rows newer than T0 were held against PostgreSQL's.
    held: Option<Instant>,
    came: Option<Came>,
    parts_rows: u64,
    not_before: Option<Instant>,
    /// Why the last count was not ended, told for as long as it rests.
    failed: Option<Trouble>,
    dirty: bool,
}

impl Counted {
    /// A statement that was too dear is not asked again in the next poll. Whether it was shows in that the server
    /// answered the first question, about the parts, and then did not manage the count.
    fn rest_after(&mut self, trouble: &Trouble, side: &Side, took: Duration) {
        let is_dear = matches!(trouble.kind, Kind::Timeout | Kind::Refused | Kind::Throttled(_));
        if is_dear && side.host.is_some() {
            self.not_before = Some(Instant::now() + (took * 10).max(REST));
            self.failed = Some(trouble.clone());
        }
    }

    /// The server was away: what it did not manage before says nothing of what it will.
    fn forget_rest(&mut self) {
        if self.failed.take().is_some() {
            self.not_before = None;
        }
    }
}

impl ClickhouseRows {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            clickhouse: Link::default(),
            postgres: Link::default(),
            tables: BTreeMap::new(),
            kept: None,
        }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let shared = Arc::clone(&self.shared);
        let target = shared.targets.clickhouse.as_ref().ok_or_else(|| absent("ClickHouse", "clickhouse"))?;
        let ch = self.clickhouse.get(Box::pin(client::connect(&shared.reach, target))).await;
        if ch.is_err() {
            self.tables.values_mut().for_each(Counted::forget_rest);
        }
        let (ch, pg) = (ch?, self.postgres().await);
        let deadline = Instant::now() + BUDGET;
        let mut tables = Vec::new();
        for table in Table::ALL {
            let counted = self
                .tables
                .entry(table)
                .or_insert_with(|| Counted { book: shared.shelf.table(table).ch, ..Counted::default() });
            let row = rows(&shared, &ch, pg.as_ref(), table, counted, deadline).await;
            tables.extend(self.clickhouse.judge(row)?);
        }
        self.keep();
        Ok(Fact::Rows(RowsFact { side: Of::Clickhouse, tables, verified: vec![] }))
    }

    /// PostgreSQL, to look v3's ids up in; without it that number is unknown and the others are not.
    async fn postgres(&mut self) -> Option<Postgres> {
        let target = self.shared.targets.postgres.as_ref()?;
        let connect = postgres::connect(&self.shared.reach, target);
        let limited = tokio::time::timeout(Duration::from_secs(1), Box::pin(connect));
        self.postgres
            .get(async {
                limited
                    .await
                    .unwrap_or_else(|_| Err(Trouble::new(Kind::Timeout, "PostgreSQL", "no connection in 1s")))
            })
            .await
            .ok()
    }
}

impl ClickhouseRows {
    /// Keeps what was counted, now and then.
    fn keep(&mut self) {
        if self.kept.is_some_and(|at| at.elapsed() < KEEP) {
            return;
        }
        for (table, counted) in &mut self.tables {
            if std::mem::take(&mut counted.dirty) {
                self.shared.shelf.keep_ch(*table, &counted.book);
                self.kept = Some(Instant::now());
            }
        }
    }
}

impl Source for ClickhouseRows {
    fn id(&self) -> SourceId {
        SourceId::ClickhouseRows
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }
}

async fn rows(
    shared: &Shared,
    ch: &Clickhouse,
    pg: Option<&Postgres>,
    table: Table,
    counted: &mut Counted,
    deadline: Instant,
) -> Result<Option<TableRows>, Trouble> {
    let (begun, server, mut side) = (Instant::now(), Server { ch, limit: ANSWER }, Side::default());
    if counted.not_before.is_none_or(|at| begun >= at) {
        counted.failed = None;
        let came = count(server, table, &mut counted.book, &mut side, deadline).await;
        let came = came.inspect_err(|trouble| counted.rest_after(trouble, &side, begun.elapsed()))?;
        if came == Came::Absent && !Table::BACKFILLED.contains(&table) {
            // This v3 keeps it in PostgreSQL.
            counted.not_before = Some(begun + ABSENT);
            counted.came = Some(came);
            return Ok(None);
        }
        if came == Came::Absent {
            return Err(Trouble::new(
                Kind::Missing,
                &ch.object,
                format!("there is no table {}", spec(table).ch),
            )
            .remedy("has v3's web container run its ClickHouse migrations?"));
        }
        counted.came = Some(came);
        counted.parts_rows = side.parts_rows;
        counted.dirty |= side.counted > 0;
    } else if let Some(trouble) = &counted.failed {
        return Err(trouble.clone());
    }
    if counted.came == Some(Came::Absent) {
        return Ok(None);
    }
    // PostgreSQL being away must not hide what ClickHouse says; the other source reports it.
    let late = match pg {
        Some(pg) if counted.came == Some(Came::Whole) => look_up(server, pg, table, counted, &mut side).await,
        _ => Err(Trouble::new(Kind::Unreachable, "PostgreSQL", "not asked")),
    };
    // What was worth counting is worth a rest of ten times that; a look at the parts alone is not counted.
    counted.not_before = (side.counted > 0 || side.read > 100_000).then(|| begun + begun.elapsed() * 10);
    let totals = counted.book.totals();
    // The newest of a part of the rows says nothing.
    let newest = counted.book.newest_copied().filter(|_| counted.came == Some(Came::Whole));
    if let Some(copied) = newest.and_then(|ms| Timestamp::from_millisecond(ms).ok()) {
        note_t0(shared, server, pg, table, counted, copied).await;
    }
    Ok(Some(row(shared, table, counted, &totals, late.ok())))
}

/// Counts what changed in a table, within the poll.
async fn count(
    server: Server<'_>,
    table: Table,
    book: &mut ChBook,
    side: &mut Side,
    deadline: Instant,
) -> Result<Came, Trouble> {
    let mut nobody = |_| {};
    let count = census::count(server, spec(table), book, side, Some(deadline), &mut nobody);
    tokio::time::timeout_at(deadline + OVER, count).await.unwrap_or_else(|_| {
        let text = format!("{} take longer to count than a poll may", table.name());
        Err(Trouble::new(Kind::Timeout, &server.ch.object, text)
            .remedy("`cutover census` counts them without that limit"))
    })
}

/// The first T0 is the newest row that is copied: the backfill walks down from there. Later it moves on only over rows
/// that are all copied: the newest of a catch-up that was killed says nothing of the others.
async fn note_t0(
    shared: &Shared,
    server: Server<'_>,
    pg: Option<&Postgres>,
    table: Table,
    counted: &mut Counted,
    newest: Timestamp,
) {
    let Some(t0) = shared.ledger.t0(table) else { return shared.ledger.note_t0(table, newest) };
    let rested = counted.held.is_none_or(|at| at.elapsed() > AGAIN);
    let Some(pg) = pg.filter(|_| newest > t0 && rested) else { return };
    counted.held = Some(Instant::now());
    let Ok(mut connection) = pg.pool.acquire().await else { return };
    let mut session = Session { connection: &mut connection, object: &pg.object };
    let span = (t0.as_millisecond(), newest.as_millisecond());
    let (spec, side) = (spec(table), &mut Side::default());
    // Not known is not covered: it is asked again.
    if let Ok(true) = covered::is_covered(server, &mut session, spec, &counted.book, span, side).await {
        shared.ledger.note_t0(table, newest);
    }
}

fn row(shared: &Shared, table: Table, counted: &Counted, totals: &Totals, late: Option<u64>) -> TableRows {
    let whole = counted.came == Some(Came::Whole);
    let count = |value: u64| Count { value, estimate: !whole || totals.strays };
    // Until everything was counted once, what the parts say.
    let live = if whole { count(totals.live) } else { Count::about(counted.parts_rows) };
    let written = |part: u64| match late {
        _ if whole && totals.written == 0 => Some(Count::exact(0)),
        // Ids in two places only take something off: none stays none.
        Some(0) if part == 0 => Some(Count::exact(0)),
        Some(0) => Some(count(part)),
        // As many of the others as of those that were looked up.
        Some(_) if totals.looked_up > 0 => {
            Some(Count::about((part as f64 / totals.looked_up as f64 * totals.written as f64) as u64))
        }
        _ => None,
    };
    TableRows {
        rows: Some(live),
        backfill: whole.then(|| count(totals.copied)),
        v3_only: written(totals.v3_only),
        shared: written(shared_of(&counted.book)),
        doubled: whole.then(|| count(totals.doubled)),
        raw: Some(counted.parts_rows),
        newest: counted.book.newest().map(moment),
        t0: shared.ledger.t0(table),
        ..TableRows::unread(table)
    }
}

/// Live entities that v3 wrote and PostgreSQL has, of those that were looked up; an id in two places counts once.
fn shared_of(book: &ChBook) -> u64 {
    let known = book.units().filter_map(|(_, _, unit)| unit.known.as_ref());
    let found: u64 = known.flat_map(|known| &known.shared).map(|(_, n)| n).sum();
    let twice: u64 = book.strays.shared.values().flatten().map(|(_, n)| n).sum();
    found.saturating_sub(twice)
}

/// A time of ClickHouse, which counts beyond the last one this program can hold: rows of 9999-12-31, as Langfuse gets
/// them from ClickHouse 26.8 on, must not look unread.
fn moment(ms: i64) -> Timestamp {
    let beyond = if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(ms).unwrap_or(beyond)
}

/// Looks v3's new ids up in PostgreSQL, now and then all that were absent, and searches strays where that is
/// cheap. Gives the number of ids that were not looked up.
async fn look_up(
    server: Server<'_>,
    pg: &Postgres,
    table: Table,
    counted: &mut Counted,
    side: &mut Side,
) -> Result<u64, Trouble> {
    let book = &mut counted.book;
    let mut connection = match pg.pool.acquire().await {
        Ok(connection) => connection,
        Err(error) => return Err(pg.trouble(&error).await),
    };
    let mut session = Session { connection: &mut connection, object: &pg.object };
    if counted.looked.is_none_or(|at| at.elapsed() > AGAIN) {
        counted.at = session.look(table).await?.mark();
        counted.looked = Some(Instant::now());
        counted.asked.forget_absent();
    }
    let policy = Policy { at: counted.at, most: LOOK_UP };
    let late =
        written::look_up(server, &mut session, spec(table), book, policy, &mut counted.asked, side).await?;
    if counted.parts_rows <= AFFORDABLE && book.totals().strays {
        strays::search(server, &mut session, spec(table), book, counted.parts_rows, side).await?;
    }
    Ok(late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::target::Targets;
    use crate::data::census::book::{Known, Made, Partition, Strays, Unit};

    /// Five that v3 wrote: PostgreSQL has three, one of them stands on two days.
    fn counted() -> Counted {
        let made = vec![(3, Made { written: 5, ..Made::default() })];
        let known = Known { v3_only: vec![(3, 2)], shared: vec![(2, 1), (3, 2)], ..Known::default() };
        let unit = Unit { made, known: Some(known), ..Unit::default() };
        let units = BTreeMap::from([("p".to_owned(), BTreeMap::from([(3, unit)]))]);
        let partitions = BTreeMap::from([("202601".to_owned(), Partition { units, ..Partition::default() })]);
        let shared = BTreeMap::from([("p".to_owned(), vec![(2, 1)])]);
        let strays = Strays { shared, ..Strays::default() };
        let book = ChBook { partitions, strays, searched: true, ..ChBook::default() };
        Counted { book, came: Some(Came::Whole), ..Counted::default() }
    }

    #[test]
    fn what_both_have_is_counted_as_what_only_v3_has() {
        let shared = Shared::new(Targets::default());
        let told = |counted: &Counted, late| {
            let row = row(&shared, Table::Traces, counted, &counted.book.totals(), late);
            (row.v3_only, row.shared)
        };
        let whole = counted();
        assert_eq!(told(&whole, Some(0)), (Some(Count::exact(2)), Some(Count::exact(2))));
        assert_eq!(told(&whole, None), (None, None), "PostgreSQL was not asked");
        let (v3_only, shared_too) = told(&whole, Some(4));
        assert!(v3_only.is_some_and(|c| c.estimate) && shared_too.is_some_and(|c| c.estimate));
        let nothing = Counted { came: Some(Came::Whole), ..Counted::default() };
        assert_eq!(told(&nothing, None), (Some(Count::exact(0)), Some(Count::exact(0))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_that_the_server_did_not_manage_rests() {
        let trouble = |kind| Trouble::new(kind, "ClickHouse x", "a count did not answer in time");
        let answered = Side { host: Some("a".into()), ..Side::default() };
        let rest = |kind, side: &Side, seconds| {
            let mut counted = Counted::default();
            counted.rest_after(&trouble(kind), side, Duration::from_secs(seconds));
            assert_eq!(counted.failed.is_some(), counted.not_before.is_some(), "it says why");
            counted.not_before.map(|at| at - Instant::now())
        };
        assert_eq!(rest(Kind::Timeout, &answered, 6), Some(Duration::from_secs(60)));
        assert_eq!(rest(Kind::Refused, &answered, 0), Some(REST), "a limit of memory");
        assert_eq!(rest(Kind::Timeout, &Side::default(), 6), None, "the server is away");
        assert_eq!(rest(Kind::Conflict, &answered, 1), None, "two servers");
        let mut counted = Counted::default();
        counted.rest_after(&trouble(Kind::Timeout), &answered, Duration::from_secs(6));
        counted.forget_rest();
        assert_eq!((counted.not_before, counted.failed.is_none()), (None, true));
    }

    #[test]
    fn the_year_9999_is_read_to_its_end() {
        let last = 253_402_300_799_000; // 9999-12-31 23:59:59
        assert!(Timestamp::from_millisecond(last).is_err());
        assert_eq!(moment(last), Timestamp::MAX);
        assert_eq!(moment(1_700_000_000_123).as_millisecond(), 1_700_000_000_123);
    }
}
