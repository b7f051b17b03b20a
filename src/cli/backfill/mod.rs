//! `cutover backfill`: v2's history copied to v3 in the place of Langfuse's worker.
//!
//! One rule: what is done is what the worker would have done, by its lock and its cursor; either can go on for the other.

mod copying;
mod look;
pub(super) mod rejects;

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::table;
use super::exit::Exit;
use super::print;
use super::stores::Stores;
use crate::clients::work::{Access, Purpose};
use crate::config::Config;
use crate::data::backfill::{Options, Tools};
use crate::data::lock::Start;
use crate::domain::backfill::Table;
use crate::runtime::Clock;

/// What its help ends with.
pub const AFTER: &str = "\
Example:
  cutover backfill                      what would be copied, and how long it may take
  cutover backfill run --yes            copy, table by table, in the order of the migrations
  cutover backfill resume --yes         go on after a failure, from the cursor
  cutover backfill status               locks, cursors, rows

The cost backfill (20241024_1216) stays with Langfuse's worker and comes first.
Exits with 1 when rows could not be converted, with 4 when a lock or the order refuses.";

/// How long one statement on PostgreSQL or ClickHouse may take; the COPY of a range, which may hold millions of rows and
/// waits for `--rate`, lifts it for itself.
const STATEMENT: Duration = Duration::from_secs(6 * 3600);

/// Flags of `backfill`.
#[derive(Debug, Clone, Args)]
pub struct BackfillArgs {
    /// plan (writes nothing), run, resume (also what is marked as failed), or status
    #[arg(value_enum, default_value_t = Action::Plan, hide_possible_values = true)]
    pub action: Action,
    /// Only this table: traces, observations, scores, dataset_run_items
    #[arg(long, value_parser = table, value_name = "TABLE")]
    pub table: Option<Table>,
    /// Stretches of created_at copied at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub jobs: Option<u8>,
    /// Rows a second at most
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Rows of one insert at most, and of one stretch about
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    pub block_rows: Option<u32>,
    /// Pause while a database has more other statements than that at work
    #[arg(long, value_name = "STATEMENTS")]
    pub max_load: Option<u32>,
    /// Really do it; --arm (or arm = true in the configuration) stands for it
    #[arg(long)]
    pub yes: bool,
    /// As JSON, one document
    #[arg(long)]
    pub json: bool,
}

/// The actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Say what would be copied; writes nothing
    Plan,
    /// Copy
    Run,
    /// Copy, also what is marked as failed
    Resume,
    /// Say where the migrations stand
    Status,
}

/// Runs the verb.
pub async fn run(clock: Clock, config: &Config, args: &BackfillArgs) -> Exit {
    let writes = matches!(args.action, Action::Run | Action::Resume);
    if writes && !(args.yes || config.environment.arm) {
        let action = if args.action == Action::Resume { "resume" } else { "run" };
        print::err(format!(
            "nothing was written: `cutover backfill {action} --yes` does it, `cutover backfill plan` shows it first"
        ));
        return Exit::Usage;
    }
    let stores = match Stores::open(config).await {
        Ok(stores) => stores,
        Err(exit) => return exit,
    };
    let access = if writes { Access::Write } else { Access::Read };
    let purpose = Purpose { name: "backfill", access, statement: STATEMENT };
    let (pg, ch) = match stores.work(purpose).await {
        Ok(both) => both,
        Err(exit) => return exit,
    };
    let tools = Tools { pg, ch };
    match args.action {
        Action::Plan => look::plan(&tools, args).await,
        Action::Status => look::status(&tools, &stores, args).await,
        Action::Run => copying::run(clock, config, &stores, &tools, args, Start::Run).await,
        Action::Resume => copying::run(clock, config, &stores, &tools, args, Start::Resume).await,
    }
}

impl BackfillArgs {
    fn options(&self) -> Options {
        let defaults = Options::default();
        Options {
            jobs: self.jobs.map_or(defaults.jobs, usize::from),
            rate: self.rate.map(f64::from),
            max_load: self.max_load,
            block_rows: self.block_rows.map_or(defaults.block_rows, u64::from),
            ..defaults
        }
    }

    /// The tables asked for, in the order of their migrations.
    fn tables(&self) -> Vec<Table> {
        self.table.map_or_else(|| Table::ALL.to_vec(), |table| vec![table])
    }
}
