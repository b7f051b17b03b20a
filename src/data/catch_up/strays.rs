//! Entities that ClickHouse has under two times or two sorting keys: one stretch may hold their copy and another what v3
//! wrote over it, so that neither looks wrong by itself.
//!
//! One rule: memory holds a number for each of them; two of the same number cost a look and hide nothing.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use ::clickhouse::Row;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::run::goes_on;
use crate::clients::work::ClickhouseWork;
use crate::data::rows::Key;
use crate::data::tables::Spec;
use crate::domain::Trouble;

/// Ids that one statement groups.
const SLICE: u64 = 4_000_000;

/// Who they are.
#[derive(Debug, Default)]
pub(super) struct Strays {
    hasher: RandomState,
    numbers: HashSet<u64>,
}

#[derive(Row, Deserialize)]
struct Stray {
    project_id: String,
    id: String,
}

impl Strays {
    /// Searches all of a table; each id is read once for every slice, so that the server's memory is bounded.
    ///
    /// # Errors
    /// A statement fails, or it is told to end.
    pub(super) async fn search(
        ch: &ClickhouseWork,
        spec: &Spec,
        stop: &CancellationToken,
    ) -> Result<Self, Trouble> {
        let rows: u64 = ch.ask.one(ch.query(&format!("SELECT count() FROM {}", spec.ch))).await?;
        let slices = rows.div_ceil(SLICE).max(1);
        let mut strays = Self::default();
        let statement = statement(spec);
        let trouble = |e| ch.trouble(&e);
        for slice in 0..slices {
            goes_on(stop)?;
            let query = ch.query(&statement).bind(slices).bind(slice);
            let mut cursor = query.fetch::<Stray>().map_err(trouble)?;
            while let Some(Stray { project_id, id }) = cursor.next().await.map_err(trouble)? {
                strays.numbers.insert(strays.hasher.hash_one(Key { project: project_id, id }));
            }
        }
        Ok(strays)
    }

    /// Whether it is one of them, or has the number of one.
    pub(super) fn may_hold(&self, key: &Key) -> bool {
        !self.numbers.is_empty() && self.numbers.contains(&self.hasher.hash_one(key))
    }
}

fn statement(spec: &Spec) -> String {
    let keys = spec.sorted_by.iter().filter(|column| **column != "project_id");
    let apart: String =
        keys.map(|key| format!(" OR min(cityHash64(`{key}`)) != max(cityHash64(`{key}`))")).collect();
    format!(
        "SELECT project_id, id FROM {table} \
         WHERE cityHash64(id) % ? = ? AND isValidUTF8(id) AND isValidUTF8(project_id) \
         GROUP BY project_id, id HAVING min(`{time}`) != max(`{time}`){apart}",
        table = spec.ch,
        time = spec.time
    )
}
