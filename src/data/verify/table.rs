//! One table of a running comparison: range by range, from sums to rows.
//!
//! One rule: nothing is told that was not read, and rows are read by id where there are few enough to be looked at.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sqlx::PgConnection;

use super::chain::Chain;
use super::clickhouse::V3;
use super::cost::{Size, Strategy};
use super::drill::{Suspects, batches, drill};
use super::finding::{Against, Difference, Finding};
use super::halves::{halves, middle};
use super::ids::{self, Stretch};
use super::lookup3::hashtext;
use super::options::{Options, Progress, TableReport};
use super::pace::{Pace, Patience, Rest};
use super::postgres::V2;
use super::range::Range;
use super::remembering::Remembering;
use super::replicas;
use super::resolve::Resolver;
use super::run::note;
use super::state::Known;
use crate::clients::work::ClickhouseWork;
use crate::data::deleted::Noting;
use crate::data::pages::pages;
use crate::data::tables::{Mapping, Tier};
use crate::domain::{Now, Trouble};

/// Rows that are read whole at once, without their JSON and with it.
const PAGE: usize = 2000;
const PAGE_OF_ALL: usize = 200;

/// The table.
pub(super) struct Running<'a> {
    pub(super) v2: V2,
    pub(super) v3: V3,
    pub(super) chain: Chain,
    pub(super) looked: Mapping,
    pub(super) strategy: Strategy,
    pub(super) size: Size,
    pub(super) report: TableReport,
    pub(super) moving: Vec<String>,
    pub(super) remembering: Option<Remembering>,
    /// Where what users of v3 delete is noted.
    pub(super) noting: Noting,
    /// Milliseconds by which the clock here is ahead of PostgreSQL's.
    pub(super) ahead: i64,
    /// Rows that were told of and stand in two hours, which may be read apart: they are met again.
    pub(super) told: HashSet<u64>,
    /// The replica of ClickHouse whose parts were looked at, and whether another one answered since.
    pub(super) host: String,
    pub(super) mixed: bool,
    pub(super) servers: &'a ClickhouseWork,
    pub(super) options: &'a Options,
    pub(super) progress: &'a Progress,
    pub(super) clock: &'a (dyn Fn() -> Now + Sync),
    pub(super) found: &'a mut (dyn FnMut(&Finding) + Send),
}

