//! A whole comparison, table by table.
//!
//! One rule: what was finished is remembered at once, so that a run that is killed loses one range at most.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;

use super::chain::Chain;
use super::clickhouse::V3;
use super::cost::{Plan, Size, Strategy};
use super::doubt::{only, without};
use super::finding::{Against, Finding};
use super::json_text::Kinds;
use super::options::{Options, Progress, Report, TableReport, depth};
use super::pace::{Pace, Patience};
use super::postgres::V2;
use super::range::Range;
use super::remembering::Remembering;
use super::replicas::{self, Same, Servers};
use super::resolve::narrow;
use super::selftest;
use super::state::{Known, State};
use super::table::Running;
use super::witness::Question;
use crate::clients::work::{ClickhouseWork, PostgresWork};
use crate::data::deleted::Noting;
use crate::data::tables::{Live, Spec, spec};
use crate::domain::backfill::Table;
use crate::domain::verified::Verified;
use crate::domain::{Kind, Now, Trouble};

/// Both sides, what is asked for, and who listens.
pub struct Verify<'a> {
    /// PostgreSQL.
    pub postgres: PostgresWork,
    /// ClickHouse.
    pub clickhouse: ClickhouseWork,
    /// What is asked for.
    pub options: Options,
    /// Reads both clocks.
    pub now: &'a (dyn Fn() -> Now + Sync),
    /// Told as rows go by.
    pub progress: &'a Progress,
    /// Told of every difference.
    pub found: &'a mut (dyn FnMut(&Finding) + Send),
    /// Ends the run; what was found wrong until then is kept.
    pub stop: CancellationToken,
}

/// A table before it is read.
struct Prepared {
    v2: V2,
    v3: V3,
    chain: Chain,
    mapping: crate::data::tables::Mapping,
    size: Size,
    strategy: Strategy,
    servers: Servers,
    /// Milliseconds by which the clock here is ahead of PostgreSQL's.
    ahead: i64,
    noting: Noting,
}

