//! A PostgreSQL row as v3's own worker would have written it to ClickHouse (Langfuse, `convertPostgres*ToInsert`).
//!
//! One rule: a value that the rule cannot convert is a [`Refusal`] with its column; nothing is guessed.

pub mod back;
pub mod direct;
mod entries;
mod field;
pub mod json;
mod rule;

#[cfg(test)]
mod back_tests;
#[cfg(test)]
mod tests;

pub use field::Field;
pub use rule::convert;

/// The key under which v3 keeps metadata that is no object.
pub const ALONE: &str = "metadata";

/// Why a row cannot be copied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{column}: {reason}")]
pub struct Refusal {
    /// The ClickHouse column.
    pub column: &'static str,
    /// What is wrong with the value.
    pub reason: String,
}
