//! The copy of one table that is ours, to its end: ranges handed out, the cursor moved, the lock kept or given back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::copy::{Done, Job, READING};
use super::frontier::Frontier;
use super::halt::closed;
use super::line::{Line, Patience};
use super::range::{self, CREATED, Range};
use super::throttle::Throttle;
use super::{Begun, Halt, Options, Rejects, Tools, Wait, Watch, heart};
use crate::clients::failure::within;
use crate::data::clock;
use crate::data::lock::End;
use crate::data::tables::{Live, Mapping, spec};
use crate::domain::backfill::Table;
use crate::domain::{Kind, Trouble};

/// Ranges that may be copied beyond a gap: what a kill copies again at most.
const AHEAD: usize = 48;
/// What the session that counts and walks the index begins with.
const WALKING: &[&str] =
    &["SET enable_seqscan = off", "SET enable_sort = off", "SET statement_timeout = '30min'"];
/// How long a range is looked for: a minute longer than the server gives the statement ([`WALKING`]), so that a slow one
/// is ended there, and one that is still silent has no server any more. A second statement is asked at the table's end
/// alone, where the first has walked what is left.
const PLANNING: Duration = Duration::from_mins(31);
/// How long one word to the migration's row may take: one row is written by its key, and waits a second for a lock.
const TELLING: Duration = Duration::from_secs(60);
/// How long the last word to the migration's row is tried.
const FAREWELL: Duration = Duration::from_secs(8);

/// Copies the table to its end, and says so in its row; `watch` tells how far it is, `columns` what it writes.
///
/// # Errors
/// [`Halt`] says what the row says now.
pub async fn copy_table(
    tools: &Tools,
    begun: Begun,
    options: &Options,
    rejects: &mut dyn Rejects,
    watch: &Arc<Watch>,
    columns: &dyn Fn(&Mapping),
    stop: &CancellationToken,
) -> Result<(), Halt> {
    let (lost, ended) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    let heart = Line::new(&tools.pg, &[]);
    tasks.spawn(heart::beat(Arc::clone(&begun.held), heart, lost.clone(), ended.clone()));
    watch.change(|p| p.cursor = Some(begun.from));
    let mut run = Run {
        tools,
        begun: &begun,
        options,
        watch,
        line: Line::new(&tools.pg, WALKING),
        patience: Patience::new(options.patience),
        frontier: Frontier::default(),
    };
    let outcome = tokio::select! {
        biased;
        () = lost.cancelled() => Err(Halt::Lost(begun.held.row.name.clone())),
        () = stop.cancelled() => Err(Halt::Interrupted),
        outcome = run.copy(rejects, columns) => outcome,
    };
    let outcome = run.close(outcome).await;
    ended.cancel();
    tasks.shutdown().await;
    outcome
}

struct Run<'a> {
    tools: &'a Tools,
    begun: &'a Begun,
    options: &'a Options,
    watch: &'a Arc<Watch>,
    line: Line,
    patience: Patience,
    frontier: Frontier,
}

