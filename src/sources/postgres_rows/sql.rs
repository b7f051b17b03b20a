//! Every statement of the row counts, one constant per table: a table's name cannot be a parameter.
//!
//! One rule: each is bounded, by the index on `created_at` (all of Langfuse v2.95's tables have it) or by LIMIT.

use crate::domain::backfill::Table;

/// The statements of one table.
#[derive(Debug)]
pub(super) struct Statements {
    /// Relation, deletions so far, planner's estimate, oldest and newest `created_at`, the server's clock.
    pub(super) look: &'static str,
    /// Rows from `$1` (included) to `$2` (not included), in milliseconds.
    pub(super) between: &'static str,
    /// Rows from `$1` on.
    pub(super) since: &'static str,
    /// Rows at exactly `$1`.
    pub(super) at: &'static str,
}

macro_rules! statements {
    ($table:literal) => {
        Statements {
            look: concat!(
                "SELECT coalesce((SELECT system_identifier::text FROM pg_control_system()), '-') \
                   || '/' || (SELECT oid::text FROM pg_database WHERE datname = current_database()) \
                   || '/' || coalesce(pg_relation_filenode('",
                $table,
                "'::regclass)::text, '-') AS relation, \
                 coalesce((SELECT n_tup_del FROM pg_stat_user_tables WHERE relid = '",
                $table,
                "'::regclass), 0) AS deleted, \
                 greatest((SELECT reltuples FROM pg_class WHERE oid = '",
                $table,
                "'::regclass), 0)::bigint AS estimate, \
                 (extract(epoch FROM (SELECT min(created_at) FROM ",
                $table,
                ")) * 1000)::bigint AS oldest, \
                 (extract(epoch FROM (SELECT max(created_at) FROM ",
                $table,
                ")) * 1000)::bigint AS newest, \
                 (extract(epoch FROM now()) * 1000)::bigint AS now"
            ),
            between: concat!(
                "SELECT count(*) FROM ",
                $table,
                " WHERE created_at >= timestamp 'epoch' + $1::bigint * interval '1 millisecond'",
                " AND created_at < timestamp 'epoch' + $2::bigint * interval '1 millisecond'"
            ),
            since: concat!(
                "SELECT count(*) FROM ",
                $table,
                " WHERE created_at >= timestamp 'epoch' + $1::bigint * interval '1 millisecond'"
            ),
            at: concat!(
                "SELECT count(*) FROM ",
                $table,
                " WHERE created_at = timestamp 'epoch' + $1::bigint * interval '1 millisecond'"
            ),
        }
    };
}

/// By table.
pub(super) const fn of(table: Table) -> &'static Statements {
    const TRACES: Statements = statements!("traces");
    const OBSERVATIONS: Statements = statements!("observations");
    const SCORES: Statements = statements!("scores");
    const RUN_ITEMS: Statements = statements!("dataset_run_items");
    match table {
        Table::Traces => &TRACES,
        Table::Observations => &OBSERVATIONS,
        Table::Scores => &SCORES,
        Table::DatasetRunItems => &RUN_ITEMS,
    }
}
