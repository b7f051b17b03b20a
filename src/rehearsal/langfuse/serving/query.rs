//! The query string of lists.

use axum::http::Uri;

use super::super::js;
use super::answer::Refusal;

/// What `GET /api/public/traces` and its sisters take.
#[derive(Debug, Clone)]
pub(crate) struct ListQuery {
    pub(crate) page: i64,
    pub(crate) limit: i64,
    pub(crate) from_ms: Option<i64>,
    pub(crate) to_ms: Option<i64>,
    pub(crate) name: Option<String>,
    pub(crate) user_id: Option<String>,
    pub(crate) session_id: Option<String>,
    pub(crate) trace_id: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) version: Option<String>,
    pub(crate) release: Option<String>,
    pub(crate) oldest_first: bool,
}

/// The value of one query parameter.
pub(crate) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    pairs(uri).find(|(key, _)| key == name).map(|(_, value)| value)
}

fn pairs(uri: &Uri) -> impl Iterator<Item = (String, String)> {
    let query = uri.query().unwrap_or_default().as_bytes().to_vec();
    reqwest::Url::parse(&format!("http://x/?{}", String::from_utf8_lossy(&query)))
        .map(|url| url.query_pairs().into_owned().collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
}

impl ListQuery {
    /// # Errors
    /// 400 when a number or date cannot be read, or `limit` is over 100.
    pub(crate) fn read(uri: &Uri) -> Result<Self, Refusal> {
        let text = |name| parameter(uri, name);
        let number = |name: &str, default: i64| match parameter(uri, name) {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(Refusal::bad_request(&format!("{name}: Expected positive number"))),
            },
        };
        let date = |names: [&str; 2]| match names.into_iter().find_map(|name| parameter(uri, name)) {
            None => Ok(None),
            Some(text) => match js::millis(&text) {
                Some(ms) => Ok(Some(ms)),
                None => Err(Refusal::bad_request(&format!("{}: Invalid datetime", names[0]))),
            },
        };
        let limit = number("limit", 50)?;
        if limit > 100 {
            return Err(Refusal::bad_request("limit: Number must be less than or equal to 100"));
        }
        Ok(Self {
            page: number("page", 1)?,
            limit,
            from_ms: date(["fromTimestamp", "fromStartTime"])?,
            to_ms: date(["toTimestamp", "toStartTime"])?,
            name: text("name"),
            user_id: text("userId"),
            session_id: text("sessionId"),
            trace_id: text("traceId"),
            kind: text("type"),
            tags: pairs(uri).filter(|(key, _)| key == "tags").map(|(_, value)| value).collect(),
            version: text("version"),
            release: text("release"),
            oldest_first: text("orderBy").is_some_and(|order| order.to_lowercase().ends_with(".asc")),
        })
    }

    pub(crate) fn offset(&self) -> i64 {
        (self.page - 1).saturating_mul(self.limit)
    }
}
