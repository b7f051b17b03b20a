//! v3's side: its columns streamed as they are stored, and hashed here.
//!
//! One rule: a row is hashed where it lies in the answer, without being copied; what is not whole yet waits for more.

use std::collections::BTreeSet;
use std::sync::Arc;

use clickhouse::query::BytesCursor;

use super::bucket::{Bucket, Sums};
use super::chain::Chain;
use super::ids::{Block, Entry, Heap, Id};
use super::lookup3::hashtext;
use super::range::{HOUR, Range, Slice};
use super::replicas::Same;
use crate::clients::work::ClickhouseWork;
use crate::data::cell::rowbinary::{RowError, eight, take, take_bytes};
use crate::data::copied;
use crate::data::rows::{self, Key, Row};
use crate::data::tables::{Mapping, Spec};
use crate::domain::{Kind, Trouble};

/// Ids that are asked for at once.
const NAMES: usize = 100_000;
/// Days that are named to the server one by one.
const DAYS: usize = 400;
/// Hours of the days that a `Date` holds, 1970 to 2149. What lies before or after is sorted under other days, and
/// ClickHouse 26.9 does not find it by its time.
const DATES: std::ops::Range<i64> = 0..1_570_000;
/// A moved row is another sorting key, and the partition follows from the key: parts of different partitions never
/// hold versions of one row.
const FINAL: &str = "do_not_merge_across_partitions_select_final";

/// A row of ClickHouse as its bucket was read, merged.
#[derive(Debug, Clone)]
pub struct V3Row {
    /// Index into the buckets that were asked for.
    pub bucket: usize,
    /// `id`.
    pub id: Box<str>,
    /// The chain's hash.
    pub hash: u64,
    /// Whether v3 wrote it itself: see [`copied`].
    pub own: bool,
}

/// The ids of ClickHouse as hashes.
#[derive(Debug, Default)]
pub struct Ids {
    /// Of rows that were copied.
    pub copied: Heap,
    /// Of rows that v3 wrote.
    pub own: Heap,
    /// Of rows that were deleted.
    pub deleted: Heap,
}

/// Where some ids stand.
#[derive(Default)]
struct Standing {
    ids: BTreeSet<String>,
    days: BTreeSet<u16>,
    deleted: BTreeSet<Key>,
}

/// One table of ClickHouse.
#[derive(Debug, Clone)]
pub struct V3 {
    /// Queries.
    pub work: ClickhouseWork,
    /// With one thread, for a server that has other work.
    pub gentle: bool,
    /// Whether one server answers.
    pub same: Same,
    spec: &'static Spec,
}

/// What every row begins with: its time, whether it was copied, and whether it is deleted or comes from another server.
struct Head {
    time: i64,
    copied: bool,
    deleted: bool,
    other: bool,
}

impl V3 {
    /// The side of a table.
    pub fn new(work: ClickhouseWork, spec: &'static Spec) -> Self {
        Self { work, gentle: false, same: Same::default(), spec }
    }

    fn head(&self) -> String {
        let (time, copied) = (self.spec.time, copied::sql(self.spec));
        let other = self.same.sql();
        format!("toUnixTimestamp64Milli({time}), toUInt8({copied}), toUInt8(is_deleted + 2 * {other})")
    }

    fn query(&self, sql: &str, range: &Range) -> clickhouse::query::Query {
        self.set(self.work.query(sql), range)
    }

    fn set(&self, query: clickhouse::query::Query, range: &Range) -> clickhouse::query::Query {
        let query = match (self.work.takes_settings(), self.gentle) {
            (false, _) => query,
            (true, false) => query.with_setting(FINAL, "1"),
            (true, true) => query.with_setting(FINAL, "1").with_setting("max_threads", "1"),
        };
        match &range.project {
            Some(project) => query.bind(project),
            None => query,
        }
    }

    /// Sums per project and hour of what is stored, merged or not.
    ///
    /// # Errors
    /// The query fails.
    pub async fn sums(
        &self,
        chain: &Chain,
        range: &Range,
        seen: &(dyn Fn(u64) + Sync),
    ) -> Result<(Sums, u64), Trouble> {
        let sql = format!(
            "SELECT {}, {} FROM {} WHERE {}",
            self.head(),
            chain.ch(),
            self.spec.ch,
            range.ch(self.spec.time)
        );
        let mut sums = Sums::default();
        let mut cursor = self.work.stream(self.query(&sql, range))?;
        self.each(&mut cursor, seen, |from| {
            let head = Head::read(from)?;
            let row = chain.hash(from)?;
            self.same.note(head.other);
            let sum = sums.at(row.project, head.time.div_euclid(HOUR));
            if head.copied && !head.deleted {
                sum.add(row.hash);
            } else {
                sum.odd += 1;
            }
            Ok(1)
        })
        .await?;
        Ok((sums, cursor.received_bytes()))
    }

