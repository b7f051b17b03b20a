//! The one description of the four tables that move: their columns on both sides and the rule between them.
//!
//! One rule: adding a column is adding one row here (sheet: Langfuse's `convertPostgres*ToInsert`, v3.29 to v3.225).

mod column;
mod dataset_run_items;
mod live;
mod observations;
mod scores;
mod traces;

#[cfg(test)]
mod tests;

pub use column::{Back, Column, Compare, Rule, Tier};
pub use live::{Live, Mapped, Mapping, is_replicated};

use crate::domain::backfill::Table;

/// A table on both sides.
#[derive(Debug)]
pub struct Spec {
    /// Which one.
    pub table: Table,
    /// Its name in ClickHouse.
    pub ch: &'static str,
    /// `FROM` of the forward copy: the table as `t`, and what Langfuse's worker joins to it.
    pub from: &'static str,
    /// The business time: ClickHouse's partition and the version of a copied row, on both sides the same name
    /// except for `dataset_run_items` (`created_at`).
    pub time: &'static str,
    /// Columns of ClickHouse's sorting key before `id`, without the day: two rows of one id that differ in one
    /// of them are never merged.
    pub sorted_by: &'static [&'static str],
    /// In any order; `id` and `project_id` come first.
    pub columns: &'static [Column],
    /// PostgreSQL columns that ClickHouse has no place for.
    pub lost: &'static [&'static str],
}

/// The description of a table.
pub const fn spec(table: Table) -> &'static Spec {
    match table {
        Table::Traces => &traces::SPEC,
        Table::Observations => &observations::SPEC,
        Table::Scores => &scores::SPEC,
        Table::DatasetRunItems => &dataset_run_items::SPEC,
    }
}

impl Spec {
    /// The table's name in PostgreSQL.
    pub const fn pg(&self) -> &'static str {
        self.table.name()
    }

    /// The column of this ClickHouse name.
    pub fn column(&self, ch: &str) -> Option<&'static Column> {
        self.columns.iter().find(|c| c.ch == ch)
    }
}
