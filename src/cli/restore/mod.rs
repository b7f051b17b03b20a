//! `cutover restore`: what only v3 has, back into PostgreSQL.
//!
//! One rule: without `--yes` every session may only read; with it, the journal knows of the write before its first
//! row and of every row after the last.

mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::args::RestoreArgs;
use super::book::Book;
use super::exit::Exit;
use super::print;
use super::progress::Line;
use super::stores::{Stores, failed, known_project};
use crate::actuators::journal::Step;
use crate::clients::work::{Access, PostgresWork, Purpose};
use crate::config::Config;
use crate::data::restore::{self, Progress, Report, Schema, Sides, Unmet, Wish, views};
use crate::domain::Trouble;
use crate::runtime::Clock;
use crate::runtime::signals::Signals;

/// The verb's name in the journal and at the servers.
const VERB: &str = "restore";
/// Longest time one statement may run: a page of one day, or a batch.
const STATEMENT: Duration = Duration::from_mins(10);

/// Counts, or writes; `--views` makes the views.
pub async fn run(clock: Clock, config: &Config, args: &RestoreArgs) -> Exit {
    let done = match Stores::open(config).await {
        Ok(stores) if args.views => remake_views(config, &stores, args).await,
        Ok(stores) => rows(clock, config, &stores, args).await,
        Err(exit) => Err(exit),
    };
    done.unwrap_or_else(|exit| exit)
}

const fn purpose(access: Access) -> Purpose {
    Purpose { name: VERB, access, statement: STATEMENT }
}

/// Sets the flag when the program is asked to end: the run ends after the batch at hand.
fn until_asked(stop: &Arc<AtomicBool>) -> Option<tokio::task::JoinHandle<()>> {
    let (mut signals, stop) = (Signals::listen().ok()?, Arc::clone(stop));
    Some(tokio::spawn(async move {
        signals.end().await;
        stop.store(true, Ordering::Relaxed);
        print::err("interrupted: the run ends after the batch at hand");
    }))
}

async fn rows(clock: Clock, config: &Config, stores: &Stores, args: &RestoreArgs) -> Result<Exit, Exit> {
    let (postgres, clickhouse) = stores.work(purpose(Access::Read)).await?;
    known_project(&postgres, args.project.as_deref()).await?;
    let writer = if args.yes { Some(stores.postgres(purpose(Access::Write)).await?) } else { None };
    let wish = Wish { tables: args.table.into_iter().collect(), project: args.project.clone() };
    let book = if args.yes { Some(Book::open(config, VERB)?) } else { None };
    let asked = words::asked(args);
    if let Some(book) = &book {
        book.note(Step::Begun, &asked, &[])?;
    }
    let sides = Sides { clickhouse: &clickhouse, postgres: &postgres, writer: writer.as_ref() };
    let mut line = Line::new(clock.now().mono);
    let stop = Arc::new(AtomicBool::new(false));
    let signals = until_asked(&stop);
    let mut listen = |progress: &Progress| {
        line.tell(clock.now().mono, &words::progress(progress, args.yes));
        !stop.load(Ordering::Relaxed)
    };
    let (report, ended) = restore::restore(sides, &wish, &mut listen).await;
    signals.iter().for_each(tokio::task::JoinHandle::abort);
    line.clear();
    if let Some(book) = &book {
        let (step, why) = outcome(&report, &ended);
        let colon = if why.is_empty() { "" } else { ": " };
        book.note(step, &format!("{asked}{colon}{why}"), &counts(&report))?;
    }
    if args.json {
        print::out(serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        print::out(words::text(&report, args));
    }
    for unmet in &report.unmet {
        print::err(format!("refused: {}", unmet.sentence()));
    }
    if !report.unmet.is_empty() && report.unmet.iter().all(|u| u.only_a_view) {
        print::err("the views hold no data: `cutover restore --views --yes` makes them again");
    }
    let exit = ended.map(|()| verdict(&report, args.yes)).map_err(|trouble| failed(&trouble));
    if let Some(rest) = words::rest(&report, exit.is_err()) {
        print::err(rest);
    }
    exit
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

fn counts(report: &Report) -> Vec<(String, u64)> {
    let of = |t: &restore::TableReport| {
        let left = t.left.values().map(|n| n.count).sum();
        let kinds = [("inserted", t.inserts.count), ("updated", t.updates.count), ("left", left)];
        kinds.map(|(kind, n)| (format!("{} {kind}", t.table.name()), n))
    };
    report.tables.iter().flat_map(of).filter(|(_, n)| *n > 0).collect()
}

/// `--views`: shows them, or makes them.
async fn remake_views(config: &Config, stores: &Stores, args: &RestoreArgs) -> Result<Exit, Exit> {
    let postgres = stores.postgres(purpose(Access::Read)).await?;
    let schema = catalogue(&postgres).await.map_err(|trouble| failed(&trouble))?;
    let missing = views::missing(&schema);
    if missing.is_empty() {
        print::out("traces_view and observations_view are both there; nothing to do");
        return Ok(Exit::Fine);
    }
    let graver: Vec<Unmet> = restore::unmet(&schema).into_iter().filter(|u| !u.only_a_view).collect();
    if !graver.is_empty() {
        for unmet in &graver {
            print::err(format!("refused: {}", unmet.sentence()));
        }
        return Ok(Exit::Refused);
    }
    if !args.yes {
        for (_, sql) in &missing {
            print::out(sql.trim_end());
        }
        print::err("nothing was sent: `cutover restore --views --yes` makes what is missing");
        return Ok(Exit::Findings);
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let book = Book::open(config, VERB)?;
    let asked = format!("the views {}", names.join(" and "));
    let writer = stores.postgres(purpose(Access::Write)).await?;
    book.note(Step::Begun, &asked, &[])?;
    match made(&writer).await {
        Ok(made) => {
            book.note(Step::Done, &asked, &[])?;
            print::out(format!("made: {}", made.join(", ")));
            Ok(Exit::Fine)
        }
        Err(trouble) => {
            book.note(Step::Failed, &format!("{asked}: {trouble}"), &[])?;
            Err(failed(&trouble))
        }
    }
}

async fn catalogue(postgres: &PostgresWork) -> Result<Schema, Trouble> {
    let mut session = postgres.session().await?;
    Schema::read(postgres, &mut session).await
}

async fn made(writer: &PostgresWork) -> Result<Vec<&'static str>, Trouble> {
    let mut session = writer.session().await?;
    views::create(writer, &mut session).await
}
