//! A whole comparison: table by table, range by range, from sums to rows.
//!
//! One rule: what was finished is remembered at once, so that a run that is killed loses one range at most.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::chain::Chain;
use super::clickhouse::V3;
use super::cost::{Plan, Size, Strategy};
use super::drill::{Suspects, batches, drill};
use super::finding::{Against, Difference, Finding};
use super::options::{Options, Progress, Report, TableReport};
use super::postgres::V2;
use super::range::Range;
use super::resolve::{Cursor, PAGE, Resolver, narrow};
use super::{ids, selftest};
use crate::clients::work::{ClickhouseWork, PostgresWork};
use crate::data::tables::{Live, Mapping, Tier, spec};
use crate::domain::backfill::Table;
use crate::domain::{Now, Trouble};

/// Ids that are looked at one by one; of more, only their number is told.
const CLOSELY: u64 = 200_000;

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

/// One table of a running comparison.
struct At<'a> {
    v2: V2,
    v3: V3,
    chain: Chain,
    looked: Mapping,
    cursor: Cursor,
    report: TableReport,
    closely: u64,
    moving: Vec<String>,
    options: &'a Options,
    progress: &'a Progress,
}

impl Verify<'_> {
    /// Compares everything that was asked for.
    ///
    /// # Errors
    /// A side cannot be asked, or its hashes are not the ones this program knows.
    pub async fn run(&mut self) -> Result<Report, Trouble> {
        let at = (self.now)().wall;
        let mut report = Report { at, against: self.options.against, tables: vec![], notes: vec![] };
        for table in self.options.tables.clone() {
            report.tables.push(self.table(table).await?);
        }
        Ok(report)
    }

    /// What a run would read; reads nothing but catalogues.
    ///
    /// # Errors
    /// A side cannot be asked.
    pub async fn explain(&self) -> Result<Vec<Plan>, Trouble> {
        let mut plans = vec![];
        for table in &self.options.tables {
            let spec = spec(*table);
            let mapping = Live::read(&self.clickhouse.ask, spec).await?.map(spec);
            let v2 = V2::new(self.postgres.clone(), spec);
            let size = Size::read(&v2, &self.clickhouse, &mapping).await?;
            let chain = Chain::new(&mapping, self.options.tier);
            let columns: Vec<_> = chain.names().collect();
            plans.push(size.plan(*table, self.options.tier, &self.options.range, &columns));
        }
        Ok(plans)
    }

    async fn table(&mut self, table: Table) -> Result<TableReport, Trouble> {
        let begun = (self.now)().mono;
        let options = self.options.clone();
        self.progress.say(format!("{}: looking at both sides", table.name()));
        let spec = spec(table);
        let mapping = Live::read(&self.clickhouse.ask, spec).await?.map(spec);
        let v2 = V2::new(self.postgres.clone(), spec);
        let v3 = V3::new(self.clickhouse.clone(), spec);
        let chain = Chain::new(&mapping, options.tier);
        selftest::check(&v2, &mapping, &chain).await?;
        let size = Size::read(&v2, &self.clickhouse, &mapping).await?;
        let strategy = size.strategy(options.tier, &options.range);
        self.progress.begin(size.v3_rows);
        let report = TableReport {
            table,
            strategy: strategy.word(),
            columns: chain.names().collect(),
            rows: 0,
            v3_only: 0,
            remembered: 0,
            differences: Difference::all().map(|d| (d, 0)).collect(),
            wrong: 0,
            absent: mapping.absent.clone(),
            unknown: mapping.unknown.clone(),
            suspicious: (0, 0),
            received: 0,
            seconds: 0.0,
        };
        let cursor = size.cursor;
        let looked = narrow(&mapping, options.tier);
        let progress = self.progress;
        let mut at = At {
            v2,
            v3,
            chain,
            looked,
            cursor,
            report,
            closely: 0,
            moving: vec![],
            options: &options,
            progress,
        };
        let ranges = match strategy {
            Strategy::Ids | Strategy::Buckets => vec![options.range.clone()],
            Strategy::Months => size.months(&options.range),
        };
        for range in &ranges {
            at.range(range, strategy, &mut *self.found, self.now).await?;
        }
        at.settle(&mut *self.found, self.now).await?;
        at.report.seconds = (self.now)().mono.since(begun).as_secs_f64();
        Ok(at.report)
    }
}