impl Run<'_> {
    async fn copy(&mut self, rejects: &mut dyn Rejects, columns: &dyn Fn(&Mapping)) -> Result<(), Halt> {
        let spec = spec(self.begun.table);
        let mapping = self.mapping(spec).await.map_err(Halt::failed)?;
        columns(&mapping);
        let job = Arc::new(Job {
            tools: self.tools.clone(),
            mapping,
            options: self.options.clone(),
            throttle: Throttle::new(self.tools, self.options),
            noted: self.begun.noted,
            watch: Arc::clone(self.watch),
        });
        let mut counting = JoinSet::new();
        counting.spawn(count(self.tools.clone(), self.begun.table, self.begun.from, Arc::clone(self.watch)));
        let mut jobs: JoinSet<Result<(Line, Range, Done), Trouble>> = JoinSet::new();
        let mut idle: VecDeque<Line> =
            (0..self.options.jobs.max(1)).map(|_| Line::new(&self.tools.pg, READING)).collect();
        let (mut number, mut below) = (0, Some(self.begun.from + 1));
        loop {
            while let Some(top) = below
                && self.frontier.beyond() < AHEAD
                && let Some(line) = idle.pop_front()
            {
                let range = self.plan(number, top).await.map_err(Halt::failed)?;
                (number, below) = (number + 1, range.from);
                let (job, patience) = (Arc::clone(&job), Patience::new(self.options.patience));
                jobs.spawn(persist(job, line, range, patience));
            }
            let Some(joined) = jobs.join_next().await else { return Ok(()) };
            let (line, range, done) = joined
                .map_err(|e| Trouble::new(Kind::Unexpected, "backfill", format!("a copy job broke: {e}")))
                .and_then(|copied| copied)
                .map_err(Halt::failed)?;
            idle.push_back(line);
            self.passed(&range, &done, rejects).await?;
        }
    }

    async fn mapping(&mut self, spec: &'static crate::data::tables::Spec) -> Result<Mapping, Trouble> {
        loop {
            match Live::read(&self.tools.ch.ask, spec).await {
                Ok(live) => return Ok(live.map(spec)),
                Err(trouble) => self.patience.wait(trouble).await?,
            }
        }
    }

    /// The next range: rows as many as one insert holds, fewer where rows are big.
    async fn plan(&mut self, number: u64, below: i64) -> Result<Range, Trouble> {
        let seen = self.watch.read();
        let rows = self.options.range_rows(&seen);
        let spec = spec(self.begun.table);
        loop {
            let work = self.line.work.clone();
            // A server that went away without a word is not waited for: the heartbeat would keep the lock meanwhile.
            let found = within(PLANNING, &work.object, "the next range", async {
                let session = self.line.get().await?;
                range::next(&work, session, spec, CREATED, number, below, rows).await
            })
            .await;
            match found {
                Ok(range) => {
                    self.patience.calm();
                    return Ok(range);
                }
                Err(trouble) => {
                    self.line.drop_session();
                    self.watch.change(|p| p.waiting = Some(Wait::Trouble));
                    self.patience.wait(trouble).await?;
                }
            }
        }
    }

    /// Rejected rows are written down first, then the cursor moves: nothing is passed untold.
    async fn passed(&mut self, range: &Range, done: &Done, rejects: &mut dyn Rejects) -> Result<(), Halt> {
        if !done.rejected.is_empty() {
            rejects.write(self.begun.table, &done.rejected).map_err(Halt::failed)?;
        }
        self.watch.change(|p| {
            p.rows += done.rows;
            p.bytes += done.bytes;
            p.rejected += done.rejected.len() as u64;
            p.deleted += done.deleted;
            p.waiting = None;
        });
        let Some(from) = self.frontier.done(range.number, range.reaches) else { return Ok(()) };
        // Everything from this moment on is copied: whoever goes on begins just below it, past any tie group.
        self.tell(&Word::Cursor(from - 1)).await?;
        self.watch.change(|p| p.cursor = Some(from - 1));
        Ok(())
    }

    /// Writes to the migration's row until it is done or the lock is known to be lost.
    async fn tell(&mut self, word: &Word) -> Result<(), Halt> {
        let (work, held) = (self.tools.pg.clone(), Arc::clone(&self.begun.held));
        let (limit, mut again) = (TELLING.min(self.patience.limit()), false);
        loop {
            let told = within(limit, &work.object, "the migration's row", async {
                let session = self.line.get().await?;
                match word {
                    Word::Cursor(at) => held.move_cursor(&work, session, *at).await,
                    Word::End(end) if held.end(&work, session, end).await? => Ok(true),
                    // The attempt before may have done it, and its answer been lost.
                    Word::End(end) if again => held.has_ended(&work, session, end).await,
                    Word::End(_) => Ok(false),
                }
            })
            .await;
            match told {
                Ok(true) => {
                    self.patience.calm();
                    return Ok(());
                }
                Ok(false) => return Err(Halt::Lost(held.row.name.clone())),
                Err(trouble) => {
                    again = true;
                    self.line.drop_session();
                    self.patience.wait(trouble).await.map_err(Halt::failed)?;
                }
            }
        }
    }

    /// Says in the migration's row how it ended.
    async fn close(&mut self, outcome: Result<(), Halt>) -> Result<(), Halt> {
        let end = match &outcome {
            Ok(()) => End::Finished,
            Err(Halt::Interrupted) => End::Released,
            Err(Halt::Failed { trouble, .. }) => End::Failed(trouble.to_string()),
            Err(Halt::Denied(_) | Halt::Lost(_) | Halt::Unreleased(_)) => return outcome,
        };
        if outcome.is_err() {
            self.patience = Patience::new(FAREWELL);
            self.line.drop_session();
        }
        closed(self.tell(&Word::End(end)).await, outcome)
    }
}

/// What is written to the migration's row.
enum Word {
    Cursor(i64),
    End(End),
}

/// Tries a range until it is copied.
async fn persist(
    job: Arc<Job>,
    mut line: Line,
    range: Range,
    mut patience: Patience,
) -> Result<(Line, Range, Done), Trouble> {
    loop {
        let begun = clock::mono();
        match job.copy(&mut line, &range).await {
            Ok(done) => return Ok((line, range, done)),
            Err(trouble) => {
                line.drop_session();
                // Two cuts in the hours that a big range takes are not one outage.
                patience.lasted(begun);
                job.watch.change(|p| {
                    p.retries += 1;
                    p.waiting = Some(Wait::Trouble);
                });
                patience.wait(trouble).await?;
            }
        }
    }
}

/// Counts what there is to copy, beside the copy. Without it the copy goes on, only its end is not foreseen.
async fn count(tools: Tools, table: Table, until: i64, watch: Arc<Watch>) {
    let mut line = Line::new(&tools.pg, WALKING);
    if let Ok(session) = line.get().await
        && let Ok(total) = range::count(&tools.pg, session, spec(table), Some(until)).await
    {
        watch.change(|p| p.total = Some(total));
    }
}
