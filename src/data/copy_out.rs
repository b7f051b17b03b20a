//! Rows of `COPY .. TO STDOUT (FORMAT binary)`, taken apart as they arrive (PostgreSQL documentation, COPY, "Binary
//! Format").
//!
//! One rule: a stream that ends without its trailer was cut, and is an error.

use crate::data::convert::Field;

/// What every binary COPY begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Longest header extension that is waited for; no version of PostgreSQL sends any.
const LONGEST_EXTENSION: u32 = 64 * 1024;

/// The stream is not a binary COPY, or was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the binary COPY of PostgreSQL ends or breaks in the middle of a row")]
pub struct Broken;

/// Takes chunks in and gives whole rows out.
#[derive(Debug, Default)]
pub struct CopyOut {
    buffer: Vec<u8>,
    at: usize,
    begun: bool,
    ended: bool,
}

impl CopyOut {
    /// Takes a chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(chunk);
    }

    /// The fields of the next whole row, or nothing until more came.
    ///
    /// # Errors
    /// The bytes are not a binary COPY.
    pub fn row(&mut self) -> Result<Option<Vec<Field<'_>>>, Broken> {
        if !self.begun && !self.begin()? {
            return Ok(None);
        }
        let Some(count) = peek::<2>(&self.buffer, self.at).map(i16::from_be_bytes) else {
            return Ok(None);
        };
        if self.ended {
            return Err(Broken);
        }
        if count < -1 {
            return Err(Broken);
        }
        if count == -1 {
            (self.ended, self.at) = (true, self.at + 2);
            return Ok(None);
        }
        let Some(end) = row_end(&self.buffer, self.at + 2, count)? else {
            return Ok(None);
        };
        let mut at = self.at + 2;
        self.at = end;
        let mut fields = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        while at < end {
            let length = peek::<4>(&self.buffer, at).map(i32::from_be_bytes).ok_or(Broken)?;
            at += 4;
            let Ok(length) = usize::try_from(length) else {
                fields.push(Field(None));
                continue;
            };
            fields.push(Field(Some(&self.buffer[at..at + length])));
            at += length;
        }
        Ok(Some(fields))
    }

    /// Says that no more will come.
    ///
    /// # Errors
    /// The trailer is missing: rows may be, too.
    pub const fn finish(&self) -> Result<(), Broken> {
        if self.ended { Ok(()) } else { Err(Broken) }
    }

    fn begin(&mut self) -> Result<bool, Broken> {
        let Some(extension) = peek::<4>(&self.buffer, SIGNATURE.len() + 4).map(u32::from_be_bytes) else {
            return Ok(false);
        };
        if !self.buffer.starts_with(SIGNATURE) {
            return Err(Broken);
        }
        if extension > LONGEST_EXTENSION {
            return Err(Broken);
        }
        let end = SIGNATURE.len() + 8 + extension as usize;
        if self.buffer.len() < end {
            return Ok(false);
        }
        (self.at, self.begun) = (end, true);
        Ok(true)
    }
}

/// Where a row ends, when all of it is there.
fn row_end(buffer: &[u8], mut at: usize, count: i16) -> Result<Option<usize>, Broken> {
    for _ in 0..count {
        let Some(length) = peek::<4>(buffer, at).map(i32::from_be_bytes) else {
            return Ok(None);
        };
        at += 4;
        match length {
            -1 => {}
            ..-1 => return Err(Broken),
            length => at += usize::try_from(length).map_err(|_| Broken)?,
        }
        if at > buffer.len() {
            return Ok(None);
        }
    }
    Ok(Some(at))
}

fn peek<const N: usize>(buffer: &[u8], at: usize) -> Option<[u8; N]> {
    buffer.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let mut bytes = [&SIGNATURE[..], &[0; 8]].concat();
        for row in [[Some(&b"id-1"[..]), None], [Some(&b""[..]), Some(&b"x"[..])]] {
            bytes.extend(2_i16.to_be_bytes());
            for field in row {
                bytes.extend(field.map_or(-1, |f| f.len() as i32).to_be_bytes());
                bytes.extend(field.unwrap_or_default());
            }
        }
        bytes.extend((-1_i16).to_be_bytes());
        bytes
    }

    #[test]
    fn rows_come_out_however_the_stream_was_cut() {
        let bytes = stream();
        for size in 1..bytes.len() {
            let (mut copy, mut rows) = (CopyOut::default(), vec![]);
            for chunk in bytes.chunks(size) {
                copy.push(chunk);
                while let Some(fields) = copy.row().unwrap() {
                    rows.push(fields.iter().map(|f| f.0.map(<[u8]>::to_vec)).collect::<Vec<_>>());
                }
            }
            assert_eq!(rows, [[Some(b"id-1".to_vec()), None], [Some(vec![]), Some(b"x".to_vec())]], "{size}");
            copy.finish().unwrap();
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_taken_apart_or_told(
            noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            at in 0_usize..60, whole: bool, size in 1_usize..40,
        ) {
            let mut bytes = stream();
            let at = at.min(bytes.len());
            if whole {
                bytes = noise.clone();
            } else {
                bytes.splice(at..(at + noise.len()).min(bytes.len()), noise.clone());
            }
            let (mut copy, mut rows) = (CopyOut::default(), 0);
            'all: for chunk in bytes.chunks(size) {
                copy.push(chunk);
                loop {
                    match copy.row() {
                        Ok(Some(fields)) => {
                            let taken: usize = fields.iter().filter_map(|f| f.0).map(<[u8]>::len).sum();
                            assert!(taken <= bytes.len());
                            rows += 1;
                            assert!(rows <= bytes.len() / 2, "rows out of nothing");
                        }
                        Ok(None) => break,
                        Err(Broken) => break 'all,
                    }
                }
                assert!(copy.buffer.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn what_no_server_sends_is_broken() {
        let header = [&SIGNATURE[..], &[0; 8]].concat();
        for wrong in [
            [&header[..], &(-2_i16).to_be_bytes()].concat(),
            [&header[..], &1_i16.to_be_bytes(), &(-2_i32).to_be_bytes()].concat(),
            [&SIGNATURE[..], &[0; 4], &u32::MAX.to_be_bytes()].concat(),
        ] {
            let mut copy = CopyOut::default();
            copy.push(&wrong);
            assert_eq!(copy.row().unwrap_err(), Broken, "{wrong:?}");
        }
        let mut copy = CopyOut::default();
        copy.push(&[&stream()[..], &stream()].concat());
        while copy.row().is_ok_and(|row| row.is_some()) {}
        assert_eq!(copy.row().unwrap_err(), Broken, "rows after the end");
    }

    #[test]
    fn a_cut_stream_is_told() {
        let bytes = stream();
        let mut copy = CopyOut::default();
        copy.push(&bytes[..bytes.len() - 2]);
        while copy.row().unwrap().is_some() {}
        assert_eq!(copy.finish(), Err(Broken));
        let mut other = CopyOut::default();
        other.push(b"id\tname\n and more than nineteen bytes");
        assert_eq!(other.row().unwrap_err(), Broken);
    }
}
