//! A whole comparison, table by table.
//!
//! One rule: what was finished is remembered at once, so that a run that is killed loses one range at most.

use super::chain::Chain;
use super::clickhouse::V3;
use super::cost::{Plan, Size, Strategy};
use super::finding::{Against, Difference, Finding};
use super::options::{Options, Progress, Report, TableReport};
use super::pace::Pace;
use super::postgres::V2;
use super::range::Range;
use super::replicas::{self, Servers};
use super::resolve::narrow;
use super::state::{Known, State, Witness, without};
use super::table::{Remembering, Running};
use super::{selftest, witness};
use crate::clients::work::{ClickhouseWork, PostgresWork};
use crate::data::tables::{Live, Spec, Tier, spec};
use crate::domain::backfill::Table;
use crate::domain::verified::{Depth, Verified};
use crate::domain::{Now, Trouble};

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
        for table in self.options.tables.clone() {
            self.progress.say(format!("{}: looking at both sides", table.name()));
            let prepared = self.prepare(spec(table)).await?;
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

    /// What a run would read; reads nothing but catalogues.
    ///
    /// # Errors
    /// A side cannot be asked.
    pub async fn explain(&self) -> Result<Vec<Plan>, Trouble> {
        let state = State::open(self.options.state.as_deref());
        let mut plans = vec![];
        for table in &self.options.tables {
            let prepared = self.prepare(spec(*table)).await?;
            let columns: Vec<_> = prepared.chain.names().collect();
            let mut plan = prepared.size.plan(*table, self.options.tier, &self.options.range, &columns);
            let known = state.known(&self.key(*table), &prepared.servers.relation);
            plan.remembered_days = known.filter(|_| !self.options.fresh).map_or(0, |k| k.days.len());
            plans.push(plan);
        }
        Ok(plans)
    }

    async fn prepare(&self, spec: &'static Spec) -> Result<Prepared, Trouble> {
        let mapping = Live::read(&self.clickhouse.ask, spec).await?.map(spec);
        let v2 = V2::new(self.postgres.clone(), spec);
        let mut v3 = V3::new(self.clickhouse.clone(), spec);
        v3.gentle = self.options.load < 1.0;
        let size = Size::read(&v2, &self.clickhouse, &mapping).await?;
        let strategy = size.strategy(self.options.tier, &self.options.range);
        let servers = replicas::look(&v2, &self.clickhouse, spec.pg(), spec.ch).await?;
        let chain = Chain::new(&mapping, self.options.tier);
        Ok(Prepared { v2, v3, chain, mapping, size, strategy, servers })
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
        let Prepared { v2, v3, chain, mapping, size, strategy, servers } = prepared;
        let begun = (self.now)();
        let spec = mapping.spec;
        selftest::check(&v2, &mapping, &chain).await?;
        let key = self.key(spec.table);
        let old = state.known(&key, &servers.relation).filter(|_| !self.options.fresh).cloned();
        let by_day =
            strategy != Strategy::Ids && self.options.state.is_some() && self.options.range.project.is_none();
        let updates = witness::updates(&v2, spec.pg(), servers.replica).await?;
        let now = match by_day {
            true => witness::ask(&v2, &self.clickhouse, spec, &chain, old.as_ref(), updates).await?,
            false => Witness::default(),
        };
        let mut unchanged = old.as_ref().map(|old| old.unchanged(&now)).unwrap_or_default();
        unchanged.retain(|day| by_day && self.options.range.has_day(*day));
        let known = Known {
            relation: servers.relation.clone(),
            updates,
            since: begun.wall.as_millisecond(),
            days: old.map(|old| old.days).unwrap_or_default(),
            months: now.months.clone(),
        };
        let mut known = known;
        known.days.retain(|day, _| unchanged.contains(day));
        let remembered = known.days.values().map(|day| day.rows).sum();
        let pace = Pace::new(self.options.load);
        let edges = match strategy {
            _ if pace.is_limited() && strategy != Strategy::Ids => steps(&v2, &self.options).await?,
            Strategy::Months => size.months(),
            Strategy::Ids | Strategy::Buckets => vec![],
        };
        let ranges = without(&self.options.range, &unchanged).into_iter().flat_map(|range| range.cut(&edges));
        let ranges: Vec<Range> = ranges.collect();
        let share = match (by_day, now.rows.values().sum::<u64>()) {
            (true, all) if all > 0 => 1.0 - remembered as f64 / all as f64,
            _ => 1.0,
        };
        self.progress.begin((size.v3_rows as f64 * share) as u64);
        let report = TableReport {
            table: spec.table,
            strategy: strategy.word(),
            columns: chain.names().collect(),
            rows: remembered,
            v3_only: 0,
            remembered,
            differences: Difference::all().map(|d| (d, 0)).collect(),
            wrong: 0,
            absent: mapping.absent.clone(),
            unknown: mapping.unknown.clone(),
            suspicious: (0, 0),
            received: 0,
            seconds: 0.0,
        };
        let mut running = Running {
            looked: narrow(&mapping, self.options.tier),
            v2,
            v3,
            chain,
            strategy,
            cursor: size.cursor,
            report,
            moving: vec![],
            remembering: by_day.then_some(Remembering { known, now, tainted: Default::default() }),
            options: &self.options,
            progress: self.progress,
            clock: self.now,
            found: &mut *self.found,
        };
        running.ranges(&ranges, pace, |known| state.remember(&key, known.clone()), notes).await?;
        running.settle().await?;
        let mut report = running.report;
        report.seconds = (self.now)().mono.since(begun.mono).as_secs_f64();
        if replicas::host(&self.clickhouse).await? != servers.host {
            notes.push(format!(
                "more than one replica of ClickHouse answered ({} and others): what looks missing may not have been \
                 replicated yet; point [clickhouse] at one of them",
                servers.host
            ));
        }
        if self.options.range.is_whole() && self.options.against == Against::V3 {
            let depth = depth(self.options.tier);
            let (rows, wrong) = (report.rows, report.wrong);
            let result = Verified { table: spec.table, depth, at: begun.wall, rows, wrong };
            if let Err(error) = state.conclude(&result) {
                notes.push(format!("the result could not be kept: {error}"));
            }
        }
        Ok(report)
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

/// The tier in the vocabulary of results.
pub const fn depth(tier: Tier) -> Depth {
    match tier {
        Tier::Key => Depth::Key,
        Tier::Scalar => Depth::Scalar,
        Tier::All => Depth::All,
    }
}
