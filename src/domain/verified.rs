//! The last comparison of a table: what was compared, when, and with what result.
//!
//! One rule: bad news stands until a newer run that would have seen it says otherwise; good news is worth something
//! for a day.
//!
//! | a run | proves | answers for older results |
//! |---|---|---|
//! | of the whole table, nothing wrong | for a day, that each row is there (`Key`), or is the same as far as it looked | of its depth and shallower ones, of the table and of its parts |
//! | of the whole table, something wrong | that something is wrong, until a newer run as deep as it finds nothing | the same |
//! | of a part, something wrong | the same | of its depth and shallower ones, of the same part |
//! | of a part, nothing wrong | nothing about the table | the same |
//!
//! So a shallower run that finds nothing says nothing about what a deeper one found: the columns that differed were
//! not looked at.

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

impl Depth {
    /// "ids alone", "all columns but JSON", "all columns".
    pub const fn word(self) -> &'static str {
        match self {
            Self::Key => "ids alone",
            Self::Scalar => "all columns but JSON",
            Self::All => "all columns",
        }
    }
}

/// The result of comparing a table, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The table.
    pub table: Table,
    /// How closely.
    pub depth: Depth,
    /// The moment that the result speaks of: when the comparison began, or up to which the servers that answered
    /// had come.
    pub at: Timestamp,
    /// Rows of v2 that were compared.
    pub rows: u64,
    /// Rows that somebody has to do something about.
    pub wrong: u64,
    /// Which part of the table, in words; nothing for all of it.
    pub part: Option<String>,
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

    /// Whether it answers for an older result of the same table: see the table of this module.
    pub fn replaces(&self, older: &Self) -> bool {
        let covers = self.part.is_none() || self.part == older.part;
        self.table == older.table && covers && self.depth >= older.depth && self.at >= older.at
    }

    /// "verified 3h00m ago, 0 differences in 12 345 678 rows (all columns)".
    pub fn text(&self, now: Timestamp) -> String {
        let differences = match self.wrong {
            1 => "1 difference".to_owned(),
            wrong => format!("{} differences", grouped(wrong)),
        };
        let (ago, rows, depth) = (span(self.age(now)), grouped(self.rows), self.depth.word());
        let part = self.part.as_ref().map(|part| format!(", {part}")).unwrap_or_default();
        format!("verified {ago} ago, {differences} in {rows} rows ({depth}{part})")
    }
}

/// The result of a table that counts: bad news that stands, the newest of it; otherwise the newest good news that
/// says more than that the rows are there, or that.
pub fn counting(table: Table, results: &[Verified]) -> Option<&Verified> {
    let of = || results.iter().filter(|v| v.table == table);
    let stands = |bad: &&Verified| bad.wrong > 0 && !of().any(|v| v.wrong == 0 && v.replaces(bad));
    let good = of().filter(|v| v.wrong == 0 && v.part.is_none());
    let newest = of().filter(stands).max_by_key(|v| v.at);
    newest.or_else(|| good.max_by_key(|v| (v.depth > Depth::Key, v.at)))
}

/// Why a table is not proven to be the same.
enum Unproven {
    /// Nobody has looked lately, or only at the ids.
    Asks(String),
    /// It is known to differ, lately.
    Differs(String),
}

fn judge(table: Table, results: &[Verified], now: Timestamp) -> Result<(), Unproven> {
    let name = table.name();
    let Some(v) = counting(table, results) else {
        return Err(Unproven::Asks(format!("{name} was never compared: run cutover verify")));
    };
    let text = format!("{name}: {}", v.text(now));
    match (v.is_fresh(now), v.wrong, v.depth) {
        (false, ..) => Err(Unproven::Asks(format!("{text}, which is too old: run cutover verify"))),
        (true, 1.., _) => Err(Unproven::Differs(text)),
        (true, 0, Depth::Key) => Err(Unproven::Asks(format!("{text}: run cutover verify"))),
        (true, 0, Depth::Scalar | Depth::All) => Ok(()),
    }
}

/// Whether these tables were all compared within a day and nothing is wrong; otherwise why not, for a guard.
///
/// # Errors
/// The first table that is in the way, in words.
pub fn all_fresh(tables: &[Table], results: &[Verified], now: Timestamp) -> Result<(), String> {
    tables.iter().try_for_each(|table| judge(*table, results, now)).map_err(|why| match why {
        Unproven::Asks(why) | Unproven::Differs(why) => why,
    })
}

