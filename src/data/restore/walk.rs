//! From what v3 wrote to what v2 has: one table after the other, traces first, since the others refer to them.
//!
//! One rule: counting and writing walk the same way; a dry run ends where the transaction would begin.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::entity::{Entity, entity};
use super::judge::{Judged, Known};
use super::needs::unmet;
use super::report::{Left, Report, TableReport, Verdict};
use super::schema::Schema;
use super::source::{self, PAGE, Slice, Written};
use super::target::Target;
use super::write::{Mode, Outcome, What, Writer};
use super::{BATCH, BYTES};
use crate::clients::liveness::Session;
use crate::clients::work::{ClickhouseWork, PostgresWork};
use crate::data::cell::Cell;
use crate::data::convert::back::Loss;
use crate::data::copied::is_copy;
use crate::data::deleted::gone;
use crate::data::rows::{Key, Row};
use crate::data::tables::{Live, Mapping, Spec, spec};
use crate::domain::Trouble;
use crate::domain::backfill::Table;

/// Batches of a table that a dry run sends to PostgreSQL to be cast: their time is the measured part of the estimate.
const SAMPLE: u32 = 20;
/// What a row costs when it is written, in terms of the same row sent and cast. Measured on PostgreSQL 15 with
/// v2.95's indexes and rows of 1 KB: inside the server 8 (traces) and 11 (observations); with what the client does in
/// both cases, about 4. In between, since a production server waits for its disk as well.
const WRITE_FACTOR: f64 = 6.0;

/// Both databases.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// What v3 wrote.
    pub clickhouse: &'a ClickhouseWork,
    /// A session that may only read.
    pub postgres: &'a PostgresWork,
    /// The session that writes; without it nothing is written.
    pub writer: Option<&'a PostgresWork>,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// These tables; all three when empty.
    pub tables: Vec<Table>,
    /// This project; all when `None`.
    pub project: Option<String>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The table at hand.
    pub table: Table,
    /// Entities looked at in it.
    pub looked_at: u64,
    /// About as many are there (raw rows: a few more than entities).
    pub of: u64,
    /// Rows of it to write, or written.
    pub rows: u64,
    /// Since the table was begun.
    pub took: Duration,
}

/// Hears how far it is, now and then, and says whether to go on.
pub type Listener<'a> = &'a mut (dyn FnMut(&Progress) -> bool + Send);

/// Counts what would be written, or writes it when there is a writer. Where v2 lacks what it needs, the report says so
/// and nothing is written. The report counts what was committed, however the run ended; the next run finds the rest.
///
/// # Errors
/// Beside the report: a server cannot be asked or does not let us write.
pub async fn restore(sides: Sides<'_>, wish: &Wish, listen: Listener<'_>) -> (Report, Result<(), Trouble>) {
    let begun = Instant::now();
    let mut report = Report::default();
    let ended = go(sides, wish, listen, &mut report).await;
    report.seconds = begun.elapsed().as_secs_f64();
    (report, ended)
}

async fn go(sides: Sides<'_>, wish: &Wish, listen: Listener<'_>, report: &mut Report) -> Result<(), Trouble> {
    let schema = async {
        let mut session = sides.postgres.session().await?;
        Schema::read(sides.postgres, &mut session).await
    };
    let schema = sides.postgres.attended(schema).await?;
    report.unmet = unmet(&schema);
    let refused = report.unmet.iter().any(|u| !u.only_a_view);
    if refused || (sides.writer.is_some() && !report.unmet.is_empty()) {
        return Ok(());
    }
    report.written = sides.writer.is_some();
    let mut estimate = 0.0;
    for table in Table::BACKFILLED {
        if !wish.tables.is_empty() && !wish.tables.contains(&table) {
            continue;
        }
        let mut walk = sides.postgres.attended(Walk::open(sides, &schema, table, wish)).await?;
        // However it ends, what was committed is told.
        let work = sides.postgres.attended(walk.go(listen));
        let ended = match sides.writer {
            Some(writer) => writer.attended(work).await,
            None => work.await,
        };
        estimate += walk.estimate();
        report.tables.push(walk.report);
        if !ended? {
            report.stopped = true;
            break;
        }
    }
    report.estimate_seconds = (!report.written && !report.stopped).then_some(estimate);
    Ok(())
}

/// One table.
struct Walk<'a> {
    sides: Sides<'a>,
    spec: &'static Spec,
    mapping: Mapping,
    slices: Vec<Slice>,
    gone: BTreeSet<String>,
    writer: Writer<'a>,
    session: Session,
    pending: Vec<(Entity, Judged)>,
    /// The projects of the ids that are pending.
    ids: HashMap<String, String>,
    bytes: usize,
    report: TableReport,
    begun: Instant,
    sampled: (u32, u64, Duration),
}

