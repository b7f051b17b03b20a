//! Langfuse's environment variables, read once at start. What is required differs by container; what is
//! missing is named all at once, as Langfuse's own schema check does.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{Kind, LangfuseError};

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    #[cfg(test)]
    pub(crate) fn new(value: &str) -> Self {
        Self(value.to_owned())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `CLICKHOUSE_*`.
#[derive(Debug, Clone)]
pub(crate) struct ClickHouseSettings {
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: Secret,
    pub(crate) database: String,
    /// `CLICKHOUSE_CLUSTER_ENABLED`, true unless it is exactly `false`.
    pub(crate) clustered: bool,
}

/// `LANGFUSE_S3_EVENT_UPLOAD_*`.
#[derive(Debug, Clone)]
pub(crate) struct S3Settings {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) region: String,
    pub(crate) endpoint: String,
    pub(crate) access_key_id: Secret,
    pub(crate) secret_access_key: Secret,
    pub(crate) force_path_style: bool,
}

/// Everything one process is configured by.
#[expect(clippy::struct_excessive_bools, reason = "one field per variable")]
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) port: u16,
    pub(crate) database_url: Secret,
    pub(crate) salt: Secret,
    pub(crate) admin_api_key: Option<Secret>,
    pub(crate) clickhouse: Option<ClickHouseSettings>,
    pub(crate) redis_url: Option<Secret>,
    /// v2 has it only where it is told to store the events in S3 as well.
    pub(crate) s3: Option<S3Settings>,
    pub(crate) auto_postgres_migration: bool,
    pub(crate) auto_clickhouse_migration: bool,
    pub(crate) background_migrations: bool,
    pub(crate) queue_delay: Duration,
    pub(crate) ingestion_concurrency: usize,
    pub(crate) trace_upsert_concurrency: usize,
    pub(crate) ingestion_consumer: bool,
    pub(crate) trace_upsert_consumer: bool,
    pub(crate) write_batch: usize,
    pub(crate) write_interval: Duration,
    pub(crate) write_attempts: u32,
}

impl Settings {
    /// Reads the variables of one container; defaults are v3.29.0's.
    pub(crate) fn read(kind: Kind, env: &BTreeMap<String, String>) -> Result<Self, LangfuseError> {
        let mut reader = Reader { env, problems: Vec::new() };
        let v3 = kind != Kind::V2Web;
        let settings = Self {
            port: reader.number("PORT", 0),
            database_url: Secret(reader.required("DATABASE_URL")),
            salt: Secret(if kind == Kind::V3Worker {
                reader.text("SALT", "")
            } else {
                reader.required("SALT")
            }),
            admin_api_key: reader.optional("ADMIN_API_KEY").map(Secret),
            clickhouse: v3.then(|| reader.clickhouse()),
            redis_url: v3.then(|| Secret(reader.redis())),
            s3: (v3 || reader.flag("LANGFUSE_S3_EVENT_UPLOAD_ENABLED", false)).then(|| reader.s3()),
            auto_postgres_migration: !reader.flag("LANGFUSE_AUTO_POSTGRES_MIGRATION_DISABLED", false),
            auto_clickhouse_migration: !reader.flag("LANGFUSE_AUTO_CLICKHOUSE_MIGRATION_DISABLED", false),
            background_migrations: reader.flag("LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS", true),
            queue_delay: reader.millis("LANGFUSE_INGESTION_QUEUE_DELAY_MS", 15_000),
            ingestion_concurrency: reader.number("LANGFUSE_INGESTION_QUEUE_PROCESSING_CONCURRENCY", 20),
            trace_upsert_concurrency: reader.number("LANGFUSE_TRACE_UPSERT_WORKER_CONCURRENCY", 25),
            ingestion_consumer: reader.flag("QUEUE_CONSUMER_INGESTION_QUEUE_IS_ENABLED", true),
            trace_upsert_consumer: reader.flag("QUEUE_CONSUMER_TRACE_UPSERT_QUEUE_IS_ENABLED", true),
            write_batch: reader.number("LANGFUSE_INGESTION_CLICKHOUSE_WRITE_BATCH_SIZE", 10_000),
            write_interval: reader.millis("LANGFUSE_INGESTION_CLICKHOUSE_WRITE_INTERVAL_MS", 1_000),
            write_attempts: reader.number("LANGFUSE_INGESTION_CLICKHOUSE_MAX_ATTEMPTS", 3),
        };
        if reader.problems.is_empty() {
            Ok(settings)
        } else {
            Err(LangfuseError::Environment { problems: reader.problems })
        }
    }
}

