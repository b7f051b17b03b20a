//! Cells as ClickHouse's `RowBinary`, in both directions (ClickHouse documentation, "`RowBinary`").
//!
//! One rule: a cell that does not fit its column is an error with the column's name, never a silent default.

use super::{Cell, ChType};

/// Why a cell cannot be written, or bytes cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The value and the type do not belong together.
    #[error("a value of another kind than {0}")]
    Mismatch(String),
    /// NULL where the column cannot hold it.
    #[error("NULL where the column cannot be NULL")]
    Null,
    /// The number is out of the column's range.
    #[error("{0} does not fit the column")]
    Range(i64),
    /// The bytes end within a value: more are needed.
    #[error("the row ends too early")]
    Short,
}

/// Appends a cell.
pub fn write(out: &mut Vec<u8>, cell: &Cell, kind: &ChType) -> Result<(), RowError> {
    match (kind, cell) {
        (ChType::Nullable(_), Cell::Null) => out.push(1),
        (ChType::Nullable(inner), cell) => {
            out.push(0);
            write(out, cell, inner)?;
        }
        (_, Cell::Null) => return Err(RowError::Null),
        (ChType::String, Cell::Text(text)) => bytes(out, text.as_bytes()),
        (ChType::String, Cell::Bytes(value)) => bytes(out, value),
        (ChType::Bool, Cell::Bool(value)) => out.push(u8::from(*value)),
        (ChType::Int(width, signed), Cell::Int(value)) => integer(out, *value, *width, *signed)?,
        (ChType::Float64, Cell::Float(value)) => out.extend(value.to_le_bytes()),
        (ChType::Millis, Cell::Millis(value)) | (ChType::Amount, Cell::Amount(value)) => {
            out.extend(value.to_le_bytes());
        }
        (ChType::Array(_) | ChType::Map(_), Cell::Bytes(whole)) => out.extend_from_slice(whole),
        (ChType::Array(_), Cell::List(list)) => {
            length(out, list.len());
            for item in list {
                bytes(out, item.as_bytes());
            }
        }
        (ChType::Map(_), Cell::Map(map)) => entries(out, map, |out, value| bytes(out, value.as_bytes())),
        (ChType::Map(_), Cell::Counts(map)) => {
            entries(out, map, |out, value| out.extend(value.to_le_bytes()));
        }
        (ChType::Map(_), Cell::Amounts(map)) => {
            entries(out, map, |out, value| out.extend(value.to_le_bytes()));
        }
        (kind, _) => return Err(RowError::Mismatch(format!("{kind:?}"))),
    }
    Ok(())
}

/// Reads one cell and moves `from` past it; on [`RowError::Short`] the caller waits for more and starts over.
pub fn read(from: &mut &[u8], kind: &ChType) -> Result<Cell, RowError> {
    Ok(match kind {
        ChType::Nullable(inner) => match take(from, 1)?[0] {
            0 => read(from, inner)?,
            _ => Cell::Null,
        },
        ChType::String => text(take_bytes(from)?),
        ChType::Bool => Cell::Bool(take(from, 1)?[0] != 0),
        ChType::Int(width, signed) => Cell::Int(read_integer(take(from, usize::from(*width))?, *signed)?),
        ChType::Float64 => Cell::Float(f64::from_le_bytes(eight(from)?)),
        ChType::Millis => Cell::Millis(i64::from_le_bytes(eight(from)?)),
        ChType::Amount => Cell::Amount(i64::from_le_bytes(eight(from)?)),
        ChType::Array(_) | ChType::Map(_) => {
            let whole = *from;
            match read_many(from, kind)? {
                (cell, true) => cell,
                (_, false) => Cell::Bytes(whole[..whole.len() - from.len()].to_vec()),
            }
        }
        ChType::Other(name) => return Err(RowError::Mismatch(name.clone())),
    })
}

/// A list or a map that was kept as [`Cell::Bytes`], with replacement characters where its texts are not UTF-8.
pub fn replaced(mut whole: &[u8], kind: &ChType) -> Result<Cell, RowError> {
    read_many(&mut whole, kind).map(|(cell, _)| cell)
}

