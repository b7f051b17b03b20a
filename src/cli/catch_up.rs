//! `cutover catch-up`: what the backfill left behind, shown first and copied with `--yes`.
//!
//! One rule: without `--yes` nothing is written, whatever the configuration allows.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::table;
use super::book::Book;
use super::exit::Exit;
use super::print;
use super::progress::Line;
use super::stores::{Stores, failed};
use crate::actuators::journal::Step;
use crate::clients::work::{Access, ClickhouseWork, PostgresWork, Purpose};
use crate::config::Config;
use crate::data::catch_up::{self, Class, Found, Options, Watch};
use crate::domain::backfill::Table;
use crate::domain::text::clean;
use crate::domain::units::grouped;
use crate::domain::{Kind, Trouble};
use crate::runtime::Clock;
use crate::runtime::signals::cancelled_at_the_end;
use crate::sources::ledger::{self, Ledger};

/// What its help ends with.
pub const AFTER: &str = "\
Example:
  cutover catch-up                      what is missing, stale or overwritten, with examples
  cutover catch-up --yes                copy it; again until nothing is found

Safe while both versions take traffic. Exits with 1 when rows were found and not written.";

/// One statement at most.
const STATEMENT: Duration = Duration::from_secs(3600);
/// How often progress is shown.
const TICK: Duration = Duration::from_millis(500);

/// Flags of `catch-up`.
#[derive(Debug, Clone, Args)]
pub struct CatchUpArgs {
    /// Only this table: traces, observations, scores, dataset_run_items
    #[arg(long, value_parser = table, value_name = "TABLE")]
    pub table: Option<Table>,
    /// Write; without it, only look
    #[arg(long)]
    pub yes: bool,
    /// As JSON, one document
    #[arg(long)]
    pub json: bool,
}

/// Runs the verb.
pub async fn run(clock: Clock, config: &Config, args: &CatchUpArgs) -> Exit {
    let stores = match Stores::open(config).await {
        Ok(stores) => stores,
        Err(exit) => return exit,
    };
    let access = if args.yes { Access::Write } else { Access::Read };
    let (pg, ch) = match stores.work(Purpose { name: "catch-up", access, statement: STATEMENT }).await {
        Ok(both) => both,
        Err(exit) => return exit,
    };
    let book = match args.yes.then(|| Book::open(config, "catch-up")).transpose() {
        Ok(book) => book,
        Err(exit) => return exit,
    };
    let stop = CancellationToken::new();
    let signals = cancelled_at_the_end(stop.clone());
    let ledger = Ledger::open(Some(stores.state_file.clone()));
    let desk = Desk { clock, pg, ch, book, ledger, stop, yes: args.yes };
    let exit = desk.tables(args).await;
    signals.abort();
    exit
}

struct Desk {
    clock: Clock,
    pg: PostgresWork,
    ch: ClickhouseWork,
    book: Option<Book>,
    ledger: Ledger,
    stop: CancellationToken,
    yes: bool,
}

impl Desk {
    async fn tables(&self, args: &CatchUpArgs) -> Exit {
        let tables = args.table.map_or_else(|| Table::ALL.to_vec(), |table| vec![table]);
        let (mut documents, mut exit) = (vec![], Exit::Fine);
        for table in tables {
            match self.table(table).await {
                Ok(Some(found)) => {
                    if found.rejected_count > 0 || (!self.yes && found.total() > 0) {
                        exit = Exit::Findings;
                    }
                    documents.push(document(table, &found));
                    if !args.json {
                        print::out(words(table, &found, self.yes));
                    }
                }
                Ok(None) => {
                    if !args.json {
                        print::out(format!(
                            "{}: nothing was copied of it: `cutover backfill` comes first, or this v3 keeps it in PostgreSQL",
                            table.name()
                        ));
                    }
                }
                Err(ended) => {
                    exit = ended;
                    break;
                }
            }
        }
        if args.json {
            print::out(format!(
                "{:#}",
                json!({"written": self.yes, "tables": documents, "exit": exit.code()})
            ));
        } else if exit == Exit::Findings && !self.yes {
            print::out("nothing was written: `cutover catch-up --yes` does it");
        }
        exit
    }

    async fn table(&self, table: Table) -> Result<Option<Found>, Exit> {
        if let Some(book) = &self.book {
            book.note(Step::Begun, &format!("{}: missing, stale and overwritten rows", table.name()), &[])?;
        }
        let looked = self.look(table).await;
        if let Some(book) = &self.book {
            let (step, detail, counts) = match &looked {
                Ok(Some(found)) => {
                    (Step::Done, summary(found), vec![(format!("{} written", table.name()), found.written)])
                }
                Ok(None) => (Step::Done, "nothing was copied of it".into(), vec![]),
                Err(trouble) => (Step::Failed, trouble.to_string(), vec![]),
            };
            book.note(step, &format!("{}: {detail}", table.name()), &counts)?;
        }
        let found = looked.map_err(|trouble| {
            let exit = failed(&trouble);
            if self.stop.is_cancelled() { Exit::Unknown } else { exit }
        })?;
        if let Some(found) = &found {
            self.remember(table, found);
        }
        Ok(found)
    }

