//! `cutover backfill run` and `resume`: table after table, journalled before and after.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::BackfillArgs;
use super::rejects::RejectsFile;
use crate::actuators::journal::Step;
use crate::cli::book::Book;
use crate::cli::exit::Exit;
use crate::cli::print;
use crate::cli::progress::Line;
use crate::cli::stores::{Stores, failed};
use crate::config::Config;
use crate::data::backfill::{
    Halt, Progress, Tools, Wait, Watch, begin, copy_table, could_begin, may_see_load,
};
use crate::data::lock::{Denied, Start};
use crate::data::tables::Mapping;
use crate::domain::Kind;
use crate::domain::backfill::{OURS, Table};
use crate::domain::units::{grouped, rate, short, span};
use crate::runtime::Clock;
use crate::runtime::signals::cancelled_at_the_end;
use crate::sources::ledger::Ledger;

/// How often progress is shown.
const TICK: Duration = Duration::from_millis(500);

/// Said once, where nobody can tell what was deleted.
const BLIND: &str = "pending_deletions cannot be read: what v3's users deleted meanwhile is copied like all the rest, as \
                     Langfuse's worker does; GRANT SELECT ON pending_deletions TO this user, and it is left out";

/// Copies what is asked for; stops at the first table that cannot be copied.
pub(super) async fn run(
    clock: Clock,
    config: &Config,
    stores: &Stores,
    tools: &Tools,
    args: &BackfillArgs,
    start: Start,
) -> Exit {
    if args.max_load.is_some()
        && let Err(trouble) = may_see_load(&tools.pg).await
    {
        return failed(&trouble);
    }
    let book = match Book::open(config, "backfill") {
        Ok(book) => book,
        Err(exit) => return exit,
    };
    let mut desk = Desk {
        clock,
        tools,
        args,
        start,
        book,
        ledger: Ledger::open(Some(stores.state_file.clone())),
        worker: format!("{OURS}{}", uuid::Uuid::new_v4()),
        rejects: RejectsFile::new(&stores.state_dir),
        stop: CancellationToken::new(),
        blind: false,
        report: vec![],
    };
    let signals = cancelled_at_the_end(desk.stop.clone());
    let mut exit = Exit::Fine;
    for table in args.tables() {
        if let Err(halted) = desk.table(table).await {
            exit = halted;
            break;
        }
    }
    signals.abort();
    if desk.rejects.count > 0 && exit == Exit::Fine {
        exit = Exit::Findings;
    }
    desk.tell(exit);
    exit
}

struct Desk<'a> {
    clock: Clock,
    tools: &'a Tools,
    args: &'a BackfillArgs,
    start: Start,
    book: Book,
    ledger: Ledger,
    worker: String,
    rejects: RejectsFile,
    stop: CancellationToken,
    /// Whether it was told that notes of deletions cannot be read.
    blind: bool,
    report: Vec<Value>,
}

