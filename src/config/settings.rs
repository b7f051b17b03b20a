//! The configuration as the rest of the program reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::credential::{Credential, SecretKey};
use super::load::Values;
use super::problem::Problem;
use super::rules;
use super::value::Value;

/// Everything, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file it was read from.
    pub file: Option<PathBuf>,
    /// Every key with its origin.
    pub values: Values,
    /// `[environment]`.
    pub environment: Environment,
    /// `[traffic]`.
    pub traffic: Traffic,
    /// Folder of the journal.
    pub journal_dir: PathBuf,
    /// Folder of counts remembered between runs.
    pub state_dir: PathBuf,
    /// `[ui]`.
    pub ui: Ui,
    /// Variables named `CUTOVER_…` that no key has.
    pub stray: Vec<Problem>,
}

/// `[environment]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Whether it is production.
    pub production: bool,
    /// Whether writes are allowed.
    pub arm: bool,
}

/// `[traffic]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Backfill before shift, rather than Langfuse's documented order.
    pub backfill_first: bool,
    /// The steps, per cent.
    pub ladder: Vec<u8>,
    /// Whether `cutover shift` may skip steps without being told to.
    pub skip_steps: bool,
    /// Names of the canary Ingresses that move; empty: all of the namespace.
    pub ingresses: Vec<String>,
}

/// `[ui]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ui {
    /// `auto`, `ansi`, `cvd`, `mono`.
    pub theme: String,
    /// `auto`, `utf8`, `ascii`.
    pub symbols: String,
}

impl Config {
    /// From checked values.
    pub(super) fn of(values: Values, file: Option<PathBuf>, env: &BTreeMap<String, String>) -> Self {
        let read = Read(&values);
        let journal_dir = read.path("journal.dir").unwrap_or_else(|| state_home(env));
        Self {
            file,
            environment: Environment {
                name: read.text("environment.name").unwrap_or_default(),
                production: read.flag("environment.production").unwrap_or(false),
                arm: read.flag("environment.arm").unwrap_or(false),
            },
            traffic: Traffic {
                backfill_first: read.text("traffic.strategy").as_deref() == Some("backfill-first"),
                ladder: read.steps("traffic.ladder"),
                skip_steps: read.flag("traffic.skip_steps").unwrap_or(false),
                ingresses: read.names("traffic.ingresses"),
            },
            state_dir: read.path("state.dir").unwrap_or_else(|| journal_dir.clone()),
            journal_dir,
            ui: Ui {
                theme: read.text("ui.theme").unwrap_or_default(),
                symbols: read.text("ui.symbols").unwrap_or_default(),
            },
            stray: Vec::new(),
            values,
        }
    }

    /// Findings: what works, and should be known.
    pub fn warnings(&self) -> Vec<Problem> {
        let mut found = rules::warnings(&self.values);
        found.extend(self.stray.iter().cloned());
        found
    }

    /// The Kubernetes Secrets that values are in.
    pub fn secrets(&self) -> Vec<SecretKey> {
        let keys = self.values.values().filter_map(|s| match &s.value {
            Value::Credential(Credential::InCluster(key)) => Some(key.clone()),
            _ => None,
        });
        let mut keys: Vec<_> = keys.collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

/// `$XDG_STATE_HOME/cutover`, or `~/.local/state/cutover`.
fn state_home(env: &BTreeMap<String, String>) -> PathBuf {
    let set = |name: &str| env.get(name).filter(|v| !v.is_empty());
    let home = || set("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from).join(".local/state");
    set("XDG_STATE_HOME").map_or_else(home, |p| Path::new(p).to_owned()).join("cutover")
}

/// Typed reading of checked values.
pub(super) struct Read<'a>(pub &'a Values);

impl Read<'_> {
    fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key).map(|s| &s.value)
    }

    /// Text that is not empty.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        }
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    pub(super) fn whole(&self, key: &str) -> Option<i64> {
        match self.value(key)? {
            Value::Whole(n) => Some(*n),
            _ => None,
        }
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        match self.value(key)? {
            Value::Path(path) => Some(path.clone()),
            _ => None,
        }
    }

    pub(super) fn names(&self, key: &str) -> Vec<String> {
        match self.value(key) {
            Some(Value::Names(names)) => names.clone(),
            _ => Vec::new(),
        }
    }

    fn steps(&self, key: &str) -> Vec<u8> {
        match self.value(key) {
            Some(Value::Steps(steps)) => steps.clone(),
            _ => Vec::new(),
        }
    }

    pub(super) fn credential(&self, key: &str) -> Option<&Credential> {
        match self.value(key)? {
            Value::Credential(credential) => Some(credential),
            _ => None,
        }
    }

    pub(super) fn service(&self, key: &str) -> Option<(Option<String>, String, String)> {
        match self.value(key)? {
            Value::Service(namespace, service, port) => {
                Some((namespace.clone(), service.clone(), port.clone()))
            }
            _ => None,
        }
    }
}
