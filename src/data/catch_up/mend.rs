//! Candidates read whole on both sides, judged, and written where they are not as they should be.

use std::collections::{BTreeSet, HashMap, HashSet};

use ::clickhouse::Row as ChRow;
use serde::Deserialize;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::merge::{BEYOND, Verdict, judge, millis};
use super::run::goes_on;
use super::{Class, Found};
use crate::clients::work::{ClickhouseWork, PostgresWork};
use crate::data::backfill::{Rejects, insert};
use crate::data::cell::Cell;
use crate::data::convert::Refusal;
use crate::data::copied::is_copy;
use crate::data::deleted::{Notes, Noting, gone};
use crate::data::pages::pages_of;
use crate::data::rows::{self, Key, Rejected, Row};
use crate::data::tables::Mapping;
use crate::domain::Trouble;

/// Candidates of one look at most.
const PAGE: usize = 1_000;

/// Both sides of one table.
pub(super) struct Mender<'a> {
    pub(super) pg: &'a PostgresWork,
    pub(super) ch: &'a ClickhouseWork,
    pub(super) mapping: &'a Mapping,
    pub(super) write: bool,
    /// Where Langfuse notes what it deletes.
    pub(super) noting: Noting,
    pub(super) stop: &'a CancellationToken,
}

/// What is not known of rows that v3 has: see [`rows::Winner`].
type Rest = HashMap<Key, Vec<u8>>;

#[derive(ChRow, Deserialize)]
struct Place {
    project_id: String,
    id: String,
    places: u64,
}

