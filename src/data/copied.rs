//! Whether a row of ClickHouse was copied from v2, by anybody, or written by v3.
//!
//! One rule: a copy has its own time as version. One that catch-up refreshed is some milliseconds newer, and older than
//! the change in v2 that it was refreshed for. v3 stamps `updated_at` first and the version last, so that no row of its
//! own looks like this, however wrong the clock of the client is that gave it its time.
//!
//! What stays: a copy that was refreshed for the time's own change, to an earlier one, is newer than its older place and
//! counts as v3's.

use super::catch_up::merge::millis;
use super::rows::Row;
use super::tables::{Mapping, Spec};

/// How much newer than its time the version of a refreshed copy is at most, in milliseconds: one for each time that it
/// was refreshed.
pub const REFRESHED_MS: i64 = 250;

/// Whether a row with this version, time and `updated_at`, in milliseconds, was copied.
pub const fn was_copied(version: i64, time: i64, updated: i64) -> bool {
    let newer = version.saturating_sub(time);
    newer == 0 || (newer > 0 && newer <= REFRESHED_MS && version < updated)
}

/// Whether a row was copied.
pub fn is_copy(mapping: &Mapping, row: &Row) -> bool {
    let [version, time, updated] =
        ["event_ts", mapping.spec.time, "updated_at"].map(|column| millis(mapping, row, column));
    was_copied(version, time, updated)
}

/// The same as a condition of ClickHouse on rows of a table.
pub fn sql(spec: &Spec) -> String {
    format!(
        "(event_ts = {time} OR (event_ts < updated_at AND \
         toUnixTimestamp64Milli(event_ts) - toUnixTimestamp64Milli({time}) BETWEEN 1 AND {REFRESHED_MS}))",
        time = spec.time
    )
}
