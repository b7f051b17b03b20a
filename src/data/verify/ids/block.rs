//! ClickHouse's ids as they come: blocks of the columns kind, day and id (ClickHouse documentation, "Native"), which
//! take the server half the time of rows.
//!
//! One rule: the two short columns of a block are kept, its ids are looked at where they lie.

use crate::data::cell::rowbinary::{RowError, read_length, take, take_bytes};

/// Rows of one block, of which ids are still to come.
#[derive(Debug, Default)]
pub struct Block {
    kinds: Vec<u8>,
    days: Vec<[u8; 2]>,
    at: usize,
}

/// One id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What the first column says.
    pub kind: u8,
    /// The second, as ClickHouse's `Date`.
    pub day: u16,
    /// The third.
    pub id: &'a [u8],
}

impl Block {
    /// The next id; none where a block begins, which is passed over.
    ///
    /// # Errors
    /// [`RowError::Short`] when more bytes are needed: nothing was taken.
    pub fn next<'a>(&mut self, from: &mut &'a [u8]) -> Result<Option<Entry<'a>>, RowError> {
        let (Some(kind), Some(day)) = (self.kinds.get(self.at), self.days.get(self.at)) else {
            return self.begin(from).map(|()| None);
        };
        let (kind, day) = (*kind, u16::from_le_bytes(*day));
        let id = take_bytes(from)?;
        self.at += 1;
        Ok(Some(Entry { kind, day, id }))
    }

    /// Takes what stands before the ids.
    fn begin(&mut self, from: &mut &[u8]) -> Result<(), RowError> {
        let columns = read_length(from)?;
        let rows = read_length(from)?;
        if columns != 3 {
            return Err(RowError::Mismatch(format!("{columns} columns")));
        }
        head(from)?;
        let kinds = take(from, rows)?;
        head(from)?;
        let days = take(from, rows.checked_mul(2).ok_or(RowError::Short)?)?;
        head(from)?;
        *self = Self { kinds: kinds.to_vec(), days: days.as_chunks().0.to_vec(), at: 0 };
        Ok(())
    }
}

/// Passes over the name and the type of a column.
fn head(from: &mut &[u8]) -> Result<(), RowError> {
    take_bytes(from)?;
    take_bytes(from).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_out_however_the_blocks_were_cut() {
        let heads = [&b"\x01k\x05UInt8"[..], b"\x01d\x06UInt16", b"\x02id\x06String"];
        let block = |rows: &[(u8, u16, &str)]| {
            let mut bytes = vec![3, rows.len() as u8];
            bytes.extend(heads[0]);
            bytes.extend(rows.iter().map(|r| r.0));
            bytes.extend(heads[1]);
            bytes.extend(rows.iter().flat_map(|r| r.1.to_le_bytes()));
            bytes.extend(heads[2]);
            for (_, _, id) in rows {
                bytes.push(id.len() as u8);
                bytes.extend(id.as_bytes());
            }
            bytes
        };
        let rows = [(0, 7, "a"), (2, 300, ""), (1, 65_535, "id-3")];
        let bytes = [block(&rows[..2]), block(&[]), block(&rows[2..]), block(&[])].concat();
        for size in 1..=bytes.len() {
            let (mut blocks, mut found, mut used) = (Block::default(), vec![], 0);
            for end in (size..bytes.len() + size).step_by(size) {
                let mut from = &bytes[used..end.min(bytes.len())];
                while !from.is_empty() {
                    let before = from;
                    match blocks.next(&mut from) {
                        Ok(entry) => found.extend(entry.map(|e| (e.kind, e.day, e.id.to_vec()))),
                        Err(RowError::Short) => {
                            from = before;
                            break;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                used = end.min(bytes.len()) - from.len();
            }
            let expected: Vec<_> = rows.map(|(kind, day, id)| (kind, day, id.as_bytes().to_vec())).to_vec();
            assert_eq!((found, used), (expected, bytes.len()), "cut every {size} bytes");
        }
        assert!(matches!(Block::default().next(&mut &b"\x02\x00"[..]), Err(RowError::Mismatch(_))));
    }
}
