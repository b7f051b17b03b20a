//! Statements, labels and facts, without a database.

use std::collections::BTreeMap;

use super::needs::{NEEDS, unmet};
use super::report::Left;
use super::schema::{PgColumn, Schema};
use super::{Entity, Target, entity};
use crate::data::cell::{Cell, ChType};
use crate::data::convert::back::Loss;
use crate::data::rows::{Key, Row};
use crate::data::tables::{Back, Live, Mapping, spec};
use crate::domain::backfill::Table;

/// v2's schema as far as the description and the facts name it.
pub(super) fn schema() -> Schema {
    let mut schema = Schema::default();
    for table in Table::BACKFILLED {
        let relation = schema.relations.entry(table.name().into()).or_default();
        for column in spec(table).columns {
            let Back::To(parts) = column.back else { continue };
            for part in parts {
                let (name, kind) = part.split_once("::").unwrap_or((part, "text"));
                let needed =
                    ["id", "project_id", "type", "level", "source", "data_type", "public", "prompt_tokens"];
                let nullable = !needed.contains(&name);
                let column = PgColumn { nullable, kind: kind.trim_matches('"').into() };
                relation.insert(name.into(), column);
            }
        }
    }
    for name in ["projects", "trace_sessions", "dataset_items", "traces_view", "observations_view"] {
        schema.relations.insert(name.into(), BTreeMap::new());
    }
    for (name, labels) in [
        ("ObservationType", &["SPAN", "EVENT", "GENERATION"][..]),
        ("ObservationLevel", &["DEBUG", "DEFAULT", "WARNING", "ERROR"]),
        ("ScoreSource", &["ANNOTATION", "API", "EVAL"]),
        ("ScoreDataType", &["CATEGORICAL", "NUMERIC", "BOOLEAN"]),
    ] {
        schema.enums.insert(name.into(), labels.iter().map(|l| (*l).to_owned()).collect());
    }
    schema.dataset_items_key = vec!["id".into(), "project_id".into()];
    schema
}

/// Every column of the description, nullable where its rule may give NULL.
pub(super) fn mapping(table: Table) -> Mapping {
    let spec = spec(table);
    let kind = |ch: &str| match ch {
        "name" | "trace_id" | "type" | "level" | "id" | "project_id" | "source" | "data_type" => {
            ChType::String
        }
        _ => ChType::Nullable(Box::new(ChType::String)),
    };
    Live { columns: spec.columns.iter().map(|c| (c.ch.to_owned(), kind(c.ch))).collect() }.map(spec)
}

/// A row of NULLs but for these.
fn row(mapping: &Mapping, cells: &[(&str, Cell)]) -> Row {
    let cell =
        |name: &str| cells.iter().find(|(n, _)| *n == name).map_or(Cell::Null, |(_, cell)| cell.clone());
    let key = Key { project: "p".into(), id: "x".into() };
    let cells = mapping.columns.iter().map(|m| match m.column.ch {
        "id" => Cell::Text("x".into()),
        "project_id" => Cell::Text("p".into()),
        name => cell(name),
    });
    Row { key, cells: cells.collect() }
}

fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

fn made(table: Table, cells: &[(&str, Cell)]) -> (Target, Result<Entity, (Left, String)>) {
    let mapping = mapping(table);
    let target = Target::new(&mapping, &schema(), "pg").unwrap();
    let entity = entity(&target, &mapping, &row(&mapping, cells));
    (target, entity)
}

#[test]
fn statements_keep_what_is_newer_and_what_is_another_s() {
    let mapping = mapping(Table::Observations);
    let sql = Target::new(&mapping, &schema(), "pg").unwrap().insert();
    assert!(
        sql.contains("WHERE t.project_id = excluded.project_id AND t.updated_at < excluded.updated_at"),
        "{sql}"
    );
    assert!(sql.contains("\"modelParameters\"::jsonb AS \"modelParameters\""), "{sql}");
    assert!(sql.contains("\"type\"::\"ObservationType\""), "{sql}");
    for kept in ["id", "project_id", "type", "start_time", "created_at"] {
        assert!(!sql.contains(&format!("\"{kept}\" = ")), "{kept} is written over: {sql}");
    }
    assert!(sql.contains(
        "\"prompt_tokens\" = coalesce(nullif(excluded.\"prompt_tokens\", 0), t.\"prompt_tokens\")"
    ));
}

#[test]
fn one_text_more_where_metadata_is_merged() {
    for (table, merged) in [(Table::Traces, true), (Table::Observations, true), (Table::Scores, false)] {
        let target = Target::new(&mapping(table), &schema(), "pg").unwrap();
        let more = format!("(SELECT ${}::jsonb)", target.fields.len() + 1);
        assert_eq!((target.has_entries(), target.insert().contains(&more)), (merged, merged), "{table:?}");
        assert!(!target.rehearse().contains(&more));
    }
}

