//! A winning row of v3 as the values of v2's row.
//!
//! One rule: what v2 has no word for is mapped or refused here, by name, before anything is sent.

use crate::data::cell::{Cell, amount_text};
use crate::data::convert::Refusal;
use crate::data::convert::back::{Loss, Text, back, spelt};
use crate::data::rows::{Key, Row};
use crate::data::tables::{Mapping, Rule};
use crate::domain::backfill::Table;

use super::report::Left;
use super::target::{PgField, Target};

/// A row on its way to PostgreSQL.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Whose row.
    pub key: Key,
    /// One text for each field of the target.
    pub values: Vec<Text>,
    /// The texts of its metadata that PostgreSQL will spell otherwise: see [`spelt`].
    pub spelt: Option<String>,
    /// What is not the same in v2, each once.
    pub losses: Vec<Loss>,
    /// When v3 wrote it last, in milliseconds: its screens leave `updated_at` as it was.
    pub touched: i64,
}

impl Entity {
    /// The value of a field.
    pub fn get(&self, target: &Target, name: &str) -> Option<&str> {
        let at = target.fields.iter().position(|f| f.name == name)?;
        self.values.get(at)?.as_deref()
    }

    /// Replaces the value of a field.
    pub(super) fn set(&mut self, target: &Target, name: &str, value: Text) {
        if let Some(at) = target.fields.iter().position(|f| f.name == name)
            && let Some(place) = self.values.get_mut(at)
        {
            *place = value;
        }
    }

    /// About the bytes that it takes on the way.
    pub(super) fn size(&self) -> usize {
        self.values.iter().chain([&self.spelt]).flatten().map(String::len).sum()
    }
}

/// The values of a row.
///
/// # Errors
/// Why it stays in v3, and in which words.
pub fn entity(target: &Target, mapping: &Mapping, row: &Row) -> Result<Entity, (Left, String)> {
    let mut losses = vec![];
    if row.get(mapping, "environment").text().is_some_and(|e| !e.is_empty() && e != "default") {
        losses.push(Loss::Environment);
    }
    if mapping.spec.table == Table::Scores && row.get(mapping, "trace_id").is_empty() {
        return Err((
            Left::NoTrace,
            "it belongs to a session or a run, and v2 knows scores of traces only".into(),
        ));
    }
    let refused = |why: Refusal| (Left::Refused, why.to_string());
    let mut values = Vec::with_capacity(target.fields.len());
    for (at, parts) in &target.columns {
        let (Some(mapped), Some(cell)) = (mapping.columns.get(*at), row.cells.get(*at)) else { continue };
        let begun = values.len();
        // An empty text where ClickHouse cannot hold NULL was NULL.
        let forced = mapped.column.rule == Rule::Text && !mapped.kind.is_nullable() && cell.is_empty();
        let cell = if forced { &Cell::Null } else { cell };
        let texts = back(mapped.column, cell, &mut losses).map_err(refused)?;
        debug_assert_eq!(texts.len(), *parts);
        for (text, field) in texts.into_iter().zip(&target.fields[begun..]) {
            let text = fit(text, field, mapping, row, &mut losses)
                .map_err(|reason| refused(Refusal { column: mapped.column.ch, reason }))?;
            values.push(text);
        }
    }
    losses.sort_unstable();
    losses.dedup();
    let moment = |column: &str| match row.get(mapping, column) {
        Cell::Millis(at) => *at,
        _ => 0,
    };
    let touched = moment("event_ts").max(moment("updated_at"));
    let spelt = spelt(row.get(mapping, "metadata"));
    let mut entity = Entity { key: row.key.clone(), values, spelt, losses, touched };
    if mapping.columns.iter().any(|m| m.column.ch == "total_cost") {
        let total = row.get(mapping, "total_cost");
        match (total, entity.get(target, "calculated_total_cost")) {
            // A total that stands only beside the details.
            (Cell::Amount(total), None) => {
                entity.set(target, "calculated_total_cost", Some(amount_text(*total)));
            }
            // The details of a copy have 0 where nobody calculated; the total beside them tells.
            (Cell::Null, Some("0")) => entity.set(target, "calculated_total_cost", None),
            _ => {}
        }
    }
    Ok(entity)
}

/// Labels that v2 knows, and something where v2 cannot have NULL.
fn fit(
    text: Text,
    field: &PgField,
    mapping: &Mapping,
    row: &Row,
    losses: &mut Vec<Loss>,
) -> Result<Text, String> {
    if let Some(labels) = &field.labels {
        let known = |label: &str| labels.iter().any(|l| l == label);
        let label = text.unwrap_or_default();
        return match (field.name, label.as_str()) {
            (_, label) if known(label) => Ok(Some(label.to_owned())),
            ("type", label) => {
                if !label.is_empty() {
                    losses.push(Loss::ObservationType);
                }
                Ok(Some(if is_generation(mapping, row) { "GENERATION" } else { "SPAN" }.into()))
            }
            ("level", label) => {
                if !label.is_empty() {
                    losses.push(Loss::Level);
                }
                Ok(Some("DEFAULT".into()))
            }
            (_, label) => Err(format!("v2 does not know {label:?}; it knows {}", labels.join(", "))),
        };
    }
    if text.is_some() || field.nullable {
        return Ok(text);
    }
    match field.name {
        "public" | "bookmarked" => Ok(Some("false".into())),
        "prompt_tokens" | "completion_tokens" | "total_tokens" => Ok(Some("0".into())),
        "name" => Ok(Some(String::new())),
        _ => Err("it is empty, and v2 needs it".into()),
    }
}

/// What v2 would call a generation: something with a model or with tokens.
fn is_generation(mapping: &Mapping, row: &Row) -> bool {
    let counted = match row.get(mapping, "usage_details") {
        Cell::Counts(map) => map.iter().any(|(_, count)| *count > 0),
        _ => false,
    };
    counted || !row.get(mapping, "provided_model_name").is_empty()
}
