//! What one column is: where its value comes from, what becomes of it, how it is compared, whether it can go back.

/// What a PostgreSQL value becomes on its way to ClickHouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Text as it is; NULL becomes the empty string where the target cannot be NULL.
    Text,
    /// `timestamp(3)` without zone, meaning UTC, to `DateTime64(3)`: exact to the millisecond.
    Time,
    /// A boolean as it is.
    Bool,
    /// `text[]` in its order; NULL becomes an empty array.
    Tags,
    /// jsonb to JSON text as `JSON.stringify` writes it; what JavaScript calls falsy (`null`, `0`, `false`, `""`)
    /// becomes NULL.
    Json,
    /// jsonb to a map of texts: a string or an array is wrapped as `{"metadata": ..}`, nested values become JSON
    /// text, null becomes the empty text. A bare number or boolean cannot be converted.
    Metadata,
    /// Three integers (input, output, total) to a map that always has these keys; NULL and negatives become 0.
    Counts,
    /// Three amounts as doubles (input, output, total) to a map that always has these keys; NULL becomes 0.
    Costs,
    /// One amount as a double, cut after twelve decimals; NULL stays NULL. Above 999 999.999999999999 it cannot
    /// be converted.
    Cost,
    /// A double; NULL becomes 0.
    Float,
    /// An integer that wraps at 65 536, as Langfuse's own copy lets it.
    Wrapping,
    /// A map of counts without entries.
    EmptyMap,
    /// The same text for every copied row.
    Fixed(&'static str),
    /// `event_ts`: the row's own time, so that whatever v3 wrote itself wins over a copied row.
    Version,
    /// `is_deleted`: 0.
    Alive,
}

/// How the two sides of a column are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Byte for byte, millisecond for millisecond.
    Exact,
    /// As JSON values: key order, white space and the spelling of numbers do not matter; falsy equals NULL.
    Json,
    /// Entry by entry, values as JSON where they are JSON.
    Map,
    /// Within 1e-12 + 1e-15 of the amount; NULL equals 0 inside maps.
    Amount,
    /// Not compared, and why.
    Not(&'static str),
}

/// What a question costs: each tier includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// `id` and `project_id`.
    Key,
    /// Every column but the JSON ones.
    Scalar,
    /// Everything.
    All,
}

/// Whether the value can be written back to PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// Into these columns, in the order of the rule's parts. A cast is part of the text after `::`.
    To(&'static [&'static str]),
    /// It cannot, and why.
    No(&'static str),
}

/// One column of ClickHouse.
#[derive(Debug)]
pub struct Column {
    /// Its name in ClickHouse.
    pub ch: &'static str,
    /// SQL expressions over the spec's `from` that the rule reads, in its order.
    pub pg: &'static [&'static str],
    /// What becomes of them.
    pub rule: Rule,
    /// How both sides are compared.
    pub compare: Compare,
    /// Whether it can go back.
    pub back: Back,
}

impl Column {
    /// The cheapest question that sees this column.
    pub fn tier(&self) -> Tier {
        match self.rule {
            _ if matches!(self.ch, "id" | "project_id") => Tier::Key,
            Rule::Json | Rule::Metadata => Tier::All,
            _ => Tier::Scalar,
        }
    }

    /// Whether v3 may have something to say in it that v2 has no column for. What says who wrote a row, what is made of
    /// other columns, and the environment, which is named row by row, does not count.
    pub fn stays_in_v3(&self) -> bool {
        matches!(self.back, Back::No(_)) && self.rule == Rule::EmptyMap
    }
}

/// A column that is the same on both sides.
pub(super) const fn same(
    ch: &'static str,
    pg: &'static [&'static str],
    rule: Rule,
    back: &'static [&'static str],
) -> Column {
    let compare = match rule {
        Rule::Json => Compare::Json,
        Rule::Metadata => Compare::Map,
        Rule::Cost | Rule::Costs => Compare::Amount,
        _ => Compare::Exact,
    };
    Column { ch, pg, rule, compare, back: Back::To(back) }
}

/// A column that only ClickHouse has.
pub(super) const fn only_v3(ch: &'static str, rule: Rule, why: &'static str) -> Column {
    Column { ch, pg: &[], rule, compare: Compare::Not(why), back: Back::No(why) }
}

/// The version of a row: its own time, read from the same expression.
pub(super) const fn version(pg: &'static [&'static str]) -> Column {
    const WHY: &str = "it says who wrote the row, not what the row is";
    Column { ch: "event_ts", pg, rule: Rule::Version, compare: Compare::Not(WHY), back: Back::No(WHY) }
}

/// Not deleted.
pub(super) const ALIVE: Column =
    only_v3("is_deleted", Rule::Alive, "a deleted row is told apart before columns are compared");

/// The environment of a row, which v2 does not know.
pub(super) const ENVIRONMENT: Column =
    only_v3("environment", Rule::Fixed("default"), "v2 has no environments");
