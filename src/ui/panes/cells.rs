//! How single values are written, the same in every pane.

use jiff::Timestamp;

use crate::domain::SourceId;
use crate::domain::units::{self, Count};

use super::super::context::Cx;
use super::super::line::{Span, dim, span};
use super::super::look::Tone;
use super::super::table::unknown;

/// `20 %`, `0.5 %`. Almost nothing is not nothing, and almost all is not all.
pub(crate) fn percent(value: f64) -> String {
    if value > 0.0 && value < 0.05 {
        "<0.1 %".into()
    } else if (99.95..100.0).contains(&value) {
        ">99.9 %".into()
    } else if (value - value.round()).abs() < 0.05 {
        format!("{value:.0} %")
    } else {
        format!("{value:.1} %")
    }
}

/// A share done in whole per cent: 100 only when it is all.
pub(crate) fn done(share: f64) -> String {
    format!("{}%", (share.clamp(0.0, 1.0) * 100.0).floor() as u8)
}

/// A count in full, or in five characters.
pub(crate) fn count<'a>(cx: &Cx<'a>, id: SourceId, count: Option<Count>, full: bool) -> Span<'a> {
    let Some(count) = count else { return unknown() };
    let text = if full || count.value < 10_000 {
        count.text()
    } else {
        format!("{}{}", if count.estimate { "~" } else { "" }, units::short(count.value as f64))
    };
    cx.value(id, text)
}

/// A number that is good at 0.
pub(crate) fn blame<'a>(cx: &Cx<'a>, id: SourceId, value: u64, tone: Tone) -> Span<'a> {
    let text = units::short(value as f64);
    if value == 0 { span(cx.tone(id, Tone::Dim), text) } else { span(cx.tone(id, tone), text) }
}

/// `13:05`.
pub(crate) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M").to_string()
}

/// `2026-01-31 13:05`.
pub(crate) fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// ` · ` between parts of a line.
pub(crate) fn dot<'a>() -> Span<'a> {
    dim(" · ")
}

/// The sum of counts; an estimate when one of them is; `None` when one is unknown.
pub(crate) fn sum(counts: impl Iterator<Item = Option<Count>>) -> Option<Count> {
    counts.reduce(|a, b| {
        let (a, b) = (a?, b?);
        Some(Count { value: a.value.saturating_add(b.value), estimate: a.estimate || b.estimate })
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        assert_eq!(percent(20.0), "20 %");
        assert_eq!(percent(0.5), "0.5 %");
        assert_eq!(percent(19.96), "20 %");
        assert_eq!([0.0, 0.01, 99.99, 100.0].map(percent), ["0 %", "<0.1 %", ">99.9 %", "100 %"]);
        assert_eq!(done(0.9999), "99%");
        assert_eq!(sum([Some(Count::exact(1)), None].into_iter()), None);
        assert_eq!(sum([Some(Count::exact(1)), Some(Count::about(2))].into_iter()), Some(Count::about(3)));
    }
}
