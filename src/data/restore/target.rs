//! The statements that write rows of one table, made from the description of its columns.
//!
//! One rule: `ON CONFLICT` decides in the database, in the same moment: a row of v2 that is as new or newer, or that
//! belongs to another project, stays as it is.

use crate::data::convert::ALONE;
use crate::data::tables::{Back, Mapping, Rule};
use crate::domain::backfill::Table;
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
    /// v3's, unless its row is a part of the whole: see [`Target::flags`].
    Decide,
    /// The entries of both; of one key v3's, unless v2's is what v3's was made of: see [`merged`].
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
    pub(super) table: &'static str,
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

    /// Whether a field is merged entry by entry: then [`Target::insert`] takes one text more.
    pub fn has_entries(&self) -> bool {
        self.fields.iter().any(|f| f.meet == Meet::Merge)
    }

    /// `INSERT .. ON CONFLICT`, with one array of texts for each field, and where [`Target::has_entries`] a JSON object of
    /// [`super::Entity::spelt`] by id; returns `id` and `inserted` of each row written.
    pub fn insert(&self) -> String {
        let names: Vec<_> = self.fields.iter().map(|f| quote(f.name)).collect();
        let partial = self.partial("excluded");
        // In a subquery it is read once, and not for every row.
        let spelt = format!("(SELECT ${}::jsonb) -> t.id", self.fields.len() + 1);
        let merges: Vec<_> = self.fields.iter().filter_map(|f| f.set("excluded", &partial, &spelt)).collect();
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

    /// Whether rows of this table carry decisions that v3's screens make without touching `updated_at`: whether a
    /// trace is public or bookmarked, and its tags (`upsertTrace` writes the whole row as it was, with the present as
    /// `event_ts`).
    pub fn has_flags(&self) -> bool {
        self.table == Table::Traces.name()
    }

    /// Writes such decisions alone, where v3 made them after v2 last wrote the row; the array after those of the fields
    /// says when, in milliseconds. Returns `id` of each row changed.
    pub fn flags(&self) -> String {
        let partial = self.partial("v");
        let sets: Vec<_> = self.decisions().filter_map(|f| f.set("v", &partial, "")).collect();
        format!(
            "UPDATE {} AS t SET {} FROM ({}) AS v WHERE {} RETURNING t.id",
            self.table,
            sets.join(", "),
            self.select_touched(),
            self.flagged()
        )
    }

    /// What [`Target::flags`] would return.
    pub fn rehearse_flags(&self) -> String {
        format!(
            "SELECT t.id FROM {} AS t, ({}) AS v WHERE {}",
            self.table,
            self.select_touched(),
            self.flagged()
        )
    }

    /// Ids of rows that stay public or bookmarked in v2 though v3 says no: its row is a part of the whole, and its
    /// `false` may be what v3 writes for what nobody said.
    pub fn undecided(&self) -> String {
        format!(
            "SELECT t.id FROM {} AS t, ({}) AS v WHERE t.id = v.id AND t.project_id = v.project_id \
             AND t.updated_at < greatest(v.updated_at, v.touched) AND ({}) AND ({})",
            self.table,
            self.select_touched(),
            self.fields
                .iter()
                .filter(|f| f.meet == Meet::Decide)
                .map(|f| format!("t.{0} AND NOT v.{0}", quote(f.name)))
                .collect::<Vec<_>>()
                .join(" OR "),
            self.partial("v"),
        )
    }

    fn decisions(&self) -> impl Iterator<Item = &PgField> {
        self.fields.iter().filter(|f| matches!(f.meet, Meet::Decide | Meet::Unite))
    }

    fn flagged(&self) -> String {
        let partial = self.partial("v");
        let changes: Vec<_> = self.decisions().map(|f| f.changes(&partial)).collect();
        format!(
            "t.id = v.id AND t.project_id = v.project_id AND t.updated_at >= v.updated_at AND t.updated_at < v.touched \
             AND ({})",
            changes.join(" OR ")
        )
    }

    /// Whether v3's row lacks something that v2's has: v3 wrote it without knowing the whole.
    fn partial(&self, new: &str) -> String {
        let holes: Vec<_> = self.fields.iter().filter_map(|f| f.hole(new)).collect();
        if holes.is_empty() { "false".into() } else { holes.join(" OR ") }
    }

    fn select(&self) -> String {
        self.select_with("", "", "")
    }

    fn select_touched(&self) -> String {
        let array = format!(", ${}::bigint[]", self.fields.len() + 1);
        self.select_with(
            ", timestamp 'epoch' + v.touched * interval '1 millisecond' AS touched",
            &array,
            ", touched",
        )
    }

    fn select_with(&self, cast: &str, array: &str, name: &str) -> String {
        let casts: Vec<_> =
            self.fields.iter().map(|f| format!("{0}::{1} AS {0}", quote(f.name), f.cast)).collect();
        let arrays: Vec<_> = (1..=self.fields.len()).map(|n| format!("${n}::text[]")).collect();
        let names: Vec<_> = self.fields.iter().map(|f| quote(f.name)).collect();
        format!(
            "SELECT {}{cast} FROM unnest({}{array}) AS v({}{name})",
            casts.join(", "),
            arrays.join(", "),
            names.join(", ")
        )
    }
}