/// The first of these tables that nobody has compared within a day, whatever was found: a table that v2 still writes to
/// differs for as long as it does.
pub fn unlooked(tables: &[Table], results: &[Verified], now: Timestamp) -> Option<String> {
    tables.iter().find_map(|table| match judge(*table, results, now) {
        Err(Unproven::Asks(why)) => Some(why),
        Ok(()) | Err(Unproven::Differs(_)) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Now;

    fn result(depth: Depth, hour: i64, wrong: u64) -> Verified {
        let at = Now::at(hour.cast_unsigned() * 3600).wall;
        Verified { table: Table::Traces, depth, at, rows: 12_345_678, wrong, part: None }
    }

    fn part(depth: Depth, hour: i64, wrong: u64) -> Verified {
        Verified { part: Some("project p".into()), ..result(depth, hour, wrong) }
    }

    #[test]
    fn a_result_expires() {
        let scalar = |wrong| result(Depth::Scalar, 0, wrong);
        let (soon, late) = (Now::at(3 * 3600).wall, Now::at(25 * 3600).wall);
        assert_eq!(
            scalar(0).text(soon),
            "verified 3h00m ago, 0 differences in 12 345 678 rows (all columns but JSON)"
        );
        let asked = |results: &[Verified], now| all_fresh(&[Table::Traces], results, now);
        assert_eq!(asked(&[scalar(0)], soon), Ok(()));
        assert!(asked(&[scalar(0)], late).unwrap_err().contains("too old"));
        assert!(asked(&[scalar(1)], soon).unwrap_err().contains("1 difference in"));
        assert!(
            asked(&[result(Depth::Key, 0, 0)], soon).unwrap_err().contains("(ids alone): run cutover verify")
        );
        assert!(asked(&[part(Depth::All, 0, 0)], soon).unwrap_err().contains("never"));
        let looked = |results: &[Verified], now| unlooked(&[Table::Traces], results, now);
        assert_eq!((looked(&[scalar(0)], soon), looked(&[scalar(1)], soon)), (None, None));
        for (results, now) in [(&[][..], soon), (&[scalar(1)], late), (&[result(Depth::Key, 0, 0)], soon)] {
            assert!(looked(results, now).is_some_and(|why| why.contains("run cutover verify")));
        }
        assert!(all_fresh(&Table::BACKFILLED, &[scalar(0)], soon).unwrap_err().starts_with("observations"));
    }

    #[test]
    fn bad_news_stands_until_a_run_that_would_have_seen_it() {
        use Depth::{All, Key, Scalar};
        // Results in any order, and whether they are proof together at hour 9.
        let cases: [(&str, &[Verified], bool); 11] = [
            ("found in a part later", &[result(Scalar, 1, 0), part(Scalar, 2, 1)], false),
            ("found in a part, by ids", &[result(All, 1, 0), part(Key, 2, 1)], false),
            ("and the whole was read again", &[part(Scalar, 2, 1), result(Scalar, 3, 0)], true),
            (
                "and the same part was read again",
                &[result(Scalar, 1, 0), part(Scalar, 2, 1), part(All, 3, 0)],
                true,
            ),
            ("but not as closely", &[result(All, 1, 0), part(All, 2, 1), part(Scalar, 3, 0)], false),
            ("found in JSON, which nobody read again", &[result(All, 1, 3), result(Scalar, 2, 0)], false),
            ("found in JSON, and gone", &[result(All, 1, 3), result(All, 2, 0)], true),
            ("found in scalars, and gone for a deeper run", &[result(Scalar, 1, 3), result(All, 2, 0)], true),
            ("found by ids after a deep run", &[result(All, 1, 0), result(Key, 2, 3)], false),
            ("ids are there, scalars were the same", &[result(Scalar, 1, 0), result(Key, 2, 0)], true),
            ("what was good before says nothing", &[result(All, 1, 0), result(All, 2, 1)], false),
        ];
        for (what, results, proof) in cases {
            let now = Now::at(9 * 3600).wall;
            let mut turned = results.to_vec();
            turned.reverse();
            for results in [results, &turned] {
                let said = all_fresh(&[Table::Traces], results, now);
                assert_eq!(said.is_ok(), proof, "{what}: {said:?}");
            }
            // A folder that keeps what nothing newer answers for says the same.
            let mut kept: Vec<Verified> = vec![];
            for result in results {
                kept.retain(|old| !result.replaces(old));
                if result.part.is_none() || result.wrong > 0 {
                    kept.push(result.clone());
                }
            }
            assert_eq!(all_fresh(&[Table::Traces], &kept, now).is_ok(), proof, "{what}, kept");
        }
    }
}
