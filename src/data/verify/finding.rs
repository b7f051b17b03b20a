//! What can be wrong with a row, in one table.
//!
//! One rule: whether a difference counts as wrong depends on which side has to be complete; nothing else decides it.

use serde::Serialize;

use crate::domain::backfill::Table;

/// Which side has to hold everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// v3: has everything of v2 arrived?
    #[default]
    V3,
    /// PostgreSQL: could v2 take over again?
    Pg,
}

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// v2 has it, v3 does not.
    Missing,
    /// The same, and the backfill has not come to it yet.
    Pending,
    /// v3 has a copy of it, v2 does not.
    Extra,
    /// The copy holds other values.
    Changed,
    /// The copy holds the values of before an update in v2.
    Stale,
    /// v3 wrote a row with fewer fields that wins over the copy.
    Overwritten,
    /// v3 has it under another time or sorting key, or twice.
    Moved,
    /// It was deleted in v3.
    Deleted,
    /// v3 wrote it itself; v2 does not know it.
    V3Only,
    /// v3 wrote newer values over the copy and lost none.
    V3Updated,
    /// A canary of `cutover`'s own, written to one side on purpose.
    Probe,
    /// In v2, and not in v3 by what was read: one of too many to be looked at one by one.
    V2Alone,
    /// Copied into v3, and not in v2 by what was read: one of too many to be looked at one by one.
    V3Alone,
    /// Numbers of its JSON lost digits beyond 2^53, as in Langfuse's own copy.
    Precision,
}

impl Difference {
    /// Word, meaning, wrong when v3 has to be complete, wrong when PostgreSQL has to be.
    const TABLE: [(Self, &'static str, &'static str, bool, bool); 14] = [
        (Self::Missing, "missing", "in v2, not in v3", true, false),
        (Self::Pending, "pending", "not copied yet: the backfill has not come to it", true, false),
        (Self::Extra, "extra", "copied into v3, no longer in v2", true, true),
        (Self::Changed, "changed", "copied, with other values", true, true),
        (Self::Stale, "stale", "copied, then updated in v2", true, false),
        (
            Self::Overwritten,
            "overwritten",
            "v3 wrote a row with fewer fields that wins over the copy",
            true,
            true,
        ),
        (Self::Moved, "moved", "in v3 under another time or sorting key, or twice", true, true),
        (Self::Deleted, "deleted", "deleted in v3, still in v2", false, true),
        (Self::V3Only, "v3-only", "written by v3 itself, unknown to v2", false, true),
        (Self::V3Updated, "v3-updated", "newer values written by v3, none lost", false, true),
        (
            Self::V2Alone,
            "v2-alone",
            "in v2, not in v3; too many to be looked at: missing, pending or deleted",
            true,
            false,
        ),
        (
            Self::V3Alone,
            "v3-alone",
            "copied into v3, not in v2 there; too many to be looked at: extra or moved",
            true,
            true,
        ),
        (Self::Probe, "probe", "a canary of cutover's own", false, false),
        (
            Self::Precision,
            "precision",
            "JSON numbers beyond 2^53 lost digits, as in Langfuse's own copy",
            false,
            false,
        ),
    ];

    /// In the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|row| row.0)
    }

    fn row(self) -> &'static (Self, &'static str, &'static str, bool, bool) {
        Self::TABLE.iter().find(|row| row.0 == self).unwrap_or(&Self::TABLE[0])
    }

    /// "missing".
    pub fn word(self) -> &'static str {
        self.row().1
    }

    /// "in v2, not in v3".
    pub fn meaning(self) -> &'static str {
        self.row().2
    }

    /// Whether it is a difference that somebody has to do something about.
    pub fn is_wrong(self, against: Against) -> bool {
        match against {
            Against::V3 => self.row().3,
            Against::Pg => self.row().4,
        }
    }
}

/// One row that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Its table.
    #[serde(serialize_with = "table_name")]
    pub table: Table,
    /// How it differs.
    pub difference: Difference,
    /// `project_id`.
    pub project: String,
    /// `id`.
    pub id: String,
    /// The columns that differ, by their ClickHouse names.
    pub columns: Vec<Values>,
    /// What else is to be said: why it cannot be copied, where it is instead.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The hours of its rows on both sides, since 1970.
    #[serde(skip)]
    pub hours: Vec<i64>,
}

impl Finding {
    /// The days of its rows on both sides, since 1970.
    pub fn days(&self) -> Vec<i64> {
        self.hours.iter().map(|hour| hour.div_euclid(24)).collect()
    }

    /// Whether its rows stand in different hours, so that it may be met twice.
    pub fn is_in_two_hours(&self) -> bool {
        self.hours.iter().any(|hour| Some(hour) != self.hours.first())
    }
}

/// One column of a row that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Values {
    /// Its ClickHouse name.
    pub column: &'static str,
    /// What v2 holds, as v3 would store it; only when values were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v2: Option<String>,
    /// What v3 holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v3: Option<String>,
}

impl Values {
    /// The same without the values.
    #[must_use]
    pub const fn bare(&self) -> Self {
        Self { column: self.column, v2: None, v3: None }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
pub(super) fn table_name<S: serde::Serializer>(table: &Table, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(table.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_has_one_row() {
        for difference in Difference::all() {
            assert_eq!(difference.row().0, difference);
            assert_eq!(serde_json::to_value(difference).unwrap(), difference.word());
        }
        assert!(!Difference::V3Only.is_wrong(Against::V3) && Difference::V3Only.is_wrong(Against::Pg));
    }
}
