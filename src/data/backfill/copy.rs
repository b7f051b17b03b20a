//! One range: binary COPY out of PostgreSQL, converted row by row, `Native` blocks into ClickHouse.
//!
//! One rule: a range is copied when every insert of it was acknowledged and COPY ended with its trailer; until then it
//! counts for nothing and is made again from its beginning. Rows that were sent twice are merged by the server.

use std::sync::Arc;
use std::time::Duration;

use ::clickhouse::insert_formatted::InsertFormatted;
use bytes::Bytes;
use futures::StreamExt as _;

use super::deleted::{LeftOut, left_out};
use super::line::Line;
use super::range::Range;
use super::throttle::{Throttle, Working};
use super::{Options, Tools, Watch};
use crate::clients::failure::within;
use crate::clients::work::ClickhouseWork;
use crate::data::cell::native::Block;
use crate::data::cell::rowbinary::RowError;
use crate::data::convert::Refusal;
use crate::data::convert::direct::encode;
use crate::data::copy_out::CopyOut;
use crate::data::rows::{Key, Rejected};
use crate::data::tables::Mapping;
use crate::domain::{Kind, Trouble};

/// Bytes of one block, which go out at once; the server puts the blocks of an insert together.
const CHUNK: usize = 1 << 20;
/// A server that takes no more bytes for so long has gone.
const SEND: Duration = Duration::from_secs(30);
/// Writing what was sent may take so long.
const END: Duration = Duration::from_secs(120);

/// What the sessions that read begin with: the index on `created_at` is what ranges are made for. No time is too long for
/// a COPY: the throttle waits within it, and a range of one moment with millions of rows, ended by a timeout, would begin
/// at its first row again, time after time. What guards it is here: a server that is silent while we ask it for more
/// (not while we wait ourselves) is given up, by [`PostgresWork::copy_out`] and [`BEGINNING`].
///
/// [`PostgresWork::copy_out`]: crate::clients::work::PostgresWork::copy_out
pub(super) const READING: &[&str] = &["SET enable_seqscan = off", "SET statement_timeout = 0"];
/// Until a COPY has begun to answer: as long as it may be silent later.
const BEGINNING: Duration = Duration::from_mins(10);

/// A copied range.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) rejected: Vec<Rejected>,
    /// Rows that v3's users have deleted since.
    pub(super) deleted: u64,
}

/// What every job needs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) tools: Tools,
    pub(super) mapping: Mapping,
    pub(super) options: Options,
    pub(super) throttle: Throttle,
    pub(super) watch: Arc<Watch>,
    /// Whether there are notes of what v3's users delete, to be read before each range.
    pub(super) noted: bool,
}

impl Job {
    /// One attempt at a range.
    ///
    /// # Errors
    /// Either database failed: the range counts for nothing.
    pub(super) async fn copy(&self, line: &mut Line, range: &Range) -> Result<Done, Trouble> {
        let spec = self.mapping.spec;
        self.throttle.pass(&self.tools, spec.ch, &self.watch).await;
        let work = line.work.clone();
        let session = line.get().await?;
        let left = if self.noted { left_out(&work, session, spec, range).await? } else { LeftOut::default() };
        let (columns, when) = (self.mapping.pg_list(), range.condition());
        let query = format!("SELECT {columns} FROM {} WHERE {when}{}", spec.from, left.but);
        let mut stream = within(BEGINNING, &work.object, "COPY", work.copy_out(session, &query)).await?;
        let mut copy = CopyOut::default();
        let mut done = Done { deleted: left.rows, ..Done::default() };
        let mut sink = Sink::new(self);
        while let Some(chunk) = stream.next().await {
            copy.push(&chunk?);
            while let Some(fields) = copy.row().map_err(|e| broken(&work.object, &e))? {
                match sink.block.push(|row| Ok(encode(&self.mapping.columns, &fields, row)?)) {
                    Ok(()) => sink.rows += 1,
                    Err(Unfit::Row(why)) => done.rejected.push(Rejected { key: Key::of(&fields), why }),
                    Err(Unfit::Bytes(error)) => return Err(unsorted(spec.ch, &error)),
                }
            }
            sink.pour(&mut done).await?;
        }
        copy.finish().map_err(|e| broken(&work.object, &e))?;
        sink.close(&mut done).await?;
        Ok(done)
    }
}

