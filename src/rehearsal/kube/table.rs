//! Objects as rows of a table, and as their metadata alone: the shapes `kubectl get` asks for.

use std::sync::Arc;

use serde_json::{Value, json};

use super::columns;
use super::query::Query;
use super::resources::Kind;

/// What of the object goes with its row: `?includeObject=`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Include {
    /// Nothing.
    None,
    /// Its metadata: the default.
    Metadata,
    /// All of it.
    Object,
}

impl Include {
    /// Reads it from a query.
    pub(super) fn of(query: &Query) -> Self {
        match query.get("includeObject") {
            "None" => Self::None,
            "Object" => Self::Object,
            _ => Self::Metadata,
        }
    }
}

/// Objects as a `Table`; `metadata` is the list's.
pub(super) fn render(
    kind: &Kind,
    objects: &[Arc<Value>],
    metadata: &Value,
    include: Include,
    with_header: bool,
) -> Value {
    let columns = columns::of(kind);
    let rows: Vec<Value> = objects.iter().map(|object| row(columns, object, include)).collect();
    let header: Vec<Value> = if with_header { columns.iter().map(definition).collect() } else { Vec::new() };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": header, "rows": rows})
}

fn definition(column: &columns::Column) -> Value {
    let format = if column.name == "Name" { "name" } else { "" };
    let kind = if column.number { "integer" } else { "string" };
    json!({"name": column.name, "type": kind, "format": format, "description": column.name,
        "priority": u8::from(column.wide)})
}

fn row(columns: &[columns::Column], object: &Arc<Value>, include: Include) -> Value {
    let cells: Vec<Value> = columns.iter().map(|column| (column.cell)(object)).collect();
    let mut row = json!({"cells": cells});
    match include {
        Include::None => row["object"] = Value::Null,
        Include::Metadata => row["object"] = metadata_of(object),
        Include::Object => row["object"] = (**object).clone(),
    }
    row
}

/// An object's metadata as an object of its own.
pub(super) fn metadata_of(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.get("metadata")})
}
