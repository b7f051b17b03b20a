//! The types of ClickHouse that Langfuse's tables use, read from `system.columns`.
//!
//! One rule: a type that is not known is kept by name; its column is named in reports and neither read nor written.

use std::fmt;

/// A column type. `LowCardinality(T)` is `T`: it travels the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChType {
    /// `String`.
    String,
    /// `Bool`.
    Bool,
    /// An integer: bytes (1, 2, 4 or 8), and whether it has a sign.
    Int(u8, bool),
    /// `Float64`.
    Float64,
    /// `DateTime64(3)`, whatever the zone it is shown in.
    Millis,
    /// `Decimal64(12)`, which the server calls `Decimal(18, 12)`.
    Amount,
    /// `Nullable(T)`.
    Nullable(Box<ChType>),
    /// `Array(T)`.
    Array(Box<ChType>),
    /// `Map(String, T)`.
    Map(Box<ChType>),
    /// Anything else.
    Other(String),
}

/// Longest spelling that is taken apart: each bracket costs a bit of the stack.
const LONGEST: usize = 1_000;

impl ChType {
    /// Reads the server's spelling of a type.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        if text.len() > LONGEST {
            return Self::Other(text.chars().take(LONGEST).collect());
        }
        let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(inner) = inside("LowCardinality") {
            return Self::parse(inner);
        }
        if let Some(inner) = inside("Nullable") {
            return Self::Nullable(Box::new(Self::parse(inner)));
        }
        if let Some(inner) = inside("Array") {
            return Self::Array(Box::new(Self::parse(inner)));
        }
        if let Some((key, value)) = inside("Map").and_then(split_top) {
            return match Self::parse(key) {
                Self::String => Self::Map(Box::new(Self::parse(value))),
                _ => Self::Other(text.to_owned()),
            };
        }
        if inside("DateTime64").is_some_and(|args| args == "3" || args.starts_with("3,")) {
            return Self::Millis;
        }
        match text {
            "String" => Self::String,
            "Bool" => Self::Bool,
            "UInt8" => Self::Int(1, false),
            "UInt16" => Self::Int(2, false),
            "UInt32" => Self::Int(4, false),
            "UInt64" => Self::Int(8, false),
            "Int8" => Self::Int(1, true),
            "Int16" => Self::Int(2, true),
            "Int32" => Self::Int(4, true),
            "Int64" => Self::Int(8, true),
            "Float64" => Self::Float64,
            "Decimal(18, 12)" | "Decimal64(12)" => Self::Amount,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Whether NULL can be stored.
    pub const fn is_nullable(&self) -> bool {
        matches!(self, Self::Nullable(_))
    }

    /// Whether this program can read and write it.
    pub fn is_known(&self) -> bool {
        match self {
            Self::Other(_) => false,
            Self::Nullable(inner) => inner.is_known() && !matches!(**inner, Self::Nullable(_)),
            Self::Array(inner) => **inner == Self::String,
            Self::Map(inner) => {
                matches!(**inner, Self::String | Self::Int(8, false) | Self::Amount)
            }
            _ => true,
        }
    }
}

/// The server's spelling, without `LowCardinality` and zones.
impl fmt::Display for ChType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("String"),
            Self::Bool => f.write_str("Bool"),
            Self::Int(width, signed) => write!(f, "{}Int{}", if *signed { "" } else { "U" }, 8 * width),
            Self::Float64 => f.write_str("Float64"),
            Self::Millis => f.write_str("DateTime64(3)"),
            Self::Amount => f.write_str("Decimal(18, 12)"),
            Self::Nullable(inner) => write!(f, "Nullable({inner})"),
            Self::Array(inner) => write!(f, "Array({inner})"),
            Self::Map(inner) => write!(f, "Map(String, {inner})"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// The two parts at the first comma that no bracket holds.
fn split_top(args: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (at, c) in args.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => return Some((&args[..at], &args[at + 1..])),
            _ => {}
        }
    }
    None
}
