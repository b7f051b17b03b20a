//! What a copy would do, before it is done: rows, ranges, and a guess at the time, from a sample that is read and
//! converted and sent nowhere.
//!
//! One rule: a plan says what `run` would do with the same tables, one after the other, and nothing else.

use futures::StreamExt as _;
use sqlx::PgConnection;

use super::range::{self, at};
use super::{Options, Progress, Tools};
use crate::data::clock;
use crate::data::convert::direct::encode;
use crate::data::copy_out::CopyOut;
use crate::data::lock::{Denied, Phase, Standing, Start, judge, standings};
use crate::data::tables::{Live, Mapping, spec};
use crate::domain::Trouble;
use crate::domain::backfill::Table;

/// Rows of the sample.
const SAMPLE: u64 = 5_000;
/// Inserting takes about as long as reading and converting (measured on one machine with both databases).
const INSERTING: f64 = 2.0;

/// One table of a plan.
#[derive(Debug)]
pub struct Survey {
    /// The table.
    pub table: Table,
    /// Why `run` would not copy it.
    pub refused: Option<Refusal>,
    /// Whether `resume` would, where `run` would not.
    pub resumes: bool,
    /// The table that is copied right before it.
    pub after: Option<Table>,
    /// Where the copy would begin, in milliseconds; now, when nothing was copied yet.
    pub from: Option<i64>,
    /// Rows that would be copied.
    pub rows: Option<u64>,
    /// Ranges, about.
    pub ranges: Option<u64>,
    /// Rows of the sample.
    pub sampled: u64,
    /// Seconds it may take.
    pub seconds: Option<f64>,
    /// Columns of this server that take their defaults.
    pub unknown: Vec<String>,
    /// Columns that this server does not have.
    pub absent: Vec<&'static str>,
}

/// Why a table would not be copied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its migration would not be taken.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The run would have ended before it, at this table.
    #[error("not reached: the run would stop at {}", .0.name())]
    Stops(Table),
}

/// What a start comes to, table after table.
struct Walk {
    rows: Vec<Standing>,
    start: Start,
    last: Option<Table>,
    stops: Option<Table>,
}

impl Walk {
    fn new(rows: &[Standing], start: Start) -> Self {
        Self { rows: rows.to_vec(), start, last: None, stops: None }
    }

    /// Why it would not copy the next table; what it copies is done when the one after it is looked at.
    fn reach(&mut self, table: Table) -> Result<(), Refusal> {
        match (judge(&self.rows, table, self.start).map(drop), self.stops) {
            // A run goes past these.
            (Err(denied @ (Denied::Finished { .. } | Denied::Absent { .. })), _) => Err(denied.into()),
            (_, Some(at)) => Err(Refusal::Stops(at)),
            (Err(denied), None) => {
                self.stops = Some(table);
                Err(denied.into())
            }
            (Ok(()), None) => {
                let row = self.rows.iter_mut().find(|row| row.name == table.migration());
                if let Some(row) = row {
                    row.phase = Phase::Finished;
                }
                self.last = Some(table);
                Ok(())
            }
        }
    }
}

/// Rows of a table, and of those the ones at and below the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub rows: u64,
    /// At and below the cursor, when there is one: still to be copied, unless the migration has finished.
    pub below: Option<u64>,
}

/// Counts one table from its index.
///
/// # Errors
/// The table cannot be read.
pub async fn counts(
    tools: &Tools,
    session: &mut PgConnection,
    table: Table,
    cursor: Option<i64>,
) -> Result<Counts, Trouble> {
    let rows = range::count(&tools.pg, session, spec(table), None).await?;
    let below = match cursor {
        Some(cursor) => Some(range::count(&tools.pg, session, spec(table), Some(cursor)).await?),
        None => None,
    };
    Ok(Counts { rows, below })
}

/// Looks at each table.
///
/// # Errors
/// A database cannot be read.
pub async fn survey(tools: &Tools, tables: &[Table], options: &Options) -> Result<Vec<Survey>, Trouble> {
    let mut session = tools.pg.session().await?;
    let rows = standings(&tools.pg, &mut session).await?;
    let (mut run, mut resume) = (Walk::new(&rows, Start::Run), Walk::new(&rows, Start::Resume));
    let mut out = vec![];
    for &table in tables {
        let after = run.last;
        let (refused, resumes) = verdict(run.reach(table), resume.reach(table));
        let mut survey = Survey {
            table,
            from: None,
            rows: None,
            ranges: None,
            sampled: 0,
            seconds: None,
            unknown: vec![],
            absent: vec![],
            refused,
            resumes,
            after,
        };
        let is_over = |denied: &Denied| matches!(denied, Denied::Absent { .. } | Denied::Finished { .. });
        if !matches!(&survey.refused, Some(Refusal::Denied(denied)) if is_over(denied)) {
            let row = rows.iter().find(|r| r.name == table.migration());
            survey.from = row.and_then(|row| row.cursor().or_else(|| row.wanted_start()));
            measure(tools, &mut session, options, &mut survey).await?;
        }
        out.push(survey);
    }
    Ok(out)
}

