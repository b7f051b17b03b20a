//! The rows of `cutover config check`: key, value without its secrets, origin.
//!
//! One rule: every key is shown as it is in force; what nobody gave is a default and says so. What is not a value,
//! but words about it, stands in brackets.

use std::path::Path;

use crate::domain::text::clean;

use super::Config;
use super::credential::Credential;
use super::keys::{Key, Kind, SECTIONS};
use super::origin::Origin;
use super::rules::REACHED;
use super::value::Value;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The dotted key.
    pub key: String,
    /// Its value, safe to show.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

/// A row per key, in the order of the sample; one row for a section that names nothing to be reached. `found` are
/// values of keys that nobody gave, as the surroundings say them (the kubeconfig's context).
pub fn rows(config: &Config, found: &[(&str, String)]) -> Vec<Row> {
    let default = || Origin::Default.to_string();
    let mut rows = Vec::new();
    for section in SECTIONS {
        let given = |name: &str| config.values.contains_key(&format!("{}.{name}", section.name));
        if REACHED.contains(&section.name) && !given("url") && !given("service") {
            let key = format!("[{}]", section.name);
            rows.push(Row { key, value: "(not configured)".into(), origin: default() });
            continue;
        }
        for row in section.all() {
            let key = format!("{}.{}", section.name, row.name);
            let (value, origin) = match config.values.get(&key) {
                Some(sourced) => (text(row.kind, &sourced.value), sourced.origin.to_string()),
                None => (unset(config, &key, row, found), default()),
            };
            rows.push(Row { key, value: clean(&value), origin });
        }
    }
    rows
}

/// What is in force without a key.
fn unset(config: &Config, key: &str, row: &Key, found: &[(&str, String)]) -> String {
    let path = |path: &Path| path.display().to_string();
    match (key, found.iter().find(|(name, _)| *name == key)) {
        (_, Some((_, value))) => format!("\"{value}\""),
        ("journal.dir", None) => path(&config.journal_dir),
        ("state.dir", None) => path(&config.state_dir),
        (_, None) => format!("({})", row.unset),
    }
}

fn text(kind: Kind, value: &Value) -> String {
    match value {
        Value::Text(text) => format!("\"{text}\""),
        Value::Flag(flag) => flag.to_string(),
        Value::Whole(n) => n.to_string(),
        Value::Steps(steps) => format!("{steps:?}"),
        Value::Names(names) => format!("{names:?}"),
        Value::Path(path) => path.display().to_string(),
        Value::Service(None, service, port) => format!("Service {service}:{port}"),
        Value::Service(Some(namespace), service, port) => format!("Service {namespace}/{service}:{port}"),
        Value::Credential(credential) => credential_text(kind, credential),
    }
}

fn credential_text(kind: Kind, credential: &Credential) -> String {
    let (secret, from) = match credential {
        Credential::InCluster(key) => return format!("Kubernetes Secret {key}"),
        Credential::Given(secret, from) => (secret, from),
    };
    let shown = match kind {
        Kind::Url(_) => redacted(secret.expose()),
        _ => "***".to_owned(),
    };
    match from {
        Some(from) => format!("{shown} ({from})"),
        None => shown,
    }
}

/// A URL without its password, and without the values of its query, which may be secrets too.
pub fn redacted(url: &str) -> String {
    let Ok(mut url) = reqwest::Url::parse(url) else {
        return "***".into();
    };
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "***".into();
    }
    let secret =
        |name: &str| ["password", "token", "key", "secret"].iter().any(|w| name.to_lowercase().contains(w));
    if url.query_pairs().any(|(name, _)| secret(&name)) {
        url.set_query(Some("***"));
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_not_shown() {
        assert_eq!(
            redacted("postgresql://u:p%40@h:5432/d?sslmode=require"),
            "postgresql://u:***@h:5432/d?sslmode=require"
        );
        assert_eq!(redacted("http://h:8123/?password=x"), "http://h:8123/?***");
        assert_eq!(redacted("redis://:pw@h/0"), "redis://:***@h/0");
        assert_eq!(redacted("no url at all with pw"), "***");
    }
}
