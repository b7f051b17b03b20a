//! The statements of PostgreSQL's side.
//!
//! One rule: each is bounded by `created_at`, which is indexed on all four tables (Langfuse v2.95).

use crate::data::tables::spec;
use crate::domain::backfill::Table;

/// What a count reads: the table itself, but for run items what the worker joins (it leaves out items whose
/// run, dataset or dataset item is gone).
const fn from(table: Table) -> &'static str {
    match table {
        Table::DatasetRunItems => spec(table).from,
        Table::Traces => "traces t",
        Table::Observations => "observations t",
        Table::Scores => "scores t",
    }
}

/// A moment in milliseconds as `timestamp`.
const AT: [&str; 2] = [
    "timestamp 'epoch' + $1::bigint * interval '1 millisecond'",
    "timestamp 'epoch' + $2::bigint * interval '1 millisecond'",
];

/// Day of `created_at`.
const DAY: &str = "floor(date_part('epoch', t.created_at) / 86400)::int";

/// Names a table: the server's system identifier, the database, the file node; the same on a replica, another one for
/// a table that was emptied or made anew.
pub fn relation(table: &str) -> String {
    format!(
        "coalesce((SELECT system_identifier::text FROM pg_control_system()), '-') \
           || '/' || (SELECT oid::text FROM pg_database WHERE datname = current_database()) \
           || '/' || coalesce(pg_relation_filenode('{table}'::regclass)::text, '-')"
    )
}

/// Relation, movements, planner's estimate, oldest and newest `created_at`, the server's clock, and
/// what the movements are worth: a crash begins the statistics of the server anew, `pg_stat_reset` those of the database.
pub fn look(table: Table) -> String {
    let name = table.name();
    format!(
        "SELECT {relation} AS relation, \
         coalesce(s.n_tup_ins, 0) AS inserted, coalesce(s.n_tup_upd, 0) AS updated, \
         coalesce(s.n_tup_del, 0) AS deleted, \
         greatest((SELECT reltuples FROM pg_class WHERE oid = '{name}'::regclass), 0)::bigint AS estimate, \
         round(date_part('epoch', (SELECT min(created_at) FROM {name})) * 1000)::bigint AS oldest, \
         round(date_part('epoch', (SELECT max(created_at) FROM {name})) * 1000)::bigint AS newest, \
         (extract(epoch FROM now()) * 1000)::bigint AS now, \
         NOT pg_is_in_recovery() AND current_setting('track_counts') = 'on' AS proves, \
         concat((SELECT stats_reset FROM pg_stat_bgwriter), ' ', \
           (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database())) AS life \
         FROM (SELECT 1) one LEFT JOIN pg_stat_user_tables s ON s.relid = '{name}'::regclass",
        relation = relation(name),
    )
}

/// Rows per day from `$1` (included) to `$2` (not included), by the index alone where the table is vacuumed.
pub fn days(table: Table) -> String {
    let [low, high] = AT;
    format!(
        "SELECT {DAY} AS day, count(*) AS rows FROM {} \
         WHERE t.created_at >= {low} AND t.created_at < {high} GROUP BY 1",
        from(table)
    )
}

/// Rows per project and day, with the sum of `updated_at` modulo 2^62: reads the rows.
pub fn bins(table: Table) -> String {
    let [low, high] = AT;
    format!(
        "SELECT t.project_id AS project, {DAY} AS day, count(*) AS rows, \
         mod(mod(sum(round(date_part('epoch', t.updated_at) * 1000)::bigint), 4611686018427387904) \
             + 4611686018427387904, 4611686018427387904)::bigint AS updated FROM {} \
         WHERE t.created_at >= {low} AND t.created_at < {high} GROUP BY 1, 2",
        from(table)
    )
}

/// Rows from `$1` (included) to `$2` (not included).
pub fn between(table: Table) -> String {
    let [low, high] = AT;
    format!("SELECT count(*) FROM {} WHERE t.created_at >= {low} AND t.created_at < {high}", from(table))
}

/// Of these the first `$3`.
pub fn first(table: Table) -> String {
    let [low, high] = AT;
    format!(
        "SELECT count(*) FROM (SELECT 1 FROM {} WHERE t.created_at >= {low} AND t.created_at < {high} LIMIT $3) few",
        from(table)
    )
}

/// Project and day of some ids, by the primary key.
pub fn known(table: Table) -> String {
    format!("SELECT t.id, t.project_id AS project, {DAY} AS day FROM {} WHERE t.id = ANY($1)", from(table))
}

/// Ids of a project from `$1` to `$2`, with `created_at` and `updated_at` in milliseconds.
pub fn ids(table: Table) -> String {
    let [low, high] = AT;
    format!(
        "SELECT t.id, round(date_part('epoch', t.created_at) * 1000)::bigint AS created, \
         round(date_part('epoch', t.updated_at) * 1000)::bigint AS updated FROM {} \
         WHERE t.created_at >= {low} AND t.created_at < {high} AND t.project_id = $3",
        from(table)
    )
}
