//! The way of a copied row without the cells between: PostgreSQL's bytes to ClickHouse's.
//!
//! One rule: it writes exactly what [`super::convert`] and [`rowbinary::write`] would write, and leaves to them what is
//! not worth a way of its own; a test holds the two against each other.

use super::json::{is_falsy, stringify};
use super::{Field, Refusal, convert, entries};
use crate::data::cell::{ChType, rowbinary};
use crate::data::tables::{Mapped, Rule};

/// Appends a row; on a refusal nothing is appended. `fields` in the order of the mapping's `pg_list`.
///
/// # Errors
/// The first column whose value cannot be converted, or does not fit.
pub fn encode(columns: &[Mapped], fields: &[Field<'_>], out: &mut Vec<u8>) -> Result<(), Refusal> {
    let begun = out.len();
    let mut at = 0;
    for mapped in columns {
        let end = (at + mapped.column.pg.len()).min(fields.len());
        let written = match short(mapped, &fields[at..end], out) {
            Some(written) => written.map_err(|reason| Refusal { column: mapped.column.ch, reason }),
            None => long(mapped, &fields[at..end], out),
        };
        if let Err(refusal) = written {
            out.truncate(begun);
            return Err(refusal);
        }
        at = end;
    }
    Ok(())
}

fn long(mapped: &Mapped, fields: &[Field<'_>], out: &mut Vec<u8>) -> Result<(), Refusal> {
    let cell = convert(mapped.column, fields, mapped.kind.is_nullable())?;
    rowbinary::write(out, &cell, &mapped.kind)
        .map_err(|error| Refusal { column: mapped.column.ch, reason: error.to_string() })
}

/// The rules that most bytes go through; `None` for the rest.
fn short(mapped: &Mapped, fields: &[Field<'_>], out: &mut Vec<u8>) -> Option<Result<(), String>> {
    let field = fields.first().copied().unwrap_or(Field(None));
    if let (Rule::Metadata, ChType::Map(_)) = (mapped.column.rule, &mapped.kind) {
        return entries::encode(field.jsonb().ok()??, out).map(Ok);
    }
    let nullable = match &mapped.kind {
        ChType::Nullable(inner) if **inner == ChType::String => true,
        ChType::String => false,
        _ => return None,
    };
    Some(match mapped.column.rule {
        Rule::Text => field.text().map(|text| put(out, text.map(str::as_bytes), nullable)),
        Rule::Json => json(field, nullable, out),
        Rule::Fixed(text) => {
            put(out, Some(text.as_bytes()), nullable);
            Ok(())
        }
        _ => return None,
    })
}

fn json(field: Field<'_>, nullable: bool, out: &mut Vec<u8>) -> Result<(), String> {
    match field.jsonb()? {
        Some(text) if !is_falsy(text) => put(out, Some(stringify(text)?.as_bytes()), nullable),
        _ => put(out, None, nullable),
    }
    Ok(())
}

/// A text, or NULL; the empty text where NULL has no place.
fn put(out: &mut Vec<u8>, text: Option<&[u8]>, nullable: bool) {
    match (text, nullable) {
        (None, true) => return out.push(1),
        (_, true) => out.push(0),
        (_, false) => {}
    }
    let text = text.unwrap_or_default();
    rowbinary::length(out, text.len());
    out.extend_from_slice(text);
}