#[test]
fn types_that_v2_does_not_know_become_spans_or_generations() {
    let usage = Cell::Counts(vec![("input".into(), 3), ("input_cached".into(), 1)]);
    for (kind, extra, wanted, losses) in [
        ("AGENT", None, "SPAN", vec![Loss::ObservationType]),
        ("TOOL", Some(("provided_model_name", text("gpt"))), "GENERATION", vec![Loss::ObservationType]),
        ("EMBEDDING", Some(("usage_details", usage)), "GENERATION", vec![Loss::Usage, Loss::ObservationType]),
        ("EVENT", None, "EVENT", vec![]),
        ("", None, "SPAN", vec![]),
    ] {
        let cells: Vec<_> = [("type", text(kind))].into_iter().chain(extra).collect();
        let (target, entity) = made(Table::Observations, &cells);
        let entity = entity.unwrap();
        assert_eq!(entity.get(&target, "type"), Some(wanted), "{kind}");
        assert_eq!(entity.get(&target, "level"), Some("DEFAULT"));
        assert_eq!(entity.losses, losses, "{kind}");
    }
}

#[test]
fn scores_without_a_trace_or_of_a_new_kind_stay() {
    let cells = |kind: &str| [("source", text("API")), ("data_type", text(kind)), ("trace_id", text("t"))];
    let (left, words) = made(Table::Scores, &cells("CORRECTION")).1.unwrap_err();
    assert_eq!(left, Left::Refused);
    assert!(words.contains("CORRECTION") && words.contains("NUMERIC"), "{words}");
    assert!(made(Table::Scores, &cells("NUMERIC")).1.is_ok());
    let (left, _) = made(Table::Scores, &cells("NUMERIC")[..2]).1.unwrap_err();
    assert_eq!(left, Left::NoTrace);
}

#[test]
fn an_environment_is_lost_and_said() {
    let (_, entity) = made(Table::Traces, &[("environment", text("staging")), ("name", text(""))]);
    assert_eq!(entity.unwrap().losses, [Loss::Environment]);
    let (target, entity) = made(Table::Traces, &[("environment", text("default")), ("user_id", text(""))]);
    let entity = entity.unwrap();
    assert!(entity.losses.is_empty());
    assert_eq!((entity.get(&target, "name"), entity.get(&target, "user_id")), (None, Some("")));
}

#[test]
fn a_total_that_stands_alone_goes_back() {
    let total = [("type", text("SPAN")), ("total_cost", Cell::Amount(125_000_000))];
    let (target, entity) = made(Table::Observations, &total);
    assert_eq!(entity.unwrap().get(&target, "calculated_total_cost"), Some("0.000125"));
}

#[test]
fn what_nobody_calculated_stays_null() {
    let details = |total: i64| Cell::Amounts(vec![("input".into(), 0), ("total".into(), total)]);
    for (total, cell, back) in
        [(0, Cell::Null, None), (0, Cell::Amount(0), Some("0")), (125_000_000, Cell::Null, Some("0.000125"))]
    {
        let cells = [("type", text("SPAN")), ("cost_details", details(total)), ("total_cost", cell)];
        let (target, entity) = made(Table::Observations, &cells);
        assert_eq!(entity.unwrap().get(&target, "calculated_total_cost"), back);
    }
}

#[test]
fn our_probes_are_nobody_s_data() {
    assert!(super::source::OURS.contains(&format!("'{}'", crate::domain::latency::CANARY)));
}

#[test]
fn every_need_is_found_when_it_is_gone() {
    assert_eq!(unmet(&schema()), []);
    assert_eq!(
        unmet(&Schema::default()).len(),
        NEEDS.len() - 1,
        "without a table there is no key to look at"
    );
    let gone = |change: fn(&mut Schema)| {
        let mut schema = schema();
        change(&mut schema);
        unmet(&schema).into_iter().map(|u| (u.what, u.only_a_view)).collect::<Vec<_>>()
    };
    assert_eq!(gone(|s| drop(s.relations.remove("traces_view"))), [("view traces_view", true)]);
    assert_eq!(gone(|s| drop(s.enums.remove("ScoreDataType"))), [("enum ScoreDataType", false)]);
    assert_eq!(gone(|s| drop(s.relations.remove("scores"))).len(), 2);
    let key = gone(|s| s.dataset_items_key.push("valid_from".into()));
    assert_eq!(key, [("primary key (id, project_id) of dataset_items", false)]);
}
