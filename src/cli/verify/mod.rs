//! `cutover verify`: is each row of v2 in v3, and is it the same?
//!
//! One rule: both databases are only read; what was found equal is remembered beside the counts.

mod file;
mod shown;
mod text;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use self::shown::Shown;
use super::args::{Rows, table};
use super::exit::Exit;
use super::print;
use super::progress::Line;
use super::stores::{Stores, failed, known_project};
use crate::clients::work::{Access, ClickhouseWork, Purpose};
use crate::config::Config;
use crate::data::tables::{Live, Tier, spec};
use crate::data::verify::{Against, Finding, Options, Progress, Range, Report, Verify};
use crate::domain::Trouble;
use crate::domain::backfill::Table;
use crate::runtime::Clock;
use crate::runtime::signals::Signals;

/// What its help ends with.
pub const AFTER: &str = "\
Example:
  cutover verify                                  every column but the JSON ones, all tables
  cutover verify --table traces --columns all     metadata, input and output, too
  cutover verify --explain                        what would be read; reads nothing

Reads both databases and writes to neither. An ended run goes on in large tables (see --explain).
Exits with 0 when nothing is wrong, with 1 otherwise.";

/// The longest that one statement may run: one pass over a table.
const STATEMENT: Duration = Duration::from_secs(2 * 3600);
/// Between two looks at the progress.
const TICK: Duration = Duration::from_millis(500);

/// Flags of `verify`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Only this table: traces, observations, scores, dataset_run_items
    #[arg(long, value_parser = table, value_name = "TABLE")]
    pub table: Option<Table>,
    /// Which rows, by the rows' own time.
    #[command(flatten)]
    pub rows: Rows,
    /// key, scalar (every column but the JSON ones; the default) or all
    #[arg(long, value_enum, default_value_t = Columns::Scalar, hide_default_value = true, hide_possible_values = true)]
    pub columns: Columns,
    /// Which side has to be complete: v3 (the default) or pg
    #[arg(long, value_enum, default_value_t = Complete::V3, hide_default_value = true, hide_possible_values = true)]
    pub against: Complete,
    /// As JSON, one document
    #[arg(long)]
    pub json: bool,
    /// Write every difference into a file, a line each
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Both values of each column that differs
    #[arg(long)]
    pub values: bool,
    /// Say what would be read, and read nothing
    #[arg(long)]
    pub explain: bool,
    /// Keep the databases at work for at most this share of the time
    #[arg(long, value_name = "PERCENT", default_value_t = 100, hide_default_value = true, value_parser = clap::value_parser!(u8).range(5..=100))]
    pub max_load: u8,
    /// Rows between two pauses, with --max-load
    #[arg(long, value_name = "ROWS", default_value_t = 50_000, hide = true)]
    pub step: u64,
    /// Rows of a side that are held at once
    #[arg(long, value_name = "ROWS", default_value_t = 200_000, hide = true)]
    pub held: u64,
    /// Rows of one side only that are looked at one by one
    #[arg(long, value_name = "ROWS", default_value_t = 200_000, hide = true)]
    pub closely: usize,
    /// Rows touched within so many seconds are looked at twice [default: 60]
    #[arg(long, value_name = "SECONDS", default_value_t = 60, hide_default_value = true)]
    pub grace: u64,
    /// Read again what was found equal before
    #[arg(long)]
    pub fresh: bool,
}

/// The columns that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Columns {
    /// Is every row there?
    Key,
    /// Every column but the JSON ones
    Scalar,
    /// Every column
    All,
}

/// The side that has to be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Complete {
    /// v3 must have what v2 has
    V3,
    /// PostgreSQL must have what v3 has
    Pg,
}

impl VerifyArgs {
    /// What is asked for, or all that moves: run items where this v3 has a table for them. They do not go back.
    async fn tables(&self, clickhouse: &ClickhouseWork) -> Result<Vec<Table>, Trouble> {
        if let Some(table) = self.table {
            return Ok(vec![table]);
        }
        let mut tables = Table::BACKFILLED.to_vec();
        let items = Table::DatasetRunItems;
        if self.against == Complete::V3 && Live::is_there(&clickhouse.ask, spec(items)).await? {
            tables.push(items);
        }
        Ok(tables)
    }

