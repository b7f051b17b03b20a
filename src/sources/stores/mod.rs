//! The four stores: reachable, which version, which role, how full, and the settings that Langfuse depends on.
//!
//! One rule: a setting that could not be read is unknown, never right.

mod clickhouse;
mod postgres;
mod redis;
mod s3;

pub use clickhouse::ClickhouseStore;
pub use postgres::PostgresStore;
pub use redis::RedisStore;
pub use s3::S3Store;

use crate::domain::store::Setting;
use crate::domain::text::clean;

/// A setting that was read, and whether it is as Langfuse needs it.
fn setting(name: &'static str, value: impl AsRef<str>, ok: bool, advice: &str) -> Setting {
    let advice = if ok { String::new() } else { advice.to_owned() };
    Setting { name, value: Some(clean(value.as_ref())), ok: Some(ok), advice }
}

/// A setting that could not be read.
fn unknown(name: &'static str, advice: &str) -> Setting {
    Setting { name, value: None, ok: None, advice: advice.to_owned() }
}

/// Names that mean UTC.
fn is_utc(zone: &str) -> bool {
    matches!(
        zone.to_ascii_uppercase().as_str(),
        "UTC"
            | "ETC/UTC"
            | "GMT"
            | "ETC/GMT"
            | "UCT"
            | "ETC/UCT"
            | "ZULU"
            | "ETC/ZULU"
            | "UNIVERSAL"
            | "ETC/UNIVERSAL"
    )
}

/// Major and minor number of a version text.
fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(['.', ' ', '-']).map(str::parse::<u32>);
    let major = parts.next()?.ok()?;
    Some((major, parts.next().and_then(Result::ok).unwrap_or(0)))
}
