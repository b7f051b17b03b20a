//! Candidates read whole on both sides, judged, and written where they are not as they should be.

use std::collections::HashMap;

use ::clickhouse::Row as ChRow;
use serde::Deserialize;
use sqlx::PgConnection;

use super::merge::{Verdict, judge, millis};
use super::{Class, Found};
use crate::clients::work::{ClickhouseWork, PostgresWork};
use crate::data::cell::Cell;
use crate::data::pages::pages;
use crate::data::rows::{self, Key, Row};
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
}

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
        candidates: &[Key],
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let ids: Vec<&str> = candidates.iter().map(|key| key.id.as_str()).collect();
        for page in pages(self.pg, session, self.ch, self.mapping, &ids, PAGE).await? {
            self.page(session, &candidates[page], found).await?;
        }
        Ok(())
    }

    async fn page(&self, session: &mut PgConnection, page: &[Key], found: &mut Found) -> Result<(), Trouble> {
        let ids: Vec<&str> = page.iter().map(|key| key.id.as_str()).collect();
        let there: HashMap<Key, Row> = rows::from_clickhouse(self.ch, self.mapping, &ids)
            .await?
            .into_iter()
            .map(|row| (row.key.clone(), row))
            .collect();
        let places = self.places(&ids).await?;
        let wanted: std::collections::HashSet<&Key> = page.iter().collect();
        let mut out = Vec::new();
        for row in rows::from_postgres(self.pg, session, self.mapping, &ids).await? {
            let row = match row {
                Ok(row) => row,
                Err(rejected) => {
                    found.reject(rejected);
                    continue;
                }
            };
            if wanted.contains(&row.key) {
                let here = there.get(&row.key);
                let more = places.get(&row.key).is_some_and(|places| *places > 1);
                self.one(&row, here, more, &mut out, found).await?;
            }
        }
        self.send(&out, found).await
    }

    async fn one(
        &self,
        v2: &Row,
        v3: Option<&Row>,
        more: bool,
        out: &mut Vec<Row>,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let (class, columns, row) = match judge(self.mapping, v2, v3) {
            Verdict::Deleted => {
                found.deleted_in_v3 += 1;
                return Ok(());
            }
            Verdict::Fine if !more => return Ok(()),
            // As it should be, and somewhere else as well.
            Verdict::Fine => (Class::Twice, vec![], v3.cloned().unwrap_or_else(|| v2.clone())),
            Verdict::Insert => (Class::Missing, vec![], v2.clone()),
            Verdict::Refresh(row, columns) => (Class::Stale, columns, row),
            Verdict::Merge(row, columns) => (Class::Overwritten, columns, row),
        };
        found.note(class, &v2.key, columns);
        if !self.write {
            return Ok(());
        }
        let moved = v3.is_some_and(|v3| !self.same_place(v3, &row));
        if moved || more {
            self.leave_other_places(row, out).await?;
        } else {
            out.push(row);
        }
        Ok(())
    }

    /// ClickHouse keeps rows of one id apart when their sorting keys differ: those that are not meant are deleted, and
    /// the one that is meant is newer than all of them.
    async fn leave_other_places(&self, mut row: Row, out: &mut Vec<Row>) -> Result<(), Trouble> {
        let mut newest = millis(self.mapping, &row, "event_ts");
        let all = self.every_place(&row.key).await?;
        for mut other in all.into_iter().filter(|other| !self.same_place(other, &row)) {
            let version = millis(self.mapping, &other, "event_ts") + 1;
            newest = newest.max(version);
            self.set(&mut other, "is_deleted", Cell::Int(1));
            self.set(&mut other, "event_ts", Cell::Millis(version));
            out.push(other);
        }
        self.set(&mut row, "event_ts", Cell::Millis(newest + 1));
        out.push(row);
        Ok(())
    }

    fn set(&self, row: &mut Row, column: &str, cell: Cell) {
        if let Some(at) = self.mapping.columns.iter().position(|m| m.column.ch == column) {
            row.cells[at] = cell;
        }
    }

    /// Whether ClickHouse would merge the two: the same day and the same sorting columns.
    fn same_place(&self, a: &Row, b: &Row) -> bool {
        const DAY: i64 = 86_400_000;
        let day = |row: &Row| millis(self.mapping, row, self.mapping.spec.time).div_euclid(DAY);
        let sorted = self.mapping.spec.sorted_by.iter();
        let has_day = self.mapping.spec.time != "created_at";
        (!has_day || day(a) == day(b))
            && sorted.into_iter().all(|c| a.get(self.mapping, c) == b.get(self.mapping, c))
    }

    /// In how many places each id lives.
    async fn places(&self, ids: &[&str]) -> Result<HashMap<Key, u64>, Trouble> {
        let statement = format!(
            "SELECT project_id, id, count() AS places FROM {} FINAL WHERE id IN ? GROUP BY project_id, id HAVING places > 1",
            self.mapping.spec.ch
        );
        let trouble = |e| self.ch.trouble(&e);
        let mut cursor = self.ch.query(&statement).bind(ids).fetch::<Place>().map_err(trouble)?;
        let mut out = HashMap::new();
        while let Some(Place { project_id, id, places }) = cursor.next().await.map_err(trouble)? {
            out.insert(Key { project: project_id, id }, places);
        }
        Ok(out)
    }

    /// The live row of each place of one entity.
    async fn every_place(&self, key: &Key) -> Result<Vec<Row>, Trouble> {
        let statement = format!(
            "SELECT {} FROM {} FINAL WHERE id = ? AND project_id = ?",
            self.mapping.ch_list(),
            self.mapping.spec.ch
        );
        let mut cursor = self.ch.stream(self.ch.query(&statement).bind(&key.id).bind(&key.project))?;
        let (mut rest, mut out) = (Vec::new(), Vec::new());
        while let Some(chunk) = cursor.next().await.map_err(|e| self.ch.trouble(&e))? {
            rest.extend_from_slice(&chunk);
        }
        let used = rows::decode(&rest, &self.mapping.columns, &mut out);
        match used {
            Ok(used) if used == rest.len() => Ok(out),
            _ => Err(Trouble::new(
                crate::domain::Kind::Unexpected,
                self.ch.object(),
                format!("table {}: rows of other types than it was described with", self.mapping.spec.ch),
            )),
        }
    }

    async fn send(&self, out: &[Row], found: &mut Found) -> Result<(), Trouble> {
        if out.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for row in out {
            match rows::encode(row, &self.mapping.columns, &mut bytes) {
                Ok(()) if matches!(row.get(self.mapping, "is_deleted"), Cell::Int(1)) => {}
                Ok(()) => found.written += 1,
                Err(rejected) => found.reject(rejected),
            }
        }
        crate::data::backfill::insert(self.ch, self.mapping, bytes).await
    }
}
