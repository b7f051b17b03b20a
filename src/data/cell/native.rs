//! Rows as blocks of ClickHouse's `Native` format, column by column (ClickHouse documentation, "Native"): the server
//! stores them in little more than half the time that it takes for the same rows as `RowBinary`.
//!
//! One rule: a row goes in as `RowBinary`, whole or not at all, and its bytes are only put elsewhere.

use super::ChType;
use super::rowbinary::{RowError, length, read_length, take};

/// Rows on their way into one table.
#[derive(Debug)]
pub struct Block {
    columns: Vec<Column>,
    rows: usize,
    /// The row that is being written, as `RowBinary`.
    row: Vec<u8>,
}

/// The values of one column.
#[derive(Debug)]
struct Column {
    /// Name and type, as they head the column.
    head: Vec<u8>,
    kind: ChType,
    /// Of a `Nullable`: 1 for each NULL.
    nulls: Vec<u8>,
    /// Of a list or a map: where the entries of each row end, as 8 bytes.
    ends: Vec<u8>,
    entries: u64,
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl Block {
    /// An empty block of columns with these names and types.
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, &'a ChType)>) -> Self {
        let columns = columns.into_iter().map(|(name, kind)| Column::new(name, kind)).collect();
        Self { columns, rows: 0, row: vec![] }
    }

    /// Takes one row, which `write` appends as `RowBinary`; on its error the block is as before.
    ///
    /// # Errors
    /// What `write` says; [`RowError`] where it did not write one row of these columns.
    pub fn push<E: From<RowError>>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.row.clear();
        write(&mut self.row)?;
        let mut from = &self.row[..];
        for column in &mut self.columns {
            column.take(&mut from)?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Bytes of the rows that it holds, but for the heads of their columns.
    pub fn size(&self) -> usize {
        let size = |c: &Column| c.nulls.len() + c.ends.len() + c.keys.len() + c.values.len();
        self.columns.iter().map(size).sum()
    }

    /// The block as it travels; it is empty afterwards.
    pub fn drain(&mut self) -> Vec<u8> {
        let heads: usize = self.columns.iter().map(|c| c.head.len()).sum();
        let mut out = Vec::with_capacity(self.size() + heads + 20);
        length(&mut out, self.columns.len());
        length(&mut out, self.rows);
        for column in &mut self.columns {
            out.extend_from_slice(&column.head);
            for part in [&mut column.nulls, &mut column.ends, &mut column.keys, &mut column.values] {
                out.append(part);
            }
            column.entries = 0;
        }
        self.rows = 0;
        out
    }
}

impl Column {
    fn new(name: &str, kind: &ChType) -> Self {
        let mut head = vec![];
        for text in [name, &kind.to_string()] {
            length(&mut head, text.len());
            head.extend_from_slice(text.as_bytes());
        }
        let [nulls, ends, keys, values] = [const { vec![] }; 4];
        Self { head, kind: kind.clone(), nulls, ends, entries: 0, keys, values }
    }

    /// Moves one value over.
    fn take(&mut self, from: &mut &[u8]) -> Result<(), RowError> {
        match &self.kind {
            ChType::Nullable(inner) => {
                let null = take(from, 1)?[0];
                self.nulls.push(null);
                if null == 0 {
                    return value(inner, from, &mut self.values);
                }
                // Its place is taken by nothing: the empty text, or 0.
                let bytes = width(inner)?.unwrap_or(1);
                self.values.resize(self.values.len() + bytes, 0);
            }
            ChType::Array(inner) => {
                let count = read_length(from)?;
                self.entries += count as u64;
                for _ in 0..count {
                    value(inner, from, &mut self.values)?;
                }
                self.ends.extend(self.entries.to_le_bytes());
            }
            ChType::Map(inner) => {
                let count = read_length(from)?;
                self.entries += count as u64;
                for _ in 0..count {
                    value(&ChType::String, from, &mut self.keys)?;
                    value(inner, from, &mut self.values)?;
                }
                self.ends.extend(self.entries.to_le_bytes());
            }
            kind => value(kind, from, &mut self.values)?,
        }
        Ok(())
    }
}

/// Moves a value that is the same in both formats.
fn value(kind: &ChType, from: &mut &[u8], to: &mut Vec<u8>) -> Result<(), RowError> {
    let bytes = if let Some(width) = width(kind)? {
        take(from, width)?
    } else {
        let mut rest = *from;
        let text = read_length(&mut rest)?;
        take(from, (from.len() - rest.len()).saturating_add(text))?
    };
    to.extend_from_slice(bytes);
    Ok(())
}

/// Bytes of a value; a text has a length of its own.
fn width(kind: &ChType) -> Result<Option<usize>, RowError> {
    Ok(match kind {
        ChType::String => None,
        ChType::Bool => Some(1),
        ChType::Int(width, _) => Some(usize::from(*width)),
        ChType::Float64 | ChType::Millis | ChType::Amount => Some(8),
        other => return Err(RowError::Mismatch(other.to_string())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cell::{Cell, rowbinary};

    #[test]
    fn rows_become_columns() {
        let kinds = [
            ChType::String,
            ChType::Nullable(Box::new(ChType::Millis)),
            ChType::Array(Box::new(ChType::String)),
            ChType::Map(Box::new(ChType::Int(8, false))),
        ];
        let rows = [
            [
                Cell::Text("a".into()),
                Cell::Null,
                Cell::List(vec!["x".into(), String::new()]),
                Cell::Counts(vec![("k".into(), 3)]),
            ],
            [Cell::Text("bc".into()), Cell::Millis(-2), Cell::List(vec![]), Cell::Counts(vec![])],
        ];
        let mut block = Block::new(["t", "n", "l", "m"].into_iter().zip(&kinds));
        for row in &rows {
            let write =
                |out: &mut Vec<u8>| row.iter().zip(&kinds).try_for_each(|(c, k)| rowbinary::write(out, c, k));
            block.push::<RowError>(write).unwrap();
        }
        let refused = block.push(|out: &mut Vec<u8>| {
            out.push(9);
            Err(RowError::Null)
        });
        assert_eq!(refused, Err(RowError::Null));
        let number = |n: u64| n.to_le_bytes();
        let expected = [
            &[4, 2][..],
            b"\x01t\x06String\x01a\x02bc",
            b"\x01n\x17Nullable(DateTime64(3))\x01\x00",
            &number(0),
            &number(-2_i64 as u64),
            b"\x01l\x0dArray(String)",
            &number(2),
            &number(2),
            b"\x01x\x00",
            b"\x01m\x13Map(String, UInt64)",
            &number(1),
            &number(1),
            b"\x01k",
            &number(3),
        ]
        .concat();
        assert_eq!(block.size(), 5 + 18 + 19 + 26);
        assert_eq!(block.drain(), expected);
        assert_eq!(block.drain(), [&[4, 0][..], &expected_heads()].concat(), "it is empty");
    }

    fn expected_heads() -> Vec<u8> {
        b"\x01t\x06String\x01n\x17Nullable(DateTime64(3))\x01l\x0dArray(String)\x01m\x13Map(String, UInt64)"
            .to_vec()
    }
}
