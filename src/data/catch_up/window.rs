//! Both sides of one stretch of the business time, row by row: which rows are worth a whole look.
//!
//! One rule: memory follows the rows of v2 in the stretch; what only v3 has streams past, and an id that is not UTF-8 is
//! none of v2's.

use std::collections::HashMap;

use ::clickhouse::Row;
use futures::StreamExt as _;
use serde::Deserialize;
use sqlx::PgConnection;

use super::merge::is_old;
use super::strays::Strays;
use crate::clients::work::{ClickhouseWork, PostgresWork};
use crate::data::backfill::range::{Range, at};
use crate::data::convert::Field;
use crate::data::copied::was_copied;
use crate::data::copy_out::CopyOut;
use crate::data::rows::Key;
use crate::data::tables::Mapping;
use crate::domain::latency::CANARY;
use crate::domain::{Kind, Trouble};

/// What `DateTime64(3)` holds, in milliseconds: the years 1900 to 2299.
const FIRST: i64 = -2_208_988_800_000;
const LAST: i64 = 10_413_792_000_000;

/// What is known of a row of v2 before it is read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Light {
    updated: i64,
    seen: Option<Seen>,
}

/// What ClickHouse has in the stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    version: i64,
    time: i64,
    updated: i64,
}

#[derive(Row, Deserialize)]
struct Winner {
    project_id: String,
    id: String,
    at_ms: i64,
    event_ms: i64,
    updated_ms: i64,
}

/// The rows of a stretch that both sides are asked for.
pub(super) struct Window<'a> {
    pub(super) pg: &'a PostgresWork,
    pub(super) ch: &'a ClickhouseWork,
    pub(super) mapping: &'a Mapping,
    /// Rows created above this moment only, in milliseconds: what is below is left to the backfill.
    pub(super) above: Option<i64>,
    pub(super) strays: Strays,
}

impl Window<'_> {
    /// Candidates of a stretch, and how many rows of v2 were looked at.
    ///
    /// # Errors
    /// A side cannot be read.
    pub(super) async fn candidates(
        &self,
        session: &mut PgConnection,
        range: &Range,
    ) -> Result<(Vec<Key>, u64), Trouble> {
        let mut rows = self.of_v2(session, range).await?;
        self.of_v3(range, &mut rows).await?;
        let looked_at = rows.len() as u64;
        let worth = rows.into_iter().filter(|(key, row)| row.is_candidate() || self.strays.may_hold(key));
        Ok((worth.map(|(key, _)| key).collect(), looked_at))
    }

    async fn of_v2(&self, session: &mut PgConnection, range: &Range) -> Result<HashMap<Key, Light>, Trouble> {
        let above = self.above.map_or_else(String::new, |above| format!(" AND t.created_at > {}", at(above)));
        let query = format!(
            "SELECT t.id, t.project_id, t.updated_at FROM {} WHERE {}{above} \
             AND NOT starts_with(t.id, '{CANARY}')",
            self.mapping.spec.from,
            range.condition()
        );
        let mut rows = HashMap::new();
        let mut stream = self.pg.copy_out(session, &query).await?;
        let broken =
            |e: &dyn std::fmt::Display| Trouble::new(Kind::Unexpected, &self.pg.object, e.to_string());
        let mut copy = CopyOut::default();
        while let Some(chunk) = stream.next().await {
            copy.push(&chunk?);
            while let Some(fields) = copy.row().map_err(|e| broken(&e))? {
                rows.insert(Key::of(&fields), light(&fields));
            }
        }
        copy.finish().map_err(|e| broken(&e))?;
        Ok(rows)
    }

    async fn of_v3(&self, range: &Range, rows: &mut HashMap<Key, Light>) -> Result<(), Trouble> {
        let time = self.mapping.spec.time;
        let moment = |millis: i64| format!("fromUnixTimestamp64Milli(toInt64({millis}))");
        let from = range.from.filter(|from| *from > FIRST);
        let from = from.map_or_else(String::new, |from| format!(" AND `{time}` >= {}", moment(from)));
        let statement = format!(
            "SELECT project_id, id, toUnixTimestamp64Milli(`{time}`) AS at_ms, \
             toUnixTimestamp64Milli(event_ts) AS event_ms, toUnixTimestamp64Milli(updated_at) AS updated_ms \
             FROM {} WHERE `{time}` < {}{from} AND isValidUTF8(id) AND isValidUTF8(project_id)",
            self.mapping.spec.ch,
            moment(range.below.min(LAST))
        );
        let trouble = |e| self.ch.trouble(&e);
        let mut cursor = self.ch.query(&statement).fetch::<Winner>().map_err(trouble)?;
        while let Some(seen) = cursor.next().await.map_err(trouble)? {
            let key = Key { project: seen.project_id.clone(), id: seen.id.clone() };
            if let Some(row) = rows.get_mut(&key) {
                let Winner { at_ms: time, event_ms: version, updated_ms: updated, .. } = seen;
                row.see(Seen { version, time, updated });
            }
        }
        Ok(())
    }
}

impl Light {
    /// The newest version counts; of two alike the one that v2 changed last.
    fn see(&mut self, seen: Seen) {
        let newer = |known: Seen| (seen.version, seen.updated) > (known.version, known.updated);
        if self.seen.is_none_or(newer) {
            self.seen = Some(seen);
        }
    }

    /// Not there, changed since, or written by v3: only a whole look can tell what v3 knew.
    fn is_candidate(&self) -> bool {
        let worth = |seen: Seen| {
            is_old(seen.updated, self.updated) || !was_copied(seen.version, seen.time, seen.updated)
        };
        self.seen.is_none_or(worth)
    }
}

fn light(fields: &[Field<'_>]) -> Light {
    let field = |at: usize| fields.get(at).copied().unwrap_or(Field(None));
    // A moment that cannot be read is for the conversion to refuse.
    let updated = field(2).millis().ok().flatten().unwrap_or(0);
    Light { updated, seen: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worth_a_whole_look() {
        let copy = |time| Seen { version: time, time, updated: 7 };
        let row = |seen: &[Seen]| {
            let mut row = Light { updated: 7, seen: None };
            for seen in seen {
                row.see(*seen);
            }
            row.is_candidate()
        };
        assert!(row(&[]), "not there");
        assert!(!row(&[copy(3), copy(3)]), "copied, twice, the same");
        assert!(row(&[Seen { updated: 6, ..copy(3) }]), "changed since");
        assert!(row(&[Seen { updated: 8, ..copy(3) }]), "changed since, by a clock that was set back");
        assert!(
            !row(&[Seen { updated: 1_700_000_000_000_000, ..copy(3) }]),
            "stored a thousand times too large"
        );
        assert!(row(&[copy(3), Seen { version: 4000, ..copy(3) }]), "v3 wrote it");
    }
}
