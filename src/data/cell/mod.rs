//! One value of a ClickHouse row, whichever side it was read from.
//!
//! One rule: a cell is what v3 stores, so two rows are compared, merged and written back in v3's terms.

mod ch_type;
pub mod native;
pub mod rowbinary;

#[cfg(test)]
mod tests;

pub use ch_type::ChType;

/// Twelve decimals: the scale of Langfuse's amounts (`Decimal64(12)`).
pub const SCALE: i64 = 1_000_000_000_000;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// Text.
    Text(String),
    /// A `String` of ClickHouse that is not UTF-8; of a list or a map with such a text in it the whole `RowBinary`.
    Bytes(Vec<u8>),
    /// A boolean.
    Bool(bool),
    /// Any integer that fits.
    Int(i64),
    /// A double.
    Float(f64),
    /// Milliseconds since 1970, UTC.
    Millis(i64),
    /// An amount in units of 1e-12.
    Amount(i64),
    /// A list of texts.
    List(Vec<String>),
    /// Texts by key, in the order of the map.
    Map(Vec<(String, String)>),
    /// Counts by key.
    Counts(Vec<(String, u64)>),
    /// Amounts by key, in units of 1e-12.
    Amounts(Vec<(String, i64)>),
}

impl Cell {
    /// Text, or nothing where it is NULL, not text, or not UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it holds nothing: NULL, an empty text, list or map. What a partial row of v3 is full of.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Map(map) => map.is_empty(),
            Self::Counts(map) => map.is_empty(),
            Self::Amounts(map) => map.is_empty(),
            Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Millis(_) | Self::Amount(_) => false,
        }
    }

    /// Whether it tells nothing: empty, or counts and amounts that are all 0, which is what PostgreSQL's columns
    /// hold where nobody counted. What has nothing in it cannot be lost.
    pub fn is_nothing(&self) -> bool {
        match self {
            Self::Counts(map) => map.iter().all(|(_, count)| *count == 0),
            Self::Amounts(map) => map.iter().all(|(_, amount)| *amount == 0),
            cell => cell.is_empty(),
        }
    }
}

/// An amount as text: "0.000125", without trailing zeros.
pub fn amount_text(amount: i64) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let whole = amount.unsigned_abs() / SCALE.unsigned_abs();
    let rest = amount.unsigned_abs() % SCALE.unsigned_abs();
    let text = format!("{sign}{whole}.{rest:012}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
