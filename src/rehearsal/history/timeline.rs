//! When things happened: 90 days up to the newest trace, most of them lately.

use jiff::{Timestamp, tz::TimeZone};

const DAY_MS: i64 = 86_400_000;
const DAYS: i64 = 90;

/// The 90 days, with the text of every day ready: a million rows hold four times each.
pub(super) struct Timeline {
    newest: i64,
    traces: u64,
    tie_group: u64,
    first_day: i64,
    days: Vec<[u8; 11]>,
}

impl Timeline {
    pub(super) fn new(newest: Timestamp, traces: u64, tie_group: u64) -> Self {
        let newest = newest.as_millisecond();
        let first_day = (newest - DAYS * DAY_MS).div_euclid(DAY_MS) - 1;
        let days = (first_day..=newest.div_euclid(DAY_MS) + 1).map(day_text).collect();
        Self { newest, traces: traces.max(1), tie_group: tie_group.min(traces), first_day, days }
    }

    /// When trace `number` began, in epoch milliseconds: older numbers are older, and half of all traces fall
    /// into the last three weeks.
    pub(super) fn trace(&self, number: u64) -> i64 {
        let share = 1.0 - (number + 1) as f64 / self.traces as f64;
        self.newest - (share * share * (DAYS * DAY_MS) as f64) as i64
    }

    /// `created_at` of what belongs to trace `number`: a moment after `happened`, or the moment shared by the
    /// tie group of the oldest. What would come after the newest moment is put as long before it: were it all put
    /// on that moment, one score in a thousand of all would be a tie group nobody asked for.
    pub(super) fn created(&self, number: u64, happened: i64) -> i64 {
        let at = happened + 40;
        if number < self.tie_group { self.trace(self.tie_group) } else { at.min(2 * self.newest - at) }
    }

    /// Appends `YYYY-MM-DD HH:MM:SS.mmm`.
    pub(super) fn push(&self, out: &mut Vec<u8>, ms: i64) {
        let day = ms.div_euclid(DAY_MS);
        let last = self.days.len() - 1;
        out.extend_from_slice(&self.days[usize::try_from(day - self.first_day).unwrap_or(0).min(last)]);
        let of_day = ms.rem_euclid(DAY_MS) as u32;
        let (seconds, millis) = (of_day / 1000, of_day % 1000);
        let two = |number: u32| [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        out.extend_from_slice(&two(seconds / 3600));
        out.push(b':');
        out.extend_from_slice(&two(seconds / 60 % 60));
        out.push(b':');
        out.extend_from_slice(&two(seconds % 60));
        out.push(b'.');
        out.push(b'0' + (millis / 100) as u8);
        out.extend_from_slice(&two(millis % 100));
    }
}

fn day_text(day: i64) -> [u8; 11] {
    let start = Timestamp::from_millisecond(day * DAY_MS).unwrap_or(Timestamp::UNIX_EPOCH);
    let date = start.to_zoned(TimeZone::UTC).date();
    let mut text = [b' '; 11];
    for (place, byte) in text.iter_mut().zip(date.to_string().bytes()) {
        *place = byte;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(timeline: &Timeline, ms: i64) -> String {
        let mut out = Vec::new();
        timeline.push(&mut out, ms);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_written_as_postgresql_reads_them() {
        let newest: Timestamp = "2026-03-01T00:00:00.007Z".parse().unwrap();
        let timeline = Timeline::new(newest, 1000, 10);
        assert_eq!(text(&timeline, timeline.trace(999)), "2026-03-01 00:00:00.007");
        assert_eq!(text(&timeline, newest.as_millisecond() - 8), "2026-02-28 23:59:59.999");
        assert_eq!(&text(&timeline, timeline.trace(0))[..7], "2025-12");
    }

    #[test]
    fn nothing_is_created_after_the_newest_moment_nor_all_of_it_on_it() {
        let newest: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let timeline = Timeline::new(newest, 1000, 10);
        let newest = newest.as_millisecond();
        assert_eq!(timeline.created(999, newest - 1_000), newest - 960);
        assert_eq!(timeline.created(999, newest - 40), newest);
        assert_eq!(timeline.created(999, newest + 5_000), newest - 5_040);
    }

    #[test]
    fn the_oldest_share_one_moment_and_half_came_lately() {
        let newest: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let timeline = Timeline::new(newest, 1000, 10);
        let created: Vec<i64> =
            (0..12).map(|number| timeline.created(number, timeline.trace(number))).collect();
        assert!(created[..10].iter().all(|moment| *moment == created[0]));
        assert_ne!(created[10], created[9]);
        assert!(timeline.trace(500) > newest.as_millisecond() - 23 * DAY_MS);
    }
}
