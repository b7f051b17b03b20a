//! How old a reading is, in words that change seldom: an idle screen must not emit a byte a second.

use std::time::Duration;

use crate::domain::{Freshness, SourceId};

use super::context::Cx;
use super::line::Line;
use super::look::Tone;

/// An age in steps: 1 s up to 10 s, 5 s up to a minute, 30 s up to ten, then minutes, then ten minutes.
pub(crate) fn quantised(age: Duration) -> String {
    let s = age.as_secs();
    match s {
        0..=9 => format!("{s}s"),
        10..=59 => format!("{}s", s / 5 * 5),
        60..=599 if s / 30 % 2 == 1 => format!("{}m30s", s / 60),
        60..=3_599 => format!("{}m", s / 60),
        3_600..=86_399 => format!("{}h{:02}m", s / 3_600, s % 3_600 / 600 * 10),
        _ => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// A time to go in at most five columns: `45s`, `9m05s`, `41m`, `2h07m`, `3d04h`, `99d+`.
pub(crate) fn to_go(left: Duration) -> String {
    let s = left.as_secs();
    match s {
        0..=59 => format!("{s}s"),
        60..=599 => format!("{}m{:02}s", s / 60, s % 60 / 5 * 5),
        600..=3_599 => format!("{}m", s / 60),
        3_600..=35_999 => format!("{}h{:02}m", s / 3_600, s % 3_600 / 60),
        36_000..=86_399 => format!("{}h", s / 3_600),
        86_400..=863_999 => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3_600),
        864_000..=8_639_999 => format!("{}d", s / 86_400),
        _ => "99d+".into(),
    }
}

/// The word for a reading that is not fresh, with its age; nothing for a fresh one.
pub(crate) fn word(freshness: Freshness) -> Option<(Tone, String)> {
    match freshness {
        Freshness::Late(age) => Some((Tone::Warn, format!("late {}", quantised(age)))),
        Freshness::Stale(age) => Some((Tone::Bad, format!("stale {}", quantised(age)))),
        Freshness::Unknown | Freshness::Fresh(_) => None,
    }
}

/// What stands at the right end of a pane's title: which of its sources are late or failing.
pub(crate) fn aside<'a>(cx: &Cx<'a>, sources: &[SourceId], columns: usize) -> Line<'a> {
    let mut parts: Vec<(Tone, String)> = Vec::new();
    for id in sources.iter().filter(|id| !cx.off(**id)) {
        let late = word(cx.facts.freshness(*id, cx.now.mono));
        // A source that fails is marked as long as it does; the age is that of what it still has.
        match (late, cx.facts.failure(*id).is_some()) {
            (Some((_, age)), true) => parts.push((Tone::Bad, format!("✗ {} {age}", id.name()))),
            (Some((tone, age)), false) => parts.push((tone, format!("{} {age}", id.name()))),
            (None, true) => parts.push((Tone::Bad, format!("{} failing", id.name()))),
            (None, false) => {}
        }
    }
    parts.sort_by_key(|(tone, _)| *tone != Tone::Bad);
    let mut line = Line::new();
    for (n, (tone, text)) in parts.iter().enumerate() {
        line = line.with(Tone::Dim, if n == 0 { "" } else { ", " }).with(*tone, text.clone());
    }
    if line.width() <= columns { line } else { counted(cx, sources) }
}

/// `2 failing, 1 late, 2m30s`: where there is no room to name them. Each counts once; the age is the oldest.
fn counted<'a>(cx: &Cx<'a>, sources: &[SourceId]) -> Line<'a> {
    let (mut failing, mut late, mut oldest) = (0, 0, None);
    for id in sources.iter().filter(|id| !cx.off(**id)) {
        let age = match cx.facts.freshness(*id, cx.now.mono) {
            Freshness::Late(age) | Freshness::Stale(age) => Some(age),
            Freshness::Unknown | Freshness::Fresh(_) => None,
        };
        oldest = oldest.max(age);
        if cx.facts.failure(*id).is_some() {
            failing += 1;
        } else if age.is_some() {
            late += 1;
        }
    }
    let count = |n: usize, word: &str| (n > 0).then(|| format!("{n} {word}"));
    let parts = [count(failing, "failing"), count(late, "late"), oldest.map(quantised)];
    Line::of(Tone::Bad, parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_change_seldom_and_never_go_back() {
        let texts = |range: std::ops::Range<u64>| {
            let mut all: Vec<String> = range.map(|s| quantised(Duration::from_secs(s))).collect();
            all.dedup();
            all.len()
        };
        assert_eq!((texts(0..10), texts(10..60), texts(60..600), texts(600..3_600)), (10, 10, 18, 50));
        assert_eq!(quantised(Duration::from_secs(95)), "1m30s");
        assert_eq!(quantised(Duration::from_secs(7_300)), "2h00m");
    }

    #[test]
    fn times_to_go_fit_five_columns() {
        for s in (0..2_000_000).step_by(97).chain([u64::MAX]) {
            assert!(to_go(Duration::from_secs(s)).len() <= 5, "{s}");
        }
    }
}
