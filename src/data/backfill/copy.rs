//! One range: binary COPY out of PostgreSQL, converted row by row, `RowBinary` into ClickHouse.
//!
//! One rule: a range is copied when every insert of it was acknowledged and COPY ended with its trailer; until then it
//! counts for nothing and is made again from its beginning. Rows that were sent twice are merged by the server.

use std::sync::Arc;
use std::time::Duration;

use ::clickhouse::insert_formatted::InsertFormatted;
use bytes::Bytes;
use futures::StreamExt as _;

use super::line::Line;
use super::range::Range;
use super::throttle::Throttle;
use super::{Options, Tools, Watch};
use crate::clients::work::ClickhouseWork;
use crate::data::convert::direct::encode;
use crate::data::copy_out::CopyOut;
use crate::data::rows::{Key, Rejected};
use crate::data::tables::Mapping;
use crate::domain::{Kind, Trouble};

/// Bytes that go out at once.
const CHUNK: usize = 512 << 10;
/// A server that takes no more bytes for so long has gone.
const SEND: Duration = Duration::from_secs(30);
/// Writing what was sent may take so long.
const END: Duration = Duration::from_secs(120);

/// What the sessions that read begin with: the index on `created_at` is what ranges are made for.
pub(super) const READING: &[&str] = &["SET enable_seqscan = off", "SET statement_timeout = '6h'"];

/// A copied range.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) rejected: Vec<Rejected>,
}

/// What every job needs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) tools: Tools,
    pub(super) mapping: Mapping,
    pub(super) options: Options,
    pub(super) throttle: Throttle,
    pub(super) watch: Arc<Watch>,
}

impl Job {
    /// One attempt at a range.
    ///
    /// # Errors
    /// Either database failed: the range counts for nothing.
    pub(super) async fn copy(&self, line: &mut Line, range: &Range) -> Result<Done, Trouble> {
        let spec = self.mapping.spec;
        self.throttle.pass(&self.tools, spec.ch, &self.watch).await;
        let query =
            format!("SELECT {} FROM {} WHERE {}", self.mapping.pg_list(), spec.from, range.condition());
        let work = line.work.clone();
        let mut stream = work.copy_out(line.get().await?, &query).await?;
        let mut copy = CopyOut::default();
        let mut done = Done::default();
        let mut sink = Sink::new(self);
        while let Some(chunk) = stream.next().await {
            copy.push(&chunk?);
            while let Some(fields) = copy.row().map_err(|e| broken(&work.object, &e))? {
                match encode(&self.mapping.columns, &fields, &mut sink.buffer) {
                    Ok(()) => sink.rows += 1,
                    Err(why) => done.rejected.push(Rejected { key: Key::of(&fields), why }),
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

/// Inserts, one after the other, none longer than the options say.
struct Sink<'a> {
    job: &'a Job,
    buffer: Vec<u8>,
    /// Rows and bytes of the insert that is open.
    rows: u64,
    bytes: usize,
    insert: Option<InsertFormatted>,
}

impl<'a> Sink<'a> {
    fn new(job: &'a Job) -> Self {
        Self { job, buffer: Vec::with_capacity(CHUNK + (64 << 10)), rows: 0, bytes: 0, insert: None }
    }

    /// Sends what has gathered, and ends the insert when it is long enough.
    async fn pour(&mut self, done: &mut Done) -> Result<(), Trouble> {
        if self.buffer.len() >= CHUNK {
            self.send().await?;
        }
        let options = &self.job.options;
        if self.rows >= options.block_rows || self.bytes + self.buffer.len() >= options.block_bytes {
            self.close(done).await?;
            let job = self.job;
            job.throttle.pass(&job.tools, job.mapping.spec.ch, &job.watch).await;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Trouble> {
        let job = self.job;
        let insert = self.insert.get_or_insert_with(|| job.open());
        self.bytes += self.buffer.len();
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK + (64 << 10)));
        insert.send(Bytes::from(full)).await.map_err(|e| job.tools.ch.trouble(&e))
    }

    async fn close(&mut self, done: &mut Done) -> Result<(), Trouble> {
        if !self.buffer.is_empty() {
            self.send().await?;
        }
        let Some(insert) = self.insert.take() else { return Ok(()) };
        insert.end().await.map_err(|e| self.job.tools.ch.trouble(&e))?;
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
        open(&self.tools.ch, self.mapping.spec.ch, &self.mapping.ch_list())
    }
}

fn open(ch: &ClickhouseWork, table: &str, columns: &str) -> InsertFormatted {
    let sql = format!("INSERT INTO {table} ({columns}) FORMAT RowBinary");
    ch.insert(sql)
        .with_timeouts(Some(SEND), Some(END))
        // Acknowledged means stored.
        .with_setting("async_insert", "0")
        // The same block may have been inserted before and deleted since: it must be written again.
        .with_setting("insert_deduplicate", "0")
        // One created_at may hold the rows of many months.
        .with_setting("max_partitions_per_insert_block", "0")
}

/// Inserts rows of these columns that are `RowBinary` already.
///
/// # Errors
/// The server did not acknowledge them: they may be stored.
pub async fn insert(ch: &ClickhouseWork, table: &str, columns: &str, rows: Vec<u8>) -> Result<(), Trouble> {
    let mut insert = open(ch, table, columns);
    insert.send(Bytes::from(rows)).await.map_err(|e| ch.trouble(&e))?;
    insert.end().await.map_err(|e| ch.trouble(&e))
}
