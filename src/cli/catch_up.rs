//! `cutover catch-up`: what the backfill left behind, shown first and copied with `--yes`.
//!
//! One rule: without `--yes` nothing is written, whatever the configuration allows.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::table;
use super::backfill::rejects::RejectsFile;
use super::book::Book;
use super::exit::Exit;
use super::print;
use super::progress::Line;
use super::stores::{Stores, failed};
use crate::actuators::journal::Step;
use crate::clients::work::{Access, ClickhouseWork, PostgresWork, Purpose};
use crate::config::Config;
use crate::data::backfill::Rejects;
use crate::data::catch_up::{self, Class, Found, Options, Unlisted, Watch};
use crate::domain::Trouble;
use crate::domain::backfill::Table;
use crate::domain::text::clean;
use crate::domain::units::grouped;
use crate::runtime::Clock;
use crate::runtime::signals::cancelled_at_the_end;
use crate::sources::ledger::{self, Ledger};

/// What its help ends with.
pub const AFTER: &str = "\
Example:
  cutover catch-up                      what is missing, stale or overwritten, with examples
  cutover catch-up --yes                copy it; again until nothing is found

Safe while both versions take traffic. Exits with 1 when rows were found and not written.
Rows that cannot be converted are listed in catch-up-rejects.jsonl in the folder of the state, by their table's last run with --yes.";

/// The list of what the last run could not convert.
const REJECTS: &str = "catch-up-rejects.jsonl";

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
    let rejects = RejectsFile::named(&stores.state_dir, REJECTS);
    let mut desk = Desk { clock, pg, ch, book, ledger, stop, rejects, yes: args.yes };
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
    rejects: RejectsFile,
    yes: bool,
}

/// How a look at a table ended: what was found up to there, and how the verb ends for it.
type Looked = (Option<Found>, Result<(), Exit>);

impl Desk {
    async fn tables(&mut self, args: &CatchUpArgs) -> Exit {
        let tables = args.table.map_or_else(|| Table::ALL.to_vec(), |table| vec![table]);
        let (mut documents, mut exit) = (vec![], Exit::Fine);
        for table in tables {
            let (found, ended) = self.table(table).await.unwrap_or_else(|exit| (None, Err(exit)));
            if let Some(found) = &found {
                if is_finding(found) {
                    exit = Exit::Findings;
                }
                documents.push(document(table, found, ended.is_ok()));
                if !args.json {
                    print::out(words(table, found, self.yes, ended.is_ok(), &self.rejects.path()));
                }
            } else if ended.is_ok() && !args.json {
                print::out(format!(
                    "{}: nothing was copied of it: `cutover backfill` comes first, or this v3 keeps it in PostgreSQL",
                    table.name()
                ));
            }
            if let Err(ended) = ended {
                exit = ended;
                break;
            }
        }
        if args.json {
            print::out(format!(
                "{:#}",
                json!({
                    "written": self.yes,
                    "tables": documents,
                    "rejects_file": (self.rejects.count > 0).then(|| self.rejects.path()),
                    "exit": exit.code(),
                })
            ));
        } else if exit == Exit::Findings && !self.yes {
            print::out("nothing was written: `cutover catch-up --yes` does it");
        }
        exit
    }