impl PgField {
    /// What v2 has and v3's row has not; nothing for a field that v3 always has.
    fn hole(&self, new: &str) -> Option<String> {
        let name = quote(self.name);
        let (old, new) = (format!("t.{name}"), format!("{new}.{name}"));
        match (self.meet, self.cast.as_str()) {
            (Meet::Fill, "text") => Some(format!("coalesce({old}, '') <> '' AND coalesce({new}, '') = ''")),
            // v3 keeps none of these values.
            (Meet::Fill | Meet::Merge, "jsonb") => Some(format!(
                "coalesce({old}, 'null') NOT IN ('null', '0', 'false', '\"\"', '{{}}') AND {new} IS NULL"
            )),
            (Meet::Fill, _) => Some(format!("{old} IS NOT NULL AND {new} IS NULL")),
            (Meet::Unite, _) => Some(format!("cardinality({old}) > 0 AND cardinality({new}) = 0")),
            _ => None,
        }
    }

    /// Whether what is decided changes v2's row.
    fn changes(&self, partial: &str) -> String {
        let name = quote(self.name);
        match self.meet {
            Meet::Unite => format!("NOT coalesce(t.{name}, '{{}}') @> v.{name}"),
            _ => format!("t.{name} <> v.{name} AND (v.{name} OR NOT ({partial}))"),
        }
    }

    /// `spelt`: the texts of entries that were spelt otherwise, by key.
    fn set(&self, new: &str, partial: &str, spelt: &str) -> Option<String> {
        let name = quote(self.name);
        let (old, new) = (format!("t.{name}"), format!("{new}.{name}"));
        let value = match self.meet {
            Meet::Keep => return None,
            Meet::Take => new,
            Meet::Fill => format!("coalesce({new}, {old})"),
            Meet::FillNumber => format!("coalesce(nullif({new}, 0), {old})"),
            Meet::Decide => format!("{new} OR ({old} AND ({partial}))"),
            Meet::Merge => merged(&old, &new, spelt),
            Meet::Unite => format!(
                "ARRAY(SELECT DISTINCT tag COLLATE \"C\" FROM unnest(coalesce({old}, '{{}}') || {new}) AS u(tag) \
                 ORDER BY 1)"
            ),
            Meet::FillLevel => format!("CASE WHEN {new} = 'DEFAULT' THEN {old} ELSE {new} END"),
        };
        Some(format!("{name} = {value}"))
    }
}

/// The entries of v2's metadata and of v3's made one. v3 keeps texts and forgets what they were, so that what comes back of
/// `null`, of a text that holds JSON or of a number with many digits is poorer than what v2 has. Of an entry that v3 did
/// not change v2's value stays: one whose text in v3 is what a copy of v2's value would be.
fn merged(old: &str, new: &str, spelt: &str) -> String {
    // What is no object lives under a key of its own in v3.
    let entries = |of: &str| {
        format!(
            "CASE coalesce(jsonb_typeof({of}), 'null') WHEN 'object' THEN {of} WHEN 'null' THEN '{{}}' \
             ELSE jsonb_build_object('{ALONE}', {of}) END"
        )
    };
    let (was, is) = (entries(old), entries(new));
    // What every double can hold, so that no cast fails.
    let double = |of: &str| {
        format!(
            "CASE WHEN jsonb_typeof({of}) <> 'number' THEN NULL \
             WHEN abs(({of})::numeric) BETWEEN 1e-300 AND 1e300 THEN ({of})::float8 END"
        )
    };
    let same = format!(
        "o.value = e.value OR {} = {} OR (jsonb_typeof(o.value) IN ('string', 'null') \
         AND coalesce(o.value #>> '{{}}', '') = coalesce(s.value, e.value #>> '{{}}'))",
        double("o.value"),
        double("e.value")
    );
    format!(
        "(SELECT CASE WHEN c.entries IS NULL THEN coalesce({old}, {new}) \
         WHEN 'object' IN (jsonb_typeof({old}), jsonb_typeof({new})) THEN {was} || c.entries ELSE {new} END \
         FROM (SELECT jsonb_object_agg(e.key, e.value) AS entries FROM jsonb_each({is}) AS e \
         LEFT JOIN jsonb_each({was}) AS o ON o.key = e.key \
         LEFT JOIN jsonb_each_text({spelt}) AS s ON s.key = e.key WHERE ({same}) IS NOT TRUE) AS c)"
    )
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
        (_, Rule::Bool) => Meet::Decide,
        (_, Rule::Tags) => Meet::Unite,
        (_, Rule::Metadata) => Meet::Merge,
        (_, Rule::Counts | Rule::Costs) => Meet::FillNumber,
        _ => Meet::Fill,
    }
}

fn quote(name: &str) -> String {
    format!("\"{name}\"")
}
