//! The findings that a JSON document or the screen holds; a CSV file holds all.
//!
//! One rule: they are bounded in number and in bytes, and what is left out is said.

use crate::data::verify::Finding;

/// Findings that are held.
const MOST: usize = 10_000;
/// Bytes of their values: ten megabytes of input on either side is one value each.
const BYTES: usize = 16 << 20;

/// The findings.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// In the order in which they were found.
    pub(super) findings: Vec<Finding>,
    /// How many of them had values for which there was no room.
    pub(super) bare: usize,
    bytes: usize,
}

impl Shown {
    /// Takes one, as long as there is room.
    pub(super) fn take(&mut self, finding: &Finding) {
        if self.findings.len() >= MOST {
            return;
        }
        let values = || finding.columns.iter().flat_map(|c| [&c.v2, &c.v3]).flatten();
        let bytes: usize = values().map(String::len).sum();
        if self.bytes + bytes <= BYTES {
            self.bytes += bytes;
            self.findings.push(finding.clone());
            return;
        }
        self.bare += 1;
        let columns = finding.columns.iter().map(crate::data::verify::finding::Values::bare).collect();
        let (project, id, note) = (finding.project.clone(), finding.id.clone(), finding.note.clone());
        self.findings.push(Finding { project, id, note, columns, hours: vec![], ..*finding });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::verify::Difference;
    use crate::data::verify::finding::Values;
    use crate::domain::backfill::Table;

    fn finding(bytes: usize) -> Finding {
        let large = Values { column: "input", v2: Some("x".repeat(bytes)), v3: None };
        let columns = vec![large];
        let (project, id) = (String::new(), "i".to_owned());
        let (table, difference) = (Table::Traces, Difference::Changed);
        Finding { table, difference, project, id, columns, note: String::new(), hours: vec![] }
    }

    #[test]
    fn large_values_are_left_out_and_small_ones_stay() {
        let mut shown = Shown::default();
        for bytes in [10 << 20, 10 << 20, 5, 10 << 20] {
            shown.take(&finding(bytes));
        }
        let lengths: Vec<_> =
            shown.findings.iter().map(|f| f.columns[0].v2.as_ref().map(String::len)).collect();
        assert_eq!((lengths, shown.bare), (vec![Some(10 << 20), None, Some(5), None], 2));
        for _ in 0..2 * MOST {
            shown.take(&finding(1));
        }
        assert_eq!(shown.findings.len(), MOST);
    }
}