    /// One table, journalled before and after.
    ///
    /// # Errors
    /// The journal cannot be written before: nothing is looked at.
    async fn table(&mut self, table: Table) -> Result<Looked, Exit> {
        if let Some(book) = &self.book {
            book.note(Step::Begun, &format!("{}: missing, stale and overwritten rows", table.name()), &[])?;
        }
        // What the run before could not convert may have been corrected since.
        if self.yes
            && let Err(error) = self.rejects.forget(table)
        {
            tracing::warn!(target: "catch-up", "{} keeps older lines: {error}", self.rejects.path());
        }
        let (found, ended) = self.look(table).await;
        let journalled = self.book.as_ref().map_or(Ok(()), |book| {
            let done = found.as_ref().map_or_else(|| "nothing was copied of it".into(), summary);
            let (step, detail) = match &ended {
                Ok(()) => (Step::Done, done),
                Err(trouble) if found.is_none() => (Step::Failed, trouble.to_string()),
                Err(trouble) => (Step::Failed, format!("{trouble}; {done}")),
            };
            let counts = found.as_ref().map_or_else(Vec::new, |found| counts(table, found));
            book.note(step, &format!("{}: {detail}", table.name()), &counts)
        });
        let ended = ended.map_err(|trouble| {
            let exit = failed(&trouble);
            if self.stop.is_cancelled() { Exit::Unknown } else { exit }
        });
        if let (Some(found), Ok(())) = (&found, &ended) {
            self.remember(table, found);
        }
        Ok((found, ended.and(journalled)))
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

    async fn look(&mut self, table: Table) -> (Option<Found>, Result<(), Trouble>) {
        let options = Options { write: self.yes, ..Options::default() };
        let watch = Watch::default();
        let mut line = Line::new(self.clock.now().mono);
        // A dry run writes nothing, not even a list.
        let rejects: &mut dyn Rejects = if self.yes { &mut self.rejects } else { &mut Unlisted };
        let look = catch_up::table(&self.pg, &self.ch, table, options, &watch, &self.stop, rejects);
        let mut work = std::pin::pin!(look);
        loop {
            tokio::select! {
                looked = &mut work => {
                    line.clear();
                    return looked;
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

/// Whether rows were found and not written.
fn is_finding(found: &Found) -> bool {
    found.rejected_count > 0 || found.written < found.total()
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

/// Rows for the journal, by what became of them.
fn counts(table: Table, found: &Found) -> Vec<(String, u64)> {
    let kinds = [("written", found.written), ("left", found.left), ("NOT CONVERTIBLE", found.rejected_count)];
    let told = kinds.into_iter().filter(|(kind, rows)| *kind == "written" || *rows > 0);
    told.map(|(kind, rows)| (format!("{} {kind}", table.name()), rows)).collect()
}

fn words(table: Table, found: &Found, wrote: bool, whole: bool, rejects: &str) -> String {
    let mut text = format!("{}: {}", table.name(), summary(found));
    let done = match (wrote, found.written < found.total()) {
        (false, _) => ", to be copied",
        (true, false) => ", copied",
        // Which of them the lines below say.
        (true, true) => "",
    };
    for class in Class::ALL {
        let Some(count) = found.counts.get(&class) else { continue };
        text.push_str(&format!("\n  {} {}: {}{done}", grouped(*count), class.word(), class.meaning()));
        for example in found.examples.get(&class).into_iter().flatten() {
            let columns = match example.columns.as_slice() {
                [] => String::new(),
                columns => format!(": {}", columns.join(", ")),
            };
            let row = clean(&format!("{} of project {}{columns}", example.key.id, example.key.project));
            text.push_str(&format!("\n    {row}"));
        }
    }
    if !whole {
        text.push_str(
            "\n  it ended early: older rows were not looked at, and the next run finds what was not written",
        );
    }
    if found.left > 0 {
        text.push_str(&format!(
            "\n  {} left: v3 wrote them meanwhile; the next run looks at them again",
            grouped(found.left)
        ));
    }
    if found.project_gone > 0 {
        text.push_str(&format!(
            "\n  {} of projects that are deleted: left alone",
            grouped(found.project_gone)
        ));
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
    let more = found.rejected_count.saturating_sub(found.rejected.len() as u64);
    if wrote && found.rejected_count > 0 {
        text.push_str(&format!("\n  all that are not convertible are listed in {rejects}"));
    } else if more > 0 {
        text.push_str(&format!("\n  and {} more, which `--yes` lists in {rejects}", grouped(more)));
    }
    text
}

fn document(table: Table, found: &Found, whole: bool) -> Value {
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
        "left": found.left,
        "whole": whole,
        "project_gone": found.project_gone,
        "deleted_in_v3": found.deleted_in_v3,
        "rejected": {"count": found.rejected_count, "examples": rejected.collect::<Vec<_>>()},
        "left_to_backfill": found.left_to_backfill.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_left_are_not_said_to_be_copied() {
        let mut found = Found::default();
        found.counts.insert(Class::Twice, 3);
        found.written = 3;
        let told = words(Table::Traces, &found, true, true, "list");
        assert!(told.contains("as well, copied") && !is_finding(&found), "{told}");
        (found.written, found.left) = (1, 2);
        let told = words(Table::Traces, &found, true, true, "list");
        assert!(!told.contains("copied") && told.contains("2 left: v3 wrote them meanwhile"), "{told}");
        assert!(is_finding(&found));
        assert_eq!(
            counts(Table::Traces, &found),
            [("traces written".to_owned(), 1), ("traces left".to_owned(), 2)]
        );
    }
}