/// A list or a map, and whether all of its texts are UTF-8.
fn read_many(from: &mut &[u8], kind: &ChType) -> Result<(Cell, bool), RowError> {
    let count = read_length(from)?;
    let mut whole = true;
    let mut text = |from: &mut &[u8]| -> Result<String, RowError> {
        let bytes = take_bytes(from)?;
        whole &= std::str::from_utf8(bytes).is_ok();
        Ok(String::from_utf8_lossy(bytes).into_owned())
    };
    let cell = match kind {
        ChType::Array(_) => (0..count).map(|_| text(from)).collect::<Result<_, _>>().map(Cell::List),
        ChType::Map(value) => match **value {
            ChType::String => {
                (0..count).map(|_| Ok((text(from)?, text(from)?))).collect::<Result<_, _>>().map(Cell::Map)
            }
            ChType::Int(8, false) => (0..count)
                .map(|_| Ok((text(from)?, u64::from_le_bytes(eight(from)?))))
                .collect::<Result<_, _>>()
                .map(Cell::Counts),
            ChType::Amount => (0..count)
                .map(|_| Ok((text(from)?, i64::from_le_bytes(eight(from)?))))
                .collect::<Result<_, _>>()
                .map(Cell::Amounts),
            ref other => Err(RowError::Mismatch(format!("{other:?}"))),
        },
        other => Err(RowError::Mismatch(format!("{other:?}"))),
    }?;
    Ok((cell, whole))
}

fn text(value: &[u8]) -> Cell {
    match std::str::from_utf8(value) {
        Ok(text) => Cell::Text(text.to_owned()),
        Err(_) => Cell::Bytes(value.to_vec()),
    }
}

/// The next bytes.
pub(in crate::data) fn take<'a>(from: &mut &'a [u8], count: usize) -> Result<&'a [u8], RowError> {
    let (head, rest) = from.split_at_checked(count).ok_or(RowError::Short)?;
    *from = rest;
    Ok(head)
}

pub(in crate::data) fn eight(from: &mut &[u8]) -> Result<[u8; 8], RowError> {
    take(from, 8)?.try_into().map_err(|_| RowError::Short)
}

pub(in crate::data) fn take_bytes<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], RowError> {
    let count = read_length(from)?;
    take(from, count)
}

pub(in crate::data) fn read_length(from: &mut &[u8]) -> Result<usize, RowError> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let byte = take(from, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(value).map_err(|_| RowError::Mismatch("a length".into()));
        }
        shift += 7;
        if shift > 63 {
            return Err(RowError::Mismatch("a length".into()));
        }
    }
}

/// Appends the length that a text, a list or a map begins with.
pub(in crate::data) fn length(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    length(out, value.len());
    out.extend_from_slice(value);
}

fn entries<T>(out: &mut Vec<u8>, map: &[(String, T)], value: impl Fn(&mut Vec<u8>, &T)) {
    length(out, map.len());
    for (key, item) in map {
        bytes(out, key.as_bytes());
        value(out, item);
    }
}

fn integer(out: &mut Vec<u8>, value: i64, width: u8, signed: bool) -> Result<(), RowError> {
    let bits = u32::from(width) * 8;
    let fits = match (bits, signed) {
        (64, true) => true,
        (64, false) => value >= 0,
        (_, true) => (-(1 << (bits - 1))..1 << (bits - 1)).contains(&value),
        (_, false) => (0..1 << bits).contains(&value),
    };
    if !fits {
        return Err(RowError::Range(value));
    }
    out.extend_from_slice(&value.to_le_bytes()[..usize::from(width)]);
    Ok(())
}

fn read_integer(value: &[u8], signed: bool) -> Result<i64, RowError> {
    let mut whole = [0_u8; 8];
    whole[..value.len()].copy_from_slice(value);
    let read = u64::from_le_bytes(whole);
    if !signed {
        return i64::try_from(read).map_err(|_| RowError::Mismatch("an integer below 2^63".into()));
    }
    let unused = 64 - 8 * value.len() as u32;
    Ok(((read << unused) as i64) >> unused)
}
