//! The four stores behind Langfuse.

use std::time::Duration;

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreKind {
    /// PostgreSQL.
    Postgres,
    /// ClickHouse.
    Clickhouse,
    /// Redis or Valkey.
    Redis,
    /// The blob store.
    S3,
}

impl StoreKind {
    /// All four, in the order of the screen.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::Clickhouse, Self::Redis, Self::S3];

    /// The name on screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Clickhouse => "ClickHouse",
            Self::Redis => "Redis",
            Self::S3 => "S3",
        }
    }
}

/// The setting that says whether v2's views are there.
pub const VIEWS: &str = "v2 views";
/// The setting that says whether `cutover restore` finds what it needs; its advice is what the verb would say.
pub const WAY_BACK: &str = "way back";

/// A setting that Langfuse depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name in the store's own words ("maxmemory-policy").
    pub name: &'static str,
    /// Its value, cleaned; `None` when it could not be read.
    pub value: Option<String>,
    /// Whether it is as Langfuse needs it; `None` when unknown.
    pub ok: Option<bool>,
    /// What is wrong and what to do; empty when it is right.
    pub advice: String,
}

/// One store at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFact {
    /// Which.
    pub kind: StoreKind,
    /// Its version ("15.18").
    pub version: String,
    /// "primary", "replica", "master", "3 replicas", a bucket's name; cleaned.
    pub role: String,
    /// Round trip of the cheapest question.
    pub latency: Duration,
    /// Bytes used of memory (Redis) or disk (the others), when it can be read.
    pub used: Option<u64>,
    /// The limit or free-space total belonging to it.
    pub limit: Option<u64>,
    /// Settings that matter.
    pub settings: Vec<Setting>,
}

impl StoreFact {
    /// The setting of this name, where it was read and is wrong.
    pub fn wrong(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|s| s.name == name && s.ok == Some(false))
    }
}