impl Desk<'_> {
    async fn table(&mut self, table: Table) -> Result<(), Exit> {
        if let Err(halt) = could_begin(self.tools, table, self.start, &self.stop).await {
            return self.not_begun(table, &halt);
        }
        let name = table.name();
        // Without its line nothing is claimed.
        self.book.note(Step::Begun, &format!("{name}, as worker {}", self.worker), &[])?;
        let waits = || {
            print::err(format!(
                "{name}: is ours, and waits for the cost backfill, which Langfuse's worker runs"
            ));
        };
        let begun = match begin(self.tools, table, &self.worker, self.start, &self.stop, &waits).await {
            Ok(begun) => begun,
            Err(halt) => {
                self.book.note(Step::Failed, &format!("{name}: {halt}"), &[])?;
                return self.not_begun(table, &halt);
            }
        };
        let how = if begun.resumed { "goes on at" } else { "begins at" };
        print::err(format!("{name}: {how} {}, newest first, as worker {}", stamp(begun.from), self.worker));
        // One that goes on begins where the run before it stood, which is not where the copy began.
        if let Some(t0) = begun.t0.and_then(|t0| Timestamp::from_millisecond(t0).ok()) {
            self.ledger.note_t0(table, t0);
        }
        if begun.blind && !std::mem::replace(&mut self.blind, true) {
            print::err(BLIND);
        }
        let rejected_before = self.rejects.count;
        let watch = Arc::new(Watch::default());
        let started = self.clock.now().mono;
        let options = self.args.options();
        let written = OnceCell::new();
        let columns = |mapping: &Mapping| {
            if !mapping.unknown.is_empty() {
                let unknown = mapping.unknown.join(", ");
                print::err(format!("{name}: columns of this v3 that take their defaults: {unknown}"));
            }
            _ = written.set(mapping.clone());
        };
        let copy = copy_table(self.tools, begun, &options, &mut self.rejects, &watch, &columns, &self.stop);
        let outcome = shown(self.clock, name, &watch, copy).await;
        let took = self.clock.now().mono.since(started);
        let rejected = self.rejects.count - rejected_before;
        self.ended(table, &outcome, watch.read(), took, rejected, written.get())
    }

    fn not_begun(&mut self, table: Table, halt: &Halt) -> Result<(), Exit> {
        let all = self.args.table.is_none();
        match halt {
            Halt::Denied(Denied::Finished { .. } | Denied::Absent { .. }) if all => {
                print::err(format!("{}: {halt}", table.name()));
                Ok(())
            }
            // What becomes of a failed one, and of one that is not ours to run, is for the operator.
            _ => {
                self.report.push(json!({"table": table.name(), "error": halt.to_string()}));
                print::err(format!("{}: {halt}", table.name()));
                Err(exit_of(halt))
            }
        }
    }

    fn ended(
        &mut self,
        table: Table,
        outcome: &Result<(), Halt>,
        progress: Progress,
        took: Duration,
        rejected: u64,
        columns: Option<&Mapping>,
    ) -> Result<(), Exit> {
        let name = table.name();
        let speed = progress.rows as f64 / took.as_secs_f64().max(0.001);
        let line = self.counted(progress, took, speed, rejected);
        let word = match outcome {
            Ok(()) => "finished".to_owned(),
            Err(halt) => halt.to_string(),
        };
        // The line after: when it cannot be written the row of the migration still says how it ended.
        let step = if outcome.is_ok() { Step::Done } else { Step::Failed };
        let counts = [(format!("{name} copied"), progress.rows), (format!("{name} NOT COPIED"), rejected)];
        let counts: Vec<_> = counts.into_iter().filter(|(_, rows)| *rows > 0).collect();
        let journalled = self.book.note(step, &format!("{name}: {word}; {line}"), &counts);
        print::err(format!("{name}: {word}; {line}"));
        self.report.push(json!({
            "table": name,
            "finished": outcome.is_ok(),
            "error": outcome.as_ref().err().map(ToString::to_string),
            "rows": progress.rows,
            "bytes": progress.bytes,
            "rejected": rejected,
            "deleted_in_v3": progress.deleted,
            "retries": progress.retries,
            "seconds": took.as_secs_f64(),
            "rows_per_second": speed,
            "cursor": progress.cursor.map(stamp),
            "columns_not_written": columns.map(|c| &c.unknown),
            "columns_not_there": columns.map(|c| &c.absent),
            "t0": outcome.as_ref().ok().and_then(|()| self.ledger.t0(table)).map(|t0| t0.to_string()),
        }));
        match outcome {
            Ok(()) => journalled,
            Err(halt) => Err(exit_of(halt)),
        }
    }

    /// What was copied of a table, and what was not: that first.
    fn counted(&self, progress: Progress, took: Duration, speed: f64, rejected: u64) -> String {
        let mut line = format!(
            "{} rows in {} ({}), cursor {}",
            grouped(progress.rows),
            span(took),
            rate(Some(speed)),
            progress.cursor.map_or_else(|| "-".into(), stamp)
        );
        line.push_str(&left_out(progress.deleted));
        if rejected == 0 {
            return line;
        }
        let rejects = self.rejects.path();
        format!("{rejected} ROW(S) NOT COPIED although the cursor passed them, listed in {rejects}; {line}")
    }

    fn tell(&self, exit: Exit) {
        if self.args.json {
            let document = json!({
                "worker": self.worker,
                "tables": self.report,
                "rejected": self.rejects.count,
                "rejects_file": (self.rejects.count > 0).then(|| self.rejects.path()),
                "exit": exit.code(),
            });
            print::out(format!("{document:#}"));
        }
        if self.rejects.count == 0 {
            return;
        }
        print::err(format!(
            "\n{} row(s) could not be converted and ARE NOT IN CLICKHOUSE; the cursor has passed them, so no later run copies them:",
            grouped(self.rejects.count)
        ));
        for line in &self.rejects.first {
            print::err(format!("  {line}"));
        }
        print::err(format!(
            "all of them are listed in {}; correct them in PostgreSQL, then `cutover catch-up`",
            self.rejects.path()
        ));
    }
}

