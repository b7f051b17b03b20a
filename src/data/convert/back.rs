//! The rules of the table description, the other way: a cell of v3 as the text that PostgreSQL reads into v2's
//! columns.
//!
//! One rule: a value goes back as what v2 would have stored; what cannot is a [`Refusal`], what is not the same
//! afterwards is a [`Loss`], and nothing is written half.
//!
//! What is ambiguous, and how it is decided:
//! * v3 stores an input or output that is a string raw (`hi`), and everything else as JSON. Text that is JSON goes
//!   back as that JSON, other text as a JSON string. The string `"5"` and the number 5 look the same in v3: it
//!   becomes the number, and is counted ([`Loss::JsonScalar`]).
//! * v3 turns every value of metadata into text. An object or a list goes back as JSON; so do `true`, `false`
//!   and numbers exactly as JavaScript spells them, counted ([`Loss::MetadataScalar`]). "null", "007", "1.0" and digits
//!   beyond a double's precision stay strings. v2 filters metadata by its text, so both read alike there.
//! * Such an object or list may have been a text, and an empty text may have been null: counted
//!   ([`Loss::MetadataText`]) where v2 has no row that still knows it.
//! * v3 wraps metadata that is a string or a list as `{"metadata": ..}`: a map with that key alone is unwrapped.
//! * An empty text where ClickHouse cannot hold NULL was NULL.

use serde::de::IgnoredAny;

use super::json::{is_falsy, number};
use super::rule::PARTS;
use super::{ALONE, Refusal};
use crate::data::cell::{Cell, ChType, amount_text, rowbinary};
use crate::data::tables::{Column, Rule};

/// A value of PostgreSQL as text that its type's input reads; `None` is NULL.
pub type Text = Option<String>;

/// What is not the same in v2 as it was in v3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Another environment than `default`: v2 has none.
    Environment,
    /// Counts beyond input, output and total.
    Usage,
    /// Amounts beyond input, output and total.
    Cost,
    /// AGENT, TOOL, CHAIN and the like, written as SPAN or GENERATION.
    ObservationType,
    /// A level that v2 does not know, written as DEFAULT.
    Level,
    /// Input or output that may have been a string and goes back as a number, a boolean, null or a quoted string.
    JsonScalar,
    /// The same inside metadata.
    MetadataScalar,
    /// An object or a list inside metadata that may have been a text, an empty text that may have been null.
    MetadataText,
    /// Text that was not UTF-8 in a list or a map, with replacement characters.
    Replaced,
    /// A score's configuration that is not there any more: the score goes back without it.
    ScoreConfig,
    /// Public or bookmarked in v2, and not in a row of v3 that lacks what v2 has: stays as v2 has it.
    Undecided,
}

impl Loss {
    /// In words, after a number of rows.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Environment => "have an environment, which v2 does not know",
            Self::Usage => "have usage details beyond input, output and total",
            Self::Cost => "have cost details beyond input, output and total",
            Self::ObservationType => "are of a type v2 does not know and become SPAN or GENERATION",
            Self::Level => "have a level v2 does not know and become DEFAULT",
            Self::JsonScalar => "have an input or output such as 5 or true that may have been a string",
            Self::MetadataScalar => "have metadata such as 5 or true that may have been a string",
            Self::MetadataText => {
                "have objects, lists or empty texts in metadata that may have been texts or null, and go back as what \
                 they read like"
            }
            Self::Replaced => "have replacement characters where text was not UTF-8",
            Self::Undecided => {
                "stay public or bookmarked in v2: v3 says no, in a row that lacks what v2 has, and writes that where \
                 nobody decided"
            }
            Self::ScoreConfig => "name a score configuration that is gone, and go back without it",
        }
    }
}

/// What PostgreSQL is to read for this cell, one text for each column of [`crate::data::tables::Back::To`].
///
/// # Errors
/// A value that PostgreSQL cannot store, or that is not what the rule makes.
pub fn back(column: &Column, cell: &Cell, losses: &mut Vec<Loss>) -> Result<Vec<Text>, Refusal> {
    let refuse = |reason: String| Refusal { column: column.ch, reason };
    let one = |text: Text| Ok(vec![text]);
    let many = match (column.rule, cell) {
        (rule, Cell::Bytes(whole)) => many(rule).and_then(|kind| rowbinary::replaced(whole, &kind).ok()),
        _ => None,
    };
    let texts = match (column.rule, many.as_ref().unwrap_or(cell)) {
        (_, Cell::Bytes(_)) => Err("the text is not UTF-8".into()),
        (Rule::Counts, Cell::Counts(map)) => counts(map, losses),
        (Rule::Costs, Cell::Amounts(map)) => Ok(costs(map, losses)),
        (Rule::Counts | Rule::Costs, Cell::Null) => Ok(vec![None; PARTS.len()]),
        (_, Cell::Null) => one(None),
        (Rule::Text, Cell::Text(text)) => plain(text).and_then(|text| one(Some(text))),
        (Rule::Json, Cell::Text(text)) => json(text, losses).and_then(one),
        (Rule::Metadata, Cell::Map(map)) => metadata(map, losses).and_then(one),
        (Rule::Tags, Cell::List(list)) => tags(list, losses).and_then(one),
        (Rule::Time, Cell::Millis(millis)) => time(*millis).and_then(|text| one(Some(text))),
        (Rule::Bool, Cell::Bool(value)) => one(Some(value.to_string())),
        (Rule::Float, Cell::Float(value)) => one(Some(format!("{value:?}"))),
        (_, other) => Err(format!("{other:?} is not what v3 keeps there")),
    };
    texts.map_err(refuse)
}