impl Mender<'_> {
    /// Mends candidates, page by page.
    ///
    /// # Errors
    /// A side cannot be read, or written.
    pub(super) async fn mend(
        &self,
        session: &mut PgConnection,
        mut candidates: Vec<Key>,
        found: &mut Found,
        rejects: &mut dyn Rejects,
    ) -> Result<(), Trouble> {
        if candidates.is_empty() {
            return Ok(());
        }
        // v3 shows nobody a project that is deleted, and has deleted its rows.
        let gone = gone(self.pg, session, rows::projects(&candidates)).await?;
        let all = candidates.len();
        candidates.retain(|key| !gone.contains(&key.project));
        found.project_gone += (all - candidates.len()) as u64;
        for page in pages_of(self.pg, session, self.ch, self.mapping, &candidates, PAGE).await? {
            goes_on(self.stop)?;
            let done = self.page(session, &candidates[page], found).await;
            found.list(self.mapping.spec.table, rejects)?;
            done?;
        }
        Ok(())
    }

    async fn page(&self, session: &mut PgConnection, page: &[Key], found: &mut Found) -> Result<(), Trouble> {
        let ids: Vec<&str> = page.iter().map(|key| key.id.as_str()).collect();
        let mut there: HashMap<Key, Row> = HashMap::new();
        let mut rest: Rest = HashMap::new();
        let keys: Vec<&Key> = page.iter().collect();
        for winner in rows::winners(self.ch, self.mapping, &keys).await? {
            rest.insert(winner.row.key.clone(), winner.rest);
            there.insert(winner.row.key.clone(), winner.row);
        }
        let places = self.places(page, &ids).await?;
        let wanted: HashSet<&Key> = page.iter().collect();
        let (mut meant, mut moved) = (vec![], vec![]);
        let mut v2 = vec![];
        for row in rows::from_postgres(self.pg, session, self.mapping, &ids).await? {
            match row {
                Ok(row) if wanted.contains(&row.key) => v2.push(row),
                Ok(_) => {}
                Err(rejected) => found.reject(rejected),
            }
        }
        v2.retain(|row| self.has_come(row, there.get(&row.key), found));
        let asked: Vec<&Row> = v2.iter().collect();
        let notes = Notes::read(self.pg, session, &self.noting, self.mapping, &asked).await?;
        let days = self.days(v2.iter().chain(there.values())).await?;
        for row in v2 {
            let here = there.get(&row.key);
            // What v3 has heard of it since is all that it shall show.
            let by_v3 = here.is_none_or(|here| !is_copy(self.mapping, here));
            if by_v3 && notes.took(self.mapping, &row) {
                found.deleted_in_v3 += 1;
                continue;
            }
            let more = places.get(&row.key).is_some_and(|places| *places > 1);
            let Some(row) = self.one(&row, here, more, found) else { continue };
            let elsewhere = more || here.is_some_and(|here| !days.are_one_place(self.mapping, here, &row));
            if elsewhere { moved.push(row) } else { meant.push(row) }
        }
        if !self.write {
            return Ok(());
        }
        let all = moved.len();
        let gone = self.leave_other_places(&mut moved, &there).await?;
        found.left += (all - moved.len()) as u64;
        meant.append(&mut moved);
        self.send(&meant, &rest, found).await?;
        // ClickHouse keeps what it has of an insert that was cut, partition by partition: an older place goes only when
        // the place that is meant is stored. Cut in between, the row is there twice, which the next run sees.
        self.send(&gone, &Rest::new(), found).await
    }

    /// Whether v3's row has a version that may come. One that ClickHouse misread as of the year 9999 is not outbid: what is
    /// newer than it hides all that v3 writes later.
    fn has_come(&self, v2: &Row, v3: Option<&Row>, found: &mut Found) -> bool {
        let misread = v3.is_some_and(|v3| millis(self.mapping, v3, "event_ts") >= BEYOND);
        if misread {
            let reason = "its row in ClickHouse is of a time that never comes: delete that one first".into();
            found.reject(Rejected { key: v2.key.clone(), why: Refusal { column: "event_ts", reason } });
        }
        !misread
    }

    /// What is to be written of one entity; nothing when it is as it should be.
    fn one(&self, v2: &Row, v3: Option<&Row>, more: bool, found: &mut Found) -> Option<Row> {
        let (class, columns, row) = match judge(self.mapping, v2, v3) {
            Verdict::Deleted => {
                found.deleted_in_v3 += 1;
                return None;
            }
            Verdict::Fine if !more => return None,
            // As it should be, and somewhere else as well. Where a copy belongs v2 says.
            Verdict::Fine => {
                let by_v3 = v3.filter(|v3| !is_copy(self.mapping, v3));
                (Class::Twice, vec![], by_v3.unwrap_or(v2).clone())
            }
            Verdict::Insert => (Class::Missing, vec![], v2.clone()),
            Verdict::Refresh(row, columns) => (Class::Stale, columns, row),
            Verdict::Merge(row, columns) => (Class::Overwritten, columns, row),
        };
        found.note(class, &v2.key, columns);
        Some(row)
    }

    /// Deletions of the places that are not meant; the rows that are meant become newer than all of them. Those that v3
    /// wrote since they were judged are left for the next run: what it said is not in ours, and would go with its place.
    async fn leave_other_places(
        &self,
        meant: &mut Vec<Row>,
        judged: &HashMap<Key, Row>,
    ) -> Result<Vec<Row>, Trouble> {
        let keys: Vec<&Key> = meant.iter().map(|row| &row.key).collect();
        let mut all: HashMap<Key, Vec<Row>> = HashMap::new();
        for row in rows::every_place(self.ch, self.mapping, &keys).await? {
            all.entry(row.key.clone()).or_default().push(row);
        }
        let days = self.days(meant.iter().chain(all.values().flatten())).await?;
        let mut gone = vec![];
        meant.retain_mut(|row| {
            let places = all.remove(&row.key).unwrap_or_default();
            let unchanged = !written_since(self.mapping, judged.get(&row.key), &places);
            if unchanged {
                gone.extend(leave(self.mapping, &days, row, places));
            }
            unchanged
        });
        Ok(gone)
    }

    /// The days of rows as ClickHouse sorts them: those of its own time zone.
    async fn days(&self, rows: impl Iterator<Item = &Row> + Send) -> Result<Days, Trouble> {
        let times: BTreeSet<i64> =
            rows.map(|row| millis(self.mapping, row, self.mapping.spec.time)).collect();
        let mut days = HashMap::with_capacity(times.len());
        for times in times.into_iter().collect::<Vec<_>>().chunks(PAGE) {
            let statement = "SELECT at, toUInt16(toDate(fromUnixTimestamp64Milli(at))) AS day \
                             FROM (SELECT arrayJoin(CAST(? AS Array(Int64))) AS at)";
            let query = self.ch.query(statement).bind(times);
            let found = query.fetch_all::<(i64, u16)>().await.map_err(|e| self.ch.trouble(&e))?;
            days.extend(found);
        }
        Ok(Days(days))
    }

    /// In how many places each id lives.
    async fn places(&self, page: &[Key], ids: &[&str]) -> Result<HashMap<Key, u64>, Trouble> {
        let statement = format!(
            "SELECT project_id, id, count() AS places FROM {} FINAL WHERE {} GROUP BY project_id, id HAVING places > 1",
            self.mapping.spec.ch,
            rows::OF_KEYS
        );
        let trouble = |e| self.ch.trouble(&e);
        let query = self.ch.query(&statement).bind(rows::projects(page)).bind(ids);
        let mut cursor = query.fetch::<Place>().map_err(trouble)?;
        let mut out = HashMap::new();
        while let Some(Place { project_id, id, places }) = cursor.next().await.map_err(trouble)? {
            out.insert(Key { project: project_id, id }, places);
        }
        Ok(out)
    }

    /// Writes rows; those that v3 has already keep what is not known of them. What is counted is what was stored.
    async fn send(&self, out: &[Row], rest: &Rest, found: &mut Found) -> Result<(), Trouble> {
        let known = self.mapping.ch_list();
        let all = format!("{known}, {}", self.mapping.unknown_list());
        let mut inserts = [(known, Vec::new(), 0), (all, Vec::new(), 0)];
        for row in out {
            let rest = rest.get(&row.key).filter(|rest| !rest.is_empty());
            let (_, into, rows) = &mut inserts[usize::from(rest.is_some())];
            match rows::encode(row, &self.mapping.columns, into) {
                Ok(()) => *rows += u64::from(!matches!(row.get(self.mapping, "is_deleted"), Cell::Int(1..))),
                Err(rejected) => {
                    found.reject(rejected);
                    continue;
                }
            }
            into.extend(rest.into_iter().flatten());
        }
        for (columns, bytes, rows) in inserts {
            if !bytes.is_empty() {
                insert(self.ch, self.mapping.spec.ch, &columns, bytes).await?;
                found.written += rows;
            }
        }
        Ok(())
    }
}

