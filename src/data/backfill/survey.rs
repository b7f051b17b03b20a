//! What a copy would do, before it is done: rows, ranges, and a guess at the time, from a sample that is read and
//! converted and sent nowhere.

use futures::StreamExt as _;
use sqlx::PgConnection;

use super::range::{self, at};
use super::{Options, Progress, Tools};
use crate::data::clock;
use crate::data::convert::direct::encode;
use crate::data::copy_out::CopyOut;
use crate::data::lock::{Denied, Start, judge, standings};
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
    /// Why it would not be copied now.
    pub denied: Option<Denied>,
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
    let mut out = vec![];
    for &table in tables {
        let denied = judge(&rows, table, Start::Resume).err();
        let mut survey = Survey {
            table,
            from: None,
            rows: None,
            ranges: None,
            sampled: 0,
            seconds: None,
            unknown: vec![],
            absent: vec![],
            denied,
        };
        if !matches!(survey.denied, Some(Denied::Absent { .. } | Denied::Finished { .. })) {
            let row = rows.iter().find(|r| r.name == table.migration());
            survey.from = row.and_then(|row| row.cursor().or_else(|| row.wanted_start()));
            measure(tools, &mut session, options, &mut survey).await?;
        }
        out.push(survey);
    }
    Ok(out)
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