/// The type of a rule that makes lists or maps.
fn many(rule: Rule) -> Option<ChType> {
    match rule {
        Rule::Tags => Some(ChType::Array(Box::new(ChType::String))),
        Rule::Metadata => Some(ChType::Map(Box::new(ChType::String))),
        Rule::Counts => Some(ChType::Map(Box::new(ChType::Int(8, false)))),
        Rule::Costs => Some(ChType::Map(Box::new(ChType::Amount))),
        _ => None,
    }
}

/// Text that PostgreSQL can store: it has no NUL.
fn plain(text: &str) -> Result<String, String> {
    if text.contains('\0') { Err(NUL.into()) } else { Ok(text.to_owned()) }
}

/// Why a text with NUL stays where it is.
const NUL: &str = "the text holds NUL (U+0000), which PostgreSQL cannot store";

/// A moment as v3 keeps it; one that ClickHouse 26.8 and later stored a thousand times too large under v3 up to
/// v3.225.4 (langfuse#16858) is named, not guessed back.
fn time(millis: i64) -> Result<String, String> {
    /// The years 2001 to 2100 in milliseconds, times a thousand.
    const TOO_LARGE: std::ops::Range<i64> = 1_000_000_000_000_000..4_102_444_800_000_000;
    if TOO_LARGE.contains(&millis) {
        return Err(
            "the moment was stored a thousand times too large (ClickHouse 26.8 or later, v3 up to v3.225.4)"
                .into(),
        );
    }
    let at = jiff::Timestamp::from_millisecond(millis)
        .map_err(|_| format!("{millis} ms is no moment PostgreSQL knows"))?;
    Ok(at.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string())
}

fn tags(list: &[String], losses: &mut Vec<Loss>) -> Result<Text, String> {
    let mut out = String::from("{");
    for (at, tag) in list.iter().enumerate() {
        let tag = plain(tag)?;
        note_replaced(&tag, losses);
        let comma = if at > 0 { "," } else { "" };
        out.push_str(&format!("{comma}\"{}\"", tag.replace('\\', "\\\\").replace('"', "\\\"")));
    }
    out.push('}');
    Ok(Some(out))
}

fn counts(map: &[(String, u64)], losses: &mut Vec<Loss>) -> Result<Vec<Text>, String> {
    note_others(map, Loss::Usage, losses);
    let count = |key: &&str| {
        let Some((_, count)) = map.iter().find(|(name, _)| name == key) else { return Ok(None) };
        let fits = i32::try_from(*count);
        fits.map(|count| Some(count.to_string()))
            .map_err(|_| format!("{key} is {count}, and v2 counts to 2147483647"))
    };
    PARTS.iter().map(count).collect()
}

fn costs(map: &[(String, i64)], losses: &mut Vec<Loss>) -> Vec<Text> {
    note_others(map, Loss::Cost, losses);
    let cost = |key: &&str| map.iter().find(|(name, _)| name == key).map(|(_, cost)| amount_text(*cost));
    PARTS.iter().map(cost).collect()
}

fn note_others<T>(map: &[(String, T)], loss: Loss, losses: &mut Vec<Loss>) {
    if map.iter().any(|(key, _)| !PARTS.contains(&key.as_str())) {
        losses.push(loss);
    }
}

fn note_replaced(text: &str, losses: &mut Vec<Loss>) {
    if text.contains('\u{fffd}') {
        losses.push(Loss::Replaced);
    }
}

/// What a text says when it is read as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// An object or a list.
    Nested,
    /// A number, a boolean, null, or a quoted string.
    Scalar,
    /// No JSON, or none that jsonb takes (half a surrogate pair).
    Text,
}