impl Verify<'_> {
    /// Compares everything that was asked for.
    ///
    /// # Errors
    /// A side cannot be asked, or its hashes are not the ones this program knows.
    pub async fn run(&mut self) -> Result<Report, Trouble> {
        let at = (self.now)().wall;
        let mut state = State::open(self.options.state.as_deref());
        let mut report = Report { at, against: self.options.against, tables: vec![], notes: vec![] };
        let tables = self.options.tables.clone();
        self.progress.tables.1.store(tables.len(), Ordering::Relaxed);
        for (at, table) in tables.into_iter().enumerate() {
            self.progress.tables.0.store(at + 1, Ordering::Relaxed);
            self.progress.say(format!("{}: looking at both sides", table.name()));
            self.progress.begin(0, (self.now)().mono);
            let prepared = self.stop.run_until_cancelled(self.prepare(spec(table))).await;
            let prepared = prepared.unwrap_or_else(|| Err(interrupted()))?;
            let mut notes = prepared.servers.notes.clone();
            report.tables.push(self.table(prepared, &mut state, &mut notes).await?);
            for note in notes {
                if !report.notes.contains(&note) {
                    report.notes.push(note);
                }
            }
        }
        Ok(report)
    }

    /// What a run would read; reads nothing but catalogues and the sample whose hashes are held against ours.
    ///
    /// # Errors
    /// A side cannot be asked, or its hashes are not the ones this program knows.
    pub async fn explain(&self) -> Result<Vec<Plan>, Trouble> {
        let state = State::open(self.options.state.as_deref());
        let mut plans = vec![];
        for table in &self.options.tables {
            let mut prepared = self.prepare(spec(*table)).await?;
            prepared.size.weigh(&self.clickhouse, spec(*table).ch).await?;
            let columns: Vec<_> = prepared.chain.names().collect();
            let mut plan = prepared.size.plan(
                *table,
                (self.options.tier, self.options.against),
                &self.options.range,
                &columns,
            );
            let known = state.known(&self.key(*table), &prepared.servers.relation);
            plan.remembered_days = known.filter(|_| !self.options.fresh).map_or(0, |k| k.days.len());
            let cut = prepared.strategy == Strategy::Months || self.options.load < 1.0;
            plan.resumable = cut && self.by_day(prepared.strategy);
            plans.push(plan);
        }
        Ok(plans)
    }

    async fn prepare(&self, spec: &'static Spec) -> Result<Prepared, Trouble> {
        let v2 = V2::new(self.postgres.clone(), spec);
        let noting = v2.ask(async |session| Noting::ask(&v2.work, session, spec.table).await);
        let live = Patience::of(async || Live::read(&self.clickhouse.ask, spec).await);
        let (live, noting) = futures::try_join!(live, noting)?;
        let mapping = live.map(spec);
        let mut v3 = V3::new(self.clickhouse.clone(), spec);
        v3.gentle = self.options.load < 1.0;
        let chain = Chain::new(&mapping, self.options.tier);
        // One question after the other to each server: another connection may lead to another replica.
        let look = async {
            let size = Size::read(&v2, &self.clickhouse, &mapping).await?;
            Ok((size, replicas::look(&v2, &self.clickhouse, spec.pg(), spec.ch).await?))
        };
        let ((size, mut servers), ()) = futures::try_join!(look, selftest::check(&v2, &mapping, &chain))?;
        v3.same = Same::of(&servers.host);
        let ahead = (self.now)().wall.as_millisecond().saturating_sub(servers.now);
        servers.notes.extend(noting.untold());
        let noting = if self.options.against == Against::Pg { noting.of_rows() } else { noting };
        let mut kinds = Kinds::default();
        if let Some(column) = chain.metadata() {
            v2.documents(column, size.v2_rows, |text| kinds.learn(text)).await?;
        }
        let chain = chain.knowing(kinds);
        // Days whose other columns were compared say nothing of these.
        servers.relation.extend([" "].into_iter().chain(chain.names()));
        let strategy = size.strategy(self.options.tier, self.options.against, &self.options.range);
        Ok(Prepared { v2, v3, chain, mapping, size, strategy, servers, ahead, noting })
    }

    /// Names what is remembered: results for other columns or projects say nothing.
    fn key(&self, table: Table) -> String {
        let Options { tier, against, range, .. } = &self.options;
        format!("{} {tier:?} {against:?} {}", table.name(), range.project.as_deref().unwrap_or_default())
    }

    async fn table(
        &mut self,
        prepared: Prepared,
        state: &mut State,
        notes: &mut Vec<String>,
    ) -> Result<TableReport, Trouble> {
        let begun = (self.now)();
        let Options { tier, range, fresh, .. } = &self.options;
        let spec = prepared.mapping.spec;
        let key = self.key(spec.table);
        let old = state.known(&key, &prepared.servers.relation).filter(|_| !fresh).cloned();
        let pace = Pace::new(self.options.load);
        let (remembering, left) = self.known(&prepared, old).await?;
        let remembered = rows_known(remembering.as_ref(), &left, range);
        // By the clock here, which results are held against.
        let since = remembering.as_ref().and_then(|r| r.since).map(|at| at.saturating_add(prepared.ahead));
        notes.extend(since.map(|at| goes_on(spec.table, at)));
        let ranges = self.cut(&prepared, left, pace).await?;
        let share = 1.0 - remembered as f64 / prepared.size.v2_rows.max(remembered).max(1) as f64;
        self.progress.begin((prepared.size.v3_rows as f64 * share) as u64, (self.now)().mono);
        let mut report = TableReport::new(&prepared.mapping, &prepared.chain, (*tier, prepared.strategy));
        (report.rows, report.remembered) = (remembered, remembered);
        let mut running = Running {
            looked: narrow(&prepared.mapping, *tier),
            v2: prepared.v2,
            v3: prepared.v3,
            chain: prepared.chain,
            strategy: prepared.strategy,
            size: prepared.size,
            report,
            moving: vec![],
            ahead: prepared.ahead,
            told: HashSet::new(),
            remembering,
            noting: prepared.noting,
            host: prepared.servers.host.clone(),
            mixed: false,
            servers: &self.clickhouse,
            options: &self.options,
            progress: self.progress,
            clock: self.now,
            found: &mut *self.found,
        };
        let remember = |known: &Known| state.remember(&key, known.clone());
        let work = self.stop.run_until_cancelled(running.ranges(&ranges, pace, remember, notes)).await;
        let ended = work.unwrap_or_else(|| Err(interrupted()));
        let (mut report, pair) = (running.report, &prepared.servers.pair);
        let up_to = if running.mixed { None } else { prepared.servers.up_to };
        let up_to = up_to.map(|at| at.min(since.unwrap_or(i64::MAX)));
        if let Err(trouble) = ended {
            // Bad news is kept, also of a part that nobody chose.
            if report.wrong > 0 {
                let part = Some("a run that broke off".to_owned());
                self.conclude(begun, (pair, up_to), (&report, part), state, notes);
            }
            return Err(trouble);
        }
        if let Some(mut remembering) = running.remembering {
            remembering.complete(range);
            note(notes, state.remember(&key, remembering.known));
        }
        report.seconds = (self.now)().mono.since(begun.mono).as_secs_f64();
        self.conclude(begun, (pair, up_to), (&report, range.words()), state, notes);
        Ok(report)
    }

    /// Keeps the result for the cockpit. Good news is of the moment up to which both servers had come, or at which a run
    /// that was broken off began, and of none where that is not known; bad news is of now.
    fn conclude(
        &self,
        begun: Now,
        (pair, up_to): (&str, Option<i64>),
        (report, rows): (&TableReport, Option<String>),
        state: &mut State,
        notes: &mut Vec<String>,
    ) {
        let &TableReport { table, wrong, .. } = report;
        if self.options.against != Against::V3 {
            return;
        }
        let come = up_to.map(|ms| jiff::Timestamp::from_millisecond(ms).unwrap_or(begun.wall));
        let at = if wrong > 0 { Some(begun.wall) } else { come.map(|come| come.min(begun.wall)) };
        let Some(at) = at else {
            notes.push(format!(
                "{}: no proof, as it is not known up to when what answered had come: the cockpit shows the result before",
                table.name()
            ));
            return;
        };
        let (depth, part) = (depth(self.options.tier), report.part(rows.clone()));
        let mut results = vec![Verified { table, depth, at, rows: report.rows, wrong, part }];
        if wrong == 0 && rows.is_none() && !report.unread.is_empty() {
            // It answers for what was found in as many columns, and proves what it read in full.
            results.push(Verified { depth: report.depth, part: None, ..results[0].clone() });
        }
        for result in results {
            if let Err(error) = state.conclude(pair, &result) {
                notes.push(format!("the result could not be kept: {error}"));
            }
        }
    }

    /// Whether days are remembered: ids have none, and a project's days say little about the parts of ClickHouse.
    fn by_day(&self, strategy: Strategy) -> bool {
        strategy != Strategy::Ids && self.options.state.is_some() && self.options.range.project.is_none()
    }

    /// What is known of the table and has not changed, and the ranges that are left.
    async fn known(
        &self,
        at: &Prepared,
        old: Option<Known>,
    ) -> Result<(Option<Remembering>, Vec<Range>), Trouble> {
        let range = &self.options.range;
        if !self.by_day(at.strategy) {
            return Ok((None, vec![range.clone()]));
        }
        let begun = at.servers.now;
        let question = Question {
            v2: &at.v2,
            ch: &self.clickhouse,
            servers: (&at.servers.host, &at.v3.same),
            spec: at.mapping.spec,
            replica: at.servers.replica,
            begun,
            grace: self.options.grace,
            range,
        };
        let answer = question.ask(old.as_ref()).await?;
        // A part does not take the place of a whole table that somebody may go on with.
        let of_a_whole_run =
            !range.is_whole() && old.as_ref().is_some_and(|old| old.goes_on(&Range::default()));
        let Some(v3) = answer.v3 else { return Ok((None, vec![range.clone()])) };
        let relation = at.servers.relation.clone();
        let open = Some(range.words().unwrap_or_default());
        let mut known = Known { relation, open, v2: answer.v2, v3, ..Known::default() };
        let Some(mut old) = old.filter(|_| !answer.unproven) else {
            let kept = (!of_a_whole_run).then(|| Remembering::new(known, None));
            return Ok((kept, vec![range.clone()]));
        };
        let doubtful = old.doubtful(&answer.now, begun.cast_unsigned());
        old.days.retain(|day, _| !doubtful.contains(day));
        known.days = old.days;
        let left = if old.rest.is_some() {
            only(range, &doubtful)
        } else {
            without(range, &known.days.keys().copied().collect())
        };
        known.rest = old.rest.map(|_| doubtful);
        Ok((Some(Remembering::new(known, answer.since)), left))
    }

    /// The ranges that are left to be read, each by itself.
    async fn cut(&self, at: &Prepared, left: Vec<Range>, pace: Pace) -> Result<Vec<Range>, Trouble> {
        let edges = match at.strategy {
            Strategy::Ids => vec![],
            _ if left.is_empty() => vec![],
            _ if pace.is_limited() => steps(&at.v2, &self.options).await?,
            Strategy::Months => at.size.months(),
            Strategy::Buckets => vec![],
        };
        Ok(left.into_iter().flat_map(|range| range.cut(&edges)).collect())
    }
}