    /// The merged rows of these buckets.
    ///
    /// # Errors
    /// The query fails.
    pub async fn rows(
        &self,
        chain: &Chain,
        buckets: &[Bucket],
        range: &Range,
        slice: Option<Slice>,
    ) -> Result<Vec<V3Row>, Trouble> {
        // The id is part of the sorting key: all versions of a row are in one slice.
        let slice = slice.map(|slice| format!("PREWHERE {}", slice.ch())).unwrap_or_default();
        let sql = format!(
            "SELECT {head}, {columns} FROM {table} FINAL {slice} WHERE {limits} AND {days} \
             AND (project_id, toInt64(floor(toUnixTimestamp64Milli({time}) / 3600000))) IN ?",
            head = self.head(),
            columns = chain.ch(),
            table = self.spec.ch,
            limits = range.ch(self.spec.time),
            days = around(buckets, self.spec.time),
            time = self.spec.time,
        );
        let wanted: Vec<(&str, i64)> = buckets.iter().map(|b| (&*b.project, b.hour)).collect();
        let index: std::collections::HashMap<(&[u8], i64), usize> =
            buckets.iter().enumerate().map(|(at, b)| ((b.project.as_bytes(), b.hour), at)).collect();
        let mut rows = vec![];
        let mut cursor = self.work.stream(self.query(&sql, range).bind(wanted))?;
        self.each(&mut cursor, &|_| {}, |from| {
            let head = Head::read(from)?;
            let row = chain.hash(from)?;
            self.same.note(head.other);
            if let Some(bucket) = index.get(&(row.project, head.time.div_euclid(HOUR))) {
                let id = String::from_utf8_lossy(row.id).into();
                rows.push(V3Row { bucket: *bucket, id, hash: row.hash, own: !head.copied });
            }
            Ok(1)
        })
        .await?;
        Ok(rows)
    }

