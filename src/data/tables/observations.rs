//! `observations`: spans, events and generations.

use super::column::{ALIVE, Back, Column, Compare, ENVIRONMENT, Rule, only_v3, same, version};
use super::{Spec, Table};

pub(super) static SPEC: Spec = Spec {
    table: Table::Observations,
    ch: "observations",
    from: "observations t LEFT JOIN prompts p ON p.id = t.prompt_id AND p.project_id = t.project_id",
    time: "start_time",
    sorted_by: &["project_id", "type"],
    lost: &["internal_model", "unit"],
    columns: &COLUMNS,
};

const JOINED: &str = "Langfuse joins the prompt when it copies; the prompt may have gone since";

static COLUMNS: [Column; 31] = [
    same("id", &["t.id"], Rule::Text, &["id"]),
    same("project_id", &["t.project_id"], Rule::Text, &["project_id"]),
    same("trace_id", &["t.trace_id"], Rule::Text, &["trace_id"]),
    same("type", &["t.type::text"], Rule::Text, &["type::\"ObservationType\""]),
    same("parent_observation_id", &["t.parent_observation_id"], Rule::Text, &["parent_observation_id"]),
    same("start_time", &["t.start_time"], Rule::Time, &["start_time"]),
    same("end_time", &["t.end_time"], Rule::Time, &["end_time"]),
    same("name", &["t.name"], Rule::Text, &["name"]),
    same("metadata", &["t.metadata"], Rule::Metadata, &["metadata"]),
    same("level", &["t.level::text"], Rule::Text, &["level::\"ObservationLevel\""]),
    same("status_message", &["t.status_message"], Rule::Text, &["status_message"]),
    same("version", &["t.version"], Rule::Text, &["version"]),
    same("input", &["t.input"], Rule::Json, &["input"]),
    same("output", &["t.output"], Rule::Json, &["output"]),
    same("provided_model_name", &["t.model"], Rule::Text, &["model"]),
    same("internal_model_id", &["t.internal_model_id"], Rule::Text, &["internal_model_id"]),
    same("model_parameters", &["t.\"modelParameters\""], Rule::Json, &["modelParameters"]),
    only_v3(
        "provided_usage_details",
        Rule::EmptyMap,
        "v2 does not tell what was provided from what was counted",
    ),
    same(
        "usage_details",
        &["t.prompt_tokens", "t.completion_tokens", "t.total_tokens"],
        Rule::Counts,
        &["prompt_tokens", "completion_tokens", "total_tokens"],
    ),
    same(
        "provided_cost_details",
        &["t.input_cost::float8", "t.output_cost::float8", "t.total_cost::float8"],
        Rule::Costs,
        &["input_cost", "output_cost", "total_cost"],
    ),
    same(
        "cost_details",
        &[
            "t.calculated_input_cost::float8",
            "t.calculated_output_cost::float8",
            "t.calculated_total_cost::float8",
        ],
        Rule::Costs,
        &["calculated_input_cost", "calculated_output_cost", "calculated_total_cost"],
    ),
    Column {
        ch: "total_cost",
        pg: &["t.calculated_total_cost::float8"],
        rule: Rule::Cost,
        compare: Compare::Amount,
        back: Back::No("it goes back as part of cost_details"),
    },
    same("completion_start_time", &["t.completion_start_time"], Rule::Time, &["completion_start_time"]),
    same("prompt_id", &["t.prompt_id"], Rule::Text, &["prompt_id"]),
    Column {
        ch: "prompt_name",
        pg: &["p.name"],
        rule: Rule::Text,
        compare: Compare::Not(JOINED),
        back: Back::No(JOINED),
    },
    Column {
        ch: "prompt_version",
        pg: &["p.version"],
        rule: Rule::Wrapping,
        compare: Compare::Not(JOINED),
        back: Back::No(JOINED),
    },
    same("created_at", &["t.created_at"], Rule::Time, &["created_at"]),
    same("updated_at", &["t.updated_at"], Rule::Time, &["updated_at"]),
    version(&["t.start_time"]),
    ENVIRONMENT,
    ALIVE,
];