fn interrupted() -> Trouble {
    Trouble::new(Kind::Refused, "verify", "it was told to end")
}

/// What is said of days that are taken over though nothing proves that they did not change.
fn goes_on(table: Table, at: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at).map_or_else(|_| "-".to_owned(), |at| at.to_string());
    format!(
        "{}: goes on with what was begun at {at}, and its result is as old: PostgreSQL does not prove that no row was \
         changed since; --fresh reads all of it",
        table.name()
    )
}

/// Rows of the days that are remembered and not read; days between two stretches are read with them.
fn rows_known(remembering: Option<&Remembering>, left: &[Range], range: &Range) -> u64 {
    let again = |day: i64| left.iter().any(|left| left.has_day(day));
    let days = remembering.iter().flat_map(|r| &r.known.days);
    days.filter(|(day, _)| range.has_day(**day) && !again(**day)).map(|(_, rows)| rows).sum()
}

/// Tells once that something could not be written down.
pub(super) fn note(notes: &mut Vec<String>, written: std::io::Result<()>) {
    if let Err(error) = written {
        let note = format!("what is equal could not be remembered: {error}");
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
}

/// Days at which a range is cut, so that each part has rows enough to be worth a statement.
async fn steps(v2: &V2, options: &Options) -> Result<Vec<i64>, Trouble> {
    let (mut edges, mut rows) = (vec![], 0);
    for (day, count) in v2.days(&options.range, "").await? {
        if rows >= options.step {
            edges.push(day);
            rows = 0;
        }
        rows += count;
    }
    Ok(edges)
}
