//! `scores`.

use super::column::{ALIVE, Column, ENVIRONMENT, Rule, same, version};
use super::{Spec, Table};

pub(super) static SPEC: Spec = Spec {
    table: Table::Scores,
    ch: "scores",
    from: "scores t",
    time: "timestamp",
    sorted_by: &["project_id", "name"],
    lost: &[],
    columns: &COLUMNS,
};

static COLUMNS: [Column; 19] = [
    same("id", &["t.id"], Rule::Text, &["id"]),
    same("project_id", &["t.project_id"], Rule::Text, &["project_id"]),
    same("timestamp", &["t.\"timestamp\""], Rule::Time, &["timestamp"]),
    same("trace_id", &["t.trace_id"], Rule::Text, &["trace_id"]),
    same("observation_id", &["t.observation_id"], Rule::Text, &["observation_id"]),
    same("name", &["t.name"], Rule::Text, &["name"]),
    same("value", &["t.value"], Rule::Float, &["value"]),
    same("source", &["t.source::text"], Rule::Text, &["source::\"ScoreSource\""]),
    same("comment", &["t.comment"], Rule::Text, &["comment"]),
    same("author_user_id", &["t.author_user_id"], Rule::Text, &["author_user_id"]),
    same("config_id", &["t.config_id"], Rule::Text, &["config_id"]),
    same("data_type", &["t.data_type::text"], Rule::Text, &["data_type::\"ScoreDataType\""]),
    same("string_value", &["t.string_value"], Rule::Text, &["string_value"]),
    same("queue_id", &["t.queue_id"], Rule::Text, &["queue_id"]),
    same("created_at", &["t.created_at"], Rule::Time, &["created_at"]),
    same("updated_at", &["t.updated_at"], Rule::Time, &["updated_at"]),
    version(&["t.\"timestamp\""]),
    ENVIRONMENT,
    ALIVE,
];
