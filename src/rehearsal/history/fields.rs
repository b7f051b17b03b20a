//! The fields of a row after its first, each led by a tab, in COPY's text format.

use super::{
    random::{push_number, push_uuid},
    timeline::Timeline,
};

const NULL: &[u8] = b"\t\\N";

/// A row being written.
pub(super) struct Fields<'a>(pub(super) &'a mut Vec<u8>);

impl Fields<'_> {
    /// Text that needs no escaping.
    pub(super) fn text(&mut self, text: impl AsRef<str>) {
        self.some(true, text.as_ref().as_bytes());
    }

    /// Escaped bytes, or NULL.
    pub(super) fn some(&mut self, present: bool, bytes: impl AsRef<[u8]>) {
        if present {
            self.0.push(b'\t');
            self.0.extend_from_slice(bytes.as_ref());
        } else {
            self.null();
        }
    }

    pub(super) fn null(&mut self) {
        self.0.extend_from_slice(NULL);
    }

    pub(super) fn nulls(&mut self, count: usize) {
        (0..count).for_each(|_| self.null());
    }

    pub(super) fn number(&mut self, number: u64) {
        self.0.push(b'\t');
        push_number(self.0, number);
    }

    /// `prefix` and a number, or NULL.
    pub(super) fn numbered(&mut self, present: bool, prefix: &str, number: u64) {
        self.some(present, prefix.as_bytes());
        if present {
            push_number(self.0, number);
        }
    }

    pub(super) fn uuid(&mut self, id: (u64, u64)) {
        self.0.push(b'\t');
        push_uuid(self.0, id.0, id.1);
    }

    pub(super) fn time(&mut self, timeline: &Timeline, ms: i64) {
        self.0.push(b'\t');
        timeline.push(self.0, ms);
    }

    /// 10^-9 dollars as a decimal fraction.
    pub(super) fn dollars(&mut self, billionths: u64) {
        self.number(billionths / 1_000_000_000);
        self.0.push(b'.');
        let mut fraction = [b'0'; 9];
        let mut rest = billionths % 1_000_000_000;
        for digit in fraction.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        self.0.extend_from_slice(&fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_what_copy_reads() {
        let mut out = b"id".to_vec();
        let mut fields = Fields(&mut out);
        fields.some(false, b"x");
        fields.numbered(true, "user-", 7);
        fields.dollars(12_000_000_345);
        assert_eq!(out, b"id\t\\N\tuser-7\t12.000000345");
    }
}
