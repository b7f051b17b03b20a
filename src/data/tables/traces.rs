//! `traces`.

use super::column::{ALIVE, Column, ENVIRONMENT, Rule, same, version};
use super::{Spec, Table};

pub(super) static SPEC: Spec = Spec {
    table: Table::Traces,
    ch: "traces",
    from: "traces t",
    time: "timestamp",
    sorted_by: &["project_id"],
    lost: &["external_id"],
    columns: &COLUMNS,
};

static COLUMNS: [Column; 19] = [
    same("id", &["t.id"], Rule::Text, &["id"]),
    same("project_id", &["t.project_id"], Rule::Text, &["project_id"]),
    same("timestamp", &["t.\"timestamp\""], Rule::Time, &["timestamp"]),
    same("name", &["t.name"], Rule::Text, &["name"]),
    same("user_id", &["t.user_id"], Rule::Text, &["user_id"]),
    same("metadata", &["t.metadata"], Rule::Metadata, &["metadata"]),
    same("release", &["t.release"], Rule::Text, &["release"]),
    same("version", &["t.version"], Rule::Text, &["version"]),
    same("public", &["t.public"], Rule::Bool, &["public"]),
    same("bookmarked", &["t.bookmarked"], Rule::Bool, &["bookmarked"]),
    same("tags", &["t.tags"], Rule::Tags, &["tags"]),
    same("input", &["t.input"], Rule::Json, &["input"]),
    same("output", &["t.output"], Rule::Json, &["output"]),
    same("session_id", &["t.session_id"], Rule::Text, &["session_id"]),
    same("created_at", &["t.created_at"], Rule::Time, &["created_at"]),
    same("updated_at", &["t.updated_at"], Rule::Time, &["updated_at"]),
    version(&["t.\"timestamp\""]),
    ENVIRONMENT,
    ALIVE,
];
