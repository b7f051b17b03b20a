//! When a fault comes: `split >= 25`, on a few readings of the running rehearsal.

use std::str::FromStr;

use serde::Deserialize;

/// What a condition can look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The canary weight that is stored, in per cent.
    Split,
    /// The share of requests that the canary got since the start, in per cent.
    Share,
    /// Background migrations that are finished.
    MigrationsFinished,
    /// Background migrations that hold a fresh lock: 0 or 1.
    MigrationsRunning,
}

/// Readings by the names they have in conditions.
const READINGS: [(&str, Reading); 4] = [
    ("split", Reading::Split),
    ("share", Reading::Share),
    ("migrations-finished", Reading::MigrationsFinished),
    ("migrations-running", Reading::MigrationsRunning),
];

/// How it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    Above,
    AtMost,
    Below,
    Equal,
}

const COMPARISONS: [(&str, Comparison); 5] = [
    (">=", Comparison::AtLeast),
    (">", Comparison::Above),
    ("<=", Comparison::AtMost),
    ("<", Comparison::Below),
    ("==", Comparison::Equal),
];

/// `READING COMPARISON NUMBER`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Condition {
    /// What it looks at.
    pub reading: Reading,
    comparison: Comparison,
    number: f64,
}

impl Condition {
    /// Whether it holds for a value of its reading.
    pub fn holds(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::AtLeast => value >= self.number,
            Comparison::Above => value > self.number,
            Comparison::AtMost => value <= self.number,
            Comparison::Below => value < self.number,
            Comparison::Equal => (value - self.number).abs() < 1e-9,
        }
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [reading, comparison, number] = words.as_slice() else {
            return Err(format!("{text:?} is no condition; write for example split >= 25"));
        };
        let reading = lookup(&READINGS, reading)?;
        let comparison = lookup(&COMPARISONS, comparison)?;
        let number = number.parse().map_err(|_| format!("{number:?} is no number"))?;
        Ok(Self { reading, comparison, number })
    }
}

fn lookup<T: Copy>(table: &[(&str, T)], word: &str) -> Result<T, String> {
    table.iter().find(|(known, _)| *known == word).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = table.iter().map(|(known, _)| *known).collect();
        format!("{word:?} is none of {}", known.join(", "))
    })
}

impl TryFrom<String> for Condition {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("split >= 25", 25.0, true)]
    #[case("split >= 25", 24.0, false)]
    #[case("share > 0", 0.0, false)]
    #[case("migrations-finished == 2", 2.0, true)]
    #[case("split <= 0", 0.0, true)]
    #[case("split < 1", 1.0, false)]
    fn conditions(#[case] text: &str, #[case] value: f64, #[case] holds: bool) {
        assert_eq!(text.parse::<Condition>().unwrap().holds(value), holds);
    }
}