struct Reader<'a> {
    env: &'a BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Reader<'_> {
    /// An empty value counts as unset, as Langfuse removes empty strings before it checks.
    fn optional(&self, name: &str) -> Option<String> {
        self.env.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn text(&self, name: &str, default: &str) -> String {
        self.optional(name).unwrap_or_else(|| default.into())
    }

    fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problems.push(format!("{name} is required"));
            String::new()
        })
    }

    fn number<N: std::str::FromStr>(&mut self, name: &str, default: N) -> N {
        let Some(text) = self.optional(name) else {
            return default;
        };
        text.parse().unwrap_or_else(|_| {
            self.problems.push(format!("{name} must be a positive number, not {text:?}"));
            default
        })
    }

    fn millis(&mut self, name: &str, default: u64) -> Duration {
        Duration::from_millis(self.number(name, default))
    }

    fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.optional(name).as_deref() {
            None => default,
            Some("true") => true,
            Some("false") => false,
            Some(other) => {
                self.problems.push(format!("{name} must be \"true\" or \"false\", not {other:?}"));
                default
            }
        }
    }

    fn clickhouse(&mut self) -> ClickHouseSettings {
        ClickHouseSettings {
            url: self.required("CLICKHOUSE_URL"),
            user: self.required("CLICKHOUSE_USER"),
            // The key must be there; its value may be empty only for the engine's default user.
            password: Secret(self.env.get("CLICKHOUSE_PASSWORD").cloned().unwrap_or_else(|| {
                self.problems.push("CLICKHOUSE_PASSWORD is required".into());
                String::new()
            })),
            database: self.text("CLICKHOUSE_DB", "default"),
            clustered: self.flag("CLICKHOUSE_CLUSTER_ENABLED", true),
        }
    }

    fn redis(&mut self) -> String {
        if let Some(url) = self.optional("REDIS_CONNECTION_STRING") {
            return url;
        }
        let Some(host) = self.optional("REDIS_HOST") else {
            self.problems.push("REDIS_CONNECTION_STRING or REDIS_HOST is required".into());
            return String::new();
        };
        let port = self.number("REDIS_PORT", 6379_u16);
        let auth = self.optional("REDIS_AUTH").map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{auth}{host}:{port}")
    }

    fn s3(&mut self) -> S3Settings {
        let name = |part: &str| format!("LANGFUSE_S3_EVENT_UPLOAD_{part}");
        let bucket = self.required(&name("BUCKET"));
        let prefix = self.text(&name("PREFIX"), "");
        if !prefix.is_empty() && !prefix.ends_with('/') {
            self.problems.push(format!("{} must end with a slash", name("PREFIX")));
        }
        let region = self.text(&name("REGION"), "auto");
        S3Settings {
            endpoint: self.text(&name("ENDPOINT"), &format!("https://s3.{region}.amazonaws.com")),
            access_key_id: Secret(self.text(&name("ACCESS_KEY_ID"), "")),
            secret_access_key: Secret(self.text(&name("SECRET_ACCESS_KEY"), "")),
            force_path_style: self.flag(&name("FORCE_PATH_STYLE"), false),
            bucket,
            prefix,
            region,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn names_every_missing_variable_at_once() {
        let error = Settings::read(Kind::V3Web, &env(&[("SALT", "s"), ("PORT", "http")])).unwrap_err();
        let text = error.to_string();
        for name in ["DATABASE_URL", "CLICKHOUSE_URL", "REDIS_CONNECTION_STRING", "_BUCKET", "PORT must be"] {
            assert!(text.contains(name), "{name} missing in {text}");
        }
    }

    #[test]
    fn v2_needs_only_its_database() {
        let settings =
            Settings::read(Kind::V2Web, &env(&[("DATABASE_URL", "postgresql://x"), ("SALT", "s")])).unwrap();
        assert!(settings.s3.is_none() && settings.clickhouse.is_none());
        assert_eq!(format!("{:?}", settings.database_url), "***");
    }
}
