//! `cutover restore`: what only v3 has, back into PostgreSQL.
//!
//! One rule: without `--yes` every session may only read; with it, the journal knows of the write before its first
//! row and of every row after the last.

mod stores;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::args::RestoreArgs;
use super::exit::Exit;
use super::print;
use crate::actuators::Actor;
use crate::actuators::journal::{Entry, Journal, Step};
use crate::clients::work::{Access, PostgresWork};
use crate::config::{Config, targets};
use crate::data::restore::{self, Progress, Report, Schema, Sides, Unmet, Wish, views};
use crate::domain::Trouble;
use crate::runtime::clock::wall;
use crate::runtime::signals::Signals;
use crate::runtime::{Clock, session};

use stores::Stores;
use words::Line;

/// The verb's name in the journal and at the servers.
const VERB: &str = "restore";

/// Counts, or writes; `--views` makes the views.
pub async fn run(clock: Clock, config: &Config, args: &RestoreArgs) -> Exit {
    let stores = match Stores::read(config).await {
        Ok(stores) => stores,
        Err(exit) => return exit,
    };
    let done = if args.views {
        remake_views(config, &stores, args).await
    } else {
        rows(clock, config, &stores, args).await
    };
    done.unwrap_or_else(|trouble| {
        print::err(trouble.to_string());
        Exit::of(&trouble)
    })
}

/// Sets the flag at the first signal: the run ends after the batch at hand.
fn until_asked(stop: &Arc<AtomicBool>) -> Option<tokio::task::JoinHandle<()>> {
    let (mut signals, stop) = (Signals::listen().ok()?, Arc::clone(stop));
    Some(tokio::spawn(async move {
        signals.next().await;
        stop.store(true, Ordering::Relaxed);
        print::err("\ninterrupted: the run ends after the batch at hand");
    }))
}

