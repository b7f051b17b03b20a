//! The background migrations PostgreSQL -> ClickHouse of v3.29.0, with the protocol of the real manager: run once
//! at start, one at a time, locked by a heartbeat, newest rows first (sheet 1.1 to 1.5).

mod convert;
mod copy;
mod cost;
mod lock;
mod manager;
mod rows;
mod validate;

pub(crate) use manager::Manager;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::Value;
use sqlx::PgPool;

use super::faults::Faults;
use super::pod::Log;
use super::process::Crew;
use super::stores::clickhouse::ClickHouse;

/// Rows per batch before v3.35.0.
const BATCH: f64 = 5_000.0;

/// The scripts of v3.29.0: module name, and what it does.
const SCRIPTS: &[(&str, Script)] = &[
    ("addGenerationsCostBackfill", Script::Cost),
    ("migrateTracesFromPostgresToClickhouse", Script::Copy(&rows::TRACES)),
    ("migrateObservationsFromPostgresToClickhouse", Script::Copy(&rows::OBSERVATIONS)),
    ("migrateScoresFromPostgresToClickhouse", Script::Copy(&rows::SCORES)),
];

/// What a migration does.
#[derive(Clone, Copy)]
enum Script {
    Cost,
    Copy(&'static rows::Source),
}

/// What a migration works with.
#[derive(Clone)]
struct Tools {
    pool: PgPool,
    clickhouse: ClickHouse,
    /// False when `CLICKHOUSE_PASSWORD` or its sisters are empty: validation refuses then.
    credentials: bool,
    log: Log,
    faults: Faults,
    crew: Crew,
    aborted: Arc<AtomicBool>,
}

impl Tools {
    fn is_aborted(&self) -> bool {
        self.aborted.load(Relaxed)
    }
}

/// The arguments an operator may set on the row.
struct Args<'a>(&'a Value);

impl Args<'_> {
    /// `Number(args.batchSize ?? 5000)`.
    fn batch_size(&self) -> i64 {
        self.number("batchSize").unwrap_or(BATCH).clamp(1.0, 1e9) as i64
    }

    /// `Number(args.maxRowsToProcess ?? Infinity)`.
    fn max_rows(&self) -> f64 {
        self.number("maxRowsToProcess").unwrap_or(f64::INFINITY)
    }

    fn max_date(&self) -> Option<&str> {
        self.0["maxDate"].as_str()
    }

    fn state_suffix(&self) -> &str {
        self.0["stateSuffix"].as_str().unwrap_or_default()
    }

    /// Numbers may be given as text, as JavaScript's `Number` takes them.
    fn number(&self, key: &str) -> Option<f64> {
        let value = &self.0[key];
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    }
}
