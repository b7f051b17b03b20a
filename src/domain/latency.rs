//! What a client of Langfuse would see: probes, errors by kind, the share that was measured.

use std::time::Duration;

use super::Kind;

/// What the ids of our own probes' traces begin with: they are nobody's data.
pub const CANARY: &str = "cutover-canary-";

/// An address that is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// v2 by itself.
    V2,
    /// v3 by itself.
    V3,
    /// The public address, through the route.
    Public,
}

impl Endpoint {
    /// The word on screen.
    pub const fn word(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V3 => "v3",
            Self::Public => "public",
        }
    }
}

/// How a probe ended that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeError {
    /// An HTTP status that is not a success.
    Status(u16),
    /// No answer at all.
    Transport(Kind),
    /// Accepted, and not readable within the deadline.
    NotVisible,
    /// An answer that is not what Langfuse sends.
    Unexpected(String),
}

impl ProbeError {
    /// A short word for counting by kind: `503`, `timeout`, `not visible`.
    pub fn word(&self) -> String {
        match self {
            Self::Status(code) => code.to_string(),
            Self::Transport(kind) => kind.word().into(),
            Self::NotVisible => "not visible".into(),
            Self::Unexpected(_) => "unexpected".into(),
        }
    }
}

/// One round at one address. A canary trace is written to a project of its own and read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Which address.
    pub endpoint: Endpoint,
    /// `version` of `/api/public/health`, cleaned.
    pub version: Option<String>,
    /// Health check, until the last byte.
    pub health: Result<Duration, ProbeError>,
    /// Canary write, until the 207; `None` without a canary project in the configuration.
    pub accept: Option<Result<Duration, ProbeError>>,
    /// From the write's start until the canary could be read; arrives rounds later than its write.
    pub visible: Option<Result<Duration, ProbeError>>,
}

/// Which version answered at the public address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShareFact {
    /// Answers by v2.
    pub v2: u32,
    /// Answers by v3.
    pub v3: u32,
    /// Answers that told no version, and errors.
    pub unknown: u32,
}

/// The ingress controller's counters of the routes' host, summed over its replicas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ControllerFact {
    /// Requests sent to v2 since the controller started.
    pub v2_requests: u64,
    /// Requests sent to v3.
    pub v3_requests: u64,
    /// 5xx answers of v2.
    pub v2_errors: u64,
    /// 5xx answers of v3.
    pub v3_errors: u64,
    /// Requests that v2 answered with 404 as it answers OTLP, which it has no route for: any on a path of
    /// `/api/public/otel`, and POSTs where one path carries everything (langfuse.md 5.2; reading by a wrong id is
    /// a 404 of GET).
    pub v2_otlp_refused: u64,
    /// Controller pods that answered.
    pub replicas: u32,
}

/// 95 % Wilson score interval of `hits` in `trials`, as shares 0..=1; `None` without trials.
/// (E. B. Wilson 1927; holds near 0 and 1, where the normal approximation does not.)
pub fn wilson(hits: u64, trials: u64) -> Option<(f64, f64)> {
    const Z: f64 = 1.959_963_985;
    if trials == 0 {
        return None;
    }
    let n = trials as f64;
    let p = hits as f64 / n;
    let z2 = Z * Z;
    let middle = p + z2 / (2.0 * n);
    let half = Z * ((p * (1.0 - p) + z2 / (4.0 * n)) / n).sqrt();
    let scale = 1.0 + z2 / n;
    // At the ends the bound is the end itself; rounding would leave it beside it, where no share fits.
    let low = if hits == 0 { 0.0 } else { ((middle - half) / scale).max(0.0) };
    let high = if hits == trials { 1.0 } else { ((middle + half) / scale).min(1.0) };
    Some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_known_values() {
        assert_eq!(wilson(0, 0), None);
        let (low, high) = wilson(0, 10).unwrap();
        assert!(low.abs() < 1e-9 && (high - 0.2775).abs() < 1e-3, "{low} {high}");
        for n in 1..2_000 {
            assert!(wilson(0, n).unwrap().0 <= 0.0, "none of {n}");
            assert!(wilson(n, n).unwrap().1 >= 1.0, "all of {n}");
        }
        let (low, high) = wilson(25, 100).unwrap();
        assert!((low - 0.1755).abs() < 1e-3 && (high - 0.3430).abs() < 1e-3, "{low} {high}");
    }
}