    fn options(&self, stores: &Stores, tables: Vec<Table>) -> Options {
        let day = |date: Date, more: i64| {
            let start = date.to_zoned(TimeZone::UTC).map_or(0, |at| at.timestamp().as_millisecond());
            start + more * crate::data::verify::range::DAY
        };
        Options {
            tables,
            tier: match self.columns {
                Columns::Key => Tier::Key,
                Columns::Scalar => Tier::Scalar,
                Columns::All => Tier::All,
            },
            range: Range {
                from: self.rows.from.map(|d| day(d, 0)),
                to: self.rows.to.map(|d| day(d, 1)),
                project: self.rows.project.clone(),
            },
            against: match self.against {
                Complete::V3 => Against::V3,
                Complete::Pg => Against::Pg,
            },
            values: self.values,
            load: f64::from(self.max_load) / 100.0,
            step: self.step,
            held: self.held,
            closely: self.closely,
            grace: Duration::from_secs(self.grace),
            settle: Duration::from_secs(5),
            fresh: self.fresh,
            state: Some(stores.state_dir.clone()),
        }
    }
}

/// Compares and prints.
pub async fn run(clock: Clock, config: &Config, args: &VerifyArgs) -> Exit {
    match compared(clock, config, args).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn compared(clock: Clock, config: &Config, args: &VerifyArgs) -> Result<Exit, Exit> {
    let stores = Stores::open(config).await?;
    let purpose = Purpose { name: "verify", access: Access::Read, statement: STATEMENT };
    let (postgres, clickhouse) = stores.work(purpose).await?;
    known_project(&postgres, args.rows.project.as_deref()).await?;
    let progress = Arc::new(Progress::default());
    let mut csv = match &args.csv {
        // What is there is not written over by a run that reads nothing.
        Some(_) if args.explain => None,
        Some(path) => Some(file::Csv::create(path).map_err(|error| {
            print::err(format!("{}: {error}", path.display()));
            Exit::Usage
        })?),
        None => None,
    };
    let (mut shown, mut failed_to_write) = (Shown::default(), None);
    let mut found = |finding: &Finding| {
        if let Some(csv) = &mut csv
            && let Err(error) = csv.write(finding)
        {
            failed_to_write = Some(error);
        }
        shown.take(finding);
    };
    let (now, stop) = (move || clock.now(), CancellationToken::new());
    let tables = args.tables(&clickhouse).await.map_err(|trouble| failed(&trouble))?;
    let mut verify = Verify {
        postgres,
        clickhouse,
        options: args.options(&stores, tables),
        now: &now,
        progress: &progress,
        found: &mut found,
        stop: stop.clone(),
    };
    if args.explain {
        let plans = verify.explain().await.map_err(|trouble| failed(&trouble))?;
        print::out(if args.json { pretty(&plans) } else { text::plans(&plans) });
        return Ok(Exit::Fine);
    }
    let answer = watched(clock, &progress, &stop, verify.run()).await;
    if let (Some(error), Some(path)) = (failed_to_write, &args.csv) {
        print::err(format!("{}: {error}; the file is not complete", path.display()));
        return Err(Exit::Usage);
    }
    let report = answer?.map_err(|trouble| failed(&trouble))?;
    print::out(if args.json { text::json(&report, &shown) } else { text::report(&report, &shown, args) });
    Ok(if report.wrong() == 0 { Exit::Fine } else { Exit::Findings })
}

fn pretty(value: &impl serde::Serialize) -> String {
    // Plain data with string keys: this cannot fail.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Shows how far it is, until it is done or somebody ends it.
async fn watched(
    clock: Clock,
    progress: &Progress,
    stop: &CancellationToken,
    work: impl Future<Output = Result<Report, Trouble>>,
) -> Result<Result<Report, Trouble>, Exit> {
    let mut line = Line::new(clock.now().mono);
    let mut signals = Signals::listen().ok();
    let mut tick = tokio::time::interval(TICK);
    let mut work = std::pin::pin!(work);
    let begun = clock.now().mono;
    loop {
        let asked = async {
            match &mut signals {
                Some(signals) => signals.end().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            answer = &mut work => {
                line.clear();
                if answer.is_err() && stop.is_cancelled() {
                    print::err("ended; what was found wrong is kept, and the next run reads what was not finished");
                    return Err(Exit::Unknown);
                }
                return Ok(answer);
            }
            // Asked twice, it does not wait for itself.
            () = asked => {
                if stop.is_cancelled() {
                    return Err(Exit::Unknown);
                }
                stop.cancel();
            }
            _ = tick.tick() => line.tell(clock.now().mono, &progress.words(clock.now().mono, begun)),
        }
    }
}
