//! The last comparison of a table: what was compared, when, and with what result.
//!
//! One rule: a result is worth something for a day; after that the table counts as not compared.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backfill::Table;
use super::units::{grouped, span};

/// How long a result is worth something.
pub const FRESH: Duration = Duration::from_hours(24);

/// How closely rows were compared; each includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// Whether every row is there.
    Key,
    /// Every column but the JSON ones.
    Scalar,
    /// Every column.
    All,
}

/// The result of comparing one whole table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The table.
    pub table: Table,
    /// How closely.
    pub depth: Depth,
    /// When the comparison began.
    pub at: Timestamp,
    /// Rows of v2 that were compared.
    pub rows: u64,
    /// Rows that somebody has to do something about.
    pub wrong: u64,
}

impl Verified {
    /// Time since it began; zero for one from the future.
    pub fn age(&self, now: Timestamp) -> Duration {
        now.duration_since(self.at).try_into().unwrap_or_default()
    }

    /// Whether it is younger than a day.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.age(now) < FRESH
    }

    /// "verified 3h00m ago, 0 differences in 12 345 678 rows".
    pub fn text(&self, now: Timestamp) -> String {
        let differences = match self.wrong {
            1 => "1 difference".to_owned(),
            wrong => format!("{} differences", grouped(wrong)),
        };
        let (ago, rows) = (span(self.age(now)), grouped(self.rows));
        format!("verified {ago} ago, {differences} in {rows} rows")
    }
}

/// Whether these tables were all compared within a day and nothing is wrong; otherwise why not, for a guard.
///
/// # Errors
/// The first table that is in the way, in words.
pub fn all_fresh(tables: &[Table], results: &[Verified], now: Timestamp) -> Result<(), String> {
    for table in tables {
        let name = table.name();
        let of = |v: &&Verified| v.table == *table && v.depth >= Depth::Scalar;
        match results.iter().filter(of).max_by_key(|v| v.at) {
            None => return Err(format!("{name} was never compared: run cutover verify")),
            Some(v) if v.wrong > 0 => return Err(format!("{name}: {}", v.text(now))),
            Some(v) if !v.is_fresh(now) => {
                return Err(format!("{name}: {}, which is too old: run cutover verify", v.text(now)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Now;

    #[test]
    fn a_result_expires() {
        let result = |wrong| Verified {
            table: Table::Traces,
            depth: Depth::Scalar,
            at: Now::at(0).wall,
            rows: 12_345_678,
            wrong,
        };
        let (soon, late) = (Now::at(3 * 3600).wall, Now::at(25 * 3600).wall);
        assert_eq!(result(0).text(soon), "verified 3h00m ago, 0 differences in 12 345 678 rows");
        let asked = |results: &[Verified], now| all_fresh(&[Table::Traces], results, now);
        assert_eq!(asked(&[result(0)], soon), Ok(()));
        assert!(asked(&[result(0)], late).unwrap_err().contains("too old"));
        assert!(asked(&[result(1)], soon).unwrap_err().contains("1 difference in"));
        assert!(asked(&[Verified { depth: Depth::Key, ..result(0) }], soon).unwrap_err().contains("never"));
        assert!(all_fresh(&Table::BACKFILLED, &[result(0)], soon).unwrap_err().starts_with("observations"));
    }
}