impl<'a> Walk<'a> {
    async fn open(sides: Sides<'a>, schema: &Schema, table: Table, wish: &Wish) -> Result<Self, Trouble> {
        let spec = spec(table);
        let begun = Instant::now();
        let mapping = Live::read(&sides.clickhouse.ask, spec).await?.map(spec);
        let target = Target::new(&mapping, schema, &sides.postgres.object)?;
        let slices = source::slices(sides.clickhouse, spec, wish.project.as_deref()).await?;
        let mut session = sides.postgres.session().await?;
        let gone = gone(sides.postgres, &mut session, slices.iter().map(|s| s.project.as_str())).await?;
        let (work, mode) = sides.writer.map_or((sides.postgres, Mode::Rehearse), |work| (work, Mode::Write));
        let writer = Writer { work, session: work.session().await?, table, target, mode };
        let mut report = TableReport::new(table);
        report.unknown_columns.clone_from(&mapping.unknown);
        let kept = mapping.columns.iter().filter(|m| m.column.stays_in_v3());
        report.kept_columns = kept.map(|m| m.column.ch).collect();
        report.empty_columns = spec.lost.to_vec();
        Ok(Self {
            sides,
            spec,
            mapping,
            slices,
            gone,
            writer,
            session,
            pending: vec![],
            ids: HashMap::new(),
            bytes: 0,
            report,
            begun,
            sampled: (0, 0, Duration::ZERO),
        })
    }

    /// The whole table; `false` when it was told to stop.
    async fn go(&mut self, listen: Listener<'_>) -> Result<bool, Trouble> {
        let of = self.slices.iter().map(|s| s.rows).sum();
        for slice in std::mem::take(&mut self.slices) {
            for hex in &slice.broken {
                let key = Key { project: slice.project.clone(), id: hex.clone() };
                self.report.looked_at += 1;
                self.report.leave(&key, Left::Refused, "its id is not UTF-8; it is shown in hexadecimal");
            }
            let mut after = String::new();
            loop {
                let page = source::page(self.sides.clickhouse, self.spec, &slice, &after).await?;
                let more = page.len() == PAGE;
                if let Some(last) = page.last() {
                    after.clone_from(&last.id);
                }
                if !self.look(&slice, &page, of, listen).await? {
                    return Ok(false);
                }
                if !more {
                    break;
                }
            }
        }
        self.flush().await.map(|()| true)
    }

