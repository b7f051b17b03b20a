//! `dataset_run_items`: until v3.98 they stay in PostgreSQL; then `dataset_run_items_rmt` holds them, joined with
//! the run, the dataset and the item as they were when they were copied.

use super::column::{ALIVE, Back, Column, Compare, Rule, same, version};
use super::{Spec, Table};

pub(super) static SPEC: Spec = Spec {
    table: Table::DatasetRunItems,
    ch: "dataset_run_items_rmt",
    // From v3.140 on an item has versions, of which the worker takes the newest, unless that is deleted. Where the
    // columns are not there yet, their names mean those of `older`.
    from: "dataset_run_items t \
           JOIN dataset_runs r ON r.id = t.dataset_run_id AND r.project_id = t.project_id \
           JOIN datasets d ON d.id = r.dataset_id AND d.project_id = t.project_id \
           CROSS JOIN (VALUES (NULL::timestamp, false)) AS older(valid_from, is_deleted) \
           JOIN LATERAL (SELECT v.*, is_deleted AS gone FROM dataset_items v \
             WHERE v.id = t.dataset_item_id AND v.project_id = t.project_id \
             ORDER BY valid_from DESC NULLS LAST LIMIT 1) i ON NOT i.gone",
    time: "created_at",
    sorted_by: &["project_id", "dataset_id", "dataset_run_id"],
    lost: &[],
    columns: &COLUMNS,
};

const JOINED: &str = "it is the run's or item's own value at the time of the copy";

const fn joined(ch: &'static str, pg: &'static [&'static str], rule: Rule) -> Column {
    Column { ch, pg, rule, compare: Compare::Not(JOINED), back: Back::No(JOINED) }
}

static COLUMNS: [Column; 18] = [
    same("id", &["t.id"], Rule::Text, &["id"]),
    same("project_id", &["t.project_id"], Rule::Text, &["project_id"]),
    same("dataset_run_id", &["t.dataset_run_id"], Rule::Text, &["dataset_run_id"]),
    same("dataset_item_id", &["t.dataset_item_id"], Rule::Text, &["dataset_item_id"]),
    joined("dataset_id", &["d.id"], Rule::Text),
    same("trace_id", &["t.trace_id"], Rule::Text, &["trace_id"]),
    same("observation_id", &["t.observation_id"], Rule::Text, &["observation_id"]),
    same("created_at", &["t.created_at"], Rule::Time, &["created_at"]),
    same("updated_at", &["t.updated_at"], Rule::Time, &["updated_at"]),
    joined("dataset_run_name", &["r.name"], Rule::Text),
    joined("dataset_run_description", &["r.description"], Rule::Text),
    joined("dataset_run_metadata", &["r.metadata"], Rule::Metadata),
    joined("dataset_run_created_at", &["r.created_at"], Rule::Time),
    joined("dataset_item_input", &["i.input"], Rule::Json),
    joined("dataset_item_expected_output", &["i.expected_output"], Rule::Json),
    joined("dataset_item_metadata", &["i.metadata"], Rule::Metadata),
    version(&["t.created_at"]),
    ALIVE,
];
