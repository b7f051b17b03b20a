//! Bars and charts out of characters.
//!
//! One rule: charts sweep and never scroll. A reading belongs to the column of its time, the newest overwrites
//! the oldest, and a gap marks the present: a frame costs a few cells and not a whole row.

use std::time::Duration;

use crate::domain::{Mono, Series};

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A filled and an empty part that together take `columns`.
pub(crate) fn bar(share: f64, columns: usize) -> (String, String) {
    let share = share.clamp(0.0, 1.0);
    let mut full = (share * columns as f64).round() as usize;
    // Something is not nothing, and almost all is not all.
    if share > 0.0 && full == 0 && columns > 1 {
        full = 1;
    }
    if share < 1.0 && full == columns && columns > 1 {
        full -= 1;
    }
    ("█".repeat(full), "░".repeat(columns - full))
}

/// The series in `columns` characters of `step` each. Columns without a reading are blank.
pub(crate) fn sweep(series: &Series, columns: usize, step: Duration) -> String {
    let step = step.as_millis().max(1);
    let bucket = |at: Mono| at.0.as_millis() / step;
    let Some((newest, _)) = series.last() else {
        return " ".repeat(columns);
    };
    let wide = columns.max(2) as u128;
    let newest = bucket(newest);
    let mut values: Vec<Option<f64>> = vec![None; wide as usize];
    for (at, value) in series.iter().filter(|(at, _)| bucket(*at) + wide > newest + 1) {
        values[(bucket(at) % wide) as usize] = Some(value);
    }
    let top = round_up(values.iter().flatten().copied().fold(1.0, f64::max));
    let level = |v: f64| LEVELS[((v.max(0.0) / top * 7.0).round() as usize).min(7)];
    values.into_iter().take(columns).map(|v| v.map_or(' ', level)).collect()
}

/// The next of 1, 2, 5, 10, 20, 50 ...: a scale that changes seldom.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|top| *top >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_say_something_and_not_quite_all() {
        assert_eq!(bar(0.0, 4).0, "");
        assert_eq!(bar(0.01, 4).0, "█");
        assert_eq!(bar(0.99, 4), ("███".into(), "░".into()));
        assert_eq!(bar(1.0, 4).1, "");
    }

    #[test]
    fn one_more_reading_changes_two_columns() {
        let mut series = Series::new(120);
        for s in 0..40 {
            series.push(Mono::from_secs(s * 2), (s % 9) as f64);
        }
        let before = sweep(&series, 20, Duration::from_secs(2));
        series.push(Mono::from_secs(80), 4.0);
        let after = sweep(&series, 20, Duration::from_secs(2));
        let changed = before.chars().zip(after.chars()).filter(|(a, b)| a != b).count();
        assert!(changed <= 2, "{before:?} {after:?}");
        assert_eq!(after.chars().filter(|c| *c == ' ').count(), 1, "the gap marks the present");
    }
}
