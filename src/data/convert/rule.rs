//! The rules of the table description, carried out.

use super::json::{Entries, is_falsy, stringify};
use super::{ALONE, Field, Refusal};
use crate::data::cell::{Cell, SCALE};
use crate::data::tables::{Column, Rule};

/// The keys of Langfuse's maps of counts and amounts, in the order of the columns they come from.
pub(super) const PARTS: [&str; 3] = ["input", "output", "total"];

/// What v3's worker stores in this column for these PostgreSQL values. `nullable` is the live column's own.
///
/// # Errors
/// A value that the worker could not have stored either, or that would be stored as another one.
pub fn convert(column: &Column, fields: &[Field<'_>], nullable: bool) -> Result<Cell, Refusal> {
    let first = fields.first().copied().unwrap_or(Field(None));
    let cell = match column.rule {
        Rule::Text => first.text().map(|text| text.map(|text| Cell::Text(text.to_owned()))),
        Rule::Time | Rule::Version => first.millis().and_then(in_range).map(|time| time.map(Cell::Millis)),
        Rule::Bool => first.bool().map(|value| Some(Cell::Bool(value.unwrap_or(false)))),
        Rule::Tags => first.list().map(|list| Some(Cell::List(list.unwrap_or_default()))),
        Rule::Json => json(first),
        Rule::Metadata => metadata(first).map(Some),
        Rule::Counts => counts(fields).map(Some),
        Rule::Costs => costs(fields).map(Some),
        Rule::Cost => {
            first.double().and_then(|cost| cost.map(amount).transpose()).map(|a| a.map(Cell::Amount))
        }
        Rule::Float => first.double().map(|value| Some(Cell::Float(value.unwrap_or(0.0)))),
        Rule::Wrapping => first.int().map(|value| value.map(|value| Cell::Int((value as u16).into()))),
        Rule::EmptyMap => Ok(Some(Cell::Counts(vec![]))),
        Rule::Fixed(text) => Ok(Some(Cell::Text(text.into()))),
        Rule::Alive => Ok(Some(Cell::Int(0))),
    };
    let empty = || match column.rule {
        Rule::Time | Rule::Version => Cell::Millis(0),
        _ => Cell::Text(String::new()),
    };
    match cell {
        Ok(Some(cell)) => Ok(cell),
        Ok(None) if nullable => Ok(Cell::Null),
        Ok(None) => Ok(empty()),
        Err(reason) => Err(Refusal { column: column.ch, reason }),
    }
}

/// `DateTime64(3)` holds the years 1900 to 2299 (ClickHouse documentation); beyond, it would show another moment.
fn in_range(millis: Option<i64>) -> Result<Option<i64>, String> {
    const FIRST: i64 = -2_208_988_800_000;
    const LAST: i64 = 10_413_791_999_999;
    match millis {
        Some(at) if !(FIRST..=LAST).contains(&at) => {
            Err("the timestamp is outside the years 1900 to 2299 that ClickHouse can store".into())
        }
        millis => Ok(millis),
    }
}

fn json(field: Field<'_>) -> Result<Option<Cell>, String> {
    match field.jsonb()? {
        Some(text) if !is_falsy(text) => stringify(text).map(|text| Some(Cell::Text(text))),
        _ => Ok(None),
    }
}

fn metadata(field: Field<'_>) -> Result<Cell, String> {
    let Some(text) = field.jsonb()? else { return Ok(Cell::Map(vec![])) };
    let wrapped = |value: String| Ok(Cell::Map(vec![(ALONE.to_owned(), value)]));
    match text.as_bytes().first() {
        Some(b'{') => {}
        Some(b'[') => return wrapped(stringify(text)?),
        Some(b'"') => return wrapped(serde_json::from_str(text).map_err(|e| e.to_string())?),
        Some(b'n') => return Ok(Cell::Map(vec![])),
        _ => return Err(format!("metadata is the bare value {text}, which is no map")),
    }
    // Ordered and spelt as JavaScript does it, then taken apart.
    let text = stringify(text)?;
    let Entries(entries) = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let texts = entries.into_iter().map(|(key, value)| Ok((key, entry(value.get())?)));
    texts.collect::<Result<_, String>>().map(Cell::Map)
}

/// A value of metadata as ClickHouse reads it into a text: strings unquoted, null empty, the rest JSON.
fn entry(json: &str) -> Result<String, String> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).map_err(|e| e.to_string()),
        Some(b'n') => Ok(String::new()),
        _ => Ok(json.to_owned()),
    }
}

fn counts(fields: &[Field<'_>]) -> Result<Cell, String> {
    let count = |(key, field): (&&str, &Field<'_>)| {
        let count = field.int()?.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
        Ok(((*key).to_owned(), count))
    };
    PARTS.iter().zip(fields).map(count).collect::<Result<_, String>>().map(Cell::Counts)
}

fn costs(fields: &[Field<'_>]) -> Result<Cell, String> {
    let cost =
        |(key, field): (&&str, &Field<'_>)| Ok(((*key).to_owned(), field.double()?.map_or(Ok(0), amount)?));
    PARTS.iter().zip(fields).map(cost).collect::<Result<_, String>>().map(Cell::Amounts)
}

/// A double as `Decimal64(12)`: its shortest decimal text, cut after twelve decimals (ClickHouse cuts, too).
///
/// # Errors
/// NaN, infinity, and amounts that need more than 18 digits.
pub(super) fn amount(double: f64) -> Result<i64, String> {
    let refuse =
        || format!("{double} is beyond 999999.999999999999, the largest amount ClickHouse can store");
    if !double.is_finite() || double.abs() >= 1e6 {
        return Err(refuse());
    }
    // Display never uses exponents and is the shortest text that reads back as this double.
    let text = format!("{}", double.abs());
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let digits = format!("{rest:0<12.12}");
    let whole: i64 = whole.parse().map_err(|_| refuse())?;
    let part: i64 = digits.parse().map_err(|_| refuse())?;
    let amount = whole * SCALE + part;
    Ok(if double < 0.0 { -amount } else { amount })
}