/// # Errors
/// JSON with an escaped NUL: jsonb refuses it, and v2 could not have stored it.
fn reads(text: &str) -> Result<Reads, String> {
    // The reader skips values without recursion: depth does not matter.
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Ok(Reads::Text);
    }
    match escapes(text) {
        Escapes::Nul => Err(NUL.into()),
        Escapes::Half => Ok(Reads::Text),
        Escapes::Fine if text.trim_start().starts_with(['{', '[']) => Ok(Reads::Nested),
        Escapes::Fine => Ok(Reads::Scalar),
    }
}

enum Escapes {
    Fine,
    Nul,
    Half,
}

/// Looks at the `\u` escapes of a text that is JSON.
fn escapes(text: &str) -> Escapes {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let code =
            |from: &str| from.strip_prefix("\\u").and_then(|hex| u32::from_str_radix(hex.get(..4)?, 16).ok());
        let here = &rest[at..];
        rest = match code(here) {
            Some(0) => return Escapes::Nul,
            Some(0xd800..=0xdbff) => match here.get(6..).and_then(code) {
                Some(0xdc00..=0xdfff) => &here[12..],
                _ => return Escapes::Half,
            },
            Some(0xdc00..=0xdfff) => return Escapes::Half,
            Some(_) => &here[6..],
            None => here.get(2..).unwrap_or_default(),
        };
    }
    Escapes::Fine
}

fn json(text: &str, losses: &mut Vec<Loss>) -> Result<Text, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let text = plain(text)?;
    Ok(Some(match reads(&text)? {
        Reads::Nested => text,
        // v3 keeps no falsy value: what reads like one was a string.
        Reads::Scalar if is_falsy(&text) => quoted(&text),
        Reads::Scalar => {
            losses.push(Loss::JsonScalar);
            text
        }
        Reads::Text => quoted(&text),
    }))
}

fn metadata(map: &[(String, String)], losses: &mut Vec<Loss>) -> Result<Text, String> {
    if let [(key, value)] = map
        && key == ALONE
        && let Some(alone) = unwrapped(&plain(value)?)?
    {
        note_replaced(value, losses);
        note_text(value, &alone, losses);
        return Ok(Some(alone));
    }
    let mut out = String::from("{");
    for (key, value) in map {
        let (key, value) = (plain(key)?, plain(value)?);
        note_replaced(&key, losses);
        note_replaced(&value, losses);
        let comma = if out.len() > 1 { "," } else { "" };
        let entry = entry(&value, losses)?;
        note_text(&value, &entry, losses);
        for part in [comma, &quoted(&key), ":", &entry] {
            out.push_str(part);
        }
    }
    out.push('}');
    Ok((!map.is_empty()).then_some(out))
}

/// Entries that go back as objects or lists, as JSON: their keys, and the texts that v3 has. PostgreSQL spells an object in
/// its own way, and then cannot tell whether a text of v2 is the one that v3 has.
pub fn spelt(cell: &Cell) -> Option<String> {
    let Cell::Map(map) = cell else { return None };
    let nested = map.iter().filter(|(_, text)| {
        text.starts_with(['{', '[', ' ', '\n', '\t', '\r']) && reads(text) == Ok(Reads::Nested)
    });
    let texts: serde_json::Map<String, serde_json::Value> =
        nested.map(|(key, text)| (key.clone(), text.as_str().into())).collect();
    (!texts.is_empty()).then(|| serde_json::Value::Object(texts).to_string())
}

/// Whether v2 may have had something else that v3 keeps as this text.
fn note_text(text: &str, entry: &str, losses: &mut Vec<Loss>) {
    if text.is_empty() || !entry.starts_with('"') && !is_scalar(text) {
        losses.push(Loss::MetadataText);
    }
}

/// The list or string that v3 wrapped; nothing where the value says it was an entry of an object.
fn unwrapped(value: &str) -> Result<Text, String> {
    Ok(match reads(value)? {
        Reads::Nested if value.starts_with('[') => Some(value.to_owned()),
        Reads::Nested => None,
        Reads::Scalar if is_scalar(value) => None,
        Reads::Scalar | Reads::Text => Some(quoted(value)),
    })
}

/// One value of metadata as JSON.
fn entry(value: &str, losses: &mut Vec<Loss>) -> Result<String, String> {
    Ok(match reads(value)? {
        Reads::Nested => value.to_owned(),
        Reads::Scalar if is_scalar(value) => {
            losses.push(Loss::MetadataScalar);
            value.to_owned()
        }
        Reads::Scalar | Reads::Text => quoted(value),
    })
}

/// Whether JavaScript would have written this text for a boolean or a number. Not `null`: a copy of it would be the
/// empty text, and no longer what v3 has.
fn is_scalar(text: &str) -> bool {
    matches!(text, "true" | "false") || number(text).is_ok_and(|spelt| spelt == text)
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