async fn rows(clock: Clock, config: &Config, stores: &Stores, args: &RestoreArgs) -> Result<Exit, Trouble> {
    let postgres = stores.postgres(Access::Read).await?;
    let clickhouse = stores.clickhouse().await?;
    let writer = if args.yes { Some(stores.postgres(Access::Write).await?) } else { None };
    let wish = Wish { tables: args.table.into_iter().collect(), project: args.project.clone() };
    let journal = match &writer {
        Some(_) => Some(Book::open(config, words::asked(args))?),
        None => None,
    };
    if let Some(book) = &journal {
        book.write(Step::Begun, "", BTreeMap::new())?;
    }
    let sides = Sides { clickhouse: &clickhouse, postgres: &postgres, writer: writer.as_ref() };
    let mut line = Line::new(clock, args.yes);
    let stop = Arc::new(AtomicBool::new(false));
    let signals = until_asked(&stop);
    let mut listen = |progress: &Progress| {
        line.show(progress);
        !stop.load(Ordering::Relaxed)
    };
    let (report, ended) = restore::restore(sides, &wish, &mut listen).await;
    signals.iter().for_each(tokio::task::JoinHandle::abort);
    line.end();
    if let Some(book) = &journal {
        let (step, detail) = outcome(&report, &ended);
        book.write(step, &detail, counts(&report))?;
    }
    if args.json {
        print::out(serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        print::out(words::text(&report, args));
    }
    report.unmet.iter().for_each(|u| print::err(format!("refused: {}", u.sentence())));
    if !report.unmet.is_empty() && report.unmet.iter().all(|u| u.only_a_view) {
        print::err("the views hold no data: `cutover restore --views --yes` makes them again");
    }
    if report.stopped && args.yes {
        print::err("what was committed stays; the same command writes the rest");
    }
    ended.map(|()| verdict(&report, args.yes))
}

/// How the journal says it ended.
fn outcome(report: &Report, ended: &Result<(), Trouble>) -> (Step, String) {
    match ended {
        Err(trouble) => (Step::Failed, trouble.to_string()),
        Ok(()) if report.stopped => (Step::Failed, "interrupted".into()),
        Ok(()) if !report.written => (Step::Failed, refusals(&report.unmet)),
        Ok(()) => (Step::Done, String::new()),
    }
}

fn refusals(unmet: &[Unmet]) -> String {
    unmet.iter().map(Unmet::sentence).collect::<Vec<_>>().join("; ")
}

fn verdict(report: &Report, writes: bool) -> Exit {
    if !report.unmet.is_empty() {
        return Exit::Refused;
    }
    if report.stopped {
        return if writes { Exit::Unknown } else { Exit::Refused };
    }
    if report.tables.iter().any(|t| !t.left.is_empty()) { Exit::Findings } else { Exit::Fine }
}

fn counts(report: &Report) -> BTreeMap<String, u64> {
    let of = |t: &restore::TableReport| {
        let left = t.left.values().map(|n| n.count).sum();
        let kinds = [("inserted", t.inserts.count), ("updated", t.updates.count), ("left", left)];
        kinds.map(|(kind, n)| (format!("{} {kind}", t.table.name()), n))
    };
    report.tables.iter().flat_map(of).filter(|(_, n)| *n > 0).collect()
}

/// `--views`: shows them, or makes them.
async fn remake_views(config: &Config, stores: &Stores, args: &RestoreArgs) -> Result<Exit, Trouble> {
    let postgres = stores.postgres(Access::Read).await?;
    let mut session = postgres.session().await?;
    let schema = Schema::read(&postgres, &mut session).await?;
    let missing = views::missing(&schema);
    if missing.is_empty() {
        print::out("traces_view and observations_view are both there; nothing to do");
        return Ok(Exit::Fine);
    }
    let graver: Vec<Unmet> = restore::unmet(&schema).into_iter().filter(|u| !u.only_a_view).collect();
    if !graver.is_empty() {
        graver.iter().for_each(|u| print::err(format!("refused: {}", u.sentence())));
        return Ok(Exit::Refused);
    }
    if !args.yes {
        missing.iter().for_each(|(_, sql)| print::out(sql.trim_end()));
        print::err("nothing was sent: `cutover restore --views --yes` makes what is missing");
        return Ok(Exit::Findings);
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let book = Book::open(config, format!("the views {}", names.join(" and ")))?;
    book.write(Step::Begun, "", BTreeMap::new())?;
    let writer = stores.postgres(Access::Write).await?;
    match made(&writer).await {
        Ok(made) => {
            book.write(Step::Done, "", BTreeMap::new())?;
            print::out(format!("made: {}", made.join(", ")));
            Ok(Exit::Fine)
        }
        Err(trouble) => {
            book.write(Step::Failed, &trouble.to_string(), BTreeMap::new())?;
            Err(trouble)
        }
    }
}

async fn made(writer: &PostgresWork) -> Result<Vec<&'static str>, Trouble> {
    let mut session = writer.session().await?;
    views::create(writer, &mut session).await
}

/// The journal of the configuration, and who writes.
struct Book {
    journal: Journal,
    actor: Actor,
    asked: String,
}

impl Book {
    fn open(config: &Config, asked: String) -> Result<Self, Trouble> {
        let (context, namespace) = session::place(&targets::kube(config));
        let path = session::journal_path(config, &context, &namespace);
        let actor = Actor::from_env(|name| std::env::var(name).ok());
        Journal::open(path).map(|journal| Self { journal, actor, asked }).map_err(|e| refused(&e))
    }

    /// A line before and a line after: without the journal nothing is written.
    fn write(&self, step: Step, detail: &str, counts: BTreeMap<String, u64>) -> Result<(), Trouble> {
        let colon = if detail.is_empty() { "" } else { ": " };
        let detail = format!("{}{colon}{detail}", self.asked);
        let entry = Entry::Rows { actor: self.actor.clone(), verb: VERB.into(), step, detail, counts };
        self.journal.append(entry, wall()).map(drop).map_err(|e| refused(&e))
    }
}

fn refused(error: &crate::actuators::JournalError) -> Trouble {
    Trouble::new(crate::domain::Kind::Refused, "journal", error.to_string())
}
