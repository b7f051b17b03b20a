//! The statements of the ClickHouse counts (langfuse.md 3.1, 3.3).
//!
//! One rule: rows the backfill wrote carry `event_ts` = their own time; rows v3 wrote carry the wall clock.

use crate::domain::backfill::Table;

/// Raw rows and a fingerprint of the active parts.
pub(super) const PARTS: &str = "SELECT table, sum(rows) AS rows, groupBitXor(cityHash64(name)) AS fingerprint \
     FROM system.parts WHERE active AND database = currentDatabase() \
     AND table IN ('traces', 'observations', 'scores') GROUP BY table";

/// The same from the tables themselves; `count()` without a condition reads no columns.
pub(super) const COUNTS: &str = "SELECT 'traces' AS table, count() AS rows, count() AS fingerprint FROM traces \
     UNION ALL SELECT 'observations', count(), count() FROM observations \
     UNION ALL SELECT 'scores', count(), count() FROM scores";

macro_rules! scan {
    ($table:literal, $time:literal, $uniq:literal) => {
        concat!(
            "SELECT ",
            $uniq,
            "((project_id, id)) AS live, ",
            $uniq,
            "If((project_id, id), event_ts = ",
            $time,
            ") AS backfilled, ",
            $uniq,
            "If((project_id, id), event_ts != ",
            $time,
            ") AS v3_written, ",
            "toUnixTimestamp64Milli(max(created_at)) AS newest, ",
            "toUnixTimestamp64Milli(maxIf(created_at, event_ts = ",
            $time,
            ")) AS newest_copied ",
            "FROM ",
            $table,
            " WHERE is_deleted = 0"
        )
    };
}

/// Distinct ids that are not deleted: the newest version of an id decides.
macro_rules! exact {
    ($table:literal, $time:literal) => {
        concat!(
            "SELECT countIf(gone = 0) AS live, countIf(copied AND gone = 0) AS backfilled, ",
            "countIf(written AND gone = 0) AS v3_written, ",
            "toUnixTimestamp64Milli(max(newest)) AS newest, ",
            "toUnixTimestamp64Milli(max(newest_copied)) AS newest_copied FROM (",
            "SELECT argMax(is_deleted, event_ts) AS gone, ",
            "countIf(event_ts = ",
            $time,
            ") > 0 AS copied, countIf(event_ts != ",
            $time,
            ") > 0 AS written, ",
            "max(created_at) AS newest, maxIf(created_at, event_ts = ",
            $time,
            ") AS newest_copied ",
            "FROM ",
            $table,
            " GROUP BY project_id, id)"
        )
    };
}

/// A page of the ids that v3 wrote, by the time it wrote them. Our own canaries are nobody's data.
macro_rules! page {
    ($table:literal, $time:literal) => {
        concat!(
            "SELECT id, toUnixTimestamp64Milli(event_ts) AS at FROM ",
            $table,
            " WHERE is_deleted = 0 AND event_ts != ",
            $time,
            " AND NOT startsWith(id, 'cutover-canary-')",
            " AND (toUnixTimestamp64Milli(event_ts), id) > (?, ?) ORDER BY event_ts, id LIMIT ?"
        )
    };
}

/// Counts of distinct ids, exactly.
pub(super) const fn exact(table: Table) -> &'static str {
    match table {
        Table::Traces => exact!("traces", "timestamp"),
        Table::Observations => exact!("observations", "start_time"),
        Table::Scores => exact!("scores", "timestamp"),
        Table::DatasetRunItems => exact!("dataset_run_items_rmt", "created_at"),
    }
}

/// Counts of distinct ids, about.
pub(super) const fn about(table: Table) -> &'static str {
    match table {
        Table::Traces => scan!("traces", "timestamp", "uniqCombined64"),
        Table::Observations => scan!("observations", "start_time", "uniqCombined64"),
        Table::Scores => scan!("scores", "timestamp", "uniqCombined64"),
        Table::DatasetRunItems => scan!("dataset_run_items_rmt", "created_at", "uniqCombined64"),
    }
}

/// Ids that v3 wrote: after a moment (ms) and an id, at most so many.
pub(super) const fn page(table: Table) -> &'static str {
    match table {
        Table::Traces => page!("traces", "timestamp"),
        Table::Observations => page!("observations", "start_time"),
        Table::Scores => page!("scores", "timestamp"),
        Table::DatasetRunItems => page!("dataset_run_items_rmt", "created_at"),
    }
}

/// Which of some ids PostgreSQL has, by its primary key.
pub(super) const fn known(table: Table) -> &'static str {
    match table {
        Table::Traces => "SELECT id FROM traces WHERE id = ANY($1)",
        Table::Observations => "SELECT id FROM observations WHERE id = ANY($1)",
        Table::Scores => "SELECT id FROM scores WHERE id = ANY($1)",
        Table::DatasetRunItems => "SELECT id FROM dataset_run_items WHERE id = ANY($1)",
    }
}
