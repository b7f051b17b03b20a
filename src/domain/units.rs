//! Numbers as short text. One formatter for panes, verbs and logs, so that all of them say the same.

use std::time::Duration;

/// What stands where a number could not be read.
pub const UNKNOWN: &str = "-";

/// A count that may be an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// How many.
    pub value: u64,
    /// Whether it is only an estimate, drawn with `~`.
    pub estimate: bool,
}

impl Count {
    /// A count that was counted.
    pub const fn exact(value: u64) -> Self {
        Self { value, estimate: false }
    }

    /// A guess from statistics.
    pub const fn about(value: u64) -> Self {
        Self { value, estimate: true }
    }

    /// `1 234 567`, or `~1 234 567`.
    pub fn text(self) -> String {
        let tilde = if self.estimate { "~" } else { "" };
        format!("{tilde}{}", grouped(self.value))
    }
}

/// `1 234 567`.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

/// At most five characters: `999`, `12.3k`, `4.56M`, `7.89G`.
pub fn short(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        v if v < 1_000.0 => (value, ""),
        v if v < 1e6 => (value / 1e3, "k"),
        v if v < 1e9 => (value / 1e6, "M"),
        _ => (value / 1e9, "G"),
    };
    // By what is left after rounding: 99.96 is 100 and not 100.0.
    let digits = if suffix.is_empty() && scaled.fract() == 0.0 {
        0
    } else if scaled.abs() < 9.995 {
        2
    } else {
        usize::from(scaled.abs() < 99.95)
    };
    format!("{scaled:.digits$}{suffix}")
}

/// `12.3k/s`; `-` when unknown.
pub fn rate(per_second: Option<f64>) -> String {
    per_second.map_or_else(|| UNKNOWN.into(), |r| format!("{}/s", short(r)))
}

/// An age or an ETA: `0.4s`, `12s`, `3m05s`, `2h07m`, `3d04h`.
pub fn span(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0 => format!("{:.1}s", d.as_secs_f64()),
        1..=59 => format!("{s}s"),
        60..=3_599 => format!("{}m{:02}s", s / 60, s % 60),
        3_600..=86_399 => format!("{}h{:02}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// A latency: `0.4ms`, `12ms`, `1.20s`.
pub fn latency(d: Duration) -> String {
    let ms = d.as_secs_f64() * 1e3;
    if ms < 10.0 {
        format!("{ms:.1}ms")
    } else if ms < 1_000.0 {
        format!("{ms:.0}ms")
    } else {
        format!("{:.2}s", ms / 1e3)
    }
}

/// `12.3 MiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value} B") } else { format!("{scaled:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts() {
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(Count::about(1200).text(), "~1 200");
        assert_eq!(short(0.0), "0");
        assert_eq!(short(12_345.0), "12.3k");
        assert_eq!(short(4_560_000.0), "4.56M");
        for (value, text) in [(9_999.0, "10.0k"), (99_960.0, "100k"), (999_940.0, "1000k"), (99.97e6, "100M")]
        {
            assert_eq!(short(value), text);
        }
        assert_eq!(span(Duration::from_secs(185)), "3m05s");
        assert_eq!(span(Duration::from_millis(400)), "0.4s");
        assert_eq!(latency(Duration::from_micros(1_234_000)), "1.23s");
        assert_eq!(bytes(1_572_864), "1.5 MiB");
        assert_eq!(rate(None), "-");
    }
}