fn broken(object: &str, error: &dyn std::error::Error) -> Trouble {
    Trouble::new(Kind::Unreachable, object, error.to_string())
}

/// Why a row is not in the block.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    /// It cannot be converted.
    #[error(transparent)]
    Row(#[from] Refusal),
    /// What was made of it is not a row of the table.
    #[error(transparent)]
    Bytes(#[from] RowError),
}

fn unsorted(table: &str, error: &RowError) -> Trouble {
    let text = format!("a converted row is not one of ClickHouse's table {table}: {error}");
    Trouble::new(Kind::Unexpected, "backfill", text)
}

/// Inserts, one after the other, none longer than the options say.
struct Sink<'a> {
    job: &'a Job,
    block: Block,
    /// Rows and bytes of the insert that is open.
    rows: u64,
    bytes: usize,
    insert: Option<(InsertFormatted, Working<'a>)>,
}

impl<'a> Sink<'a> {
    fn new(job: &'a Job) -> Self {
        let columns = job.mapping.columns.iter().map(|m| (m.column.ch, &m.kind));
        Self { job, block: Block::new(columns), rows: 0, bytes: 0, insert: None }
    }

    /// Sends what has gathered, and ends the insert when it is long enough.
    async fn pour(&mut self, done: &mut Done) -> Result<(), Trouble> {
        let size = self.block.size();
        if size >= CHUNK {
            self.send(size).await?;
        }
        let options = &self.job.options;
        if self.rows >= options.block_rows || self.bytes + self.block.size() >= options.block_bytes {
            self.close(done).await?;
            let job = self.job;
            job.throttle.pass(&job.tools, job.mapping.spec.ch, &job.watch).await;
        }
        Ok(())
    }

    async fn send(&mut self, size: usize) -> Result<(), Trouble> {
        let job = self.job;
        let (insert, _) = self.insert.get_or_insert_with(|| (job.open(), job.throttle.works()));
        self.bytes += size;
        insert.send(Bytes::from(self.block.drain())).await.map_err(|e| job.tools.ch.trouble(&e))
    }

    async fn close(&mut self, done: &mut Done) -> Result<(), Trouble> {
        let size = self.block.size();
        if size > 0 {
            self.send(size).await?;
        }
        let Some((insert, working)) = self.insert.take() else { return Ok(()) };
        insert.end().await.map_err(|e| self.job.tools.ch.trouble(&e))?;
        drop(working);
        done.rows += self.rows;
        done.bytes += self.bytes as u64;
        self.job.throttle.spend(self.rows);
        (self.rows, self.bytes) = (0, 0);
        self.job.throttle.rest(&self.job.watch).await;
        Ok(())
    }
}

impl Job {
    fn open(&self) -> InsertFormatted {
        open(&self.tools.ch, self.mapping.spec.ch, &self.mapping.ch_list(), "Native")
    }
}

fn open(ch: &ClickhouseWork, table: &str, columns: &str, format: &str) -> InsertFormatted {
    let sql = format!("INSERT INTO {table} ({columns}) FORMAT {format}");
    ch.insert(sql)
        .with_timeouts(Some(SEND), Some(END))
        // Acknowledged means stored.
        .with_setting("async_insert", "0")
        // The same block may have been inserted before and deleted since: it must be written again.
        .with_setting("insert_deduplicate", "0")
        // One created_at may hold the rows of many months.
        .with_setting("max_partitions_per_insert_block", "0")
        // Looking for versions of one row within a block takes as long as all the rest, and a copy has none.
        .with_setting("optimize_on_insert", "0")
}

/// Inserts rows of these columns that are `RowBinary` already.
///
/// # Errors
/// The server did not acknowledge them: they may be stored.
pub async fn insert(ch: &ClickhouseWork, table: &str, columns: &str, rows: Vec<u8>) -> Result<(), Trouble> {
    let mut insert = open(ch, table, columns, "RowBinary");
    insert.send(Bytes::from(rows)).await.map_err(|e| ch.trouble(&e))?;
    insert.end().await.map_err(|e| ch.trouble(&e))
}
