//! The statements that write rows of one table, made from the description of its columns.
//!
//! One rule: `ON CONFLICT` decides in the database, in the same moment: a row of v2 that is as new or newer, or that
//! belongs to another project, stays as it is.

use crate::data::tables::{Back, Mapping, Rule};
use crate::domain::{Kind, Trouble};

use super::schema::Schema;

/// How a field of v3's newer row meets the field of v2's older row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meet {
    /// v2's stays: what an entity is found by, and what v3 fixes with its first event.
    Keep,
    /// v3's, whatever it is.
    Take,
    /// v3's where it is not NULL.
    Fill,
    /// v3's where it is neither NULL nor 0: v3 writes 0 for what it does not know.
    FillNumber,
    /// Either: v3 writes false for what it does not know, so what was made private in v3 stays public in v2.
    Either,
    /// The entries of both; of one key v3's.
    Merge,
    /// The elements of both, sorted, as v2 itself unites tags.
    Unite,
    /// v3's where it says more than the default.
    FillLevel,
}

/// A column of PostgreSQL that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgField {
    /// Its name.
    pub name: &'static str,
    /// The type that its text is cast to.
    cast: String,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// The labels of its enum.
    pub labels: Option<Vec<String>>,
    meet: Meet,
}

/// A table that is written to.
#[derive(Debug, Clone)]
pub struct Target {
    table: &'static str,
    /// The columns, in the order of the parameters.
    pub fields: Vec<PgField>,
    /// Position of the mapping's column and how many fields it fills, in order.
    pub columns: Vec<(usize, usize)>,
}

impl Target {
    /// The columns of the mapping that can go back, as PostgreSQL has them.
    ///
    /// # Errors
    /// A column of v2 is not there.
    pub fn new(mapping: &Mapping, schema: &Schema, object: &str) -> Result<Self, Trouble> {
        let table = mapping.spec.pg();
        let mut target = Self { table, fields: vec![], columns: vec![] };
        for (at, mapped) in mapping.columns.iter().enumerate() {
            let Back::To(parts) = mapped.column.back else { continue };
            for part in parts {
                let (name, cast) =
                    part.split_once("::").map_or((*part, None), |(name, cast)| (name, Some(cast)));
                let Some(column) = schema.column(table, name) else {
                    let gone = format!("table {table} has no column {name}");
                    return Err(Trouble::new(Kind::Missing, object, gone)
                        .remedy("this is another version of Langfuse than v2.92 to v2.95"));
                };
                let labels = cast.and_then(|cast| schema.enums.get(cast.trim_matches('"')).cloned());
                target.fields.push(PgField {
                    name,
                    cast: cast.unwrap_or_else(|| kind(mapped.column.rule)).to_owned(),
                    nullable: column.nullable,
                    labels,
                    meet: meet(name, mapped.column.rule, mapping.spec.time),
                });
            }
            target.columns.push((at, parts.len()));
        }
        Ok(target)
    }

    /// `INSERT .. ON CONFLICT`, with one array of texts for each field; returns `id` and `inserted` of each row written.
    pub fn insert(&self) -> String {
        let names: Vec<_> = self.fields.iter().map(|f| quote(f.name)).collect();
        let merges: Vec<_> = self.fields.iter().filter_map(PgField::merged).collect();
        format!(
            "INSERT INTO {table} AS t ({names}) {select} ON CONFLICT (id) DO UPDATE SET {merges} \
             WHERE t.project_id = excluded.project_id AND t.updated_at < excluded.updated_at \
             RETURNING t.id, xmax = 0 AS inserted",
            table = self.table,
            names = names.join(", "),
            select = self.select(),
            merges = merges.join(", "),
        )
    }

    /// The same values, read and cast and not written: what a dry run asks of a session that may only read.
    pub fn rehearse(&self) -> String {
        format!("SELECT count(n) FROM ({}) AS n", self.select())
    }

    fn select(&self) -> String {
        let casts: Vec<_> =
            self.fields.iter().map(|f| format!("{0}::{1} AS {0}", quote(f.name), f.cast)).collect();
        let arrays: Vec<_> = (1..=self.fields.len()).map(|n| format!("${n}::text[]")).collect();
        let names: Vec<_> = self.fields.iter().map(|f| quote(f.name)).collect();
        format!("SELECT {} FROM unnest({}) AS v({})", casts.join(", "), arrays.join(", "), names.join(", "))
    }
}

impl PgField {
    fn merged(&self) -> Option<String> {
        let name = quote(self.name);
        let (old, new) = (format!("t.{name}"), format!("excluded.{name}"));
        let value = match self.meet {
            Meet::Keep => return None,
            Meet::Take => new,
            Meet::Fill => format!("coalesce({new}, {old})"),
            Meet::FillNumber => format!("coalesce(nullif({new}, 0), {old})"),
            Meet::Either => format!("{old} OR {new}"),
            Meet::Merge => format!(
                "CASE WHEN jsonb_typeof({old}) = 'object' AND jsonb_typeof({new}) = 'object' THEN {old} || {new} \
                 ELSE coalesce({new}, {old}) END"
            ),
            Meet::Unite => format!(
                "ARRAY(SELECT DISTINCT tag COLLATE \"C\" FROM unnest(coalesce({old}, '{{}}') || {new}) AS u(tag) \
                 ORDER BY 1)"
            ),
            Meet::FillLevel => format!("CASE WHEN {new} = 'DEFAULT' THEN {old} ELSE {new} END"),
        };
        Some(format!("{name} = {value}"))
    }
}

/// The type of PostgreSQL that a rule's text is for.
const fn kind(rule: Rule) -> &'static str {
    match rule {
        Rule::Time | Rule::Version => "timestamp(3)",
        Rule::Bool => "boolean",
        Rule::Tags => "text[]",
        Rule::Json | Rule::Metadata => "jsonb",
        Rule::Counts | Rule::Wrapping | Rule::Alive => "integer",
        Rule::Costs | Rule::Cost => "numeric",
        Rule::Float => "double precision",
        Rule::Text | Rule::Fixed(_) | Rule::EmptyMap => "text",
    }
}

/// What v3 fixes with an entity's first event is a guess in a partial row: v2's stays. Scores are always whole.
fn meet(name: &str, rule: Rule, time: &str) -> Meet {
    match (name, rule) {
        ("id" | "project_id" | "created_at" | "type", _) => Meet::Keep,
        (name, Rule::Time) if name == time => Meet::Keep,
        ("updated_at" | "value" | "data_type", _) => Meet::Take,
        ("level", _) => Meet::FillLevel,
        (_, Rule::Bool) => Meet::Either,
        (_, Rule::Tags) => Meet::Unite,
        (_, Rule::Metadata) => Meet::Merge,
        (_, Rule::Counts | Rule::Costs) => Meet::FillNumber,
        _ => Meet::Fill,
    }
}

fn quote(name: &str) -> String {
    format!("\"{name}\"")
}
