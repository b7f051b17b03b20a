//! Differences as a CSV file (RFC 4180), a line each, as they are found.
//!
//! One rule: texts from the databases are quoted whole, so that no value can end a line or start a formula.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::data::verify::Finding;

/// The file.
pub(super) struct Csv {
    to: BufWriter<File>,
}

impl Csv {
    /// Writes the first line.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut to = BufWriter::new(File::create(path)?);
        writeln!(to, "table,difference,project,id,columns,note,v2,v3")?;
        Ok(Self { to })
    }

    /// Writes a difference; with values, a line for each column.
    pub(super) fn write(&mut self, finding: &Finding) -> io::Result<()> {
        let head = [finding.table.name(), finding.difference.word(), &finding.project, &finding.id];
        let valued = finding.columns.iter().any(|c| c.v2.is_some());
        if valued {
            for column in &finding.columns {
                let text = |value: &Option<String>| value.clone().unwrap_or_default();
                self.line(head, column.column, &finding.note, &text(&column.v2), &text(&column.v3))?;
            }
        } else {
            let names: Vec<_> = finding.columns.iter().map(|c| c.column).collect();
            self.line(head, &names.join(" "), &finding.note, "", "")?;
        }
        self.to.flush()
    }

    fn line(&mut self, head: [&str; 4], columns: &str, note: &str, v2: &str, v3: &str) -> io::Result<()> {
        let fields = head.into_iter().chain([columns, note, v2, v3]).map(quoted);
        writeln!(self.to, "{}", fields.collect::<Vec<_>>().join(","))
    }
}

/// A field; what a spreadsheet would take for a formula gets an apostrophe.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_. :".contains(&b));
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    match (plain, formula) {
        (true, false) => text.to_owned(),
        (_, true) => format!("\"'{}\"", text.replace('"', "\"\"")),
        (false, false) if text.is_empty() => String::new(),
        _ => format!("\"{}\"", text.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn fields_stay_fields() {
        for (text, field) in [
            ("", ""),
            ("cl_1-2", "cl_1-2"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"\n", "\"say \"\"hi\"\"\n\""),
            ("=1+1", "\"'=1+1\""),
        ] {
            assert_eq!(quoted(text), field);
        }
    }
}