/// Days by time.
#[derive(Debug)]
struct Days(HashMap<i64, u16>);

impl Days {
    /// Whether ClickHouse would merge the two: the same day and the same sorting columns.
    fn are_one_place(&self, mapping: &Mapping, a: &Row, b: &Row) -> bool {
        let day = |row: &Row| self.0.get(&millis(mapping, row, mapping.spec.time));
        let has_day = mapping.spec.time != "created_at";
        (!has_day || day(a) == day(b))
            && mapping.spec.sorted_by.iter().all(|c| a.get(mapping, c) == b.get(mapping, c))
    }
}

/// Whether one of these places has a newer version than the row that was judged.
fn written_since(mapping: &Mapping, judged: Option<&Row>, places: &[Row]) -> bool {
    let version = |row: &Row| millis(mapping, row, "event_ts");
    places.iter().map(version).max() > judged.map(version)
}

/// ClickHouse keeps rows of one id apart when their sorting keys differ: those that are not meant are to be deleted, and
/// the one that is meant becomes newer than all of them.
fn leave(mapping: &Mapping, days: &Days, meant: &mut Row, all: Vec<Row>) -> Vec<Row> {
    let mut newest = millis(mapping, meant, "event_ts");
    let mut gone = vec![];
    for mut other in all.into_iter().filter(|other| !days.are_one_place(mapping, other, meant)) {
        let version = millis(mapping, &other, "event_ts") + 1;
        newest = newest.max(version);
        set(mapping, &mut other, "is_deleted", Cell::Int(1));
        set(mapping, &mut other, "event_ts", Cell::Millis(version));
        gone.push(other);
    }
    set(mapping, meant, "event_ts", Cell::Millis(newest + 1));
    gone
}

fn set(mapping: &Mapping, row: &mut Row, column: &str, cell: Cell) {
    if let Some(at) = mapping.columns.iter().position(|m| m.column.ch == column) {
        row.cells[at] = cell;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cell::ChType;
    use crate::data::tables::{Live, spec};
    use crate::domain::backfill::Table;

    #[test]
    fn what_is_meant_is_newer_than_what_goes() {
        let spec = spec(Table::Traces);
        let mapping =
            Live { columns: spec.columns.iter().map(|c| (c.ch.to_owned(), ChType::String)).collect() }
                .map(spec);
        let row = |day: i64, version: i64| {
            let key = Key { project: "p".into(), id: "i".into() };
            let mut row = Row { key, cells: vec![Cell::Null; mapping.columns.len()] };
            set(&mapping, &mut row, "timestamp", Cell::Millis(day * 86_400_000));
            set(&mapping, &mut row, "event_ts", Cell::Millis(version));
            row
        };
        let mut meant = row(3, 50);
        let days = Days((1..4).map(|day| (i64::from(day) * 86_400_000, day)).collect());
        let places = [row(3, 40), row(2, 90), row(1, 10)];
        assert!(written_since(&mapping, Some(&row(3, 50)), &places), "at 90, after it was judged");
        assert!(written_since(&mapping, None, &places) && !written_since(&mapping, None, &[]));
        assert!(!written_since(&mapping, Some(&row(2, 90)), &places));
        let gone = leave(&mapping, &days, &mut meant, places.to_vec());
        let told: Vec<_> = gone.iter().map(|r| millis(&mapping, r, "event_ts")).collect();
        assert_eq!(told, [91, 11], "its own place stays");
        assert!(gone.iter().all(|r| *r.get(&mapping, "is_deleted") == Cell::Int(1)));
        assert_eq!(millis(&mapping, &meant, "event_ts"), 92);
    }
}
