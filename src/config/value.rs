//! Values as they are written, and as they are after the check against their key's kind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::domain::Secret;

use super::credential::{Credential, Reference};
use super::keys::Kind;

/// As a layer wrote it.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// Text: everything in the environment and on the command line is.
    Text(String),
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// A list.
    List(Vec<Raw>),
    /// An inline table.
    Table(Vec<(String, Raw)>),
    /// Something no key takes ("a date", "a decimal number").
    Other(&'static str),
}

/// After the check.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text, a word of a choice.
    Text(String),
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// Per cents.
    Steps(Vec<u8>),
    /// Names.
    Names(Vec<String>),
    /// A path, absolute where it was relative.
    Path(PathBuf),
    /// Namespace, Service, port.
    Service(Option<String>, String, String),
    /// A secret or URL.
    Credential(Credential),
}

/// What a check needs to know of its surroundings.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// Folder that relative paths count from.
    pub base: &'a Path,
    /// The environment, for `{ env = … }`.
    pub env: &'a BTreeMap<String, String>,
}

/// Holds `raw` against `kind`. The error says what was expected and, unless it may be a secret, what was found.
pub fn check(kind: Kind, raw: Raw, around: Around<'_>) -> Result<Value, String> {
    let wrong = |found: &str| Err(format!("expected {}, found {found}", kind.expected()));
    match (kind, raw) {
        (Kind::Text, Raw::Text(text)) => Ok(Value::Text(text)),
        (Kind::Flag, Raw::Flag(flag)) => Ok(Value::Flag(flag)),
        (Kind::Flag, Raw::Text(text)) => match text.as_str() {
            "true" => Ok(Value::Flag(true)),
            "false" => Ok(Value::Flag(false)),
            _ => wrong(&format!("\"{text}\"")),
        },
        (Kind::Whole(low, high), Raw::Whole(n)) if (low..=high).contains(&n) => Ok(Value::Whole(n)),
        (Kind::Whole(low, high), Raw::Text(text)) => match text.parse() {
            Ok(n) if (low..=high).contains(&n) => Ok(Value::Whole(n)),
            _ => wrong(&format!("\"{text}\"")),
        },
        (Kind::Whole(..), Raw::Whole(n)) => wrong(&n.to_string()),
        (Kind::Choice(words), Raw::Text(text)) if words.contains(&text.as_str()) => Ok(Value::Text(text)),
        (Kind::Choice(_), Raw::Text(text)) => wrong(&format!("\"{text}\"")),
        (Kind::Path, Raw::Text(text)) if text.is_empty() => wrong("empty text"),
        (Kind::Path, Raw::Text(text)) => Ok(Value::Path(around.base.join(home(&text, around.env)))),
        (Kind::Service, Raw::Text(text)) => service(&text).map_or_else(|| wrong(&format!("\"{text}\"")), Ok),
        (Kind::Steps, Raw::List(items)) => steps(items).map_or_else(|found| wrong(&found), Ok),
        (Kind::Names, Raw::List(items)) => names(items).map_or_else(|found| wrong(&found), Ok),
        (Kind::Steps | Kind::Names, Raw::Text(text)) => {
            let items = text.split(',').map(str::trim).filter(|s| !s.is_empty());
            let items = items.map(|s| s.parse().map_or_else(|_| Raw::Text(s.into()), Raw::Whole));
            match kind {
                Kind::Steps => steps(items.collect()).map_or_else(|found| wrong(&found), Ok),
                _ => Ok(Value::Names(
                    text.split(',').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect(),
                )),
            }
        }
        (Kind::Url(_) | Kind::Secret, Raw::Table(pairs)) => reference(kind, &pairs, around),
        (Kind::Url(schemes), Raw::Text(text)) => {
            url(schemes, &text)?;
            Ok(Value::Credential(Credential::Given(Secret::new(text), None)))
        }
        (Kind::Secret, Raw::Text(text)) if text.is_empty() => wrong("empty text"),
        (Kind::Secret, Raw::Text(text)) => Ok(Value::Credential(Credential::Given(Secret::new(text), None))),
        (_, raw) => wrong(raw.what()),
    }
}