type Found<'f> = &'f mut (dyn FnMut(&Finding) + Send);
type Clock<'c> = &'c (dyn Fn() -> Now + Sync);

impl At<'_> {
    /// Compares one range.
    async fn range(
        &mut self,
        range: &Range,
        strategy: Strategy,
        found: Found<'_>,
        now: Clock<'_>,
    ) -> Result<(), Trouble> {
        let progress = self.progress;
        let seen = move |rows| {
            progress.done.fetch_add(rows, Ordering::Relaxed);
        };
        self.progress.say(format!("{}: reading both sides", self.report.table.name()));
        if strategy == Strategy::Ids {
            let compared = ids::compare(&self.v2, &self.v3, range, &seen).await?;
            self.report.rows += compared.rows;
            self.report.v3_only += compared.v3_only;
            self.report.received += compared.received;
            return self.look(compared.suspects, found, now).await;
        }
        let (sums, (theirs, received)) =
            futures::try_join!(self.v2.sums(&self.chain, range), self.v3.sums(&self.chain, range, &seen))?;
        self.report.received += received;
        self.report.rows += sums.rows();
        let unlike = sums.unlike(&theirs);
        self.report.suspicious.0 += unlike.len();
        self.report.suspicious.1 += sums.days().len() * 24;
        for batch in batches(&unlike) {
            self.progress.say(format!("{}: {} hours closely", self.report.table.name(), unlike.len()));
            let suspects = drill(&self.v2, &self.v3, &self.chain, range, &sums, &batch).await?;
            self.look(suspects, found, now).await?;
        }
        Ok(())
    }

    /// Looks at ids, and tells of what is wrong with them.
    async fn look(&mut self, suspects: Suspects, found: Found<'_>, now: Clock<'_>) -> Result<(), Trouble> {
        let mut ids: BTreeSet<String> = suspects.ids.into_iter().collect();
        for page in suspects.own.chunks(PAGE) {
            let asked: Vec<&str> = page.iter().map(String::as_str).collect();
            let known = self.v2.existing(&asked).await?;
            self.report.v3_only += (page.len() - known.len()) as u64;
            ids.extend(known);
            if self.options.against == Against::Pg {
                ids.extend(page.iter().cloned());
            }
        }
        let ids: Vec<String> = ids.into_iter().collect();
        for page in ids.chunks(PAGE) {
            self.progress.say(format!("{}: {} rows by id", self.report.table.name(), ids.len()));
            self.closely += page.len() as u64;
            let young = self.young(now);
            let seen = self.resolver(young).look(page).await?;
            self.moving.extend(seen.moving);
            self.tell(&seen.findings, found);
            if self.closely > CLOSELY {
                tracing::debug!(rows = self.closely, "many rows differ");
            }
        }
        Ok(())
    }

    /// Rows that were moving are looked at once more, after a pause.
    async fn settle(&mut self, found: Found<'_>, _now: Clock<'_>) -> Result<(), Trouble> {
        let moving = std::mem::take(&mut self.moving);
        if moving.is_empty() {
            return Ok(());
        }
        self.progress.say(format!("{}: {} rows are on their way", self.report.table.name(), moving.len()));
        tokio::time::sleep(self.options.settle).await;
        for page in moving.chunks(PAGE) {
            let seen = self.resolver(i64::MAX).look(page).await?;
            self.tell(&seen.findings, found);
        }
        Ok(())
    }

    fn young(&self, now: Clock<'_>) -> i64 {
        let grace = i64::try_from(self.options.grace.as_millis()).unwrap_or(i64::MAX);
        now().wall.as_millisecond().saturating_sub(grace)
    }

    const fn resolver(&self, young: i64) -> Resolver<'_> {
        Resolver {
            v2: &self.v2,
            v3: &self.v3,
            mapping: &self.looked,
            cursor: self.cursor,
            values: self.options.values,
            young,
        }
    }

    fn tell(&mut self, findings: &[Finding], found: Found<'_>) {
        for finding in findings {
            *self.report.differences.entry(finding.difference).or_default() += 1;
            self.report.wrong += u64::from(finding.difference.is_wrong(self.options.against));
            if finding.difference == Difference::V3Only {
                self.report.v3_only += u64::from(self.options.against == Against::V3);
            }
            found(finding);
        }
    }
}

/// The columns of a tier by the name an operator gives them.
pub const TIERS: [(&str, Tier); 3] = [("key", Tier::Key), ("scalar", Tier::Scalar), ("all", Tier::All)];