    /// The hashes of all ids of a range; what is not merged yet comes more than once. Gives the bytes it took.
    ///
    /// # Errors
    /// The query fails.
    pub async fn ids(
        &self,
        range: &Range,
        ids: &mut Ids,
        seen: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Trouble> {
        let sql = format!(
            "SELECT toUInt8(if(is_deleted = 1, 2, NOT {}) + 4 * {}), toUInt16(toDate({})), id FROM {} WHERE {}",
            copied::sql(self.spec),
            self.same.sql(),
            self.spec.time,
            self.spec.ch,
            range.ch(self.spec.time),
        );
        let query = self.set(self.work.query_plain(&sql), range);
        let mut cursor = self.work.stream_blocks(query)?;
        let mut block = Block::default();
        self.each(&mut cursor, seen, |from| {
            let Some(Entry { kind, day, id }) = block.next(from)? else { return Ok(0) };
            let id = Id { hash: hashtext(id, 0), sum: crc32fast::hash(id), day };
            self.same.note(kind & 4 != 0);
            match kind & 3 {
                0 => ids.copied.push(id),
                1 => ids.own.push(id),
                _ => ids.deleted.push(id),
            }
            Ok(1)
        })
        .await?;
        Ok(cursor.received_bytes())
    }

    /// The ids with these hashes, which are sorted, and their projects: ClickHouse looks for their sums in their days,
    /// their hashes are compared here.
    ///
    /// # Errors
    /// The query fails.
    pub async fn named(&self, ids: &[Id]) -> Result<Vec<(Arc<str>, String)>, Trouble> {
        let mut found = vec![];
        for wanted in ids.chunks(NAMES) {
            let days = self.on(&wanted.iter().map(|id| id.day).collect());
            let sql = format!(
                "SELECT DISTINCT project_id, id FROM {} WHERE {days} AND CRC32(id) IN ?",
                self.spec.ch
            );
            let sums: Vec<u32> = wanted.iter().map(|id| id.sum).collect();
            let mut cursor = self.work.stream(self.query(&sql, &Range::default()).bind(sums))?;
            self.each(&mut cursor, &|_| {}, |from| {
                let project = take_bytes(from)?;
                let id = take_bytes(from)?;
                if wanted.binary_search_by_key(&hashtext(id, 0), |id| id.hash).is_ok() {
                    let id = String::from_utf8_lossy(id).into_owned();
                    found.push((String::from_utf8_lossy(project).into(), id));
                }
                Ok(1)
            })
            .await?;
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The merged rows of these ids, every sorting key of them, and those entities that have a deleted one.
    ///
    /// # Errors
    /// The query fails.
    pub async fn by_id(&self, mapping: &Mapping, ids: &[&str]) -> Result<(Vec<Row>, BTreeSet<Key>), Trouble> {
        let Standing { ids, days, deleted } = self.standing(ids).await?;
        let mut found = vec![];
        if ids.is_empty() {
            return Ok((found, deleted));
        }
        // All that is merged with one of their rows stands in these days, and nothing else is read.
        let days = if days.len() > DAYS { "1".to_owned() } else { self.on(&days) };
        let sql =
            format!("SELECT {} FROM {} FINAL PREWHERE id IN ? WHERE {days}", mapping.ch_list(), self.spec.ch);
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let query = self.query(&sql, &Range::default()).bind(ids);
        let mut cursor = self.work.stream(query)?;
        let mut rest: Vec<u8> = Vec::new();
        while let Some(chunk) = cursor.next().await.map_err(|e| self.work.trouble(&e))? {
            rest.extend_from_slice(&chunk);
            let used = rows::decode(&rest, &mapping.columns, &mut found).map_err(|e| self.broken(&e))?;
            rest.drain(..used);
        }
        if rest.is_empty() { Ok((found, deleted)) } else { Err(self.broken(&RowError::Short)) }
    }

    /// Those of these ids that have any row, merged, deleted or not.
    ///
    /// # Errors
    /// The query fails.
    pub async fn known(&self, ids: &[&str]) -> Result<BTreeSet<String>, Trouble> {
        self.standing(ids).await.map(|standing| standing.ids)
    }

    /// Where rows of these ids stand, merged or not.
    async fn standing(&self, ids: &[&str]) -> Result<Standing, Trouble> {
        let sql = format!(
            "SELECT toUInt8(is_deleted + 2 * {}), toUInt16(toDate({})), project_id, id FROM {} WHERE id IN ?",
            self.same.sql(),
            self.spec.time,
            self.spec.ch
        );
        let mut standing = Standing::default();
        let mut cursor = self.work.stream(self.query(&sql, &Range::default()).bind(ids))?;
        self.each(&mut cursor, &|_| {}, |from| {
            let flags = take(from, 1)?[0];
            let deleted = flags & 1 != 0;
            let day = day(from)?;
            let project = String::from_utf8_lossy(take_bytes(from)?).into_owned();
            let id = String::from_utf8_lossy(take_bytes(from)?).into_owned();
            self.same.note(flags & 2 != 0);
            standing.days.insert(day);
            standing.ids.insert(id.clone());
            if deleted {
                standing.deleted.insert(Key { project, id });
            }
            Ok(1)
        })
        .await?;
        Ok(standing)
    }

    /// The condition for days of the sorting key.
    fn on(&self, days: &BTreeSet<u16>) -> String {
        let days: Vec<String> = days.iter().map(|day| format!("toDate({day})")).collect();
        format!("toDate({}) IN ({})", self.spec.time, days.join(", "))
    }

    /// Calls `row` for each whole row of an answer; it says how many it passed, and `Short` where the bytes end.
    async fn each(
        &self,
        cursor: &mut BytesCursor,
        seen: &(dyn Fn(u64) + Sync),
        mut row: impl FnMut(&mut &[u8]) -> Result<u64, RowError>,
    ) -> Result<(), Trouble> {
        let mut rest: Vec<u8> = Vec::new();
        while let Some(chunk) = cursor.next().await.map_err(|e| self.work.trouble(&e))? {
            rest.extend_from_slice(&chunk);
            let (mut used, mut rows) = (0, 0);
            while used < rest.len() {
                let mut from = &rest[used..];
                match row(&mut from) {
                    Ok(passed) => (used, rows) = (rest.len() - from.len(), rows + passed),
                    Err(RowError::Short) => break,
                    Err(error) => return Err(self.broken(&error)),
                }
            }
            seen(rows);
            rest.drain(..used);
            // As long as there is more, nothing else of this task would go on: not PostgreSQL's side, either.
            tokio::task::yield_now().await;
        }
        if rest.is_empty() { Ok(()) } else { Err(self.broken(&RowError::Short)) }
    }

    fn broken(&self, error: &RowError) -> Trouble {
        Trouble::new(Kind::Unexpected, self.work.object(), format!("table {}: {error}", self.spec.ch))
            .remedy("did a migration of v3 change the table meanwhile? start again")
    }
}

/// The stretch of time that buckets lie in: hours alone are no part of a sorting key, and all would be read.
fn around(buckets: &[Bucket], time: &str) -> String {
    let hours = || buckets.iter().map(|b| b.hour);
    let bound = |hour: i64, than: &str| {
        format!("{time} {than} fromUnixTimestamp64Milli(toInt64({}))", hour.saturating_mul(HOUR))
    };
    match (hours().min(), hours().max()) {
        (Some(first), Some(last)) if DATES.contains(&first) && DATES.contains(&last) => {
            format!("{} AND {}", bound(first, ">="), bound(last + 1, "<"))
        }
        _ => "1".into(),
    }
}

/// A day as ClickHouse's `Date`.
fn day(from: &mut &[u8]) -> Result<u16, RowError> {
    let day = take(from, 2)?;
    Ok(u16::from_le_bytes([day[0], day[1]]))
}

impl Head {
    fn read(from: &mut &[u8]) -> Result<Self, RowError> {
        let time = i64::from_le_bytes(eight(from)?);
        let flags = take(from, 2)?;
        Ok(Self { time, copied: flags[0] != 0, deleted: flags[1] & 1 != 0, other: flags[1] & 2 != 0 })
    }
}