    /// Everything up to the look is covered now: rows after it are the stranded ones.
    fn remember(&self, table: Table, found: &Found) {
        // What cannot be converted is listed, and no further run would copy it.
        let whole = self.yes && found.left_to_backfill.is_none();
        if let (true, Ok(until)) = (whole, Timestamp::from_millisecond(found.until)) {
            let left = found.total().saturating_sub(found.written);
            self.ledger.note_t0(table, until);
            self.ledger.note_changed(table, ledger::Found { rows: left, estimate: false, at: found.until });
        }
    }

    async fn look(&self, table: Table) -> Result<Option<Found>, Trouble> {
        let options = Options { write: self.yes, ..Options::default() };
        let watch = Watch::default();
        let mut line = Line::new(self.clock.now().mono);
        let look = catch_up::table(&self.pg, &self.ch, table, options, &watch, &self.stop);
        let mut work = std::pin::pin!(self.pg.attended(look));
        loop {
            tokio::select! {
                found = &mut work => {
                    line.clear();
                    return found;
                }
                // A dry run leaves nothing behind.
                () = self.stop.cancelled(), if !self.yes => {
                    line.clear();
                    return Err(Trouble::new(Kind::Timeout, "catch-up", "interrupted; nothing was written"));
                }
                () = tokio::time::sleep(TICK) => {
                    let p = watch.read();
                    let text = format!(
                        "{}: {} rows looked at, {} to be mended, {} written",
                        table.name(), grouped(p.looked_at), grouped(p.found), grouped(p.written)
                    );
                    line.tell(self.clock.now().mono, &text);
                }
            }
        }
    }
}

fn summary(found: &Found) -> String {
    let classes = Class::ALL
        .into_iter()
        .map(|class| format!("{} {}", grouped(found.counts.get(&class).copied().unwrap_or(0)), class.word()));
    let mut text = classes.collect::<Vec<_>>().join(", ");
    text.push_str(&format!(" of {} rows; {} written", grouped(found.looked_at), grouped(found.written)));
    if found.rejected_count > 0 {
        text.push_str(&format!("; {} CANNOT BE CONVERTED", grouped(found.rejected_count)));
    }
    text
}

fn words(table: Table, found: &Found, wrote: bool) -> String {
    let mut text = format!("{}: {}", table.name(), summary(found));
    for class in Class::ALL {
        let Some(count) = found.counts.get(&class) else { continue };
        let done = if wrote { "copied" } else { "to be copied" };
        text.push_str(&format!("\n  {} {}: {}, {done}", grouped(*count), class.word(), class.meaning()));
        for example in found.examples.get(&class).into_iter().flatten() {
            let columns = match example.columns.as_slice() {
                [] => String::new(),
                columns => format!(": {}", columns.join(", ")),
            };
            let row = clean(&format!("{} of project {}{columns}", example.key.id, example.key.project));
            text.push_str(&format!("\n    {row}"));
        }
    }
    if found.deleted_in_v3 > 0 {
        text.push_str(&format!("\n  {} deleted in v3: left alone", grouped(found.deleted_in_v3)));
    }
    if found.left_to_backfill.is_some() {
        text.push_str("\n  the backfill has not finished: rows below its cursor are left to it");
    }
    for rejected in &found.rejected {
        let row = format!("{} of project {}: {}", rejected.key.id, rejected.key.project, rejected.why);
        text.push_str(&format!("\n  not convertible: {}", clean(&row)));
    }
    text
}

fn document(table: Table, found: &Found) -> Value {
    let classes: serde_json::Map<String, Value> = Class::ALL
        .into_iter()
        .map(|class| {
            let examples = found.examples.get(&class).into_iter().flatten();
            let examples: Vec<Value> = examples
                .map(|e| json!({"project_id": e.key.project, "id": e.key.id, "columns": e.columns}))
                .collect();
            let count = found.counts.get(&class).copied().unwrap_or(0);
            (class.word().to_owned(), json!({"count": count, "examples": examples}))
        })
        .collect();
    let rejected = found.rejected.iter().map(|r| {
        json!({"project_id": r.key.project, "id": r.key.id, "column": r.why.column, "reason": r.why.reason})
    });
    json!({
        "table": table.name(),
        "looked_at": found.looked_at,
        "found": classes,
        "written": found.written,
        "deleted_in_v3": found.deleted_in_v3,
        "rejected": {"count": found.rejected_count, "examples": rejected.collect::<Vec<_>>()},
        "left_to_backfill": found.left_to_backfill.is_some(),
    })
}
