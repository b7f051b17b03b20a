//! The share of requests that goes to v3, and the weight an object stores for it.

use std::fmt;

/// A target share in per cent, 0..=100, always absolute: a replay or a double key cannot shift twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Split(u8);

impl Split {
    /// Everything on v2.
    pub const V2: Self = Self(0);
    /// Everything on v3.
    pub const V3: Self = Self(100);

    /// `percent` of the requests to v3; `None` above 100.
    pub const fn new(percent: u8) -> Option<Self> {
        if percent <= 100 { Some(Self(percent)) } else { None }
    }

    /// The share in per cent.
    pub const fn percent(self) -> u8 {
        self.0
    }

    /// Reads what an operator types: digits, an optional `%`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.strip_suffix('%').map_or(text, str::trim_end);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok().and_then(Self::new)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// A weight as an object stores it: `value` parts of `total` go to v3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// Parts to v3, already clamped as the controller clamps.
    pub value: u32,
    /// Parts in all, above 0.
    pub total: u32,
}

impl Weight {
    /// The share in per cent, with its fraction (`canary-weight-total` 1000 allows 0.1 %).
    pub fn percent(self) -> f64 {
        f64::from(self.value) * 100.0 / f64::from(self.total.max(1))
    }

    /// The weight that stores `split` in `total` parts, rounded to the nearest part.
    pub fn of(split: Split, total: u32) -> Self {
        let parts = (u64::from(split.percent()) * u64::from(total) + 50) / 100;
        Self { value: u32::try_from(parts).unwrap_or(u32::MAX), total }
    }

    /// Whether this weight is `split` exactly as we would store it.
    pub fn is(self, split: Split) -> bool {
        self == Self::of(split, self.total)
    }

    /// The nearest whole split.
    pub fn split(self) -> Split {
        Split(self.percent().round().clamp(0.0, 100.0) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_targets() {
        assert_eq!(Split::parse("25"), Split::new(25));
        assert_eq!(Split::parse(" 100 % "), Some(Split::V3));
        for wrong in ["", "101", "-1", "2.5", "+5", "abc", "1000", "%"] {
            assert_eq!(Split::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn weights_of_other_totals() {
        let quarter = Split::parse("25").unwrap();
        assert_eq!(Weight::of(quarter, 1000).value, 250);
        assert!(Weight { value: 250, total: 1000 }.is(quarter));
        assert!((Weight { value: 5, total: 1000 }.percent() - 0.5).abs() < 1e-9);
    }
}