    /// One page of one project and day; `false` when it was told to stop.
    async fn look(
        &mut self,
        slice: &Slice,
        page: &[Written],
        of: u64,
        listen: Listener<'_>,
    ) -> Result<bool, Trouble> {
        let key = |id: &str| Key { project: slice.project.clone(), id: id.to_owned() };
        self.report.looked_at += page.len() as u64;
        if !self.goes_on(of, listen) {
            return Ok(false);
        }
        if self.gone.contains(&slice.project) {
            for written in page {
                self.report.leave(&key(&written.id), Left::ProjectGone, "");
            }
            return Ok(true);
        }
        let known = Known::read(self.sides.postgres, &mut self.session, &self.writer.target, page).await?;
        let mut wanted: Vec<(&str, Judged)> = vec![];
        for written in page {
            match known.judge(slice, written) {
                Judged::Known => self.report.judged(&key(&written.id), Verdict::Known),
                Judged::OtherProject => self.report.leave(&key(&written.id), Left::OtherProject, ""),
                judged => wanted.push((&written.id, judged)),
            }
        }
        for group in source::groups(self.sides.clickhouse, &self.mapping, slice, &wanted).await? {
            self.fetch(slice, group).await?;
            if !self.goes_on(of, listen) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells how far it is; whether it may go on.
    fn goes_on(&self, of: u64, listen: Listener<'_>) -> bool {
        listen(&Progress {
            table: self.spec.table,
            looked_at: self.report.looked_at,
            of,
            rows: self.report.rows(),
            took: self.begun.elapsed(),
        })
    }

    /// The winning rows of a few ids, judged again by what they say.
    async fn fetch(&mut self, slice: &Slice, part: &[(&str, Judged)]) -> Result<(), Trouble> {
        let ids: Vec<&str> = part.iter().map(|(id, _)| *id).collect();
        let found = source::winners(self.sides.clickhouse, &self.mapping, &slice.project, &ids).await?;
        self.report.gone += part.len().saturating_sub(found.len()) as u64;
        for row in found {
            // Both are in the order of the ids.
            let at = part.binary_search_by(|(id, _)| (*id).cmp(&row.key.id));
            let judged = at.ok().and_then(|at| part.get(at)).map_or(Judged::Insert, |(_, judged)| *judged);
            if self.is_gone(&row) {
                self.report.judged(&row.key, Verdict::Gone);
                continue;
            }
            match entity(&self.writer.target, &self.mapping, &row) {
                Ok(entity) => {
                    drop(row);
                    self.push(entity, judged).await?;
                }
                Err((left, words)) => self.report.leave(&row.key, left, &words),
            }
        }
        Ok(())
    }

    /// Deleted in v3, or won by the copy.
    fn is_gone(&self, row: &Row) -> bool {
        *row.get(&self.mapping, "is_deleted") == Cell::Int(1) || is_copy(&self.mapping, row)
    }

    async fn push(&mut self, entity: Entity, judged: Judged) -> Result<(), Trouble> {
        match self.ids.entry(entity.key.id.clone()) {
            Entry::Vacant(free) => free.insert(entity.key.project.clone()),
            // Its winning row was found under another day as well: it is on its way.
            Entry::Occupied(known) if *known.get() == entity.key.project => return Ok(()),
            Entry::Occupied(_) => {
                self.report.leave(&entity.key, Left::OtherProject, "");
                return Ok(());
            }
        };
        self.bytes += entity.size();
        self.pending.push((entity, judged));
        if self.pending.len() >= BATCH || self.bytes >= BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Trouble> {
        self.ids.clear();
        self.bytes = 0;
        let pending = std::mem::take(&mut self.pending);
        let doubtful: Vec<Entity> =
            pending.iter().filter(|(_, judged)| judged.is_doubtful()).map(|(e, _)| e.clone()).collect();
        let undecided = self.writer.undecided(&doubtful).await?;
        for (entity, _) in pending.iter().filter(|(e, _)| undecided.contains(&e.key.id)) {
            self.report.lose(&entity.key, &[Loss::Undecided]);
        }
        let (flags, rows): (Vec<_>, Vec<_>) = pending.into_iter().partition(|(_, j)| *j == Judged::Flags);
        self.write(What::Rows, rows).await?;
        self.write(What::Flags, flags).await
    }

    async fn write(&mut self, what: What, pending: Vec<(Entity, Judged)>) -> Result<(), Trouble> {
        let (mut entities, judged): (Vec<Entity>, Vec<Judged>) = pending.into_iter().unzip();
        if entities.is_empty() {
            return Ok(());
        }
        let rehearsing = self.writer.mode == Mode::Rehearse;
        let outcomes = if what == What::Flags {
            self.writer.batch(what, &mut entities).await?
        } else if rehearsing && self.sampled.0 >= SAMPLE {
            vec![Outcome::Inserted; entities.len()]
        } else {
            let begun = Instant::now();
            let outcomes = self.writer.batch(what, &mut entities).await?;
            self.sampled.0 += 1;
            self.sampled.1 += entities.len() as u64;
            self.sampled.2 += begun.elapsed();
            outcomes
        };
        for ((entity, judged), outcome) in entities.iter().zip(judged).zip(outcomes) {
            let update = if rehearsing { judged != Judged::Insert } else { outcome == Outcome::Updated };
            let verdict = match outcome {
                Outcome::Refused(words) => {
                    self.report.leave(&entity.key, Left::Refused, &words);
                    continue;
                }
                Outcome::Newer => Verdict::Known,
                _ if update => Verdict::Update,
                _ => Verdict::Insert,
            };
            self.report.judged(&entity.key, verdict);
            // Decisions alone take nothing else with them.
            if verdict != Verdict::Known && what == What::Rows {
                // A row of v2 knows what it had.
                let told = |loss: &&Loss| verdict == Verdict::Insert || **loss != Loss::MetadataText;
                let losses: Vec<Loss> = entity.losses.iter().filter(told).copied().collect();
                self.report.lose(&entity.key, &losses);
            }
        }
        Ok(())
    }

    /// About the seconds that writing this table takes: what this run took, with what was sent and cast at the price
    /// of what is written.
    fn estimate(&self) -> f64 {
        let (_, rows, cast) = self.sampled;
        let walked = self.begun.elapsed().saturating_sub(cast).as_secs_f64();
        let each = if rows > 0 { cast.as_secs_f64() / rows as f64 } else { 0.0 };
        walked + each * WRITE_FACTOR * self.report.rows() as f64
    }
}
