//! Lengths of time as scenarios and commands write them: `500ms`, `20s`, `2m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(pub Duration);

impl Period {
    /// So many seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no length of time; write 500ms, 20s or 2m");
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let count: u64 = digits.parse().map_err(|_| wrong())?;
        match text.get(digits.len()..) {
            Some("ms") => Ok(Self(Duration::from_millis(count))),
            Some("s") => Ok(Self(Duration::from_secs(count))),
            Some("m") => count.checked_mul(60).map(Self::seconds).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis.is_multiple_of(1000) { write!(f, "{}s", millis / 1000) } else { write!(f, "{millis}ms") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("500ms", Some(500))]
    #[case("20s", Some(20_000))]
    #[case("2m", Some(120_000))]
    #[case("2", None)]
    #[case("-2s", None)]
    #[case("999999999999999999m", None)]
    #[case("2 s", None)]
    fn periods(#[case] text: &str, #[case] millis: Option<u64>) {
        assert_eq!(text.parse::<Period>().ok(), millis.map(|millis| Period(Duration::from_millis(millis))));
    }
}
