//! Which rows are compared: a project, a stretch of business time, or everything.
//!
//! One rule: a range is half open, `from` belongs to it and `to` does not.

use std::fmt::Write as _;

/// Milliseconds of a day.
pub const DAY: i64 = 86_400_000;
/// Milliseconds of an hour.
pub const HOUR: i64 = 3_600_000;

/// What a comparison is limited to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Range {
    /// First millisecond since 1970 of the business time.
    pub from: Option<i64>,
    /// First millisecond that is out again.
    pub to: Option<i64>,
    /// Only this project.
    pub project: Option<String>,
}

impl Range {
    /// Whether it is the whole table.
    pub const fn is_whole(&self) -> bool {
        self.from.is_none() && self.to.is_none() && self.project.is_none()
    }

    /// "project p, from 2026-01-01T00:00:00Z"; nothing for the whole table.
    pub fn words(&self) -> Option<String> {
        let at = |word: &str, ms: Option<i64>| {
            let at =
                jiff::Timestamp::from_millisecond(ms?).map_or_else(|_| "-".to_owned(), |at| at.to_string());
            Some(format!("{word} {at}"))
        };
        let project = self.project.as_ref().map(|project| format!("project {project}"));
        let words = [project, at("from", self.from), at("before", self.to)];
        let words: Vec<_> = words.into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// The part of it from one day to another (days since 1970; `to` is out).
    #[must_use]
    pub fn days(&self, from: i64, to: i64) -> Self {
        let (first, end) = (from.saturating_mul(DAY), to.saturating_mul(DAY));
        Self {
            from: Some(self.from.map_or(first, |f| f.max(first))),
            to: Some(self.to.map_or(end, |t| t.min(end))),
            project: self.project.clone(),
        }
    }

    /// Cut at the beginnings of these days, which are in order.
    pub fn cut(&self, days: &[i64]) -> Vec<Self> {
        let mut parts = vec![];
        let mut rest = self.clone();
        for day in days {
            let at = day.saturating_mul(DAY);
            if rest.from.is_none_or(|from| from < at) && rest.to.is_none_or(|to| at < to) {
                parts.push(Self { to: Some(at), ..rest.clone() });
                rest.from = Some(at);
            }
        }
        parts.push(rest);
        parts
    }

    /// Whether the whole day belongs to it.
    pub fn has_day(&self, day: i64) -> bool {
        self.from.is_none_or(|from| from <= day * DAY) && self.to.is_none_or(|to| (day + 1) * DAY <= to)
    }

    /// As a condition of PostgreSQL; `project` is the quoted literal of the project.
    pub(super) fn pg(&self, time: &str, project: Option<&str>) -> String {
        let mut text = "true".to_owned();
        let at = |ms: i64| format!("('epoch'::timestamp + interval '{ms} milliseconds')");
        if let Some(from) = self.from {
            let _ = write!(text, " AND {time} >= {}", at(from));
        }
        if let Some(to) = self.to {
            let _ = write!(text, " AND {time} < {}", at(to));
        }
        if let Some(project) = project {
            let _ = write!(text, " AND t.project_id = {project}");
        }
        text
    }

    /// As a condition of ClickHouse, with a `?` for the project.
    pub(super) fn ch(&self, time: &str) -> String {
        let mut text = "1".to_owned();
        let at = |ms: i64| format!("fromUnixTimestamp64Milli(toInt64({ms}))");
        if let Some(from) = self.from {
            let _ = write!(text, " AND {time} >= {}", at(from));
        }
        if let Some(to) = self.to {
            let _ = write!(text, " AND {time} < {}", at(to));
        }
        if self.project.is_some() {
            text.push_str(" AND project_id = ?");
        }
        text
    }
}

/// A part of the rows of a bucket that holds too many: those whose MD5 of the id, which both servers know, begins with
/// three digits of this stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice(u32, u32);

impl Slice {
    const ALL: u32 = 0x1000;

    /// All slices where `rows` are cut so that each holds about `most`; one of everything where they need not be cut.
    pub fn cut(rows: u64, most: u64) -> Vec<Option<Self>> {
        let parts = u32::try_from(rows.div_ceil(most.max(1))).unwrap_or(Self::ALL).clamp(1, Self::ALL);
        if parts == 1 {
            return vec![None];
        }
        // Some more, as hashes do not spread evenly.
        let parts = (parts + parts / 4 + 1).min(Self::ALL);
        let edge = |n: u32| n * Self::ALL / parts;
        (0..parts).map(|n| Some(Self(edge(n), edge(n + 1) - 1))).collect()
    }

    /// As a condition of PostgreSQL.
    pub(super) fn pg(self) -> String {
        format!("substr(md5(t.id), 1, 3) COLLATE \"C\" BETWEEN '{:03x}' AND '{:03x}'", self.0, self.1)
    }

    /// As a condition of ClickHouse.
    pub(super) fn ch(self) -> String {
        format!("substring(lower(hex(MD5(id))), 1, 3) BETWEEN '{:03x}' AND '{:03x}'", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_everything_once() {
        assert_eq!((Slice::cut(10, 10), Slice::cut(0, 10)), (vec![None], vec![None]));
        for rows in [11, 25, 1_000, 5_000_000] {
            let slices: Vec<Slice> = Slice::cut(rows, 10).into_iter().flatten().collect();
            assert!(slices.len() as u64 >= rows.div_ceil(10).min(4096), "{rows}: {}", slices.len());
            assert_eq!((slices[0].0, slices.last().unwrap().1), (0, 0xfff));
            assert!(slices.windows(2).all(|two| two[0].1 + 1 == two[1].0));
        }
        assert!(Slice(0, 127).pg().ends_with("BETWEEN '000' AND '07f'"));
    }

    #[test]
    fn days_stay_inside() {
        let range = Range { from: Some(DAY + 5), to: Some(3 * DAY), project: None };
        let part = range.days(1, 9);
        assert_eq!((part.from, part.to), (Some(DAY + 5), Some(3 * DAY)));
        assert!(!range.is_whole() && Range::default().is_whole());
        assert_eq!(Range::default().words(), None);
        let one = Range { project: Some("p".into()), to: None, ..range.clone() };
        assert_eq!(one.words().as_deref(), Some("project p, from 1970-01-02T00:00:00.005Z"));
        assert_eq!(Range::default().cut(&[1, 5]).len(), 3);
        assert_eq!(
            part.cut(&[0, 1, 2, 3]),
            [Range { to: Some(2 * DAY), ..part.clone() }, Range { from: Some(2 * DAY), ..part.clone() }]
        );
        assert!(part.has_day(2) && !part.has_day(1) && Range::default().has_day(-5));
        assert_eq!(Range::default().pg("t.x", None), "true");
        assert!(part.ch("x").contains("fromUnixTimestamp64Milli(toInt64(86400005))"));
    }
}
