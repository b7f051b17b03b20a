//! What a request asks for in its query and headers.

use axum::extract::Query as Parsed;
use http::{HeaderMap, Uri, header};

use super::status::Status;
use super::typed::Unknown;

/// The parameters of a query.
#[derive(Debug, Default, Clone)]
pub(super) struct Query(Vec<(String, String)>);

/// In which shape the client wants objects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shape {
    /// As they are.
    Full,
    /// As rows of a table (`kubectl get`).
    Table,
    /// Only their metadata.
    Metadata,
}

impl Query {
    /// Reads the query of an address; what cannot be read counts as absent.
    pub(super) fn of(uri: &Uri) -> Self {
        Parsed::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|Parsed(pairs)| Self(pairs))
            .unwrap_or_default()
    }

    /// The value of a parameter, empty when absent.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on: by any value but `0` and `false`, even by none (`Convert_Slice_string_To_bool`).
    pub(super) fn is_on(&self, name: &str) -> bool {
        let value = self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        value.is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// A whole number, none when absent or unreadable.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).parse().ok()
    }

    /// Whether nothing may be stored.
    pub(super) fn dry_run(&self) -> bool {
        self.get("dryRun") == "All"
    }

    /// What to do about unknown fields.
    pub(super) fn unknown(&self) -> Unknown {
        match self.get("fieldValidation") {
            "Strict" => Unknown::Refuse,
            "Ignore" => Unknown::Ignore,
            _ => Unknown::Warn,
        }
    }

    /// Who writes: `fieldManager`, or the start of the client's `User-Agent`.
    pub(super) fn manager(&self, headers: &HeaderMap) -> String {
        let named = self.get("fieldManager");
        if !named.is_empty() {
            return named.to_owned();
        }
        let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let name = agent.split('/').next().unwrap_or_default();
        if name.is_empty() { "unknown".into() } else { name.to_owned() }
    }
}

impl Shape {
    /// The first shape of `Accept` that can be had.
    ///
    /// # Errors
    /// 406 with the `representations` there are, when the client takes no JSON.
    pub(super) fn of(headers: &HeaderMap, representations: &[&str]) -> Result<Self, Status> {
        let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("*/*");
        for part in accept.split(',').map(str::trim) {
            let mut pieces = part.split(';').map(str::trim);
            let media = pieces.next().unwrap_or_default();
            if !matches!(media, "application/json" | "*/*" | "application/*") {
                continue;
            }
            let wanted = pieces.find_map(|piece| piece.strip_prefix("as="));
            match wanted {
                None => return Ok(Self::Full),
                Some("Table") => return Ok(Self::Table),
                Some(name) if name.starts_with("PartialObjectMetadata") => return Ok(Self::Metadata),
                Some(_) => {}
            }
        }
        Err(Status::not_acceptable(representations))
    }
}
