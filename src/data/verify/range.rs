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

#[cfg(test)]
mod tests {
    use super::*;

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
