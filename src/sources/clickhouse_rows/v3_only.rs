//! What only v3 has: ids that v3 wrote and PostgreSQL does not know, looked up page by page.
//!
//! One rule: exact when every id was looked up, otherwise an estimate from those that were.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use ::clickhouse::Row;
use serde::Deserialize;
use tokio::time::Instant;

use super::sql;
use crate::clients::clickhouse::Clickhouse;
use crate::clients::postgres::Postgres;
use crate::domain::Trouble;
use crate::domain::backfill::Table;
use crate::domain::units::Count;

/// Ids in one page.
const PAGE: usize = 2000;
/// Ids remembered, 8 bytes each; beyond that the number stays an estimate.
const REMEMBERED: usize = 400_000;
/// Writers stamp before they write: ids may still appear this far back.
const OVERLAP_MS: i64 = 15_000;
/// v2 may get an id later, when it takes another event of the same trace: everything is looked up again.
const AGAIN: Duration = Duration::from_mins(2);

/// The state of one table's look-up.
#[derive(Debug, Default)]
pub(super) struct V3Only {
    hasher: RandomState,
    pass: Pass,
    /// The last complete pass.
    known: Option<u64>,
    begun: Option<Instant>,
}

#[derive(Debug, Default)]
struct Pass {
    after: (i64, String),
    checked: HashSet<u64>,
    missing: u64,
    complete: bool,
}

#[derive(Debug, Clone, Row, Deserialize)]
struct Written {
    id: String,
    at: i64,
}

impl V3Only {
    /// Looks up what the time allows.
    pub(super) async fn look_up(
        &mut self,
        ch: &Clickhouse,
        pg: &Postgres,
        table: Table,
        written: u64,
        deadline: Instant,
    ) -> Result<Option<Count>, Trouble> {
        if self.begun.is_none_or(|begun| self.pass.complete && begun.elapsed() > AGAIN) {
            self.pass = Pass::default();
            self.begun = Some(Instant::now());
        }
        while self.pass.checked.len() < REMEMBERED {
            if !self.next_page(ch, pg, table).await? {
                self.pass.complete = true;
                self.known = Some(self.pass.missing);
                break;
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(self.count(written))
    }

    fn count(&self, written: u64) -> Option<Count> {
        if self.pass.complete {
            return Some(Count::exact(self.pass.missing));
        }
        if let Some(known) = self.known {
            return Some(Count::about(known));
        }
        let checked = self.pass.checked.len() as u64;
        (checked > 0)
            .then(|| Count::about((self.pass.missing as f64 / checked as f64 * written as f64) as u64))
    }

    /// One page; whether there may be more.
    async fn next_page(&mut self, ch: &Clickhouse, pg: &Postgres, table: Table) -> Result<bool, Trouble> {
        let (at, id) = self.pass.after.clone();
        let query = ch.query(sql::page(table)).bind(at).bind(id).bind(PAGE as u64);
        let page: Vec<Written> = ch.all(query).await?;
        let new: Vec<(u64, &str)> = page
            .iter()
            .map(|w| (self.hasher.hash_one(&w.id), w.id.as_str()))
            .filter(|(hash, _)| !self.pass.checked.contains(hash))
            .collect();
        let mut unknown: HashSet<&str> = new.iter().map(|(_, id)| *id).collect();
        let distinct: HashSet<u64> = new.iter().map(|(hash, _)| *hash).collect();
        if !unknown.is_empty() {
            let ids: Vec<String> = unknown.iter().map(|id| (*id).to_owned()).collect();
            let found =
                sqlx::query_scalar::<_, String>(sql::known(table)).bind(ids).fetch_all(&pg.pool).await;
            let found = match found {
                Ok(found) => found,
                Err(error) => return Err(pg.trouble(&error).await),
            };
            for id in &found {
                unknown.remove(id.as_str());
            }
        }
        self.pass.missing += unknown.len() as u64;
        self.pass.checked.extend(distinct);
        let more = page.len() == PAGE;
        if let Some(last) = page.last() {
            self.pass.after =
                if more { (last.at, last.id.clone()) } else { (last.at - OVERLAP_MS, String::new()) };
        }
        Ok(more)
    }
}
