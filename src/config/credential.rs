//! Secrets and URLs that may carry one: given here, or by saying where they are.
//!
//! One rule: what is in the environment or a file is read at once; what is in a Kubernetes Secret stays a
//! reference until there is a connection to the cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::domain::Secret;

/// Longest secret file read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// One key of a Kubernetes Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretKey {
    /// The Secret's name, in the namespace of the migration.
    pub name: String,
    /// The key in it.
    pub key: String,
}

impl SecretKey {
    /// Reads `name/key`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, key) = text.split_once('/')?;
        let named =
            |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        (named(name) && named(key)).then(|| Self { name: name.into(), key: key.into() })
    }
}

impl fmt::Display for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.key)
    }
}

/// A secret value, or the Kubernetes Secret that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// The value, and in words where it was read from when that was not the configuration itself.
    Given(Secret, Option<String>),
    /// To be read when the cluster is reached.
    InCluster(SecretKey),
}

/// Values of Kubernetes Secrets that were read.
pub type Vault = BTreeMap<SecretKey, Secret>;

impl Credential {
    /// The value, from itself or from what was read of the cluster.
    pub fn value(&self, vault: &Vault) -> Option<Secret> {
        match self {
            Self::Given(secret, _) => Some(secret.clone()),
            Self::InCluster(key) => vault.get(key).cloned(),
        }
    }
}

/// A reference as written: `{ env = … }`, `{ file = … }` or `{ secret = … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A variable of our environment.
    Env(String),
    /// A file.
    File(PathBuf),
    /// A Kubernetes Secret.
    Cluster(SecretKey),
}

impl Reference {
    /// Reads the one pair of an inline table. The error says what was expected.
    pub fn parse(word: &str, text: &str) -> Result<Self, String> {
        match word {
            "env" if !text.is_empty() => Ok(Self::Env(text.into())),
            "file" if !text.is_empty() => Ok(Self::File(text.into())),
            "secret" => SecretKey::parse(text).map(Self::Cluster).ok_or_else(|| {
                format!("\"{text}\" does not name a Kubernetes Secret and a key in it: write \"name/key\"")
            }),
            "env" | "file" => Err(format!("{word} is empty")),
            _ => Err(format!("unknown reference \"{word}\": use env, file or secret")),
        }
    }

    /// Reads what can be read now; relative files count from `base`.
    pub fn resolve(self, base: &Path, env: &BTreeMap<String, String>) -> Result<Credential, String> {
        match self {
            Self::Env(name) => match env.get(&name) {
                Some(value) if !value.is_empty() => Ok(Credential::Given(
                    Secret::new(value.clone()),
                    Some(format!("environment variable {name}")),
                )),
                _ => {
                    Err(format!("the environment variable {name} is not set; export it, or name another one"))
                }
            },
            Self::File(path) => {
                let path = base.join(path);
                let value = read(&path)?;
                Ok(Credential::Given(Secret::new(value), Some(format!("file {}", path.display()))))
            }
            Self::Cluster(key) => Ok(Credential::InCluster(key)),
        }
    }
}

/// The text of a secret file without the line break at its end.
fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let meta = std::fs::metadata(path).map_err(|e| format!("the file {shown} cannot be read: {e}"))?;
    if !meta.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    if meta.len() > LONGEST {
        return Err(format!("the file {shown} is larger than 64 KiB: it is not a password"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("the file {shown} cannot be read: {e}"))?;
    let value = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    if value.is_empty() {
        return Err(format!("the file {shown} is empty"));
    }
    Ok(value.to_owned())
}
