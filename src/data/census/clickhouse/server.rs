//! One server of ClickHouse, and what it says of its parts.
//!
//! One rule: a pass is of one server; what another one answers in it is an error.

use std::collections::BTreeMap;
use std::time::Duration;

use ::clickhouse::query::Query;
use ::clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;

use super::super::book::Part;
use super::parts::{self, Active};
use super::sql;
use crate::clients::clickhouse::{Clickhouse, trouble};
use crate::data::tables::{Spec, is_replicated};
use crate::domain::{Kind, Trouble};

/// What one pass over ClickHouse found beside what went into the book.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Side {
    /// Rows in all parts, as `system.parts` says.
    pub parts_rows: u64,
    /// Units that were counted in this pass.
    pub counted: usize,
    /// Rows that the statements of this pass went over, as far as the server says it.
    pub read: u64,
    /// Time that the server spent on them.
    pub server: Duration,
    /// The one server that answers in this pass.
    pub host: Option<String>,
}

/// The server, and how long one statement may take.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// The client.
    pub ch: &'a Clickhouse,
    /// Longest wait for one answer.
    pub limit: Duration,
}

/// A table as the server knows it.
#[derive(Debug, Clone, Row, Deserialize)]
pub struct Known {
    /// Names it: a table made anew is another one.
    pub relation: String,
    /// `ReplacingMergeTree`, `ReplicatedReplacingMergeTree`.
    pub engine: String,
    /// The server that answered.
    pub host: String,
}

impl Known {
    /// Whether blocks get their numbers before they are committed.
    pub fn is_replicated(&self) -> bool {
        is_replicated(&self.engine)
    }
}

#[derive(Row, Deserialize)]
struct PartRow {
    path: String,
    engine: String,
    partition: String,
    name: String,
    rows: u64,
    min: i64,
    max: i64,
    hash: String,
    host: String,
}

/// Active parts by partition.
pub type Parts = BTreeMap<String, Vec<Active>>;

/// A row that says which server it came from (`hostName()`).
pub trait Hosted {
    /// The server.
    fn host(&self) -> &str;
}

impl Hosted for String {
    fn host(&self) -> &str {
        self
    }
}

macro_rules! hosted {
    ($($row:ty),+) => {$(
        impl $crate::data::census::clickhouse::Hosted for $row {
            fn host(&self) -> &str {
                &self.host
            }
        }
    )+};
}
pub(in crate::data::census) use hosted;

hosted!(Known, PartRow);

impl Server<'_> {
    /// All rows of an answer; what the server says it cost goes to `side`.
    ///
    /// # Errors
    /// The statement fails, or takes longer than the limit. [`Kind::Conflict`]: another server answered than before in
    /// this pass, whose parts and rows may be others.
    pub async fn all<T: RowOwned + RowRead + Hosted>(
        &self,
        query: Query,
        side: &mut Side,
    ) -> Result<Vec<T>, Trouble> {
        let rows: Vec<T> = self.rows(query, side).await?;
        if let Some(row) = rows.first() {
            self.same(row.host(), side)?;
        } else {
            // Nothing is what a replica that lags has, too.
            let host: Vec<String> = self.rows(self.ch.query("SELECT hostName()"), side).await?;
            self.same(host.first().map_or("", String::as_str), side)?;
        }
        Ok(rows)
    }

    fn same(&self, host: &str, side: &mut Side) -> Result<(), Trouble> {
        match &side.host {
            Some(before) if before != host => {
                let two =
                    format!("{before} answered, and then {host}: what two servers count does not add up");
                Err(Trouble::new(Kind::Conflict, &self.ch.object, two)
                    .remedy("name one of the servers behind this address, or count again"))
            }
            Some(_) => Ok(()),
            None => {
                side.host = Some(host.to_owned());
                Ok(())
            }
        }
    }

    async fn rows<T: RowOwned + RowRead>(&self, query: Query, side: &mut Side) -> Result<Vec<T>, Trouble> {
        let ask = async {
            let mut cursor = query.fetch::<T>()?;
            let mut rows = Vec::new();
            while let Some(row) = cursor.next().await? {
                rows.push(row);
            }
            if let Some(summary) = cursor.summary() {
                side.read += summary.read_rows().unwrap_or(0);
                side.server += Duration::from_nanos(summary.elapsed_ns().unwrap_or(0));
            }
            Ok(rows)
        };
        let object = &self.ch.object;
        match tokio::time::timeout(self.limit, ask).await {
            Ok(answer) => answer.map_err(|e| trouble(object, &e)),
            Err(_) => Err(Trouble::new(Kind::Timeout, object, "a count did not answer in time")),
        }
    }

    /// The table and its active parts by partition: `None` for the parts when the user may not see them, and
    /// `None` for all of it when there is no such table.
    ///
    /// # Errors
    /// A statement fails.
    pub async fn parts(
        &self,
        spec: &Spec,
        side: &mut Side,
    ) -> Result<Option<(Known, Option<Parts>)>, Trouble> {
        let query = self.ch.query(sql::PARTS).bind(spec.ch);
        let (rows, shown): (Vec<PartRow>, bool) = match self.all(query, side).await {
            Err(trouble) if trouble.kind == Kind::Forbidden => (vec![], false),
            answer => (answer?, true),
        };
        let known = match rows.first() {
            Some(PartRow { path, engine, host, .. }) => {
                Some(Known { relation: parts::relation(path), engine: engine.clone(), host: host.clone() })
            }
            None => self.all(self.ch.query(sql::TABLE).bind(spec.ch), side).await?.pop(),
        };
        let mut all = Parts::new();
        for row in rows {
            let mutation = parts::mutation(&row.partition, &row.name);
            let part = Part { min: row.min, max: row.max, mutation, hash: row.hash };
            all.entry(row.partition).or_default().push(Active { name: row.name, rows: row.rows, part });
        }
        for parts in all.values_mut() {
            parts.sort_by_key(|active| active.part.min);
        }
        Ok(known.map(|known| (known, shown.then_some(all))))
    }
}