impl Running<'_> {
    /// Compares all ranges, with pauses, and remembers after each; what was moving meanwhile at the end.
    pub(super) async fn ranges(
        &mut self,
        ranges: &[Range],
        mut pace: Pace,
        mut remember: impl FnMut(&Known) -> std::io::Result<()>,
        notes: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        if ranges.is_empty() {
            self.same_replica(notes).await?;
        }
        for range in ranges {
            if pace.is_limited() {
                pace.probed(self.probe().await?);
            }
            let begun = (self.clock)().mono;
            self.range(range, pace).await?;
            self.same_replica(notes).await?;
            if let Some(remembering) = &self.remembering {
                note(notes, remember(&remembering.known));
            }
            tokio::time::sleep(pace.pause((self.clock)().mono.since(begun))).await;
        }
        self.settle(notes).await
    }

    /// What one replica said of its parts proves nothing about rows that another one sent.
    async fn same_replica(&mut self, notes: &mut Vec<String>) -> Result<(), Trouble> {
        let (first, now) = (&self.host, Patience::of(async || replicas::host(self.servers).await).await?);
        let other =
            (now != *first).then_some(now).or_else(|| self.v3.same.is_broken().then(|| "another".into()));
        if let Some(now) = other {
            self.remembering = None;
            self.mixed = true;
            let note = format!(
                "more than one replica of ClickHouse answered ({first} and {now}): what looks missing may not have been \
                 replicated yet, and nothing is remembered; point [clickhouse] at one of them"
            );
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        Ok(())
    }

    /// How long PostgreSQL takes for a question that costs nothing.
    async fn probe(&self) -> Result<std::time::Duration, Trouble> {
        let v2 = &self.v2;
        v2.ask(async |session| {
            let begun = (self.clock)().mono;
            sqlx::query("SELECT 1").execute(session).await.map_err(|e| v2.work.trouble(&e))?;
            Ok((self.clock)().mono.since(begun))
        })
        .await
    }

    fn say(&self, what: &str) {
        self.progress.say(format!("{}: {what}", self.report.table.name()));
    }

    /// Says what lasts nobody knows how long.
    fn wait(&self, what: &str) {
        self.say(what);
        self.progress.unknown.store(true, Ordering::Relaxed);
    }

    /// Compares the ids of everything.
    async fn ids(&mut self, pace: Pace, seen: &(dyn Fn(u64) + Sync)) -> Result<(), Trouble> {
        let step = if pace.is_limited() { self.options.step } else { u64::MAX };
        let rest = Rest { pace, step: i64::try_from(step).unwrap_or(i64::MAX), clock: self.clock };
        // ClickHouse's ids come at once, or with a pause after each month.
        let months = if pace.is_limited() { self.size.months() } else { vec![] };
        let stretches = Stretch::cut(middle(&self.size).filter(|_| !pace.is_limited()));
        let months = Range::default().cut(&months);
        let mut compared = ids::compare((&self.v2, &stretches), (&self.v3, &months), &rest, seen).await?;
        self.report.rows += compared.rows;
        self.report.v3_only += compared.v3_only;
        self.report.received += compared.received;
        while let Some(suspects) = compared.next(&self.v2, &self.v3).await? {
            self.look(suspects).await?;
        }
        Ok(())
    }

    /// Compares one range.
    async fn range(&mut self, range: &Range, pace: Pace) -> Result<(), Trouble> {
        let progress = self.progress;
        let seen = move |rows| {
            progress.done.fetch_add(rows, Ordering::Relaxed);
        };
        if self.strategy == Strategy::Ids {
            self.say("reading the ids of both sides");
            return self.ids(pace, &seen).await;
        }
        self.say("reading both sides");
        if let Some(remembering) = &mut self.remembering {
            remembering.begin();
        }
        let before = progress.done.load(Ordering::Relaxed);
        let theirs = async {
            let sums = Patience::of(async || {
                progress.done.store(before, Ordering::Relaxed);
                self.v3.sums(&self.chain, range, &seen).await
            });
            let sums = sums.await?;
            self.wait("ClickHouse is read, PostgreSQL is at it");
            Ok(sums)
        };
        let halves = if pace.is_limited() { vec![] } else { halves(&self.size, self.v2.time, range) };
        let (sums, (theirs, received)) =
            futures::try_join!(self.v2.sums(&self.chain, range, &halves), theirs)?;
        self.report.received += received;
        self.report.rows += sums.rows();
        let unlike = sums.unlike(&theirs);
        self.report.suspicious.0 += unlike.len();
        self.report.suspicious.1 += sums.len();
        // A project that is deleted today may be back tomorrow, and nothing else would have changed.
        let gone = self.gone(unlike.iter().map(|(bucket, _)| &*bucket.project)).await?;
        if let Some(remembering) = &mut self.remembering {
            let days = unlike.iter().filter(|(bucket, _)| gone.contains(&*bucket.project));
            remembering.taint(&days.map(|(bucket, _)| bucket.hour.div_euclid(24)).collect::<Vec<_>>());
        }
        for (batch, slice) in batches(&unlike, self.options.held) {
            self.wait(&format!("{} hours closely", unlike.len()));
            let suspects = drill(&self.v2, &self.v3, &self.chain, range, &sums, (&batch, slice)).await?;
            self.look(suspects).await?;
        }
        let mut days = sums.days();
        for day in theirs.days().into_keys() {
            days.entry(day).or_default();
        }
        if let Some(remembering) = &mut self.remembering {
            remembering.end(range, &days);
        }
        Ok(())
    }

    /// Looks at ids, and tells of what is wrong with them.
    async fn look(&mut self, mut suspects: Suspects) -> Result<(), Trouble> {
        suspects.missing = self.without_gone(suspects.missing).await?;
        let mut ids: BTreeSet<String> = suspects.ids.into_iter().collect();
        for own in suspects.own.chunks(PAGE) {
            let asked: Vec<&str> = own.iter().map(String::as_str).collect();
            let known = self.v2.existing(&asked).await?;
            self.report.v3_only += (own.len() - known.len()) as u64;
            ids.extend(known);
            if self.options.against == Against::Pg {
                ids.extend(own.iter().cloned());
            }
        }
        let closely =
            self.options.closely.saturating_sub(usize::try_from(self.report.wrong).unwrap_or(usize::MAX));
        let (missing, many) = suspects.missing.split_at(closely.min(suspects.missing.len()));
        let (extra, more) = suspects.extra.split_at(closely.min(suspects.extra.len()));
        ids.extend(missing.iter().chain(extra).map(|(_, id)| id.clone()));
        let ids: Vec<String> = ids.into_iter().collect();
        for page in self.pages(&ids).await? {
            self.wait(&format!("{} rows by id", ids.len()));
            let young = self.young();
            let seen = self.resolver(young).look(page).await?;
            if let Some(remembering) = &mut self.remembering {
                remembering.taint(&seen.days);
            }
            self.moving.extend(seen.moving);
            self.tell(&seen.findings);
        }
        for page in many.chunks(PAGE) {
            let ids: Vec<&str> = page.iter().map(|(_, id)| id.as_str()).collect();
            self.coarsely(Difference::V2Alone, &self.v2.placed(&ids).await?);
        }
        self.coarsely(Difference::V3Alone, more);
        Ok(())
    }

    /// Tells of rows whose project is deleted and of which v3 has nothing, and gives the others: a project may have had
    /// millions, and none of them is read by id.
    async fn without_gone(
        &mut self,
        missing: Vec<(Arc<str>, String)>,
    ) -> Result<Vec<(Arc<str>, String)>, Trouble> {
        let mut rest = vec![];
        for page in missing.chunks(PAGE) {
            let mut page = page.to_vec();
            if page.iter().any(|(project, _)| project.is_empty()) {
                // Ids alone do not say whose they are.
                let ids: Vec<&str> = page.iter().map(|(_, id)| id.as_str()).collect();
                let placed = self.v2.placed(&ids).await?;
                page = placed.into_iter().map(|(project, id)| (project.into(), id)).collect();
            }
            let gone = self.gone(page.iter().map(|(project, _)| &**project)).await?;
            let (gone, others): (Vec<_>, Vec<_>) =
                page.into_iter().partition(|(project, _)| gone.contains(&**project));
            let ids: Vec<&str> = gone.iter().map(|(_, id)| id.as_str()).collect();
            let known = match ids.as_slice() {
                [] => BTreeSet::new(),
                ids => Patience::of(async || self.v3.known(ids).await).await?,
            };
            let (known, gone): (Vec<_>, Vec<_>) = gone.into_iter().partition(|(_, id)| known.contains(id));
            self.coarsely(Difference::Deleted, &gone);
            rest.extend(others);
            rest.extend(known);
        }
        Ok(rest)
    }

    /// Those of these projects that are deleted.
    async fn gone(&self, projects: impl Iterator<Item = &str>) -> Result<BTreeSet<String>, Trouble> {
        let projects: BTreeSet<&str> = projects.collect();
        let asked = async |session: &mut PgConnection| {
            self.noting.gone(&self.v2.work, session, projects.iter().copied()).await
        };
        if projects.is_empty() { Ok(BTreeSet::new()) } else { self.v2.ask(asked).await }
    }

    /// Ids in pages: payloads may be large, and a page of both sides is held at once.
    async fn pages<'i>(&self, ids: &'i [String]) -> Result<Vec<&'i [String]>, Trouble> {
        if self.options.tier < Tier::All {
            return Ok(ids.chunks(PAGE).collect());
        }
        let all: Vec<&str> = ids.iter().map(String::as_str).collect();
        let pages = self
            .v2
            .ask(async |session| {
                pages(&self.v2.work, session, &self.v3.work, &self.looked, &all, PAGE_OF_ALL).await
            })
            .await?;
        Ok(pages.into_iter().map(|page| &ids[page]).collect())
    }

    /// So many rows are on one side only that they are just counted and named.
    fn coarsely<P: ToString>(&mut self, difference: Difference, rows: &[(P, String)]) {
        for (project, id) in rows {
            let finding = Finding {
                table: self.report.table,
                difference,
                project: project.to_string(),
                id: id.clone(),
                columns: vec![],
                note: String::new(),
                hours: vec![],
            };
            self.tell(&[finding]);
        }
    }

    /// Rows that were moving are looked at once more, after a pause.
    async fn settle(&mut self, notes: &mut Vec<String>) -> Result<(), Trouble> {
        let mut moving = std::mem::take(&mut self.moving);
        moving.sort_unstable();
        moving.dedup();
        if moving.is_empty() {
            return Ok(());
        }
        self.wait(&format!("{} rows are on their way; looking again", moving.len()));
        tokio::time::sleep(self.options.settle).await;
        for page in self.pages(&moving).await? {
            let seen = self.resolver(i64::MAX).look(page).await?;
            self.tell(&seen.findings);
        }
        self.same_replica(notes).await
    }

    fn young(&self) -> i64 {
        let grace = i64::try_from(self.options.grace.as_millis()).unwrap_or(i64::MAX);
        (self.clock)().wall.as_millisecond().saturating_sub(self.ahead).saturating_sub(grace)
    }

    const fn resolver(&self, young: i64) -> Resolver<'_> {
        Resolver {
            v2: &self.v2,
            v3: &self.v3,
            mapping: &self.looked,
            cursor: self.size.cursor,
            values: self.options.values,
            noting: &self.noting,
            young,
        }
    }

    fn tell(&mut self, findings: &[Finding]) {
        for finding in findings {
            let is_wrong = finding.difference.is_wrong(self.options.against);
            match (finding.days().as_slice(), &mut self.remembering) {
                ([], Some(remembering)) if is_wrong => remembering.tainted = None,
                (days, Some(remembering)) if is_wrong => remembering.taint(days),
                _ => {}
            }
            if finding.is_in_two_hours() && !self.told.insert(number(finding)) {
                continue;
            }
            *self.report.differences.entry(finding.difference).or_default() += 1;
            let own = finding.difference == Difference::V3Only && self.options.against == Against::V3;
            self.report.v3_only += u64::from(own);
            self.report.wrong += u64::from(is_wrong);
            (self.found)(finding);
        }
    }
}

/// A number for a row: two of the same number are one in 10^6 runs over 5 million of them.
fn number(finding: &Finding) -> u64 {
    hashtext(finding.id.as_bytes(), hashtext(finding.project.as_bytes(), 0))
}