/// Why `run` refuses, and whether `resume` would not; where that refuses as well, its reason is the one to mend.
fn verdict(run: Result<(), Refusal>, resume: Result<(), Refusal>) -> (Option<Refusal>, bool) {
    match (run, resume) {
        (Ok(()), _) => (None, false),
        (Err(refusal), Ok(())) => (Some(refusal), true),
        (Err(Refusal::Denied(Denied::Failed { .. })), Err(deeper)) => (Some(deeper), false),
        (Err(refusal), Err(_)) => (Some(refusal), false),
    }
}

async fn measure(
    tools: &Tools,
    session: &mut PgConnection,
    options: &Options,
    survey: &mut Survey,
) -> Result<(), Trouble> {
    let spec = spec(survey.table);
    let mapping = Live::read(&tools.ch.ask, spec).await?.map(spec);
    let rows = range::count(&tools.pg, session, spec, survey.from).await?;
    let started = clock::mono();
    let (sampled, bytes) = sample(tools, session, &mapping, survey.from).await?;
    let took = clock::since(started).as_secs_f64();
    survey.sampled = sampled;
    survey.rows = Some(rows);
    let each = options.range_rows(&Progress { rows: sampled, bytes, ..Progress::default() });
    survey.ranges = Some(rows.div_ceil(each.max(1)));
    if sampled > 0 {
        let seconds = took / sampled as f64 * rows as f64 * INSERTING / options.jobs.clamp(1, 2) as f64;
        let asked = options.rate.map_or(0.0, |rate| rows as f64 / rate.max(0.001));
        survey.seconds = Some(seconds.max(asked));
    }
    survey.unknown = mapping.unknown;
    survey.absent = mapping.absent;
    Ok(())
}

async fn sample(
    tools: &Tools,
    session: &mut PgConnection,
    mapping: &Mapping,
    from: Option<i64>,
) -> Result<(u64, u64), Trouble> {
    let below = from.map_or_else(|| "timestamp 'infinity'".into(), at);
    let query = format!(
        "SELECT {} FROM {} WHERE t.created_at <= {below} ORDER BY t.created_at DESC LIMIT {SAMPLE}",
        mapping.pg_list(),
        mapping.spec.from
    );
    let mut stream = tools.pg.copy_out(session, &query).await?;
    let (mut copy, mut out) = (CopyOut::default(), Vec::new());
    let (mut rows, mut bytes) = (0, 0);
    while let Some(chunk) = stream.next().await {
        copy.push(&chunk?);
        while let Ok(Some(fields)) = copy.row() {
            // What cannot be converted is for the copy to report.
            let _ = encode(&mapping.columns, &fields, &mut out);
            rows += 1;
            bytes += out.len() as u64;
            out.clear();
        }
    }
    Ok((rows, bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::data::lock::COST;

    fn rows(phases: [Phase; 4]) -> Vec<Standing> {
        let names = [COST.to_owned()].into_iter();
        let names = names.chain(Table::BACKFILLED.map(|table| table.migration().to_owned()));
        let row = |(name, phase): (String, Phase)| Standing {
            id: name.clone(),
            name,
            phase,
            args: json!({}),
            state: json!({}),
            worker: None,
            lock_age: None,
            failed_reason: Some("why".into()),
        };
        names.zip(phases).map(row).collect()
    }

    /// What is said of every table, with a star where `resume` would copy it.
    fn said(phases: [Phase; 4]) -> Vec<String> {
        let rows = rows(phases);
        let (mut run, mut resume) = (Walk::new(&rows, Start::Run), Walk::new(&rows, Start::Resume));
        let say = |table| {
            let (refused, resumes) = verdict(run.reach(table), resume.reach(table));
            let text = refused.map_or_else(|| "copied".into(), |refusal| refusal.to_string());
            let text = text.trim_start_matches(table.migration()).trim().to_owned();
            let text = text.chars().take(34).collect::<String>();
            if resumes { text + "*" } else { text }
        };
        Table::ALL.into_iter().map(say).collect()
    }

    const ABSENT: &str = "is not in background_migrations: t";

    #[test]
    fn a_run_goes_from_table_to_table_and_stops_where_it_may_not() {
        use Phase::{Failed, Finished, Queued, Running};
        assert_eq!(said([Finished, Queued, Queued, Queued]), ["copied", "copied", "copied", ABSENT]);
        // The costs are waited for.
        assert_eq!(said([Running, Queued, Queued, Queued]), ["copied", "copied", "copied", ABSENT]);
        let finished = "has finished: nothing is left to c";
        assert_eq!(said([Finished, Finished, Queued, Queued]), [finished, "copied", "copied", ABSENT]);
        assert_eq!(
            said([Finished, Queued, Failed, Queued]),
            ["copied", "has failed: why; `cutover backfill*", "not reached: the run would stop at*", ABSENT]
        );
        let costs = "comes after 20241024_1216_add_gene";
        let not = "not reached: the run would stop at";
        assert_eq!(said([Queued, Failed, Queued, Queued]), [costs, not, not, ABSENT]);
    }
}
