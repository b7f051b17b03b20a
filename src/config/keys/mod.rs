//! The one table of configuration keys: file, environment, `config check`, the sample and the errors follow
//! from these rows.
//!
//! One rule: a key that is not here does not exist.

mod table;

pub use table::{SECTIONS, TLS};

/// What a key holds; decides how text from the environment is read and what an error says was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
    /// Whole numbers 0..=100, a list.
    Steps,
    /// Names of Kubernetes objects, a list.
    Names,
    /// A whole number within these bounds.
    Whole(i64, i64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A file or folder; relative ones count from the folder of the file that names them.
    Path,
    /// A Kubernetes Service and port: `clickhouse:8123`, `other-namespace/clickhouse:http`.
    Service,
    /// A URL with one of these schemes, or where to find it.
    Url(&'static [&'static str]),
    /// A password, key or token, or where to find it.
    Secret,
}

impl Kind {
    /// What an error says was expected.
    pub fn expected(self) -> String {
        match self {
            Self::Text => "text in quotes".into(),
            Self::Flag => "true or false".into(),
            Self::Steps => "a list of whole numbers from 0 to 100, like [5, 25, 50]".into(),
            Self::Names => "a list of names, like [\"langfuse-canary\"]".into(),
            Self::Whole(low, high) => format!("a whole number from {low} to {high}"),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Path => "a path".into(),
            Self::Service => {
                "a Service and port, like \"clickhouse:8123\" or \"namespace/clickhouse:8123\"".into()
            }
            Self::Url(schemes) => format!("a URL that starts with {}://", schemes.join(":// or ")),
            Self::Secret => {
                "text, { env = \"NAME\" }, { file = \"path\" } or { secret = \"name/key\" }".into()
            }
        }
    }
}

/// One key of a section.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name inside the section, dotted for the `tls` tables.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Its default as text, as the environment would give it; `None` where [`Key::unset`] is found out elsewhere.
    pub default: Option<&'static str>,
    /// What holds without it, in a few words; its default where it has one.
    pub unset: &'static str,
    /// One sentence.
    pub doc: &'static str,
}

/// One section of the file.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// `[name]`.
    pub name: &'static str,
    /// Its keys, the `tls` ones excepted.
    pub keys: &'static [Key],
    /// Whether it also has the keys of [`TLS`].
    pub tls: bool,
}

impl Section {
    /// All keys, those of TLS last.
    pub fn all(&self) -> impl Iterator<Item = &'static Key> + use<> {
        let tls: &'static [Key] = if self.tls { TLS } else { &[] };
        self.keys.iter().chain(tls)
    }
}

/// The key at a dotted path.
pub fn find(path: &str) -> Option<&'static Key> {
    let (section, name) = path.split_once('.')?;
    SECTIONS.iter().find(|s| s.name == section)?.all().find(|k| k.name == name)
}

/// Every dotted path with its key, in the order of the sample.
pub fn all() -> impl Iterator<Item = (String, &'static Key)> {
    SECTIONS.iter().flat_map(|s| s.all().map(move |k| (format!("{}.{}", s.name, k.name), k)))
}

/// The environment variable of a dotted path: `postgres.tls.ca_file` is `CUTOVER_POSTGRES_TLS_CA_FILE`.
pub fn variable(path: &str) -> String {
    format!("CUTOVER_{}", path.replace('.', "_").to_ascii_uppercase())
}