impl Raw {
    /// What it is, for an error.
    fn what(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Flag(_) => "true or false",
            Self::Whole(_) => "a whole number",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(what) => what,
        }
    }
}

fn reference(kind: Kind, pairs: &[(String, Raw)], around: Around<'_>) -> Result<Value, String> {
    let [(word, Raw::Text(text))] = pairs else {
        return Err(format!("expected {}, found a table of another shape", Kind::Secret.expected()));
    };
    let credential = Reference::parse(word, text)?.resolve(around.base, around.env)?;
    if let (Kind::Url(schemes), Credential::Given(secret, from)) = (kind, &credential) {
        let from = from.as_deref().unwrap_or_default();
        url(schemes, secret.expose()).map_err(|e| format!("{from}: {e}"))?;
    }
    Ok(Value::Credential(credential))
}

/// A URL is not shown in an error: it may carry a password.
fn url(schemes: &'static [&'static str], text: &str) -> Result<(), String> {
    let expected = Kind::Url(schemes).expected();
    let Some((scheme, _)) = text.split_once("://") else {
        return Err(format!("expected {expected}; this one has no scheme"));
    };
    if !schemes.contains(&scheme) {
        let hint = match scheme {
            "clickhouse" => ": clickhouse:// is the migration's address; use the HTTP port (8123 or 8443)",
            _ => "",
        };
        return Err(format!("expected {expected}, found {scheme}://{hint}"));
    }
    match reqwest::Url::parse(text) {
        Ok(url) if url.host_str().is_some_and(|h| !h.is_empty()) => Ok(()),
        Ok(_) => Err(format!("expected {expected}; this one names no host")),
        Err(e) => Err(format!(
            "expected {expected}; this one cannot be read ({e}): encode special characters of a password (@ is %40)"
        )),
    }
}

fn steps(items: Vec<Raw>) -> Result<Value, String> {
    let step = |raw: Raw| match raw {
        Raw::Whole(n) => u8::try_from(n).ok().filter(|n| *n <= 100).ok_or_else(|| n.to_string()),
        Raw::Text(text) => Err(format!("\"{text}\"")),
        other => Err(other.what().to_owned()),
    };
    items.into_iter().map(step).collect::<Result<_, _>>().map(Value::Steps)
}

fn names(items: Vec<Raw>) -> Result<Value, String> {
    let name = |raw: Raw| match raw {
        Raw::Text(text) if !text.is_empty() => Ok(text),
        other => Err(format!("{} in it", other.what())),
    };
    items.into_iter().map(name).collect::<Result<_, _>>().map(Value::Names)
}

/// `[namespace/]service:port`; the port is a number or a port's name.
fn service(text: &str) -> Option<Value> {
    let (head, port) = text.rsplit_once(':')?;
    let (namespace, service) = match head.split_once('/') {
        Some((namespace, service)) => (Some(namespace), service),
        None => (None, head),
    };
    let numeric = port.bytes().all(|b| b.is_ascii_digit());
    let port_ok = if numeric { port.parse::<u16>().is_ok_and(|p| p > 0) } else { is_label(port) };
    let ok = port_ok && is_label(service) && namespace.is_none_or(is_label);
    ok.then(|| Value::Service(namespace.map(Into::into), service.into(), port.into()))
}

/// A DNS label as Kubernetes wants it (RFC 1123), at most 63 characters.
pub fn is_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| plain(*b) || *b == b'-')
        && bytes.first().is_some_and(|b| plain(*b))
        && bytes.last().is_some_and(|b| plain(*b))
}

/// `~/` is the home folder, as in a shell.
fn home(text: &str, env: &BTreeMap<String, String>) -> PathBuf {
    match (text.strip_prefix("~/"), env.get("HOME")) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ => PathBuf::from(text),
    }
}