/// Shows progress beside the copy.
async fn shown(
    clock: Clock,
    name: &str,
    watch: &Watch,
    copy: impl Future<Output = Result<(), Halt>>,
) -> Result<(), Halt> {
    let mut line = Line::new(clock.now().mono);
    let started = clock.now().mono;
    let mut copy = std::pin::pin!(copy);
    loop {
        tokio::select! {
            outcome = &mut copy => {
                line.clear();
                return outcome;
            }
            () = tokio::time::sleep(TICK) => {
                let now = clock.now().mono;
                line.tell(now, &sentence(name, &watch.read(), now.since(started)));
            }
        }
    }
}

fn sentence(name: &str, p: &Progress, took: Duration) -> String {
    let speed = p.rows as f64 / took.as_secs_f64().max(0.001);
    let mut text = format!("{name}: {}", grouped(p.rows));
    if let Some(total) = p.total.filter(|total| *total > 0) {
        let share = p.passed() as f64 / total as f64;
        text.push_str(&format!(" of {} rows ({:.0} %)", grouped(total), 100.0 * share.min(1.0)));
        let left = total.saturating_sub(p.passed()) as f64;
        if speed > 0.0 {
            text.push_str(&format!(", about {} to go", span(Duration::from_secs_f64(left / speed))));
        }
    }
    text.push_str(&format!(", {}, {}B", rate(Some(speed)), short(p.bytes as f64)));
    if p.rejected > 0 {
        text.push_str(&format!(", {} not convertible", grouped(p.rejected)));
    }
    text.push_str(&left_out(p.deleted));
    match p.waiting {
        None => {}
        Some(Wait::Rate) => text.push_str(", waits for its rate"),
        Some(Wait::Load) => text.push_str(", waits: a database is busy"),
        Some(Wait::Parts) => text.push_str(", waits: ClickHouse has parts to merge"),
        Some(Wait::Trouble) => text.push_str(", tries again"),
    }
    text
}

/// What is said of rows that v3's users deleted; nothing where there are none.
fn left_out(rows: u64) -> String {
    if rows == 0 {
        return String::new();
    }
    format!(", {} deleted in v3, left out", grouped(rows))
}

/// A moment for people and scripts.
pub(super) fn stamp(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |at| at.to_string())
}

fn exit_of(halt: &Halt) -> Exit {
    match halt {
        Halt::Denied(Denied::Trouble(trouble)) => Exit::of(trouble),
        Halt::Denied(_) | Halt::Lost(_) => Exit::Refused,
        Halt::Interrupted | Halt::Unreleased(_) => Exit::Unknown,
        Halt::Failed { trouble, .. } if trouble.kind == Kind::Missing => Exit::Usage,
        Halt::Failed { trouble, .. } => Exit::of(trouble),
    }
}
